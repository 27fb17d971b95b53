import {
  type ExitSignal,
  exit,
  GenServer,
  type GenServerModule,
  link,
  monitor,
  type Pid,
  processes,
  processInfo,
  put,
  register,
  self,
  send,
  setLabel,
  spawn,
  spawnLink,
  sys,
  top,
  trapExit,
} from "simurgh/runtime";
import { describe, expect, test } from "vitest";
import { idle, inLab, next, settle } from "../support.js";

const log: GenServerModule<unknown[]> = {
  name: "log",
  init: () => ["ok", []],
  handleCall: (request, _from, state) => ["reply", state, request === "read" ? state : [...state, request]],
  handleCast: (request, state) => ["noreply", [...state, request]],
  handleInfo: (message, state) => ["noreply", [...state, message]],
};

async function started(module: GenServerModule = log): Promise<Pid> {
  const result = await GenServer.start(module);
  if (result[0] !== "ok") throw new Error("not started");
  return result[1] as Pid;
}

describe("sys", () => {
  test("getState and replaceState wait behind earlier messages (R-141, R-142, X-101)", () =>
    inLab(async () => {
      const pid = await started();
      GenServer.cast(pid, 1);
      expect(await sys.getState(pid)).toEqual([1]);
      expect(await sys.replaceState(pid, (state: unknown[]) => [...state, 2])).toEqual([1, 2]);
      const failed = await sys
        .replaceState(pid, () => {
          throw new Error("in replace");
        })
        .catch((error: ExitSignal) => error.reason);
      expect(failed).toEqual([
        ["callback_failed", [expect.objectContaining({ message: "in replace" }), expect.any(String)]],
        ["sys", "replace_state", [pid, 5000]],
      ]);
      expect(await sys.getState(pid)).toEqual([1, 2]);
    }));

  test("a suspended server answers system requests only, until resume (R-141, X-102)", () =>
    inLab(async () => {
      const pid = await started();
      expect([await sys.suspend(pid), await sys.suspend(pid)]).toEqual(["ok", "ok"]);
      const call = GenServer.call(pid, "read");
      GenServer.cast(pid, "cast");
      send(pid, "message");
      await expect(GenServer.call(pid, "x", 10)).rejects.toMatchObject({
        reason: ["timeout", expect.anything()],
      });
      expect(await sys.getState(pid)).toEqual([]);
      expect((await sys.getStatus(pid)).status).toBe("suspended");
      await sys.resume(pid);
      send(pid, "later");
      expect(await call).toEqual([]);
      expect(await GenServer.call(pid, "read")).toEqual(["cast", "message", "x", "later"]);
      expect((await sys.getStatus(pid)).status).toBe("running");
    }));

  test("the parent's exit ends a suspended server too (R-141)", () =>
    inLab(async () => {
      const me = self();
      const owner = spawn(async () => {
        const init = () => {
          trapExit(true);
          return ["ok", 0] as const;
        };
        const result = await GenServer.startLink({ init });
        send(me, result[1]);
        await new Promise(() => {});
      });
      const pid = (await next()) as Pid;
      await sys.suspend(pid);
      const ref = monitor(pid);
      exit(owner, "kill");
      expect(await next()).toEqual(["DOWN", ref, "process", pid, "killed"]);
    }));

  test("formatStatus formats getStatus and reports, and a failing one is named (R-143, X-107)", () =>
    inLab(async ({ of }) => {
      const shown = await started({ ...log, formatStatus: ({ state }) => ({ entries: state.length }) });
      expect((await sys.getStatus(shown)).state).toEqual({ entries: 0 });
      const broken = await started({
        ...log,
        handleCast: () => exit("crash"),
        formatStatus: () => {
          throw new Error("in formatStatus");
        },
      });
      expect((await sys.getStatus(broken)).state).toContain("formatStatus failed");
      GenServer.cast(broken, 1);
      await settle();
      expect(of("gen_server")).toMatchObject([
        { reason: "crash", state: expect.stringContaining("formatStatus failed") },
      ]);
    }));

  test("statistics, log, trace and installed functions see what goes in and out (R-141)", () =>
    inLab(async () => {
      const pid = await started();
      const seen: unknown[] = [];
      expect(await sys.statistics(pid, "get")).toBe("no_statistics");
      await sys.statistics(pid, true);
      await sys.log(pid, 2);
      await sys.trace(pid, (event) => void seen.push(event[0]));
      await sys.install(pid, "broken", () => {
        throw new Error("debug function");
      });
      send(pid, "a");
      await GenServer.call(pid, "b");
      expect(await sys.statistics(pid, "get")).toMatchObject({ messagesIn: 2, messagesOut: 1 });
      expect((await sys.log(pid, "get")) as unknown[]).toMatchObject([
        ["in", { request: "b" }],
        ["out", ["a"], self()],
      ]);
      expect(seen).toEqual(["in", "in", "out"]);
      await sys.trace(pid, undefined);
      await sys.statistics(pid, false);
      send(pid, "c");
      expect(await sys.getState(pid)).toEqual(["a", "b", "c"]);
      expect(seen).toHaveLength(3);
      expect(await sys.terminate(pid, "shutdown")).toBe("ok");
    }));

  test("hibernate drops caches, keeps the state, and the next message wakes (R-094, R-128, X-103)", () =>
    inLab(async () => {
      let dropped = 0;
      const dropTen = () => {
        dropped += 10;
      };
      const module: GenServerModule = {
        ...log,
        handleCast: (request, state) => ["noreply", [...state, request], "hibernate"],
        onHibernate() {
          dropped += 1;
        },
      };
      const pid = await started(module);
      GenServer.cast(pid, 1);
      GenServer.cast(pid, 2);
      expect(await GenServer.call(pid, "read")).toEqual([1, 2]);
      expect(dropped).toBe(2);
      const [, idler] = (await GenServer.start({ ...log, onHibernate: () => dropTen() }, undefined, {
        hibernateAfter: 10,
      })) as ["ok", Pid];
      await GenServer.call(idler, "read");
      await expect.poll(() => dropped).toBe(12);
    }));
});

describe("processInfo", () => {
  test("processInfo shows a live process, and null for a dead one (R-404, X-050, X-051, R-017, R-405)", () =>
    inLab(async () => {
      const other = idle();
      const pid = spawnLink(async () => {
        setLabel("seen");
        put("key", "value");
        trapExit(true);
        link(other);
        monitor(other);
        await new Promise(() => {});
      });
      await settle();
      expect(processInfo(pid, "registered_name")).toEqual([]);
      register("seen", pid);
      monitor(pid);
      send(pid, "waiting");
      expect(processInfo(pid)).toMatchObject({
        registered_name: "seen",
        message_queue_len: 1,
        links: [self(), other],
        monitors: [other],
        monitored_by: 1,
        trap_exit: true,
        dictionary: [["key", "value"]],
        label: "seen",
        status: "suspended",
        ancestors: [self()],
        reductions: 1,
      });
      expect(processInfo(pid, ["label", "trap_exit"])).toEqual({ label: "seen", trap_exit: true });
      trapExit(true);
      exit(pid, "kill");
      expect([processInfo(pid), processInfo(pid, ["label"]), processInfo(pid, "label")]).toEqual([
        null,
        null,
        null,
      ]);
    }));

  test("top finds the longest mailbox, and processes lists the living (R-406)", () =>
    inLab(async () => {
      const [short, long] = [idle(), idle()];
      await settle();
      send(short, 1);
      for (let n = 0; n < 5; n += 1) send(long, n);
      expect(top(2, "queue").map(({ pid, message_queue_len }) => [pid, message_queue_len])).toEqual([
        [long, 5],
        [short, 1],
      ]);
      expect(processes()).toEqual(expect.arrayContaining([self(), short, long]));
      exit(long, "kill");
      expect(processes()).not.toContain(long);
    }));
});
