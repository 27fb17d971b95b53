/**
 * One set of scenarios, two worlds: both processes in one thread, and in two. What the near process
 * sees must be the same.
 */
import {
  alias,
  createNode,
  demonitor,
  exit,
  type From,
  GenServer,
  type GenServerModule,
  getLabel,
  link,
  monitor,
  type Pid,
  put,
  type Ref,
  type RuntimeNode,
  receive,
  register,
  self,
  send,
  sendAfter,
  trapExit,
  unalias,
  unlink,
} from "simurgh/runtime";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { pidFromParts } from "../../../src/runtime/kernel/bifs.js";
import { next } from "../support.js";
import { joinedNodes } from "../threads/support.js";

const WORLDS = ["one thread", "two threads"] as const;

describe.each(WORLDS)("near and far: %s (X-195, R-465)", (world) => {
  let near: RuntimeNode;
  let far: RuntimeNode;
  let stop: () => Promise<void>;
  beforeEach(() => {
    if (world === "one thread") {
      near = createNode({ onReport() {} });
      far = near;
      stop = () => near.stop();
    } else {
      const pair = joinedNodes();
      ({ near, far, stop } = pair);
    }
  });
  afterEach(() => stop());

  /** Runs `fn` near. */
  const here = (fn: () => unknown): Promise<unknown> => near.run(fn as () => Promise<unknown>);
  /** A process over there, as the near side knows it. */
  const there = (fn: (me: Pid) => unknown, creator = self()): Pid => {
    const seen = pidFromParts(far, creator);
    return pidFromParts(
      near,
      far.spawn(() => fn(seen)),
    );
  };
  const untilNotified = (): Promise<unknown> =>
    receive((message) => ({ message })).then(({ message }) => message);
  /** Ends as it is notified. */
  const obedient = async (): Promise<void> => void exit(await untilNotified());
  const same = (pid: Pid) => expect.objectContaining({ node: pid.node, id: pid.id });

  test("a call is answered by the server it is forwarded to, once (R-114)", () =>
    here(async () => {
      const answering = () =>
        there(async () => {
          const { from, tag } = (await untilNotified()) as { from?: From; tag?: Ref };
          for (const answer of ["first", "second"]) {
            if (from !== undefined) GenServer.reply(from, answer);
            if (tag !== undefined) send(tag, answer);
          }
        });
      let asked: Ref | undefined;
      const [, server] = (await GenServer.start({
        init: () => ["ok", null],
        handleCall(by, from: From, state) {
          asked = from.tag;
          send(answering(), by === "from" ? { from } : { tag: from.tag });
          return ["noreply", state];
        },
      })) as ["ok", Pid];
      for (const by of ["from", "tag", "from"]) {
        expect(await GenServer.call(server, by)).toBe("first");
        // Nothing of the request is left.
        expect(near.aliasEntry(asked as Ref)).toBeUndefined();
      }
    }));

  test("messages arrive in order, in both directions, whatever they hold", () =>
    here(async () => {
      const echo = there(async (me) => {
        for (;;) send(me, await untilNotified());
      });
      const ref = near.newRef();
      const values = [
        1,
        "two",
        { three: [3n, null, undefined, -0] },
        new Map([[1, new Set(["x"])]]),
        ref,
        echo,
      ];
      for (const value of values) send(echo, value);
      for (const value of values) expect(await next()).toEqual(value);
    }));

  const ENDS = ["normal", "shutdown", "boom", ["tuple", 1], "killed"] as const;
  test("a linked peer ends: a message for who traps, whatever the reason (R-041)", () =>
    here(async () => {
      trapExit(true);
      for (const reason of ENDS) {
        const peer = there(obedient);
        link(peer);
        send(peer, reason);
        expect(await next()).toEqual(["EXIT", peer, reason]);
      }
    }));

  test("a linked peer ends: who does not trap goes with it, unless it was normal (R-054, R-056)", () =>
    here(async () => {
      trapExit(true);
      for (const reason of ENDS) {
        const mine = near.spawn(async () => {
          const peer = there(obedient);
          link(peer);
          send(peer, reason);
          await untilNotified();
        });
        const ref = monitor(mine);
        if (reason === "normal") {
          const beat = sendAfter(mine, "end", 30);
          expect(beat).toBeDefined();
        }
        expect(await next()).toEqual(["DOWN", ref, "process", mine, reason]);
      }
    }));

  test("exit signals: normal is dropped, kill kills, the rest ends or is trapped (R-050, R-052, R-053)", () =>
    here(async () => {
      const report = (peer: Pid): Ref => monitor(peer);
      const plain = there(untilNotified);
      exit(plain, "normal");
      let ref = report(plain);
      send(plain, "go");
      expect(await next()).toEqual(["DOWN", ref, "process", plain, "normal"]);
      const victim = there(async () => {
        trapExit(true);
        await receive(() => undefined);
      });
      ref = report(victim);
      exit(victim, "kill");
      expect(await next()).toEqual(["DOWN", ref, "process", victim, "killed"]);
      const trapping = there(async (me) => {
        trapExit(true);
        send(me, "ready");
        send(me, await untilNotified());
      });
      expect(await next()).toBe("ready");
      exit(trapping, ["why", 1]);
      expect(await next()).toEqual(["EXIT", same(self()), ["why", 1]]);
    }));

  test("after unlink no exit comes (R-043)", () =>
    here(async () => {
      trapExit(true);
      const peer = there(obedient);
      link(peer);
      unlink(peer);
      const ref = monitor(peer);
      send(peer, "boom");
      expect(await next()).toEqual(["DOWN", ref, "process", peer, "boom"]);
      expect(await next(20)).toBeUndefined();
      link(peer);
      expect(await next()).toEqual(["EXIT", peer, "noproc"]);
    }));

  test("monitors fire once each, noproc for the dead, nothing after demonitor (R-060, R-061, R-062)", () =>
    here(async () => {
      const peer = there(obedient);
      const [one, two, three] = [monitor(peer), monitor(peer), monitor(peer)];
      demonitor(two);
      send(peer, "over");
      expect(await next()).toEqual(["DOWN", one, "process", peer, "over"]);
      expect(await next()).toEqual(["DOWN", three, "process", peer, "over"]);
      const late = monitor(peer);
      expect(await next()).toEqual(["DOWN", late, "process", peer, "noproc"]);
      expect(await next(20)).toBeUndefined();
    }));

  test("names: {name, node} is sent to, monitored and called (R-020)", () =>
    here(async () => {
      const name = { name: "famous", node: far.index };
      send(name, "lost");
      // The answer comes after whatever was sent before it.
      await expect(GenServer.call(name, "x")).rejects.toMatchObject({
        reason: ["noproc", expect.anything()],
      });
      const peer = there(async (me) => {
        register("famous", self());
        send(me, "ready");
        send(me, ["got", await untilNotified()]);
      });
      expect(await next()).toBe("ready");
      const ref = monitor(name);
      send(name, "hello");
      expect(await next()).toEqual(["got", "hello"]);
      expect(await next()).toEqual(["DOWN", ref, "process", name, "normal"]);
      await expect(GenServer.call(name, "x")).rejects.toMatchObject({
        reason: ["noproc", expect.anything()],
      });
      expect(GenServer.cast(name, "x")).toBe("ok");
      expect(peer).toBeDefined();
    }));

  test("aliases: answered once or until switched off (R-065, R-066)", () =>
    here(async () => {
      const peer = there(async () => {
        for (;;) {
          const to = (await untilNotified()) as Ref;
          send(to, "one");
          send(to, "two");
        }
      });
      send(peer, alias({ reply: true }));
      expect(await next()).toBe("one");
      expect(await next(20)).toBeUndefined();
      const open = alias();
      send(peer, open);
      expect([await next(), await next()]).toEqual(["one", "two"]);
      expect(unalias(open)).toBe(true);
      send(peer, open);
      expect(await next(20)).toBeUndefined();
    }));

  const server: GenServerModule = {
    init: (start) => ["ok", start],
    handleCall(request, _from, state) {
      switch (request) {
        case "get":
          return ["reply", state, state];
        case "never":
          return ["noreply", state];
        case "stop":
          return ["stop", "asked", "bye", state];
        default:
          throw new Error(`cannot ${String(request)}`);
      }
    },
    handleCast: (by, state) => ["noreply", state + by],
  };
  const serve = async (): Promise<Pid> => {
    const started = await far.run(() => GenServer.start(server, 5));
    return pidFromParts(near, started[1] as Pid);
  };

  test("calls: answered, late, failed, ended, absent (R-110)", () =>
    here(async () => {
      const pid = await serve();
      GenServer.cast(pid, 2);
      expect(await GenServer.call(pid, "get")).toBe(7);
      const failure = (call: Promise<unknown>): Promise<unknown> =>
        call.catch((error: { reason: readonly unknown[] }) => error.reason[0]);
      expect(await failure(GenServer.call(pid, "never", 20))).toBe("timeout");
      expect(await failure(GenServer.call(pid, "fly"))).toEqual([
        expect.objectContaining({ message: "cannot fly" }),
        expect.any(String),
      ]);
      expect(await failure(GenServer.call(pid, "get"))).toBe("noproc");
      const other = await serve();
      expect(await GenServer.call(other, "stop")).toBe("bye");
      const third = await serve();
      expect(await GenServer.stop(third, "shutdown")).toBe("ok");
      expect(await failure(GenServer.stop(third))).toBe("noproc");
    }));

  test("a function in a message is refused in the sender between threads (R-460)", () =>
    here(async () => {
      const peer = there(untilNotified);
      const attempt = (): unknown => send(peer, { call: () => 1 });
      // Inside a thread nothing is copied, so there is nothing to refuse (docs/deviations.md).
      if (world === "one thread") expect(attempt).not.toThrow();
      else expect(attempt).toThrow("message.call is a function");
    }));

  test("timers, dictionaries and labels stay on their own side (R-464)", () =>
    here(async () => {
      put("key", "near");
      const peer = there(async (me) => {
        put("key", "far");
        send(me, "ready");
        await untilNotified();
      });
      expect(await next()).toBe("ready");
      if (world === "one thread") return;
      expect(() => sendAfter(peer, "x", 1)).toThrow("lives on another");
      expect(getLabel(peer)).toBeUndefined();
      expect(() => register("far", peer)).toThrow("not a live process of this thread");
      // Through a local proxy it works.
      const proxy = near.spawn(async () => void send(peer, await untilNotified()));
      const ref = monitor(peer);
      sendAfter(proxy, "end", 1);
      expect(await next()).toEqual(["DOWN", ref, "process", peer, "normal"]);
    }));
});
