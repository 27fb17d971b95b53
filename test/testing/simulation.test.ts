import {
  exit,
  GenServer,
  link,
  monitor,
  type Pid,
  receive,
  self,
  send,
  sendAfter,
  sleep,
  spawn,
  trapExit,
  yieldNow,
} from "simurgh/runtime";
import { type Simulation, SimulationFailed, simulate } from "simurgh/testing";
import { describe, expect, test } from "vitest";

const next = (after?: number): Promise<unknown> =>
  receive((message) => ({ message }), { after }).then((got) => got?.message);

/** Three processes race to tell the main one their names. */
const race = async (sim: Simulation): Promise<string[]> => {
  const me = self();
  for (const name of ["a", "b", "c"]) {
    spawn(async () => {
      await sleep(sim.random.below(3));
      send(me, name);
    });
  }
  return [await next(), await next(), await next()] as string[];
};

describe("a simulation", () => {
  test("a seed repeats its steps, and other seeds take others", async () => {
    const first = await simulate({ seed: 7 }, race);
    expect(await simulate({ seed: 7 }, race)).toEqual(first);
    const outcomes = new Set<string>();
    await simulate({ runs: 50 }, async (sim) => void outcomes.add((await race(sim)).join("")));
    expect(outcomes.size).toBeGreaterThan(3);
  });

  test("a failure names its seed, which fails again after the same steps", async () => {
    const hasty = async (sim: Simulation): Promise<void> => {
      expect((await race(sim))[0]).not.toBe("c");
    };
    const failure = await simulate({ runs: 100 }, hasty).catch((error: unknown) => error as SimulationFailed);
    expect(failure).toBeInstanceOf(SimulationFailed);
    const { seed, message, trace } = failure as SimulationFailed;
    expect(message).toContain(`Run it alone with { seed: ${seed} } or SIMURGH_SEED=${seed}`);
    const again = await simulate({ seed }, hasty).catch((error: unknown) => error as SimulationFailed);
    expect((again as SimulationFailed).trace).toEqual(trace);
  });

  test("virtual time passes only while no process can run", async () => {
    const began = performance.now();
    await simulate({ runs: 1 }, async (sim) => {
      const me = self();
      sendAfter(me, "late", 3_600_000);
      sendAfter(me, "early", 1000);
      expect([await next(), sim.clock.now()]).toEqual(["early", 1000]);
      expect([await next(), sim.clock.now()]).toEqual(["late", 3_600_000]);
      await expect(
        GenServer.call(
          spawn(() => new Promise(() => {})),
          "x",
          5000,
        ),
      ).rejects.toMatchObject({
        reason: ["timeout", expect.anything()],
      });
      expect(sim.clock.now()).toBe(3_605_000);
    });
    expect(performance.now() - began).toBeLessThan(5000);
  });

  test("a scenario that can never continue, or never ends, fails", async () => {
    await expect(simulate({ runs: 1 }, () => next())).rejects.toThrow(
      "waits for something that can no longer happen",
    );
    const endless = async (): Promise<void> => {
      for (;;) await yieldNow();
    };
    await expect(simulate({ runs: 1, maxSteps: 500 }, endless)).rejects.toThrow(
      "has not ended after 500 steps",
    );
  });

  test("quiet comes when only time could change anything", () =>
    simulate({ runs: 20, threads: 1 }, async (sim) => {
      let handled = 0;
      const far = sim.node(1).spawn(async () => {
        for (;;) {
          await next();
          handled += 1;
        }
      });
      const to = await sim.on(0, () => far);
      for (let n = 0; n < 10; n += 1) send(to, n);
      await sim.quiet();
      expect(handled).toBe(10);
    }));
});

describe("faults between threads", () => {
  /** A server of thread `index` that counts, as the main thread knows it. */
  const serve = async (sim: Simulation, index: number): Promise<{ name: string; node: number }> => {
    await sim.on(index, () =>
      GenServer.start(
        {
          init: () => ["ok", 0],
          handleCall: (by, _from, count) => ["reply", count + by, count + by],
        },
        0,
        { name: "counter" },
      ),
    );
    return { name: "counter", node: index };
  };

  test("a thread is killed at any moment: calls are answered or nodedown (R-456, R-008, X-197)", () =>
    simulate({ runs: 200, threads: 1 }, async (sim) => {
      const counter = await serve(sim, 1);
      const outcomes: unknown[] = [];
      const caller = spawn(async () => {
        for (let n = 0; n < 5; n += 1) {
          outcomes.push(
            await GenServer.call(counter, 1, Number.POSITIVE_INFINITY).catch(
              (error: { reason: readonly unknown[] }) => error.reason[0],
            ),
          );
        }
      });
      const ref = monitor(caller);
      await sleep(sim.random.below(30));
      await sim.kill(1);
      await receive((message) => (Array.isArray(message) && ref.equals(message[1]) ? true : undefined));
      const answered = outcomes.filter((outcome) => typeof outcome === "number");
      expect(answered).toEqual(answered.map((_, n) => n + 1));
      expect(outcomes.slice(answered.length)).toEqual(
        outcomes.slice(answered.length).map(() => ["nodedown", 1]),
      );
      expect(outcomes).toHaveLength(5);
    }));

  test("each link and monitor into a killed thread gets noconnection once (R-456, X-196)", () =>
    simulate({ runs: 100, threads: 2 }, async (sim) => {
      trapExit(true);
      const pids = await Promise.all(
        [1, 2].map((index) => sim.on(index, () => spawn(() => new Promise(() => {})))),
      );
      const { parsePid } = await import("simurgh/runtime");
      const [doomed, other] = pids.map((pid) => parsePid(String(pid))) as [Pid, Pid];
      for (const pid of [doomed, other]) {
        link(pid);
        monitor(pid);
      }
      await sleep(sim.random.below(10));
      await sim.kill(1);
      await sleep(100);
      const notified: unknown[] = [];
      for (let message = await next(0); message !== undefined; message = await next(0))
        notified.push(message);
      expect(notified).toHaveLength(2);
      expect(notified).toContainEqual(["EXIT", doomed, "noconnection"]);
      expect(notified).toContainEqual(["DOWN", expect.anything(), "process", doomed, "noconnection"]);
      sim.restart(1);
      await sleep(100);
      // the pid of the former thread stays dead.
      const ref = monitor(doomed);
      expect(await next()).toEqual([
        "DOWN",
        ref,
        "process",
        doomed,
        expect.stringMatching(/noproc|noconnection/),
      ]);
    }));

  test("threads that are cut off and healed receive everything, in order (R-008)", () =>
    simulate({ runs: 100, threads: 1 }, async (sim) => {
      const seen: unknown[] = [];
      const far = sim.node(1).spawn(async () => {
        for (;;) seen.push(await next());
      });
      const { parsePid } = await import("simurgh/runtime");
      const to = parsePid(String(far));
      for (let n = 0; n < 5; n += 1) send(to, n);
      await sleep(sim.random.below(20));
      sim.cut(0, 1);
      for (let n = 5; n < 10; n += 1) send(to, n);
      await sleep(1000);
      expect(seen.length).toBeLessThanOrEqual(5);
      sim.heal(0, 1);
      await sleep(100);
      expect(seen).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    }));

  test("a frozen thread does nothing, and continues after the thaw", () =>
    simulate({ runs: 50, threads: 1 }, async (sim) => {
      const counter = await serve(sim, 1);
      sim.freeze(1);
      await expect(GenServer.call(counter, 1, 500)).rejects.toMatchObject({
        reason: ["timeout", expect.anything()],
      });
      sim.thaw(1);
      expect(await GenServer.call(counter, 1)).toBe(2);
    }));

  test("links from both sides in any order: an exit only over an active link (R-043, R-455, X-203)", () =>
    simulate({ runs: 300, threads: 1 }, async (sim) => {
      const me = self();
      trapExit(true);
      const { parsePid, unlink } = await import("simurgh/runtime");
      const far = sim.node(1).spawn(async () => {
        for (;;) if ((await next()) === "end") exit("ended");
      });
      const peer = parsePid(String(far));
      let linked = false;
      for (let n = sim.random.below(8); n >= 0; n -= 1) {
        if (sim.random.chance(0.5)) {
          link(peer);
          linked = true;
        } else {
          unlink(peer);
          linked = false;
        }
        if (sim.random.chance(0.3)) await sleep(sim.random.below(4));
      }
      send(peer, "end");
      await sleep(100);
      const message = await next(0);
      if (linked) expect(message).toEqual(["EXIT", peer, "ended"]);
      else expect(message).toBeUndefined();
      expect(await next(0)).toBeUndefined();
      expect(self()).toBe(me);
    }));
});
