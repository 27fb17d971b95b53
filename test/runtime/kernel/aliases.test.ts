import {
  alias,
  demonitor,
  exit,
  monitor,
  type Pid,
  type Ref,
  receive,
  self,
  send,
  spawn,
  unalias,
} from "simurgh/runtime";
import { describe, expect, test } from "vitest";
import { idle, inLab, next, settle } from "../support.js";

/** A process that sends on to `ref` whatever it is sent. */
const forwarder = (ref: Ref): Pid =>
  spawn(async () => {
    for (;;) send(ref, await receive((message) => message));
  });

describe("aliases", () => {
  test("an alias receives while it is active, and later messages are dropped (R-065, X-029, X-032)", () =>
    inLab(async () => {
      const ref = alias();
      const peer = forwarder(ref);
      send(peer, "one");
      await settle();
      expect(unalias(ref)).toBe(true);
      expect(unalias(ref)).toBe(false);
      send(peer, "two");
      expect([await next(), await next(20)]).toEqual(["one", undefined]);
    }));

  test("an alias is its maker's alone, and ends with it (R-065)", () =>
    inLab(async ({ node }) => {
      const me = self();
      const owner = spawn(async () => {
        send(me, alias());
        await new Promise(() => {});
      });
      const ref = (await next()) as Ref;
      expect(unalias(ref)).toBe(false);
      exit(owner, "kill");
      send(ref, "no one");
      expect(node.aliasEntry(ref)).toBeUndefined();
    }));

  test("mode reply: exactly the first message arrives (R-066, X-030)", () =>
    inLab(async () => {
      const ref = alias({ reply: true });
      send(ref, "first");
      send(ref, "second");
      expect([await next(), await next(10)]).toEqual(["first", undefined]);
    }));

  test("a monitor's ref as explicit_unalias receives the reply and the DOWN (R-066, X-031)", () =>
    inLab(async () => {
      const pid = idle();
      const ref = monitor(pid, { alias: "explicit_unalias" });
      send(ref, "reply");
      exit(pid, "end");
      send(ref, "late");
      expect([await next(), await next(), await next()]).toEqual([
        "reply",
        ["DOWN", ref, "process", pid, "end"],
        "late",
      ]);
      expect(unalias(ref)).toBe(true);
    }));

  test("demonitor: the alias goes with the monitor, by its DOWN or by demonitor (R-066)", () =>
    inLab(async () => {
      const [one, two] = [idle(), idle()];
      const fired = monitor(one, { alias: "demonitor" });
      const ended = monitor(two, { alias: "demonitor" });
      exit(one, "end");
      expect(((await next()) as unknown[])[1]).toBe(fired);
      demonitor(ended);
      send(fired, "late");
      send(ended, "late");
      expect(await next(10)).toBeUndefined();
    }));

  test("reply_demonitor: the first reply takes alias and monitor along (R-066)", () =>
    inLab(async ({ node }) => {
      const pid = idle();
      const ref = monitor(pid, { alias: "reply_demonitor" });
      send(ref, "reply");
      send(ref, "second");
      expect(node.process(pid)?.watchers?.size).toBe(0);
      exit(pid, "end");
      expect([await next(), await next(10)]).toEqual(["reply", undefined]);
    }));

  test("a tag takes the place of DOWN (R-064)", () =>
    inLab(async () => {
      const pid = idle();
      const ref = monitor(pid, { tag: ["worker", 7] });
      exit(pid, "end");
      expect(await next()).toEqual([["worker", 7], ref, "process", pid, "end"]);
    }));
});
