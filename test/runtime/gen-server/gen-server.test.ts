import {
  BadArg,
  type ExitSignal,
  exit,
  type From,
  GenServer,
  type GenServerModule,
  monitor,
  type Pid,
  receive,
  Supervisor,
  self,
  send,
  sleep,
  spawn,
  spawnLink,
  trapExit,
} from "simurgh/runtime";
import { describe, expect, test } from "vitest";
import { lab } from "../support.js";

/** What the caller of a failed request is notified. */
const reasonOf = (call: Promise<unknown>): Promise<unknown> =>
  call.then(
    () => "no failure",
    (error: ExitSignal) => (error.reason as unknown[])[0],
  );
const nextMessage = (after = 200): Promise<unknown> =>
  receive((message) => ({ message }), { after }).then((got) => got?.message);

/** A server whose every callback does what its request or message says. */
const obedient: GenServerModule = {
  name: "obedient",
  init: (arg) => (typeof arg === "function" ? arg() : ["ok", arg]),
  handleCall: (request, from, state) =>
    typeof request === "function" ? request(state, from) : ["reply", request, state],
  handleCast: (request, state) => (typeof request === "function" ? request(state) : ["noreply", state]),
  handleInfo: (message, state) => (typeof message === "function" ? message(state) : ["noreply", state]),
  handleContinue: (arg, state) => (typeof arg === "function" ? arg(state) : ["noreply", state]),
};

async function started(module: GenServerModule = obedient, arg: unknown = 0, options = {}): Promise<Pid> {
  const result = await GenServer.start(module, arg, options);
  if (result[0] !== "ok") throw new Error(`not started: ${JSON.stringify(result)}`);
  return result[1] as Pid;
}

describe("start", () => {
  test("it resolves once init is done, and the server is there (R-101, X-069)", () =>
    lab().node.run(async () => {
      let done = false;
      const init = async () => {
        await sleep(5);
        done = true;
        return ["ok", 1] as const;
      };
      expect((await GenServer.start({ init }))[0]).toBe("ok");
      expect(done).toBe(true);
    }));

  test("init beyond its timeout: error timeout, and the process is dead (R-106, X-070)", () => {
    const { node } = lab();
    return node.run(async () => {
      let pid: Pid | undefined;
      const init = () => {
        pid = self();
        return sleep(10_000) as never;
      };
      expect(await GenServer.start({ init }, undefined, { timeout: 20 })).toEqual(["error", "timeout"]);
      expect(node.process(pid as Pid)).toBeUndefined();
    });
  });

  test("ignore, stop and error: what start returns, with the name free at once (R-104, R-102, X-071)", () => {
    const { node } = lab();
    return node.run(async () => {
      for (const [result, expected] of [
        ["ignore", "ignore"],
        [
          ["stop", "why"],
          ["error", "why"],
        ],
        [
          ["error", "why"],
          ["error", "why"],
        ],
      ]) {
        expect(await GenServer.start(obedient, () => result, { name: "n" })).toEqual(expected);
        expect(node.whereis("n")).toBeUndefined();
      }
    });
  });

  test("init that throws, exits or returns nonsense fails the start (R-105, X-072)", () =>
    lab().node.run(async () => {
      let terminated = 0;
      const terminate = () => {
        terminated += 1;
      };
      const module = { ...obedient, terminate };
      const raised = await GenServer.start(module, () => {
        throw new Error("in init");
      });
      expect(raised).toEqual([
        "error",
        [expect.objectContaining({ message: "in init" }), expect.stringContaining("in init")],
      ]);
      expect(await GenServer.start(module, () => exit("given up"))).toEqual(["error", "given up"]);
      expect(await GenServer.start(module, () => ["fine"])).toEqual([
        "error",
        ["bad_return_value", ["fine"]],
      ]);
      expect(terminated).toBe(0);
    }));

  test("a taken name gives already_started with its holder, without init (R-103, X-073)", () =>
    lab().node.run(async () => {
      const first = await started(obedient, 0, { name: "n" });
      let ran = false;
      const didRun = () => {
        ran = true;
      };
      const second = await GenServer.startLink(obedient, didRun, { name: "n" });
      expect(second).toEqual(["error", ["already_started", first]]);
      expect(ran).toBe(false);
    }));

  test("an invalid name option is an argument error, and null starts unnamed (R-023, X-074, X-075)", () =>
    lab().node.run(async () => {
      for (const name of [5, {}, { via: {} }, []]) {
        expect(() => GenServer.start(obedient, 0, { name: name as never })).toThrow(
          /a string \(a local name\), \{ global: term \}, \{ via: module, term \}/,
        );
      }
      expect((await GenServer.start(obedient, 0, { name: null }))[0]).toBe("ok");
    }));

  test("startLink links, and a failed one leaves no EXIT (R-107, X-076)", () => {
    const { node } = lab();
    return node.run(async () => {
      trapExit(true);
      const [, pid] = (await GenServer.startLink(obedient, 0)) as ["ok", Pid];
      expect([...(node.process(self())?.links?.values() ?? [])].map(String)).toContain(String(pid));
      for (const result of ["ignore", ["stop", "why"], ["nonsense"]])
        await GenServer.startLink(obedient, () => result);
      expect(await nextMessage(20)).toBeUndefined();
      const starter = spawn(async () => {
        await GenServer.startLink(obedient, () => ["stop", "why"]);
      });
      const ref = monitor(starter);
      expect(await nextMessage()).toEqual(["DOWN", ref, "process", starter, "why"]);
    });
  });
});

describe("call and cast", () => {
  test("calls, casts and messages of one caller are handled in order (R-115, R-008, X-037)", () =>
    lab().node.run(async () => {
      const seen: number[] = [];
      const module: GenServerModule = {
        init: () => ["ok", 0],
        handleCall: (n, _from, state) => ["reply", seen.push(n), state],
        handleCast(n, state) {
          seen.push(n);
          return ["noreply", state];
        },
        handleInfo(n, state) {
          seen.push(n);
          return ["noreply", state];
        },
      };
      const pid = await started(module);
      const calls: Promise<unknown>[] = [];
      for (let n = 0; n < 3000; n += 3) {
        GenServer.cast(pid, n);
        send(pid, n + 1);
        calls.push(GenServer.call(pid, n + 2));
      }
      await Promise.all(calls);
      expect(seen).toEqual(Array.from({ length: 3000 }, (_, n) => n));
    }));

  test("without an answer the caller exits with timeout and the call (R-110, X-078)", () =>
    lab().node.run(async () => {
      const pid = await started();
      const ignored = (): unknown => ["noreply", 0];
      const error = await GenServer.call(pid, ignored, 5).catch((thrown: ExitSignal) => thrown.reason);
      expect(error).toEqual(["timeout", ["GenServer", "call", [pid, ignored, 5]]]);
    }));

  test("a missing server is noproc, and oneself calling_self (R-110, X-077, X-079)", () =>
    lab().node.run(async () => {
      const pid = await started();
      await GenServer.stop(pid);
      for (const absent of [pid, "no one", null, undefined])
        expect(await reasonOf(GenServer.call(absent, 1))).toBe("noproc");
      expect(await reasonOf(GenServer.call(self(), 1))).toBe("calling_self");
      expect(() => GenServer.call(pid, 1, -1)).toThrow(BadArg);
      expect(() => GenServer.call(pid, 1, 1.5)).toThrow("non-negative integer");
    }));

  test("a late answer is dropped before the mailbox (R-112, R-067, X-080)", () =>
    lab().node.run(async () => {
      const pid = await started();
      let handled = false;
      const late = async () => {
        await sleep(20);
        handled = true;
        return ["reply", "late", 0];
      };
      expect(await reasonOf(GenServer.call(pid, late, 5))).toBe("timeout");
      expect(await GenServer.call(pid, "next")).toBe("next");
      expect(handled).toBe(true);
      expect(await nextMessage(10)).toBeUndefined();
    }));

  test("a server that ends in a call fails it with its own reason (R-110, X-081)", () =>
    lab().node.run(async () => {
      expect(await reasonOf(GenServer.call(await started(), () => exit("its own reason")))).toBe(
        "its own reason",
      );
      expect(await reasonOf(GenServer.call(await started(), () => ["stop", "stopped", 0]))).toBe("stopped");
    }));

  test("a cast is always ok (R-113, X-082)", () =>
    lab().node.run(() => {
      for (const absent of ["no one", null, undefined, { name: "n", node: 7 }])
        expect(GenServer.cast(absent, 1)).toBe("ok");
    }));

  test("an answer may come later and from another process, once (R-114, X-083, X-084)", () =>
    lab().node.run(async () => {
      const pid = await started();
      const later = (state: unknown, from: From) => {
        spawn(async () => {
          await sleep(5);
          expect(GenServer.reply(from, "first")).toBe("ok");
          expect(GenServer.reply(from, "second")).toBe("ok");
        });
        return ["noreply", state];
      };
      expect(await GenServer.call(pid, later)).toBe("first");
      expect(await nextMessage(10)).toBeUndefined();
    }));

  test("a full mailbox of the caller does not slow its calls down (X-105)", () =>
    lab().node.run(async () => {
      const pid = await started();
      for (let n = 0; n < 100_000; n += 1) send(self(), n);
      const begun = performance.now();
      for (let n = 0; n < 100; n += 1) await GenServer.call(pid, n);
      expect(performance.now() - begun).toBeLessThan(500);
    }));
});

describe("callback returns", () => {
  test("every form of return sets the state, and a throw keeps it (R-120, R-129)", () =>
    lab().node.run(async () => {
      const states: unknown[] = [];
      const pid = await started({ ...obedient, terminate: (_reason, state) => void states.push(state) });
      expect(await GenServer.call(pid, (state: number) => ["reply", state, 1])).toBe(0);
      GenServer.cast(pid, (state: number) => ["noreply", state + 1]);
      send(pid, (state: number) => ["noreply", state + 10, "hibernate"]);
      expect(
        await GenServer.call(pid, (state: number) => [
          "reply",
          state,
          state,
          ["continue", (s: number) => ["noreply", s + 100]],
        ]),
      ).toBe(12);
      expect(await GenServer.call(pid, (state: number) => ["reply", state, state])).toBe(112);
      GenServer.cast(pid, () => {
        throw new Error("lost");
      });
      expect(await reasonOf(GenServer.call(pid, "after"))).toEqual([
        expect.objectContaining({ message: "lost" }),
        expect.any(String),
      ]);
      expect(states).toEqual([112]);
    }));

  test("continue comes before messages that wait already, and chains (R-123, X-088, X-089)", () =>
    lab().node.run(async () => {
      const seen: string[] = [];
      const note = (what: string, next?: unknown) => (state: unknown) => {
        seen.push(what);
        return next === undefined ? ["noreply", state] : ["noreply", state, ["continue", next]];
      };
      const init = () => {
        send(self(), note("message"));
        return ["ok", 0, ["continue", note("first", note("second"))]];
      };
      const pid = await started(obedient, init);
      await GenServer.call(pid, "settled");
      expect(seen).toEqual(["first", "second", "message"]);
    }));

  test("a timeout comes once, after silence only (R-124, R-125, X-085, X-086, X-087)", () =>
    lab().node.run(async () => {
      const timeouts: number[] = [];
      const module = {
        ...obedient,
        handleInfo(message: unknown, state: unknown) {
          if (message === "timeout") timeouts.push(1);
          return ["noreply", state] as const;
        },
      };
      const pid = await started(module);
      await GenServer.call(pid, (state: unknown) => ["reply", 0, state, 20]);
      send(pid, "a message within it");
      await sleep(40);
      expect(timeouts).toHaveLength(0);
      await GenServer.call(pid, (state: unknown) => ["reply", 0, state, 10]);
      await sleep(50);
      expect(timeouts).toHaveLength(1);
      // Zero is not "at once": a message that waits wins.
      send(pid, (state: unknown) => ["noreply", state, 0]);
      send(pid, "waiting");
      await sleep(20);
      expect(timeouts).toHaveLength(1);
    }));

  test("other returns end the server with bad_return_value (R-126, X-090)", () =>
    lab().node.run(async () => {
      for (const nonsense of [
        undefined,
        5,
        ["reply"],
        ["reply", 1, 2, "soon"],
        ["ok", 1],
        ["noreply", 1, -1],
      ]) {
        const reasons: unknown[] = [];
        const pid = await started({ ...obedient, terminate: (reason) => void reasons.push(reason) });
        expect(await reasonOf(GenServer.call(pid, () => nonsense))).toEqual(["bad_return_value", nonsense]);
        expect(reasons).toEqual([["bad_return_value", nonsense]]);
      }
      const pid = await started();
      send(pid, () => ["reply", 1, 2]);
      expect(await reasonOf(GenServer.call(pid, 1))).toEqual(["bad_return_value", ["reply", 1, 2]]);
    }));

  test("an unexpected message is reported, and an unexpected call ends the server (R-127, X-104)", () => {
    const { node, of } = lab();
    return node.run(async () => {
      const pid = await started({ name: "bare", init: () => ["ok", 0] });
      send(pid, "surprise");
      await sleep(5);
      expect(of("notice")).toMatchObject([
        { level: "error", text: "bare received an unexpected message", metadata: { message: "surprise" } },
      ]);
      expect(await reasonOf(GenServer.call(pid, "x"))).toEqual([
        expect.objectContaining({ message: 'bare has no handleCall to take "x"' }),
        expect.any(String),
      ]);
    });
  });
});

describe("calls to a server that ends", () => {
  test("stop without an answer: the caller exits with the reason (R-122, X-092)", () =>
    lab().node.run(async () => {
      const pid = await started();
      await expect(GenServer.call(pid, () => ["stop", "enough", 0])).rejects.toMatchObject({
        reason: ["enough", ["GenServer", "call", [pid, expect.anything(), 5000]]],
      });
    }));

  test("a name is resolved once, so a restarted server does not get the call (R-111)", () =>
    lab().node.run(async () => {
      const first = await started(obedient, "first", { name: "same" });
      const call = reasonOf(GenServer.call("same", (state: unknown) => ["noreply", state]));
      await sleep(1);
      exit(first, "kill");
      const second = await started(obedient, "second", { name: "same" });
      expect(await call).toBe("killed");
      expect(await GenServer.call("same", (state: unknown) => ["reply", state, state])).toBe("second");
      expect(second).not.toBe(first);
    }));
});

describe("enterLoop", () => {
  test("a plain process becomes a server with its mailbox and links (R-144)", () =>
    lab().node.run(async () => {
      trapExit(true);
      const me = self();
      const pid = spawnLink(async () => {
        await receive((message) => (message === "become" ? true : undefined));
        return GenServer.enterLoop(
          { ...obedient, terminate: (reason, state) => void send(me, ["terminated", reason, state]) },
          10,
        );
      });
      send(pid, (state: number) => ["noreply", state + 5]);
      send(pid, "become");
      expect(await GenServer.call(pid, (state: number) => ["reply", state, state])).toBe(15);
      GenServer.cast(pid, (state: number) => ["noreply", state * 2]);
      expect(await GenServer.stop(pid, "shutdown")).toBe("ok");
      expect(await nextMessage()).toEqual(["terminated", "shutdown", 30]);
      expect(await nextMessage()).toEqual(["EXIT", pid, "shutdown"]);
    }));

  test("a continue given to it comes before the messages that wait (R-144)", () =>
    lab().node.run(async () => {
      const me = self();
      const pid = spawn(() =>
        GenServer.enterLoop(
          {
            init: () => "ignore",
            handleContinue: (_arg, state) => ["noreply", [...state, "continued"]],
            handleInfo: (message, state) => ["noreply", [...state, message]],
            handleCall: (_request, _from, state) => ["reply", state, state],
          },
          [],
          { extra: ["continue", 1] },
        ),
      );
      send(pid, "waited");
      expect(await GenServer.call(pid, "get")).toEqual(["continued", "waited"]);
      expect(self()).toBe(me);
    }));
});

describe("terminate", () => {
  const recording = (reasons: unknown[], more: Partial<GenServerModule> = {}): GenServerModule => ({
    ...obedient,
    ...more,
    terminate: (reason) => void reasons.push(reason),
  });

  test("it runs for a stop, a throw and stop() (R-130, X-095)", () =>
    lab().node.run(async () => {
      const reasons: unknown[] = [];
      const stopped = await started(recording(reasons));
      GenServer.cast(stopped, () => ["stop", "shutdown", 0]);
      const thrown = await started(recording(reasons));
      GenServer.cast(thrown, () => exit("by exit"));
      const asked = await started(recording(reasons));
      expect(await GenServer.stop(asked, "shutdown")).toBe("ok");
      expect(reasons).toEqual(["shutdown", "by exit", "shutdown"]);
    }));

  test("it does not run for kill, nor for an exit signal that is not trapped (R-131, X-095)", () =>
    lab().node.run(async () => {
      const reasons: unknown[] = [];
      for (const reason of ["kill", "shutdown", "crash"]) {
        const pid = await started(recording(reasons));
        const ref = monitor(pid);
        exit(pid, reason);
        expect((await nextMessage()) as unknown[]).toEqual([
          "DOWN",
          ref,
          "process",
          pid,
          reason === "kill" ? "killed" : reason,
        ]);
      }
      expect(reasons).toEqual([]);
    }));

  test("trapping: the parent's exit terminates, anybody else's is a message (R-132, R-108, X-096)", () =>
    lab().node.run(async () => {
      const reasons: unknown[] = [];
      const infos: unknown[] = [];
      const parent = self();
      const owner = spawn(async () => {
        const module = recording(reasons, {
          init: () => {
            trapExit(true);
            return ["ok", 0];
          },
          handleInfo(message, state) {
            infos.push(message);
            return ["noreply", state];
          },
        });
        const [, pid] = (await GenServer.startLink(module)) as ["ok", Pid];
        send(parent, pid);
        await receive((message) => message === "end" || undefined);
        exit("the parent's reason");
      });
      const pid = (await nextMessage()) as Pid;
      const ref = monitor(pid);
      exit(pid, "a stranger's");
      await GenServer.call(pid, "settled");
      expect(infos).toEqual([["EXIT", self(), "a stranger's"]]);
      send(owner, "end");
      expect(await nextMessage()).toEqual(["DOWN", ref, "process", pid, "the parent's reason"]);
      expect([reasons, infos.length]).toEqual([["the parent's reason"], 1]);
    }));

  test("its own failure becomes the reason (R-133, X-097)", () =>
    lab().node.run(async () => {
      const module = {
        ...obedient,
        terminate: () => {
          throw new Error("in terminate");
        },
      };
      const pid = await started(module);
      const ref = monitor(pid);
      GenServer.cast(pid, () => ["stop", "shutdown", 0]);
      expect(await nextMessage()).toEqual([
        "DOWN",
        ref,
        "process",
        pid,
        [expect.objectContaining({ message: "in terminate" }), expect.any(String)],
      ]);
    }));

  test("terminate gets [error, stack] for an error, and the bare reason of an exit (R-134)", () =>
    lab().node.run(async () => {
      const reasons: unknown[] = [];
      const thrown = await started(recording(reasons));
      await reasonOf(
        GenServer.call(thrown, () => {
          throw new RangeError("too far");
        }),
      );
      const exited = await started(recording(reasons));
      await reasonOf(GenServer.call(exited, () => exit(["bare", 1])));
      expect(reasons).toEqual([
        [
          expect.objectContaining({ name: "RangeError", message: "too far" }),
          expect.stringContaining("RangeError"),
        ],
        ["bare", 1],
      ]);
    }));

  test("an async terminate is awaited within the supervisor's shutdown time (R-136)", () =>
    lab().node.run(async () => {
      const log: string[] = [];
      const slow = (ms: number): GenServerModule => ({
        init: () => {
          trapExit(true);
          return ["ok", 0];
        },
        async terminate() {
          await sleep(ms);
          log.push(`saved after ${ms}`);
        },
      });
      const child = (ms: number) => ({
        id: ms,
        start: [GenServer.startLink, [slow(ms)]] as never,
        shutdown: 200,
      });
      const sup = await Supervisor.startLink([child(20), child(60_000)], { strategy: "one_for_one" });
      await Supervisor.stop(sup[1] as Pid);
      expect(log).toEqual(["saved after 20"]);
    }));

  test("stop with an answer: terminate first, then the answer (R-121, X-091)", () =>
    lab().node.run(async () => {
      const order: string[] = [];
      const module = {
        ...obedient,
        async terminate() {
          await sleep(5);
          order.push("terminate");
        },
      };
      const answer = await GenServer.call(await started(module), () => ["stop", "normal", "bye", 0]);
      order.push("answer");
      expect([answer, order]).toEqual(["bye", ["terminate", "answer"]]);
    }));

  test("a crash gives one report with the state, a normal exit none (R-135, X-093, X-094)", () => {
    const { node, of } = lab();
    return node.run(async () => {
      for (const reason of ["normal", "shutdown", ["shutdown", 1]])
        await reasonOf(GenServer.call(await started(), () => ["stop", reason, 0]));
      expect([of("gen_server"), of("crash")]).toEqual([[], []]);
      const module = { ...obedient, formatStatus: ({ state }: { state: unknown }) => `seen ${state}` };
      await reasonOf(GenServer.call(await started(module, 7), () => ["stop", "bad", 8]));
      expect(of("gen_server")).toMatchObject([{ reason: "bad", state: "seen 8" }]);
      expect(of("crash")).toMatchObject([{ reason: "bad" }]);
    });
  });

  test("stop is ok for its own reason, and exits with another one (R-140, X-098, X-099, X-100)", () =>
    lab().node.run(async () => {
      const pid = await started();
      expect(await GenServer.stop(pid, ["shutdown", { any: 1 }])).toBe("ok");
      expect(await reasonOf(GenServer.stop(pid))).toBe("noproc");
      const stubborn = await started({ ...obedient, terminate: () => exit("another") });
      expect(await reasonOf(GenServer.stop(stubborn))).toBe("another");
      const alive = await started();
      await expect(GenServer.stop(alive, "normal", -1)).rejects.toThrow(BadArg);
      expect(await GenServer.call(alive, "alive")).toBe("alive");
      expect(await reasonOf(GenServer.stop(self()))).toBe("calling_self");
    }));
});
