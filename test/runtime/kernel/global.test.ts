import {
  createNode,
  exit,
  GenServer,
  Global,
  monitor,
  type Pid,
  type RuntimeNode,
  self,
  send,
  whereis,
  yieldNow,
} from "simurgh/runtime";
import { afterEach, describe, expect, test } from "vitest";
import { idle, inLab, next, reasonOf } from "../support.js";
import { eventually, joinedNodes, type Pair } from "../threads/support.js";

const counter = {
  init: (start: number) => ["ok", start] as const,
  handleCast: (_message: unknown, count: number) => ["noreply", count] as const,
  handleCall: (by: number, _from: unknown, count: number) => ["reply", count + by, count + by] as const,
};

describe("global names in one thread", () => {
  test("a server with a global name is called, sent to, monitored and found (R-024, R-022)", () =>
    inLab(async () => {
      const name = { global: ["room", 7] };
      const started = await GenServer.start(counter, 1, { name });
      const pid = started[1] as Pid;
      expect(await GenServer.call({ global: ["room", 7] }, 2)).toBe(3);
      expect(GenServer.cast(name, "ignored")).toBe("ok");
      expect(whereis(name)).toBe(pid);
      expect(Global.registeredNames()).toEqual([["room", 7]]);
      expect(await GenServer.start(counter, 1, { name })).toEqual(["error", ["already_started", pid]]);
      const ref = monitor(name);
      exit(pid, "kill");
      expect(await next()).toEqual(["DOWN", ref, "process", pid, "killed"]);
      expect(whereis(name)).toBeUndefined();
    }));

  test("an unregistered global name fails send, not cast, and a call is noproc (R-024, R-007)", () =>
    inLab(async () => {
      const name = { global: "no one" };
      expect(() => send(name, "x")).toThrow("no process has the global name no one");
      expect(GenServer.cast(name, "x")).toBe("ok");
      await expect(GenServer.call(name, "x")).rejects.toMatchObject({
        reason: ["noproc", expect.anything()],
      });
    }));

  test("the name of a dead process is free as soon as its DOWN is seen (R-024, R-014)", () =>
    inLab(async () => {
      const first = idle();
      expect(await Global.registerName("n", first)).toBe("yes");
      expect(await Global.registerName("n", self())).toBe("no");
      const end = reasonOf(first);
      exit(first, "kill");
      await end;
      expect(await Global.registerName("n", self())).toBe("yes");
      await yieldNow();
      // The first owner's end is no reason to take it from the second.
      expect(Global.whereisName("n")?.equals(self())).toBe(true);
      await Global.unregisterName("n");
      expect(Global.whereisName("n")).toBeUndefined();
      expect(await Global.registerName("n", first)).toBe("no");
    }));
});

describe("global names of two threads", () => {
  let pair: Pair;
  afterEach(() => pair.stop());
  const on = <T>(node: RuntimeNode, fn: () => T | Promise<T>): Promise<T> => node.run(fn);

  test("a name given on one thread is known on the other by the time it is given (R-024, X-195)", async () => {
    pair = joinedNodes();
    await on(pair.near, () => Global.registeredNames());
    const pid = await on(pair.far, async () => {
      const started = await GenServer.start(counter, 10, { name: { global: "c" } });
      expect(Global.whereisName("c")?.equals(started[1])).toBe(true);
      return started[1] as Pid;
    });
    expect(await on(pair.near, () => GenServer.call({ global: "c" }, 5))).toBe(15);
    expect(await on(pair.near, () => Global.registerName("c", self()))).toBe("no");
    expect(await on(pair.near, () => GenServer.start(counter, 0, { name: { global: "c" } }))).toMatchObject([
      "error",
      ["already_started", expect.objectContaining({ id: pid.id, node: 1 })],
    ]);
  });

  test("two threads ask for one name at once: exactly one gets it (R-024, X-195)", async () => {
    pair = joinedNodes();
    for (let round = 0; round < 20; round += 1) {
      const answers = await Promise.all(
        [pair.near, pair.far].map((node) =>
          on(
            node,
            async () =>
              await Global.registerName(
                ["lock", round],
                node.spawn(() => new Promise(() => {})),
              ),
          ),
        ),
      );
      expect([...answers].sort()).toEqual(["no", "yes"]);
    }
  });

  test("the names of a lost thread are free again (R-456, R-024)", async () => {
    pair = joinedNodes();
    await on(pair.near, () => Global.registeredNames());
    await on(pair.far, () =>
      Global.registerName(
        "x",
        pair.far.spawn(() => new Promise(() => {})),
      ),
    );
    expect(await on(pair.near, () => Global.whereisName("x") !== undefined)).toBe(true);
    pair.toFar.down();
    await on(pair.near, async () => {
      expect(Global.whereisName("x")).toBeUndefined();
      expect(await Global.registerName("x", self())).toBe("yes");
    });
  });

  test("a thread that comes later learns the names there are (R-024)", async () => {
    pair = joinedNodes();
    await on(pair.near, () =>
      Global.registerName(
        "early",
        pair.near.spawn(() => new Promise(() => {})),
      ),
    );
    await on(pair.far, () => Global.registeredNames());
    await eventually(() => pair.far.whereis("simurgh.global") !== undefined, "the table is there");
    await on(pair.far, async () => {
      await Global.registerName("late", self());
      expect(Global.registeredNames().sort()).toEqual(["early", "late"]);
    });
  });

  test("without the main thread no global name can be registered (R-024)", async () => {
    const alone = createNode({ index: 3, onReport() {} });
    pair = joinedNodes();
    await alone.run(async () => {
      await expect(Global.registerName("x", self())).rejects.toMatchObject({ reason: ["nodedown", 0] });
    });
    await alone.stop();
  });
});
