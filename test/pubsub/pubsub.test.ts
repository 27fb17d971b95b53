import { BroadcastError, type Dispatcher, PubSub, type Subscription } from "simurgh/pubsub";
import {
  createNode,
  exit,
  type Pid,
  type RuntimeNode,
  receive,
  Supervisor,
  self,
  send,
  spawn,
  yieldNow,
} from "simurgh/runtime";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

let node: RuntimeNode;
beforeEach(() => {
  node = createNode({ onReport() {} });
});
afterEach(() => node.stop());

const NAME = "pubsub";
/** Runs `body` beside a PubSub. */
const withPubSub = <T>(body: () => Promise<T>): Promise<T> =>
  node.run(async () => {
    await Supervisor.startLink([PubSub.childSpec({ name: NAME })], { strategy: "one_for_one" });
    return body();
  });
const next = (after = 50): Promise<unknown> =>
  receive((message) => ({ message }), { after }).then((got) => got?.message ?? "nothing");

/** A process that subscribes and keeps what it gets. */
async function subscriber(topic: string, times = 1): Promise<{ pid: Pid; got: unknown[] }> {
  const got: unknown[] = [];
  const parent = self();
  const pid = spawn(async () => {
    for (let n = 0; n < times; n += 1) await PubSub.subscribe(NAME, topic, { metadata: n });
    send(parent, "subscribed");
    for (;;) got.push((await receive((message) => ({ message }))).message);
  });
  await receive((message) => message === "subscribed" || undefined);
  return { pid, got };
}

const settled = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 5));

describe("PubSub", () => {
  test("it needs a name (P-001)", () => {
    expect(() => PubSub.startLink({} as never)).toThrow("the name option is required");
  });

  test("a subscriber gets the bare message, the broadcaster too when it subscribes (P-003, P-007, P-015, P-023)", () =>
    withPubSub(async () => {
      expect(PubSub.broadcast(NAME, "t", "to no one")).toBe("ok");
      const other = await subscriber("t");
      expect(await PubSub.subscribe(NAME, "t")).toBe("ok");
      expect(PubSub.broadcast(NAME, "t", { any: "message" })).toBe("ok");
      expect(await next()).toEqual({ any: "message" });
      await settled();
      expect(other.got).toEqual([{ any: "message" }]);
    }));

  test("topics are compared exactly, and must be strings (P-002)", () =>
    withPubSub(async () => {
      await PubSub.subscribe(NAME, "room:*");
      await PubSub.subscribe(NAME, "");
      PubSub.broadcast(NAME, "room:1", "no");
      PubSub.broadcast(NAME, "", "empty");
      expect([await next(), await next()]).toEqual(["empty", "nothing"]);
      expect(() => PubSub.broadcast(NAME, 5 as never, "x")).toThrow("a topic must be a string");
      expect(() => PubSub.subscribe(NAME, null as never)).toThrow("a topic must be a string");
    }));

  test("subscribing twice delivers twice, and one unsubscribe removes both (P-004, P-005)", () =>
    withPubSub(async () => {
      const other = await subscriber("t", 2);
      await PubSub.subscribe(NAME, "t");
      await PubSub.subscribe(NAME, "t");
      PubSub.broadcast(NAME, "t", 1);
      expect([await next(), await next(), await next()]).toEqual([1, 1, "nothing"]);
      expect(await PubSub.unsubscribe(NAME, "t")).toBe("ok");
      expect(await PubSub.unsubscribe(NAME, "never")).toBe("ok");
      PubSub.broadcast(NAME, "t", 2);
      expect(await next()).toBe("nothing");
      expect(other.got).toEqual([1, 1, 2, 2]);
    }));

  test("subscriptions end with their process and leave nothing behind (P-006)", () =>
    withPubSub(async () => {
      for (let n = 0; n < 500; n += 1) {
        const { pid } = await subscriber(`t${n % 7}`);
        exit(pid, n % 2 === 0 ? "kill" : "shutdown");
        expect(PubSub.broadcast(NAME, `t${n % 7}`, "to the dead")).toBe("ok");
      }
      expect(PubSub.stats(NAME)).toEqual({ topics: 0, processes: 0 });
    }));

  test(
    "nor do a hundred thousand that subscribe and end at once (P-006)",
    () =>
      withPubSub(async () => {
        let ended = 0;
        for (let n = 0; n < 100_000; n += 1) {
          spawn(async () => {
            await PubSub.subscribe(NAME, `t${n % 7}`);
            ended += 1;
          });
          if (n % 1000 === 999) await yieldNow();
        }
        await vi.waitUntil(() => ended === 100_000, { timeout: 60_000 });
        await vi.waitUntil(() => PubSub.stats(NAME).processes === 0, { timeout: 60_000 });
        expect(PubSub.stats(NAME)).toEqual({ topics: 0, processes: 0 });
      }),
    90_000,
  );

  test("broadcastFrom excludes all subscriptions of one process (P-009)", () =>
    withPubSub(async () => {
      const other = await subscriber("t");
      await PubSub.subscribe(NAME, "t");
      await PubSub.subscribe(NAME, "t");
      PubSub.broadcastFrom(NAME, self(), "t", "from me");
      expect(await next()).toBe("nothing");
      expect(other.got).toEqual(["from me"]);
      expect(() => PubSub.broadcastFrom(NAME, "me" as never, "t", "x")).toThrow(
        "the pid of the process to leave out",
      );
    }));

  test("a PubSub that does not run is an error at the caller (P-014)", () =>
    node.run(() => {
      expect(() => PubSub.broadcast("absent", "t", "x")).toThrow("the PubSub absent is not running");
    }));

  test("an adapter's error is returned, and broadcastOrThrow throws it (P-008, P-012)", () =>
    node.run(async () => {
      const adapter = () => ({
        nodeName: () => "n",
        broadcast: () => ["error", ["too_large", 9, 5]] as const,
        directBroadcast: () => "ok" as const,
      });
      await Supervisor.startLink([PubSub.childSpec({ name: NAME, adapter })], { strategy: "one_for_one" });
      await PubSub.subscribe(NAME, "t");
      expect(PubSub.broadcast(NAME, "t", "x")).toEqual(["error", ["too_large", 9, 5]]);
      expect(() => PubSub.broadcastOrThrow(NAME, "t", "x")).toThrow(BroadcastError);
      expect(() => PubSub.broadcastOrThrow(NAME, "t", "x")).toThrow(
        /^broadcast failed: \["too_large",9,5\]$/,
      );
      expect(await next()).toBe("nothing");
      expect(PubSub.localBroadcast(NAME, "t", "local")).toBe("ok");
      expect(await next()).toBe("local");
    }));

  test("directBroadcast reaches this node by its name, once, and an unknown one nowhere (P-011, P-013)", () =>
    withPubSub(async () => {
      await PubSub.subscribe(NAME, "t");
      expect(PubSub.directBroadcast(NAME, PubSub.nodeName(NAME), "t", "here")).toBe("ok");
      expect(PubSub.directBroadcast(NAME, "elsewhere", "t", "there")).toBe("ok");
      expect([await next(), await next()]).toEqual(["here", "nothing"]);
    }));

  test("a dispatcher is called once per broadcast with subscribers (P-016, P-017)", () =>
    withPubSub(async () => {
      const calls: unknown[] = [];
      const dispatcher: Dispatcher<Subscription[]> = {
        name: "test",
        open: () => [],
        added: (state, subscription) => void state.push(subscription),
        removed: (state, subscription) => void state.splice(state.indexOf(subscription), 1),
        dispatch: (topic, from, message, state) =>
          void calls.push([topic.topic, from, message, state.map(({ metadata }) => metadata)]),
      };
      PubSub.broadcast(NAME, "t", "no one", dispatcher);
      const one = await subscriber("t", 2);
      PubSub.broadcast(NAME, "t", "first", dispatcher);
      await PubSub.subscribe(NAME, "t", { metadata: "mine" });
      PubSub.broadcastFrom(NAME, self(), "t", "second", dispatcher);
      exit(one.pid, "kill");
      PubSub.broadcast(NAME, "t", "third", dispatcher);
      expect(calls).toEqual([
        ["t", undefined, "first", [0, 1]],
        ["t", self(), "second", [0, 1, "mine"]],
        ["t", undefined, "third", ["mine"]],
      ]);
    }));

  test("a dispatcher that throws fails only the broadcaster (P-019)", () =>
    withPubSub(async () => {
      await PubSub.subscribe(NAME, "t");
      const broken: Dispatcher = {
        name: "broken",
        dispatch() {
          throw new Error("broken dispatcher");
        },
      };
      expect(() => PubSub.broadcast(NAME, "t", "x", broken)).toThrow("broken dispatcher");
      PubSub.broadcast(NAME, "t", "fine");
      expect(await next()).toBe("fine");
    }));

  test("the broadcasts of one process arrive in order, across topics and forms (P-020)", () =>
    withPubSub(async () => {
      for (const topic of ["a", "b", "c"]) await PubSub.subscribe(NAME, topic);
      for (let n = 0; n < 300; n += 1) {
        const topic = ["a", "b", "c"][n % 3] as string;
        if (n % 2 === 0) PubSub.broadcast(NAME, topic, n);
        else PubSub.directBroadcast(NAME, PubSub.nodeName(NAME), topic, n);
      }
      const got: unknown[] = [];
      for (let n = 0; n < 300; n += 1) got.push(await next());
      expect(got).toEqual(Array.from({ length: 300 }, (_, n) => n));
    }));
});
