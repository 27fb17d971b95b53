import {
  demonitor,
  type ExitSignal,
  exit,
  GenServer,
  link,
  monitor,
  type Pid,
  receive,
  self,
  send,
  spawn,
  trapExit,
  trySend,
  unlink,
} from "simurgh/runtime";
import { afterEach, describe, expect, test } from "vitest";
import { pidFromParts } from "../../../src/runtime/kernel/bifs.js";
import { eventually, joinedNodes, type Pair } from "./support.js";

let pair: Pair;
afterEach(() => pair.stop());

/** The same process as the other node sees it. */
const seenFrom = (node: Pair["near"], pid: Pid): Pid => pidFromParts(node, pid);

/** A process on the far node that hands every message to `seen`. */
function listener(trap = false): { pid: Pid; seen: unknown[] } {
  const seen: unknown[] = [];
  const pid = pair.far.spawn(async () => {
    trapExit(trap);
    for (;;) seen.push(await receive((message) => ({ message })));
  });
  return {
    pid,
    get seen() {
      return seen.map((entry) => (entry as { message: unknown }).message);
    },
  };
}

describe("two nodes joined by a port", () => {
  test("messages of one sender arrive in order, whatever their size (R-451, R-008)", async () => {
    pair = joinedNodes();
    const far = listener();
    await pair.near.run(() => {
      const to = seenFrom(pair.near, far.pid);
      for (let n = 0; n < 2000; n += 1) send(to, n % 97 === 0 ? [n, "x".repeat(100_000)] : [n]);
    });
    await eventually(() => far.seen.length === 2000, "2000 messages have arrived");
    expect(far.seen.map((message) => (message as [number])[0])).toEqual(
      Array.from({ length: 2000 }, (_, n) => n),
    );
  });

  test("a call is answered across the port, and a later answer from another process too (R-451)", async () => {
    pair = joinedNodes();
    const started = await pair.far.run(() =>
      GenServer.start({
        init: () => ["ok", 0],
        handleCall: (request, from, state) => {
          if (request !== "later") return ["reply", { got: request, from: from.pid.toString() }, state];
          spawn(() => GenServer.reply(from, "answered later"));
          return ["noreply", state];
        },
      }),
    );
    const server = seenFrom(pair.near, started[1] as Pid);
    const [caller, first, second] = await pair.near.run(async () => [
      String(self()),
      await GenServer.call(server, { a: [1] }),
      await GenServer.call(server, "later"),
    ]);
    expect(first).toEqual({ got: { a: [1] }, from: caller });
    expect(second).toBe("answered later");
  });

  test("a call to a free remote name is noproc, to an unknown node nodedown (R-110)", async () => {
    pair = joinedNodes();
    await pair.near.run(async () => {
      await expect(GenServer.call({ name: "no one", node: 1 }, "x")).rejects.toMatchObject({
        reason: ["noproc", expect.anything()],
      });
      await expect(GenServer.call({ name: "no one", node: 9 }, "x")).rejects.toMatchObject({
        reason: [["nodedown", 9], expect.anything()],
      });
    });
  });

  test("a link carries the exit reason, and kill stays kill (R-451, R-055)", async () => {
    pair = joinedNodes();
    const far = pair.far.spawn(async () => {
      await receive((message) => message === "die" || undefined);
      exit("kill");
    });
    const seen = await pair.near.run(async () => {
      trapExit(true);
      link(seenFrom(pair.near, far));
      send(seenFrom(pair.near, far), "die");
      return receive((message) => message as unknown[]);
    });
    expect([seen[0], (seen[1] as Pid).equals(far), seen[2]]).toEqual(["EXIT", true, "kill"]);
  });

  test("a link or monitor to a dead process over there gives noproc (R-042, R-455)", async () => {
    pair = joinedNodes();
    const far = pair.far.spawn(() => {});
    await eventually(() => pair.far.process(far) === undefined, "the far process has ended");
    const dead = seenFrom(pair.near, far);
    await pair.near.run(async () => {
      trapExit(true);
      link(dead);
      expect(await receive((message) => message as unknown[])).toEqual(["EXIT", expect.anything(), "noproc"]);
      const ref = monitor(dead);
      expect(await receive((message) => message as unknown[])).toEqual([
        "DOWN",
        ref,
        "process",
        dead,
        "noproc",
      ]);
    });
  });

  test("links, monitors and calls get the end of the node once, after its messages (R-456, X-196, X-197)", async () => {
    pair = joinedNodes();
    const far = pair.far.spawn(async () => {
      const to = (await receive((message) => message)) as Pid;
      for (let n = 0; n < 1000; n += 1) send(to, n);
    });
    const silent = await pair.far.run(() =>
      GenServer.start({ init: () => ["ok", 0], handleCall: (_r, _f, s) => ["noreply", s] }),
    );
    const result = await pair.near.run(async () => {
      trapExit(true);
      const keeper = seenFrom(pair.near, silent[1] as Pid);
      link(keeper);
      const ref = monitor(keeper);
      const call = GenServer.call(keeper, "never answered", Number.POSITIVE_INFINITY).catch(
        (error: ExitSignal) => error.reason,
      );
      send(seenFrom(pair.near, far), self());
      await receive((message) => (message === 0 ? true : undefined));
      pair.toNear.flush();
      pair.toNear.port.close();
      const messages: unknown[] = [];
      const failed = (await call) as unknown[];
      for (;;) {
        const message = await receive((any) => ({ any }), { after: 50 });
        if (message === undefined) break;
        messages.push(message.any);
      }
      return { failed: failed[0], messages, ref, keeper };
    });
    expect(result.failed).toEqual(["nodedown", 1]);
    const numbers = result.messages.filter((message) => typeof message === "number");
    expect(numbers).toEqual(Array.from({ length: 999 }, (_, n) => n + 1));
    expect(result.messages.slice(999)).toEqual([
      ["EXIT", result.keeper, "noconnection"],
      ["DOWN", result.ref, "process", result.keeper, "noconnection"],
    ]);
  });

  test("an exit that crosses an unlink has no effect, and a new link is a new link (R-455, X-203)", async () => {
    pair = joinedNodes();
    const outcome = await pair.near.run(async () => {
      trapExit(true);
      const reasons: unknown[] = [];
      for (let round = 0; round < 300; round += 1) {
        const far = pair.far.spawn(async () => {
          await receive((message) => message);
          exit("crash");
        });
        const pid = seenFrom(pair.near, far);
        link(pid);
        send(pid, "go");
        if (round % 2 === 0) await new Promise((resolve) => setImmediate(resolve));
        unlink(pid);
        link(pid);
        const exited = (await receive((message) => message as unknown[])) as unknown[];
        reasons.push(exited[2]);
      }
      const leftover = await receive((message) => ({ message }), { after: 20 });
      return { reasons: new Set(reasons), leftover };
    });
    // Whether the process was still there for the second link depends on the crossing; its first
    // link never counts.
    for (const reason of outcome.reasons) expect(["crash", "noproc"]).toContain(reason);
    expect(outcome.leftover).toBeUndefined();
  });

  test("demonitor across the port: nothing is delivered and nothing is kept over there (R-062, R-455)", async () => {
    pair = joinedNodes();
    const far = listener();
    const leftover = await pair.near.run(async () => {
      const pid = seenFrom(pair.near, far.pid);
      const ref = monitor(pid);
      await eventually(() => pair.far.process(far.pid)?.watchers?.size === 1, "the monitor is in place");
      demonitor(ref);
      await eventually(() => pair.far.process(far.pid)?.watchers?.size === 0, "the monitor is gone");
      exit(pid, "kill");
      return receive((message) => ({ message }), { after: 20 });
    });
    expect(leftover).toBeUndefined();
  });

  test("a pid of a former creation stays dead (X-198, R-456)", async () => {
    pair = joinedNodes();
    const far = listener();
    const former = pidFromParts(pair.near, { node: 1, creation: 7, id: far.pid.id });
    await pair.near.run(async () => {
      send(former, "lost");
      const ref = monitor(former);
      expect(await receive((message) => message as unknown[])).toEqual([
        "DOWN",
        ref,
        "process",
        former,
        "noproc",
      ]);
    });
    expect(far.seen).toEqual([]);
  });

  test("a function in a message fails only the sender, at the send (X-200, R-460)", async () => {
    pair = joinedNodes();
    const far = listener();
    await pair.near.run(() => {
      const pid = seenFrom(pair.near, far.pid);
      send(pid, "before");
      expect(() => send(pid, { callback: () => 1 })).toThrow("message.callback is a function");
      send(pid, "after");
    });
    await eventually(() => far.seen.length === 2, "both good messages have arrived");
    expect(far.seen).toEqual(["before", "after"]);
  });

  test("a sender that outruns the other side is paused, exit signals pass (X-202, R-463)", async () => {
    pair = joinedNodes({ highWaterSignals: 100, highWaterBytes: 1_000_000 });
    const far = listener(true);
    let sent = 0;
    const flooder = (await pair.near.run(() =>
      GenServer.start({
        init: () => ["ok", seenFrom(pair.near, far.pid)],
        handleInfo: (_message, to) => {
          send(to, sent);
          sent += 1;
          send(self(), "again");
          return ["noreply", to];
        },
      }),
    )) as readonly ["ok", Pid];
    let worst = 0;
    const watch = setInterval(() => {
      worst = Math.max(worst, pair.toFar.stats().outstandingBytes);
    }, 1);
    await pair.near.run(() => send(flooder[1], "go"));
    await eventually(() => sent > 20_000, "20,000 messages went through");
    clearInterval(watch);
    pair.near.exit(flooder[1], "kill");
    // One turn sends one message, so the mark is overstepped by what a slice can add at the most.
    expect(worst).toBeLessThan(100 * 40);
  });

  test("a synchronous flood far over the mark ends its sender with system_limit (R-463)", async () => {
    pair = joinedNodes({ highWaterSignals: 10 });
    const far = listener();
    const run = pair.near.run(() => {
      for (;;) send(seenFrom(pair.near, far.pid), "flood");
    });
    await expect(run).rejects.toMatchObject({ reason: "system_limit" });
  });

  test("kill across the port cannot be trapped (R-052)", async () => {
    pair = joinedNodes();
    const far = listener(true);
    await pair.near.run(async () => {
      const pid = seenFrom(pair.near, far.pid);
      const ref = monitor(pid);
      exit(pid, "kill");
      expect(await receive((message) => message as unknown[])).toEqual([
        "DOWN",
        ref,
        "process",
        pid,
        "killed",
      ]);
    });
  });
});

describe("batches", () => {
  test("messages of one turn are posted once, and a full batch at once (R-453)", async () => {
    pair = joinedNodes({ batchSignals: 256, batchBytes: 64 * 1024 });
    const { toFar } = pair;
    let posts = 0;
    const { port } = toFar;
    const post = port.postMessage.bind(port);
    port.postMessage = ((...args: Parameters<typeof post>) => {
      posts += 1;
      post(...args);
    }) as typeof port.postMessage;
    const far = listener();
    const to = seenFrom(pair.near, far.pid);
    await pair.near.run(() => {
      for (let n = 0; n < 100; n += 1) send(to, n);
      expect(posts).toBe(0);
    });
    await eventually(() => far.seen.length === 100, "all have arrived");
    expect(posts).toBe(1);
    await pair.near.run(() => {
      for (let n = 0; n < 256; n += 1) send(to, n);
      expect(posts).toBe(2);
      send(to, "x".repeat(64 * 1024));
      expect(posts).toBe(3);
    });
    await eventually(() => far.seen.length === 357, "all have arrived");
  });
});

describe("a congested connection", () => {
  test("trySend refuses while the other side is behind (R-463)", async () => {
    pair = joinedNodes({ highWaterSignals: 10 });
    const far = listener();
    const { near, toFar } = pair;
    await near.run(async () => {
      const to = seenFrom(near, far.pid);
      let sent = 0;
      while (trySend(to, sent)) sent += 1;
      expect(sent).toBe(11);
      expect(trySend({ name: "anybody", node: 1 }, "x")).toBe(false);
      expect(trySend(self(), "near")).toBe(true);
      await eventually(() => !toFar.congested, "the connection is clear");
      expect(trySend(to, "more")).toBe(true);
      await eventually(() => far.seen.length === 12, "all have arrived");
    });
  });
});
