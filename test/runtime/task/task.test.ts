import {
  asyncStream,
  BadArg,
  DynamicSupervisor,
  type ExitSignal,
  exit,
  get,
  makeRef,
  monitor,
  type Pid,
  processes,
  processInfo,
  receive,
  self,
  send,
  sleep,
  spawn,
  sys,
  Task,
  TaskSupervisor,
  trapExit,
} from "simurgh/runtime";
import { describe, expect, test } from "vitest";
import { inLab, next, reasonOf, settle } from "../support.js";

const reason = (failed: Promise<unknown>): Promise<unknown> =>
  failed.then(
    () => "did not fail",
    (error: ExitSignal) => error.reason,
  );
const collect = async <T>(stream: AsyncIterable<T>): Promise<T[]> => {
  const all: T[] = [];
  for await (const item of stream) all.push(item);
  return all;
};

describe("a task and its owner", () => {
  test("await returns the value of a linked, monitored task with its callers (R-351, R-352, X-180)", () =>
    inLab(async () => {
      const task = Task.async(async () => {
        await sleep(5);
        return { callers: get("$callers"), me: self() };
      });
      expect(processInfo(self(), "links")).toEqual([task.pid]);
      expect(processInfo(self(), "monitors")).toEqual([task.pid]);
      expect(await Task.await(task)).toEqual({ callers: [self()], me: task.pid });
      expect(processInfo(self(), "monitors")).toEqual([]);
      expect(await next(5)).toBeUndefined();
    }));

  test("a timeout is the caller's exit, and the late value is dropped (R-352, X-181)", () =>
    inLab(async () => {
      const task = Task.async(() => sleep(15));
      expect(await reason(Task.await(task, 0))).toEqual(["timeout", ["Task", "await", [task, 0]]]);
      expect(processInfo(self(), "monitors")).toEqual([]);
      expect(await next(40)).toBeUndefined();
    }));

  test("how a task fails is how await fails (R-352, X-182, R-030)", () =>
    inLab(async () => {
      trapExit(true);
      const failing = async (fn: () => unknown): Promise<unknown> => {
        const task = Task.async(fn);
        return ((await reason(Task.await(task))) as unknown[])[0];
      };
      expect(await failing(() => Promise.reject("thrown"))).toEqual([
        ["nocatch", "thrown"],
        expect.any(String),
      ]);
      expect(await failing(() => Promise.reject(new Error("raised")))).toEqual([
        expect.objectContaining({ message: "raised" }),
        expect.any(String),
      ]);
      expect(await failing(() => exit("gone"))).toBe("gone");
      expect(await failing(() => exit("normal"))).toBe("normal");
    }));

  test("a failing task takes an owner along that does not trap (R-351)", () =>
    inLab(async () => {
      const owner = spawn(async () => {
        Task.async(() => exit("task failed"));
        await sleep(10_000);
      });
      expect(await reasonOf(owner)).toBe("task failed");
    }));

  test("a task on a lost thread exits its callers with nodedown (R-352, X-184)", () =>
    inLab(async ({ node }) => {
      trapExit(true);
      const lost = (): Task => {
        const task: Task = { pid: node.spawn(() => new Promise(() => {})), ref: makeRef(), owner: self() };
        send(self(), ["DOWN", task.ref, "process", task.pid, "noconnection"]);
        return task;
      };
      const nodedown = ["nodedown", 0];
      expect(((await reason(Task.await(lost()))) as unknown[])[0]).toEqual(nodedown);
      expect(((await reason(Task.yield(lost()))) as unknown[])[0]).toEqual(nodedown);
      expect(((await reason(Task.shutdown(lost()))) as unknown[])[0]).toEqual(nodedown);
    }));

  test("only the owner may wait (X-183, R-352)", () =>
    inLab(async () => {
      const task = Task.async(() => sleep(50));
      const me = self();
      spawn(async () => {
        for (const operation of [
          () => Task.await(task),
          () => Task.yield(task),
          () => Task.shutdown(task),
          () => Task.ignore(task),
        ]) {
          send(
            me,
            await operation().then(
              () => "allowed",
              (error: Error) => [error.name, error.message.includes("is for the task's owner")],
            ),
          );
        }
      });
      for (let n = 0; n < 4; n += 1) expect(await next()).toEqual([BadArg.name, true]);
    }));

  test("awaitMany keeps the input order, fails at once, and has one timeout (R-353, X-185)", () =>
    inLab(async () => {
      trapExit(true);
      const later = (ms: number, value: unknown) => Task.async(() => sleep(ms).then(() => value));
      expect(await Task.awaitMany([later(15, "a"), later(1, "b"), later(8, "c")])).toEqual(["a", "b", "c"]);
      expect(await Task.awaitMany([])).toEqual([]);
      const begun = performance.now();
      const failed = (await reason(
        Task.awaitMany([later(5000, 1), Task.async(() => exit("bad"))]),
      )) as unknown[];
      expect(failed[0]).toBe("bad");
      expect(performance.now() - begun).toBeLessThan(1000);
      expect(((await reason(Task.awaitMany([later(5000, 1), later(1, 2)], 30))) as unknown[])[0]).toBe(
        "timeout",
      );
    }));

  test("yield returns a value, null, or how the task ended (R-354, X-186)", () =>
    inLab(async () => {
      trapExit(true);
      const task = Task.async(() => sleep(15).then(() => 7));
      expect([await Task.yield(task, 0), await Task.yield(task, 1), await Task.yield(task)]).toEqual([
        null,
        null,
        ["ok", 7],
      ]);
      expect(await Task.yield(Task.async(() => exit("bad")))).toEqual(["exit", "bad"]);
      const [quick, slow, other]: [Task<unknown>, Task<unknown>, Task<unknown>] = [
        Task.async(() => 1),
        Task.async(() => sleep(5000)),
        Task.async(() => sleep(5000)),
      ];
      expect((await Task.yieldMany([slow, quick, other], { limit: 1 })).map(([, result]) => result)).toEqual([
        null,
        ["ok", 1],
        null,
      ]);
      const [killed, left] = [monitor(slow.pid as Pid), other.pid as Pid];
      expect(
        (await Task.yieldMany([slow], { timeout: 0, onTimeout: "kill_task" })).map(([, result]) => result),
      ).toEqual([null]);
      expect(
        (
          await receive((message) =>
            Array.isArray(message) && killed.equals(message[1]) ? message : undefined,
          )
        )[4],
      ).toBe("killed");
      expect(
        (await Task.yieldMany([other], { timeout: 0, onTimeout: "ignore" })).map(([, result]) => result),
      ).toEqual([null]);
      expect(processInfo(left)).not.toBeNull();
    }));

  test("shutdown returns null, an earlier value, or how the task ended (R-355, X-187)", () =>
    inLab(async () => {
      trapExit(true);
      const endless = () => Task.async(() => sleep(10_000));
      expect(await Task.shutdown(endless())).toBeNull();
      expect(await Task.shutdown(endless(), "brutal_kill")).toBeNull();
      const done = Task.async(() => "value");
      await settle();
      expect(await Task.shutdown(done)).toEqual(["ok", "value"]);
      expect(await Task.shutdown(done)).toEqual(["exit", "noproc"]);
      const bad = Task.async(() => exit("bad"));
      await settle();
      expect(await Task.shutdown(bad)).toEqual(["exit", "bad"]);
      const stubborn = Task.async(async () => {
        trapExit(true);
        await sleep(10_000);
      });
      await settle();
      expect(await Task.shutdown(stubborn, 5)).toEqual(["exit", "killed"]);
    }));

  test("ignore returns an existing value, and the task continues (R-356, X-188)", () =>
    inLab(async () => {
      const me = self();
      const done = Task.async(() => "there");
      await settle();
      expect(await Task.ignore(done)).toEqual(["ok", "there"]);
      const later = Task.async(async () => {
        await sleep(10);
        send(me, "continued");
        return "late";
      });
      expect(await Task.ignore(later)).toBeNull();
      const failing = Task.async(async () => {
        await sleep(1);
        exit("late failure");
      });
      expect(await Task.ignore(failing)).toBeNull();
      expect([await next(), await next(30)]).toEqual(["continued", undefined]);
      expect(await Task.await(Task.completed(5))).toBe(5);
    }));

  test("a failure is logged with function and starter, a planned exit is not (R-359)", () =>
    inLab(async ({ of }) => {
      trapExit(true);
      await Task.yield(Task.async(() => exit("shutdown")));
      await Task.yield(
        Task.async(function compute() {
          exit("bad");
        }),
      );
      expect(of("notice")).toMatchObject([
        { text: "Task terminating", metadata: { function: "Task compute", starter: self(), reason: "bad" } },
      ]);
      expect(of("crash")).toEqual([]);
    }));
});

describe("asyncStream", () => {
  test("ordered gives results in input order, unordered as they are done (R-357, X-189)", () =>
    inLab(async () => {
      const slowest = [30, 15, 1];
      const wait = (ms: number) => sleep(ms).then(() => ms);
      expect(await collect(asyncStream(slowest, wait, { maxConcurrency: 3 }))).toEqual([
        ["ok", 30],
        ["ok", 15],
        ["ok", 1],
      ]);
      expect(await collect(asyncStream(slowest, wait, { maxConcurrency: 3, ordered: false }))).toEqual([
        ["ok", 1],
        ["ok", 15],
        ["ok", 30],
      ]);
    }));

  test("no more tasks at a time than said, and the inputs are taken as needed (R-357, X-190)", () =>
    inLab(async () => {
      let running = 0;
      let most = 0;
      let taken = 0;
      function* inputs(): Generator<number> {
        for (;;) yield taken++;
      }
      let seen = 0;
      for await (const _result of asyncStream(
        inputs(),
        async () => {
          running += 1;
          most = Math.max(most, running);
          await sleep(1);
          running -= 1;
        },
        { maxConcurrency: 3 },
      )) {
        seen += 1;
        if (seen === 20) break;
      }
      expect(most).toBe(3);
      expect(taken).toBeLessThanOrEqual(23);
      await expect(collect(asyncStream([1], () => 1, { maxConcurrency: 0 }))).rejects.toThrow(
        "maxConcurrency must be a whole number above 0",
      );
    }));

  test("a task beyond its time is killed and reported in place (R-357, X-191)", () =>
    inLab(async () => {
      const wait = (ms: number) => sleep(ms).then(() => ms);
      const options = { maxConcurrency: 3, timeout: 20 };
      expect(await collect(asyncStream([1, 5000, 2], wait, { ...options, onTimeout: "kill_task" }))).toEqual([
        ["ok", 1],
        ["exit", "timeout"],
        ["ok", 2],
      ]);
      expect(
        await collect(
          asyncStream([5000], wait, { ...options, onTimeout: "kill_task", zipInputOnExit: true }),
        ),
      ).toEqual([["exit", [5000, "timeout"]]]);
      expect(await reason(collect(asyncStream([5000], wait, options)))).toEqual([
        "timeout",
        ["Task", "asyncStream", [20]],
      ]);
    }));

  test("stopping early ends the running tasks and leaves no message and no process (R-357, X-192)", () =>
    inLab(async () => {
      const before = processes().length;
      for await (const result of asyncStream([1, 5000, 5000, 5000], (ms) => sleep(ms), {
        maxConcurrency: 4,
      })) {
        expect(result).toEqual(["ok", undefined]);
        break;
      }
      expect(processes()).toHaveLength(before);
      expect(await next(5)).toBeUndefined();
    }));
});

describe("Task.Supervisor", () => {
  const supervisor = async (options = {}): Promise<Pid> =>
    ((await TaskSupervisor.startLink(options)) as readonly ["ok", Pid])[1];

  test("tasks run under a supervisor, which refuses when it is full (R-358, X-193)", () =>
    inLab(async () => {
      const sup = await supervisor({ maxChildren: 1 });
      const task = await TaskSupervisor.async(sup, () => sleep(20).then(() => "done"));
      expect(await TaskSupervisor.children(sup)).toEqual([task.pid]);
      await expect(TaskSupervisor.async(sup, () => 1)).rejects.toThrow("max_children");
      expect(await TaskSupervisor.startChild(sup, () => 1)).toEqual(["error", "max_children"]);
      expect(await Task.await(task)).toBe("done");
      const failing = await TaskSupervisor.asyncNolink(sup, () => exit("its own"));
      expect(await Task.yield(failing)).toEqual(["exit", "its own"]);
      expect(await TaskSupervisor.children(sup)).toEqual([]);
      expect((await TaskSupervisor.startChild(sup, () => 1))[0]).toBe("ok");
    }));

  test("an owner that is gone before it has said go is not worked for (R-358, X-194)", () =>
    inLab(async () => {
      const sup = await supervisor();
      let ran = false;
      await sys.suspend(sup);
      const owner = spawn(async () => {
        await TaskSupervisor.asyncNolink(sup, () => {
          ran = true;
        });
      });
      await settle();
      exit(owner, "kill");
      await sys.resume(sup);
      // The supervisor starts what it was asked for; the task finds its owner gone.
      await expect.poll(() => DynamicSupervisor.countChildren(sup)).toMatchObject({ active: 0 });
      await settle();
      expect(ran).toBe(false);
    }));

  test("terminateChild ends a task, and streams run under the supervisor too (R-358)", () =>
    inLab(async () => {
      const sup = await supervisor();
      const started = (await TaskSupervisor.startChild(sup, () => sleep(10_000))) as readonly ["ok", Pid];
      expect(await TaskSupervisor.terminateChild(sup, started[1])).toBe("ok");
      const results = await collect(
        TaskSupervisor.asyncStreamNolink(sup, [1, 2, 3], (n) => (n === 2 ? exit("two") : n * 10), {
          maxConcurrency: 2,
        }),
      );
      expect(results).toEqual([
        ["ok", 10],
        ["exit", "two"],
        ["ok", 30],
      ]);
    }));
});
