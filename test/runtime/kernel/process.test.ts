import { createHook, executionAsyncId } from "node:async_hooks";
import { createServer, get as httpGet } from "node:http";
import type { AddressInfo } from "node:net";
import {
  BadArg,
  cancelTimer,
  createNode,
  demonitor,
  erase,
  exit,
  GenServer,
  get,
  getLabel,
  isAlive,
  link,
  monitor,
  NotAProcess,
  type Pid,
  ProcessExited,
  parsePid,
  put,
  readTimer,
  receive,
  register,
  registered,
  self,
  send,
  sendAfter,
  setLabel,
  signal,
  sleep,
  spawn,
  spawnLink,
  spawnMonitor,
  startTimer,
  trapExit,
  unregister,
  whereis,
} from "simurgh/runtime";
import { describe, expect, test } from "vitest";
import { idle, inLab, lab, next, reasonOf, settle } from "../support.js";

describe("identity, spawn and send", () => {
  test("spawn returns a pid before the function runs (R-001, X-001)", () =>
    inLab(async () => {
      let ran = false;
      const pid = spawn(() => {
        ran = true;
      });
      expect(ran).toBe(false);
      expect(await reasonOf(pid)).toBe("normal");
      expect([ran, await reasonOf(pid)]).toEqual([true, "noproc"]);
      const [child, ref] = spawnMonitor(() => {});
      expect(await next()).toEqual(["DOWN", ref, "process", child, "normal"]);
      const [thrower, thrown] = spawnMonitor(() => {
        throw "a value";
      });
      expect(await next()).toEqual([
        "DOWN",
        thrown,
        "process",
        thrower,
        [["nocatch", "a value"], expect.any(String)],
      ]);
    }));

  test("spawnLink and spawnMonitor leave no moment in which an end goes unnoticed (R-002)", () =>
    inLab(async () => {
      trapExit(true);
      const linked = spawnLink(() => exit("at once"));
      expect(await next()).toEqual(["EXIT", linked, "at once"]);
    }));

  test("a pid prints as <node.id.creation> and is found again from its print (R-005, R-004)", () =>
    inLab(async () => {
      const pid = idle();
      expect([String(pid), JSON.stringify({ pid })]).toEqual([
        `<0.${pid.id}.0>`,
        `{"pid":"<0.${pid.id}.0>"}`,
      ]);
      expect(parsePid(String(pid)).equals(pid)).toBe(true);
      expect(isAlive(parsePid(`<0.${pid.id}.3>`))).toBe(false);
      expect(() => parsePid("<0.1>")).toThrow("is not a printed pid");
    }));

  test("send returns the message, also to the dead, not to a free local name (R-006, R-007, X-033, X-034)", () =>
    inLab(async () => {
      const dead = spawn(() => {});
      await settle();
      expect(send(dead, "x")).toBe("x");
      expect(() => send("no one", "x")).toThrow(BadArg);
      expect(send({ name: "no one", node: 0 }, "x")).toBe("x");
      expect(send({ name: "no one", node: 5 }, "x")).toBe("x");
    }));

  test("self is right after every await, and throws outside of processes (R-013, X-067)", async () => {
    expect(() => self()).toThrow(NotAProcess);
    await inLab(async () => {
      const seen: boolean[] = [];
      const pids = Array.from({ length: 10 }, () =>
        spawn(async () => {
          const me = self();
          for (let n = 0; n < 5; n += 1) {
            await (n % 2 === 0 ? sleep(1) : Promise.resolve());
            seen.push(self() === me);
          }
        }),
      );
      for (const pid of pids) await reasonOf(pid);
      expect(seen).toEqual(new Array(50).fill(true));
    });
  });

  test("a process that gets the DOWN can register the name at once (R-014, X-036)", () =>
    inLab(async () => {
      for (let n = 0; n < 2000; n += 1) {
        const holder = idle();
        register("n", holder);
        const ref = monitor(holder);
        exit(holder, n % 2 === 0 ? "kill" : "crash");
        await receive((message) => (Array.isArray(message) && ref.equals(message[1]) ? true : undefined));
        const heir = idle();
        register("n", heir);
        unregister("n");
        exit(heir, "kill");
      }
      expect(registered()).toEqual([]);
    }));

  test("the dictionary gives back what was there before (R-015, X-053)", () =>
    inLab(() => {
      expect([put("k", 1), put("k", 2), get("k"), erase("k"), get("k")]).toEqual([
        undefined,
        1,
        2,
        2,
        undefined,
      ]);
      put("a", 1);
      expect([erase(), get("a")]).toEqual([[["a", 1]], undefined]);
    }));

  test("a label can be read by others while its process lives (R-016, X-052)", () =>
    inLab(async () => {
      const pid = spawn(async () => {
        setLabel("worker 7");
        await sleep(10_000);
      });
      await settle();
      expect(getLabel(pid)).toBe("worker 7");
      exit(pid, "kill");
      expect(getLabel(pid)).toBeUndefined();
    }));

  test("one name per process and one process per name, none for the dead (R-020, X-035)", () =>
    inLab(async ({ node }) => {
      const [one, two] = [idle(), idle()];
      expect(register("n", one)).toBe(true);
      expect(() => register("n", two)).toThrow("the name n is taken");
      expect(() => register("m", one)).toThrow("already registered as n");
      expect(() => register("undefined", two)).toThrow(BadArg);
      exit(two, "kill");
      expect(() => register("m", two)).toThrow("not a live process");
      expect([whereis("n"), whereis("m"), registered(), node.whereis("n")]).toEqual([
        one,
        undefined,
        ["n"],
        one,
      ]);
      unregister("n");
      expect(() => unregister("n")).toThrow("no process is registered as n");
    }));

  const ISOLATIONS = [["freeze"], ["clone"], ["none"]] as const;
  test.each(ISOLATIONS)("isolation %s: what a receiver does to a message (R-011, X-066)", (isolation) =>
    inLab(
      async ({ of }) => {
        const message = { list: [1] };
        const parent = self();
        const [pid, ref] = spawnMonitor(async () => {
          const got = (await receive((any) => any)) as { list: number[] };
          got.list.push(2);
          send(parent, "changed");
        });
        send(pid, message);
        const first = await next();
        if (isolation === "freeze") {
          expect(first).toEqual(["DOWN", ref, "process", pid, [expect.any(TypeError), expect.any(String)]]);
          expect(of("crash")).toHaveLength(1);
        } else {
          expect(first).toBe("changed");
        }
        expect(message).toEqual({ list: isolation === "none" ? [1, 2] : [1] });
      },
      { isolation },
    ),
  );
});

describe("monitors", () => {
  test("each monitor fires once, with its own ref (R-060, R-061, X-022, X-023, X-024)", () =>
    inLab(async () => {
      const pid = idle();
      register("n", pid);
      const refs = [monitor(pid), monitor(pid), monitor("n")];
      exit(pid, "why");
      expect(await next()).toEqual(["DOWN", refs[0], "process", pid, "why"]);
      expect(await next()).toEqual(["DOWN", refs[1], "process", pid, "why"]);
      expect(await next()).toEqual(["DOWN", refs[2], "process", { name: "n", node: 0 }, "why"]);
      const late = monitor(pid);
      expect(await next()).toEqual(["DOWN", late, "process", pid, "noproc"]);
      const absent = monitor("n");
      expect(await next()).toEqual(["DOWN", absent, "process", { name: "n", node: 0 }, "noproc"]);
      expect(await next(10)).toBeUndefined();
    }));

  test("after demonitor nothing comes, and flush removes a pending DOWN (R-062, X-025, X-026, X-027)", () =>
    inLab(async () => {
      const pid = idle();
      const [one, two, three] = [monitor(pid), monitor(pid), monitor(pid)];
      expect(demonitor(one, { info: true })).toBe(true);
      expect(demonitor(one, { info: true })).toBe(false);
      exit(pid, "kill");
      expect(demonitor(two)).toBe(true);
      expect(demonitor(three, { flush: true, info: true })).toBe(false);
      expect(((await next()) as unknown[])[1]).toBe(two);
      expect(await next(10)).toBeUndefined();
    }));

  test("the monitors of a dead process are gone from its targets (R-063, X-028)", () =>
    inLab(async ({ node }) => {
      const target = idle();
      const watcher = spawn(async () => {
        monitor(target);
        await sleep(10_000);
      });
      await settle();
      expect(node.process(target)?.watchers?.size).toBe(1);
      exit(watcher, "kill");
      expect(node.process(target)?.watchers?.size).toBe(0);
    }));

  test("what was sent before an exit, or before the sender's end, comes before it (R-008, X-038, X-039)", () =>
    inLab(async () => {
      trapExit(true);
      const me = self();
      const pid = spawnLink(() => {
        send(me, "m");
        exit("end");
      });
      const ref = monitor(pid);
      expect([await next(), ((await next()) as unknown[])[0], ((await next()) as unknown[])[1]]).toEqual([
        "m",
        "EXIT",
        ref,
      ]);
      const asked = spawn(async () => {
        trapExit(true);
        for (;;) send(me, await receive((any) => any));
      });
      await settle();
      send(asked, "first");
      exit(asked, "second");
      expect([await next(), ((await next()) as unknown[])[2]]).toEqual(["first", "second"]);
    }));
});

describe("timers", () => {
  test("a timer is never early, and can be neither read nor cancelled afterwards (R-070, R-073, X-040, X-042)", () =>
    inLab(async () => {
      const begun = performance.now();
      const ref = sendAfter(self(), "ding", 10);
      expect(await next()).toBe("ding");
      expect(performance.now() - begun).toBeGreaterThanOrEqual(10);
      const started = startTimer(self(), "ding", 0);
      expect(await next()).toEqual(["timeout", started, "ding"]);
      expect([readTimer(ref), cancelTimer(ref), cancelTimer(started)]).toEqual([false, false, false]);
    }));

  test("a cancelled timer tells what was left and never comes (R-072, X-041, X-043)", () =>
    inLab(async () => {
      const ref = sendAfter(self(), "never", 100_000);
      expect(readTimer(ref)).toBeGreaterThan(99_000);
      expect(cancelTimer(ref)).toBeGreaterThan(99_000);
      const other = sendAfter(self(), "never", 20);
      expect(cancelTimer(other, { async: true })).toBe(true);
      expect(await next()).toEqual(["cancel_timer", other, expect.any(Number)]);
      expect(await next(40)).toBeUndefined();
    }));

  test("a timer resolves its name at expiry, and ends with a dead pid (R-070, R-071, X-046)", () =>
    inLab(async ({ node }) => {
      sendAfter("later", "hello", 15);
      const pid = idle();
      const ref = sendAfter(pid, "x", 10_000);
      exit(pid, "kill");
      expect([readTimer(ref), node.messageTimers.size]).toEqual([false, 1]);
      register("later", self());
      expect(await next()).toBe("hello");
      expect(node.messageTimers.size).toBe(0);
    }));

  test("timers accept abs, Infinity and more than 2^31 ms, not fractions (R-074, X-044, X-045)", () =>
    inLab(async ({ node }) => {
      sendAfter(self(), "abs", node.clock.now() + 10, { abs: true });
      expect(await next()).toBe("abs");
      let ended = false;
      spawn(async () => {
        await sleep(2 ** 32);
        ended = true;
      });
      await new Promise((resolve) => setTimeout(resolve, 50));
      expect(ended).toBe(false);
      for (const wrong of [-1, 1.5, Number.NaN, "5"])
        expect(() => sendAfter(self(), "x", wrong as number)).toThrow(BadArg);
    }));

  test("expiries come in the order of their deadlines, then of their making (R-075)", () =>
    inLab(async () => {
      for (const [name, ms] of [
        ["c", 12],
        ["a", 4],
        ["b", 8],
        ["a2", 4],
      ] as const)
        sendAfter(self(), name, ms);
      expect([await next(), await next(), await next(), await next()]).toEqual(["a", "a2", "b", "c"]);
    }));
});

describe("receive", () => {
  test("receive takes the oldest match, keeps the others in order, and times out (R-080, X-047, X-048, X-049)", () =>
    inLab(async () => {
      for (const n of [1, 2, 3, 4]) send(self(), n);
      const even = (message: unknown) => ((message as number) % 2 === 0 ? message : undefined);
      expect([await receive(even), await receive(even), await next(), await next()]).toEqual([2, 4, 1, 3]);
      expect(await receive(() => undefined, { after: 0 })).toBeUndefined();
      const begun = performance.now();
      const noise = setInterval(() => send(me, "noise"), 2);
      const me = self();
      expect(
        await receive((message) => (message === "never" ? true : undefined), { after: 30 }),
      ).toBeUndefined();
      clearInterval(noise);
      expect(performance.now() - begun).toBeLessThan(300);
    }));

  test("a match that throws fails the receive and takes nothing", () =>
    inLab(async () => {
      send(self(), "m");
      const broken = receive(() => {
        throw new Error("in match");
      });
      await expect(broken).rejects.toThrow("in match");
      expect(await next()).toBe("m");
    }));
});

describe("code that outlives its process", () => {
  test("a process killed during an await exits at once, its rest does nothing (R-087, R-083, X-055, X-056, X-057, X-058)", () =>
    inLab(async ({ of }) => {
      const me = self();
      const attempts: string[] = [];
      let release!: () => void;
      const gate = new Promise<void>((resolve) => {
        release = resolve;
      });
      const other = idle();
      let aborted = false;
      const pid = spawn(async () => {
        signal().addEventListener("abort", () => {
          aborted = true;
        });
        await gate;
        for (const operation of [
          () => send(me, "from the dead"),
          () => spawn(() => {}),
          () => register("ghost", other),
          () => monitor(other),
          () => link(other),
          () => self(),
          () => GenServer.call(other, "x"),
          () => sendAfter(other, "x", 1),
          () => exit(other, "kill"),
        ]) {
          try {
            operation();
            attempts.push("went through");
          } catch (error) {
            attempts.push((error as Error).name);
          }
        }
        throw new Error("a rejection after the end");
      });
      await settle();
      const ref = monitor(pid);
      exit(pid, "kill");
      expect(await receive((message) => message as unknown[], { after: 0 })).toEqual([
        "DOWN",
        ref,
        "process",
        pid,
        "killed",
      ]);
      expect(aborted).toBe(true);
      release();
      await new Promise((resolve) => setTimeout(resolve, 10));
      expect(attempts).toEqual(new Array(9).fill(ProcessExited.name));
      expect([isAlive(other), await next(5)]).toEqual([true, undefined]);
      expect(of("notice").map(({ text }) => text)).toEqual([
        "an error was thrown by code that outlived its process",
      ]);
    }));

  test("a second message waits until the handler of the first is done, awaits and all (R-082, X-055)", () =>
    inLab(async () => {
      const log: string[] = [];
      const handleCall = async (name: string, _from: unknown, state: number) => {
        log.push(`${name} begins`);
        await sleep(5);
        log.push(`${name} ends`);
        return ["reply", 0, state] as const;
      };
      const [, pid] = (await GenServer.start({ init: () => ["ok", 0], handleCall })) as ["ok", Pid];
      await Promise.all([GenServer.call(pid, "a"), GenServer.call(pid, "b")]);
      expect(log).toEqual(["a begins", "a ends", "b begins", "b ends"]);
    }));

  test("rejections and throws in timers end the process that made them (R-090, R-091, X-059, X-060)", () =>
    inLab(async () => {
      const bystander = idle();
      const [floating, one] = spawnMonitor(async () => {
        void Promise.reject(new Error("floating"));
        await sleep(10_000);
      });
      expect(await next()).toEqual([
        "DOWN",
        one,
        "process",
        floating,
        [["unhandled_rejection", expect.objectContaining({ message: "floating" })], expect.any(String)],
      ]);
      const [ticking, two] = spawnMonitor(async () => {
        setTimeout(() => {
          throw new Error("in a timer");
        }, 1);
        await sleep(10_000);
      });
      expect(await next()).toEqual([
        "DOWN",
        two,
        "process",
        ticking,
        [["uncaught_exception", expect.objectContaining({ message: "in a timer" })], expect.any(String)],
      ]);
      expect(isAlive(bystander)).toBe(true);
    }));
});

describe("fairness", () => {
  const pingPong = (): void => {
    const echo = {
      init: () => ["ok", 0] as const,
      handleInfo(to: Pid, state: number) {
        send(to, self());
        return ["noreply", state] as const;
      },
    };
    void Promise.all([GenServer.start(echo), GenServer.start(echo)]).then(([one, two]) =>
      send(one[1] as Pid, two[1]),
    );
  };
  const flooder = {
    init() {
      send(self(), "go");
      return ["ok", 0] as const;
    },
    handleInfo(_message: unknown, state: number) {
      send(self(), "go");
      return ["noreply", state] as const;
    },
  };

  test("busy processes do not starve timers, sockets and each other (R-085, R-086, X-062, X-063)", () =>
    inLab(async () => {
      pingPong();
      await GenServer.start(flooder);
      const [, idler] = (await GenServer.start({
        init: () => ["ok", 0],
        handleCall: (x, _from, state) => ["reply", x, state],
      })) as ["ok", Pid];
      const server = createServer((_request, response) => response.end("echo"));
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
      const { port } = server.address() as AddressInfo;
      const lags: number[] = [];
      let last = performance.now();
      const beat = setInterval(() => {
        const now = performance.now();
        lags.push(now - last - 10);
        last = now;
      }, 10);
      const until = performance.now() + 1000;
      const calls: number[] = [];
      const requests: number[] = [];
      while (performance.now() < until) {
        const asked = performance.now();
        await GenServer.call(idler, "hello");
        calls.push(performance.now() - asked);
        const requested = performance.now();
        await new Promise<void>((resolve, reject) => {
          httpGet({ port, host: "127.0.0.1" }, (response) => response.resume().on("end", resolve)).on(
            "error",
            reject,
          );
        });
        requests.push(performance.now() - requested);
        await sleep(5);
      }
      clearInterval(beat);
      server.close();
      server.closeAllConnections();
      const median = (values: number[]): number =>
        values.sort((a, b) => a - b)[Math.floor(values.length / 2)] as number;
      // Medians, because a loaded machine has lags of its own; a starved event loop would not get
      // here at all.
      expect(lags.length).toBeGreaterThan(10);
      expect(median(lags)).toBeLessThan(30);
      expect(median(requests)).toBeLessThan(60);
      expect(median(calls)).toBeLessThan(30);
    }));

  test("a turn that takes too long is reported with pid, label and callback (R-088, X-064)", () => {
    const { node, of } = lab({ longTurnMs: 20 });
    return node.run(async () => {
      const handleCast = (ms: number, state: number) => {
        const end = performance.now() + ms;
        while (performance.now() < end);
        return ["noreply", state] as const;
      };
      const [, pid] = (await GenServer.start({ init: () => ["ok", 0], handleCast }, 0, {
        label: "spinner",
      })) as ["ok", Pid];
      GenServer.cast(pid, 40);
      await new Promise((resolve) => setTimeout(resolve, 60));
      expect(of("long_turn")).toMatchObject([{ pid, label: "spinner", callback: "handleCast" }]);
      expect(of("long_turn")[0]?.durationMs).toBeGreaterThanOrEqual(40);
    });
  });

  /** The promises made while `work` continues. */
  const promisesIn = async (work: () => Promise<unknown>): Promise<number> => {
    let promises = 0;
    const hook = createHook({
      init(_id, type) {
        if (type === "PROMISE") promises += 1;
      },
    }).enable();
    await work();
    hook.disable();
    return promises;
  };

  test("a call makes one promise besides its await, and waking the server none (R-084)", async () => {
    const node = createNode({ isolation: "none" });
    await node.run(async () => {
      const [, pid] = (await GenServer.start({
        init: () => ["ok", 0],
        handleCall: (x, _from, state) => ["reply", x, state],
      })) as ["ok", Pid];
      const promises = await promisesIn(async () => {
        for (let n = 0; n < 100; n += 1) await GenServer.call(pid, n);
      });
      // The bursts of the scheduler may add a few.
      expect(promises).toBeGreaterThanOrEqual(200);
      expect(promises).toBeLessThan(230);
    });
    await node.stop();
  });

  test("a synchronous handler makes no promise (R-084, X-065)", async () => {
    const node = createNode({ isolation: "none" });
    await node.run(async () => {
      let handled = 0;
      const [, pid] = (await GenServer.start({
        init: () => ["ok", 0],
        handleCast: (_n, state) => {
          handled += 1;
          return ["noreply", state];
        },
        handleCall: (x, _from, state) => ["reply", x, state],
      })) as ["ok", Pid];
      const promises = await promisesIn(async () => {
        for (let n = 0; n < 1000; n += 1) GenServer.cast(pid, n);
        await GenServer.call(pid, "settle");
      });
      expect(handled).toBe(1000);
      // Some for the call and for waking the scheduler; none for each message.
      expect(promises).toBeLessThan(40);
      expect(executionAsyncId()).toBeGreaterThanOrEqual(0);
    });
    await node.stop();
  });
});
