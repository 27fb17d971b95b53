/** What happens between a send and the code that takes the message. */

import {
  BadArg,
  exit,
  GenServer,
  isAlive,
  makeRef,
  maxQueue,
  monitor,
  type Pid,
  processInfo,
  receive,
  self,
  send,
  sleep,
  spawn,
  trapExit,
  yieldNow,
} from "simurgh/runtime";
import { describe, expect, test } from "vitest";
import { registerMessageClass } from "#runtime";
import { idle, inLab, next, reasonOf } from "../support.js";

class Batch {
  readonly content: object;

  constructor(content: object) {
    this.content = content;
  }
}
registerMessageClass(Batch, 0x3e, ({ content }) => [content]);

test("a message of a registered class arrives as the instance that was sent", () =>
  inLab(async () => {
    const batch = new Batch({ a: 1 });
    send(self(), batch);
    expect(await next()).toBe(batch);
  }));

describe("a process and its end", () => {
  test("a process whose function returns or resolves exits with normal (R-003)", () =>
    inLab(async () => {
      expect(await reasonOf(spawn(() => 7))).toBe("normal");
      expect(await reasonOf(spawn(async () => await Promise.resolve("x")))).toBe("normal");
    }));

  test("an exit signal acts inside a long await, a message waits for a receive (R-010)", () =>
    inLab(async ({ node }) => {
      const me = self();
      const busy = spawn(async () => {
        await new Promise(() => {});
        send(me, "never");
      });
      await yieldNow();
      send(busy, "waits");
      expect(processInfo(busy, "message_queue_len")).toBe(1);
      expect(node.process(busy)?.status).toBe("suspended");
      exit(busy, "now");
      expect(isAlive(busy)).toBe(false);
      expect(await next(0)).toBeUndefined();
    }));

  test("the runtime's own exit reasons (R-032)", () =>
    inLab(async () => {
      trapExit(true);
      const victim = idle();
      const killed = reasonOf(victim);
      exit(victim, "kill");
      expect(await killed).toBe("killed");
      expect(await reasonOf(victim)).toBe("noproc");
      const silent = await GenServer.start({
        init: () => ["ok", 0],
        handleCall: (request, _from, state) =>
          request === "bad" ? (42 as never) : request === "self" ? callSelf(state) : ["noreply", state],
      });
      const pid = silent[1] as Pid;
      await expect(GenServer.call(pid, "x", 1)).rejects.toMatchObject({
        reason: ["timeout", ["GenServer", "call", [pid, "x", 1]]],
      });
      expect(await GenServer.call(pid, "self")).toBe("calling_self");
      await expect(GenServer.call(pid, "bad")).rejects.toMatchObject({
        reason: [["bad_return_value", 42], expect.anything()],
      });
    }));

  async function callSelf(state: unknown): Promise<readonly ["reply", unknown, unknown]> {
    try {
      return ["reply", await GenServer.call(self(), "x"), state];
    } catch (thrown) {
      return ["reply", (thrown as { reason: readonly unknown[] }).reason[0], state];
    }
  }
});

describe("the order of messages", () => {
  test("the mailbox is in the order of arrival, whatever sends a message (R-009)", () =>
    inLab(async () => {
      trapExit(true);
      const me = self();
      send(me, "first");
      const quick = spawn(() => {});
      const ref = monitor(quick);
      exit(me, "second");
      send(me, "third");
      await yieldNow();
      send(me, "last");
      const got = [await next(), await next(), await next(), await next(), await next()];
      expect(got).toEqual([
        "first",
        ["EXIT", me, "second"],
        "third",
        ["DOWN", ref, "process", quick, "normal"],
        "last",
      ]);
    }));

  test("self() is its own pid after every kind of await, in processes that take turns (R-089)", () =>
    inLab(async () => {
      const me = self();
      const one = (): Pid =>
        spawn(async () => {
          const seen = [self()];
          await Promise.resolve();
          seen.push(self());
          await sleep(1);
          seen.push(self());
          await new Promise((resolve) => setImmediate(resolve));
          seen.push(self());
          await receive((message) => (message === "go" ? true : undefined));
          seen.push(self());
          send(me, [self(), seen]);
        });
      const all = Array.from({ length: 20 }, one);
      for (const pid of all) send(pid, "go");
      for (const _ of all) {
        const [pid, seen] = (await next()) as [Pid, Pid[]];
        expect(seen.every((each) => each.equals(pid))).toBe(true);
        expect(seen).toHaveLength(5);
      }
    }));
});

describe("receive since a ref", () => {
  test("an answer with a fresh ref is found without a scan of 100,000 messages (R-081, X-054)", () =>
    inLab(async () => {
      const me = self();
      for (let n = 0; n < 100_000; n += 1) send(me, n);
      const ref = makeRef();
      send(me, [ref, "answer"]);
      let looks = 0;
      const answer = await receive(
        (message) => {
          looks += 1;
          return Array.isArray(message) && ref.equals(message[0]) ? message[1] : undefined;
        },
        { since: ref },
      );
      expect([answer, looks]).toEqual(["answer", 1]);
      expect(await next()).toBe(0);
    }));

  test("a waiting receive checks each message once (R-081)", () =>
    inLab(async () => {
      const me = self();
      let looks = 0;
      const wanted = receive((message) => {
        looks += 1;
        return message === "it" ? true : undefined;
      });
      spawn(async () => {
        for (let n = 0; n < 1000; n += 1) {
          send(me, n);
          if (n % 10 === 0) await yieldNow();
        }
        send(me, "it");
      });
      await wanted;
      expect(looks).toBe(1001);
    }));

  test("the monitor's own message is found, also when others were taken out meanwhile (R-081)", () =>
    inLab(async () => {
      const me = self();
      for (const message of ["a", "b", "c"]) send(me, message);
      const ref = monitor(spawn(() => {}));
      await receive((message) => (message === "b" ? true : undefined));
      const down = await receive(
        (message) => (Array.isArray(message) && ref.equals(message[1]) ? "down" : undefined),
        {
          since: ref,
        },
      );
      expect([down, await next(), await next()]).toEqual(["down", "a", "c"]);
    }));

  test("since takes a ref of this thread only (R-081)", () =>
    inLab(async () => {
      await expect(receive(() => true, { since: "ref" as never })).rejects.toThrow(BadArg);
    }));
});

describe("a bounded mailbox", () => {
  test("kill: a process with a full mailbox exits as killed, with a report (R-093)", () =>
    inLab(async ({ of }) => {
      const slow = spawn(async () => {
        maxQueue({ size: 3, action: "kill" });
        await new Promise(() => {});
      });
      const reason = reasonOf(slow);
      await yieldNow();
      for (let n = 0; n < 5; n += 1) send(slow, n);
      expect(await reason).toBe("killed");
      expect(of("long_queue")).toMatchObject([{ pid: slow, length: 4, size: 3, action: "kill" }]);
    }));

  test("report: one report each time the bound is passed, and nothing is lost (R-093)", () =>
    inLab(async ({ of }) => {
      const seen: unknown[] = [];
      const started = await GenServer.start(
        {
          init: () => ["ok", 0],
          handleCast: async (message, state) => {
            if (message === "wait") await receive((gate) => (gate === "gate" ? true : undefined));
            else seen.push(message);
            return ["noreply", state];
          },
          handleCall: (_request, _from, state) => ["reply", "ok", state],
        },
        0,
        { maxQueue: { size: 2, action: "report" } },
      );
      const pid = started[1] as Pid;
      for (let round = 1; round <= 2; round += 1) {
        GenServer.cast(pid, "wait");
        await yieldNow();
        for (let n = 0; n < 10; n += 1) GenServer.cast(pid, n);
        send(pid, "gate");
        await GenServer.call(pid, "sync");
        expect(of("long_queue")).toHaveLength(round);
      }
      expect(seen).toHaveLength(20);
    }));

  test("a wrong bound is refused in the caller, unbounded is the default (R-093)", () =>
    inLab(() => {
      expect(() => maxQueue({ size: 0, action: "kill" })).toThrow(BadArg);
      expect(() => maxQueue({ size: 1, action: "drop" as never })).toThrow('action: "kill" or "report"');
      const me = self();
      for (let n = 0; n < 50_000; n += 1) send(me, n);
      expect(processInfo(me, "message_queue_len")).toBe(50_000);
    }));
});

describe("fairness among processes that receive", () => {
  test("a process that always has messages does not starve timers and sockets (R-086, R-085)", () =>
    inLab(async () => {
      const flooder = spawn(async () => {
        send(self(), 0);
        for (;;) send(self(), await receive((message) => [message]));
      });
      const other = spawn(async () => {
        for (;;) {
          const [from, ref] = await receive((message) => message as [Pid, unknown]);
          send(from, ref);
        }
      });
      for (let n = 0; n < 5; n += 1) {
        await new Promise((resolve) => setTimeout(resolve, 5));
        send(other, [self(), n]);
        expect(await next()).toBe(n);
      }
      expect(isAlive(flooder)).toBe(true);
      exit(flooder, "kill");
    }));

  test("a poll finds what is there, however long others have been running (R-080)", () =>
    inLab(async () => {
      send(self(), "there");
      const end = performance.now() + 30;
      while (performance.now() < end) await Promise.resolve();
      expect(await next(0)).toBe("there");
    }));
});
