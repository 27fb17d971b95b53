import {
  type ExitReason,
  exit,
  isAlive,
  link,
  monitor,
  type Pid,
  receive,
  self,
  send,
  sleep,
  spawn,
  spawnLink,
  spawnMonitor,
  trapExit,
  unlink,
} from "simurgh/runtime";
import { describe, expect, test } from "vitest";
import { idle, inLab, next, nothing, reasonOf, settle, trapper, waitThenExit } from "../support.js";

/**
 * The partner of a fresh process that ends with `reason` over a link; what the partner saw or died
 * of.
 */
async function overLink(reason: ExitReason, trapping: boolean): Promise<unknown> {
  const me = self();
  const [partner] = spawnMonitor(async () => {
    trapExit(trapping);
    const peer = spawnLink(() => waitThenExit(reason));
    send(me, ["peer", peer]);
    send(peer, "go");
    const message = await receive((m) => m, { after: 50 });
    send(me, ["saw", message]);
    await sleep(Number.POSITIVE_INFINITY);
  });
  const [, peer] = (await next()) as [string, Pid];
  const seen = (await next()) as unknown[];
  return { seen: seen[0] === "DOWN" ? ["DOWN", seen[4]] : seen, peer, alive: isAlive(partner) };
}

describe("explicit exit signals", () => {
  test("a normal signal from another is dropped when not trapping (R-050, X-002)", () =>
    inLab(async () => {
      const pid = idle();
      expect(exit(pid, "normal")).toBe(true);
      await settle();
      expect(isAlive(pid)).toBe(true);
    }));

  test("a normal signal from another is a message when trapping (R-050, X-003)", () =>
    inLab(async () => {
      const me = self();
      const pid = trapper(me, send);
      await settle();
      exit(pid, "normal");
      expect(await next()).toEqual(["got", [["EXIT", me, "normal"]]]);
      expect(isAlive(pid)).toBe(true);
    }));

  test("a normal signal to oneself ends a process that does not trap (R-051, X-004, R-059)", () =>
    inLab(async () => {
      trapExit(true);
      const me = self();
      const pid = spawnLink(() => {
        exit(self(), "normal");
        send(me, "continued");
      });
      expect(await next()).toEqual(["EXIT", pid, "normal"]);
      expect(await nothing()).toBeUndefined();
    }));

  test("a normal signal to oneself is a message when trapping (R-051, X-005)", () =>
    inLab(async () => {
      trapExit(true);
      exit(self(), "normal");
      expect(await next()).toEqual(["EXIT", self(), "normal"]);
    }));

  test("kill ends a trapping process as killed, and its links see killed (R-052, X-006)", () =>
    inLab(async () => {
      trapExit(true);
      const pid = spawnLink(async () => {
        trapExit(true);
        await sleep(Number.POSITIVE_INFINITY);
      });
      const ref = monitor(pid);
      await settle();
      exit(pid, "kill");
      expect(await next()).toEqual(["EXIT", pid, "killed"]);
      expect(await next()).toEqual(["DOWN", ref, "process", pid, "killed"]);
    }));

  test("kill to oneself while trapping ends as killed and the code after it does not run (R-052, R-059, X-010)", () =>
    inLab(async () => {
      const me = self();
      const [, ref] = spawnMonitor(() => {
        trapExit(true);
        exit(self(), "kill");
        send(me, "continued");
      });
      expect(await next()).toEqual(["DOWN", ref, "process", expect.anything(), "killed"]);
      expect(await nothing()).toBeUndefined();
    }));

  const OTHER_REASONS = [["shutdown"], ["killed"], ["boom"], [["shutdown", 1]]] as const;
  test.each(OTHER_REASONS)("an explicit signal %j ends a process unless it traps (R-053, X-009)", (reason) =>
    inLab(async () => {
      const me = self();
      const plain = idle();
      exit(plain, reason);
      expect(isAlive(plain)).toBe(false);
      const pid = trapper(me, send);
      await settle();
      exit(pid, reason);
      expect(await next()).toEqual(["got", [["EXIT", me, reason]]]);
      expect(isAlive(pid)).toBe(true);
    }),
  );

  test("an untrapped signal is the reason the process ends with (R-053)", () =>
    inLab(async () => {
      const pid = idle();
      const ref = monitor(pid);
      exit(pid, ["shutdown", "now"]);
      expect(await next()).toEqual(["DOWN", ref, "process", pid, ["shutdown", "now"]]);
    }));

  test("an exit signal to a dead process is true and does nothing (X-011)", () =>
    inLab(async () => {
      const pid = spawn(() => {});
      await reasonOf(pid);
      expect(exit(pid, "boom")).toBe(true);
    }));

  test("an untrapped exit to oneself runs no further code (R-058, R-059)", () =>
    inLab(async () => {
      const ran: string[] = [];
      const pid = spawn(() => {
        exit(self(), "boom");
        ran.push("after");
      });
      expect(await reasonOf(pid)).toBe("boom");
      expect(ran).toEqual([]);
    }));
});

describe("exit signals over links", () => {
  test("a normal end is dropped when not trapping (R-054, X-012)", () =>
    inLab(async () => {
      expect(await overLink("normal", false)).toMatchObject({ seen: ["saw", undefined], alive: true });
    }));

  test("a normal end is a message when trapping (R-054)", () =>
    inLab(async () => {
      const { seen, peer } = (await overLink("normal", true)) as { seen: unknown; peer: Pid };
      expect(seen).toEqual(["saw", ["EXIT", peer, "normal"]]);
    }));

  test("kill over a link is trappable and stays kill (R-055, R-041, X-007)", () =>
    inLab(async () => {
      const { seen, peer, alive } = (await overLink("kill", true)) as {
        seen: unknown;
        peer: Pid;
        alive: boolean;
      };
      expect(seen).toEqual(["saw", ["EXIT", peer, "kill"]]);
      expect(alive).toBe(true);
    }));

  test("kill over a link ends a process that does not trap as kill, not killed (R-055, R-041, X-008)", () =>
    inLab(async () => {
      expect(await overLink("kill", false)).toMatchObject({ seen: ["DOWN", "kill"], alive: false });
    }));

  const OTHER_LINK_REASONS = [["shutdown"], ["killed"], ["noproc"], ["noconnection"], ["boom"]] as const;
  test.each(OTHER_LINK_REASONS)("%s over a link ends a process unless it traps (R-056, X-013)", (reason) =>
    inLab(async () => {
      expect(await overLink(reason, false)).toMatchObject({ seen: ["DOWN", reason] });
      const { seen, peer } = (await overLink(reason, true)) as { seen: unknown; peer: Pid };
      expect(seen).toEqual(["saw", ["EXIT", peer, reason]]);
    }),
  );

  test("no exit takes effect once the link is gone (R-057, R-043, X-018)", () =>
    inLab(async () => {
      for (const trapping of [false, true]) {
        trapExit(trapping);
        const pid = spawnLink(() => waitThenExit("boom"));
        unlink(pid);
        const ref = monitor(pid);
        send(pid, "go");
        expect(await next()).toEqual(["DOWN", ref, "process", pid, "boom"]);
        expect(await nothing()).toBeUndefined();
      }
    }));

  test("a chain of links carries the reason to its end (X-016)", () =>
    inLab(async () => {
      const me = self();
      const [, ref] = spawnMonitor(async () => {
        spawnLink(async () => {
          spawnLink(() => waitThenExit("boom").finally(() => {}));
          await sleep(Number.POSITIVE_INFINITY);
        });
        await sleep(Number.POSITIVE_INFINITY);
      });
      await settle();
      // The innermost process is the last one that was started.
      const all = [
        ...(await import("../../../src/runtime/kernel/context.js")).current("test").node.processes(),
      ];
      send((all.at(-1) as { pid: Pid }).pid, "go");
      expect(await next()).toEqual(["DOWN", ref, "process", expect.anything(), "boom"]);
      expect(isAlive(me)).toBe(true);
    }));

  test("trapExit gives the previous value and counts when the signal arrives (R-044, X-020, X-021)", () =>
    inLab(async () => {
      expect(trapExit(true)).toBe(false);
      expect(trapExit(false)).toBe(true);
      const me = self();
      const pid = spawn(async () => {
        await receive((m) => m);
        trapExit(true);
        send(me, "trapping");
      });
      await settle();
      exit(pid, "boom");
      send(pid, "go");
      expect(await nothing()).toBeUndefined();
      expect(isAlive(pid)).toBe(false);
    }));

  test("a pair has one link, and either side removes it (R-040, X-014, X-015)", () =>
    inLab(async () => {
      const me = self();
      expect(link(self())).toBe(true);
      const pid = spawn(async () => {
        await receive((m) => (m === "unlink" ? true : undefined));
        unlink(me);
        send(me, "unlinked");
        await waitThenExit("boom");
      });
      link(pid);
      link(pid);
      send(pid, "unlink");
      expect(await next()).toBe("unlinked");
      send(pid, "go");
      expect(await reasonOf(pid)).toBe("boom");
    }));

  test("linking to a dead process gives an EXIT with noproc when trapping (R-042, X-017)", () =>
    inLab(async () => {
      const pid = spawn(() => {});
      await reasonOf(pid);
      trapExit(true);
      expect(link(pid)).toBe(true);
      expect(await next()).toEqual(["EXIT", pid, "noproc"]);
    }));

  test("linking to a dead process ends a caller that does not trap with noproc (R-042)", () =>
    inLab(async () => {
      const pid = spawn(() => {});
      await reasonOf(pid);
      const caller = spawn(() => {
        link(pid);
      });
      expect(await reasonOf(caller)).toBe("noproc");
    }));

  test("an EXIT that is in the mailbox stays there after unlink (R-043, X-019)", () =>
    inLab(async () => {
      trapExit(true);
      const pid = spawnLink(() => exit("boom"));
      await settle();
      unlink(pid);
      expect(await next()).toEqual(["EXIT", pid, "boom"]);
    }));
});
