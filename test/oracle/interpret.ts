/** Our side of the oracle: carries out a scenario on the runtime and gives its trace. */
import {
  type ChildSpec,
  createNode,
  DynamicSupervisor,
  demonitor,
  ExitSignal,
  exit,
  GenServer,
  type GenServerModule,
  get,
  isAlive,
  isPid,
  isRef,
  link,
  makeRef,
  monitor,
  type Pid,
  put,
  type Ref,
  Registry,
  receive,
  register,
  Supervisor,
  self,
  send,
  spawn,
  spawnLink,
  spawnMonitor,
  Task,
  trapExit,
  unlink,
  unregister,
  whereis,
} from "simurgh/runtime";
import type { Act, Begin, Child, Command, Flags, Scenario, ServerOptions, Step, Term } from "./scenario.js";

/** What may go wrong in a broken run must not hang it. */
const PATIENCE_MS = 5000;

export async function interpret(scenario: Scenario): Promise<unknown[]> {
  const node = createNode({ isolation: "none", onReport() {} });
  try {
    return await node.run(() => new Director().run(scenario));
  } finally {
    await node.stop();
  }
}

class Director {
  readonly #me = self();
  readonly #pids = new Map<string, Pid>();
  readonly #monitors = new Map<string, Ref>();
  readonly #starts = new Map<string, number>();

  async run({ steps }: Scenario): Promise<unknown[]> {
    trapExit(true);
    const trace: unknown[] = [];
    for (const [index, step] of steps.entries()) {
      const given = await this.#step(step).catch((error: unknown) => {
        throw new Error(`step ${index + 1}, ${JSON.stringify(step)}: ${(error as Error).message}`, {
          cause: error,
        });
      });
      trace.push([step[0], this.#plain(given)]);
    }
    return trace;
  }

  async #step(step: Step): Promise<unknown> {
    switch (step[0]) {
      case "actor":
        this.#meet(step[1], spawn(actor(this)));
        return "ok";
      case "do":
        return this.#tell(step[1], step[2]);
      case "seen":
        return this.#ask(step[1], ["$seen", step[2]]);
      case "sync": {
        const ref = makeRef();
        send(this.pid(step[1]), ["$sync", ref, this.pid(step[2])]);
        return this.#await(["$synced", ref]);
      }
      case "down": {
        const ref = this.#monitors.get(step[1]);
        return (await this.#take((m) => m[0] === "DOWN" && ref?.equals(m[1]) === true))[4];
      }
      case "alive":
        return isAlive(this.pid(step[1]));
      case "server": {
        const [, name, begin, options] = step;
        const started = await this.startServer(name, begin, options, "start");
        return started;
      }
      case "cast":
        return GenServer.cast(this.pid(step[1]), step[2]);
      case "info":
        send(this.pid(step[1]), ["$info", step[2]]);
        return "ok";
      case "events": {
        const events: unknown[] = [];
        while (events.length < step[1]) events.push((await this.#take((m) => m[0] === "$event"))[1]);
        return events;
      }
      case "sup": {
        const [, name, flags, children] = step;
        return this.#started(name, await Supervisor.startLink(this.#supervisor(flags, children), null));
      }
      case "which": {
        const children = await Supervisor.whichChildren(this.pid(step[1]));
        return children.map(({ id, pid, type }) => [id, isPid(pid) ? "pid" : (pid ?? "undefined"), type]);
      }
      case "count": {
        const { specs, active, supervisors, workers } = await Supervisor.countChildren(this.pid(step[1]));
        return [specs, active, supervisors, workers];
      }
      case "start_child":
        return Supervisor.startChild(this.pid(step[1]), this.#spec(step[2]));
      case "terminate_child":
        return Supervisor.terminateChild(this.pid(step[1]), step[2]);
      case "restart_child":
        return Supervisor.restartChild(this.pid(step[1]), step[2]);
      case "delete_child":
        return Supervisor.deleteChild(this.pid(step[1]), step[2]);
      case "crash":
      case "finish": {
        const [how, supervisor, id, reason] = step;
        const pid = this.pid(id);
        const ref = monitor(pid);
        if (how === "crash") exit(pid, reason);
        else GenServer.cast(pid, ["stop", reason]);
        const down = await this.#take((m) => m[0] === "DOWN" && ref.equals(m[1]));
        // By the time it answers it has dealt with the end.
        await Supervisor.countChildren(this.pid(supervisor)).catch(() => {});
        return down[4];
      }
      case "stop_sup":
        return Supervisor.stop(this.pid(step[1]), step[2]);
      case "dyn": {
        const { max, intensity } = step[2];
        const flags = {
          ...(max === undefined ? {} : { maxChildren: max }),
          ...(intensity === undefined ? {} : { maxRestarts: intensity }),
        };
        return this.#started(
          step[1],
          await DynamicSupervisor.startLink({ strategy: "one_for_one", ...flags }),
        );
      }
      case "dyn_start":
        return DynamicSupervisor.startChild(this.pid(step[1]), this.#spec(step[2]));
      case "dyn_terminate":
        return DynamicSupervisor.terminateChild(this.pid(step[1]), this.pid(step[2]));
    }
  }

  // ---------------------------------------------------------------- who is who

  pid(name: string): Pid {
    const pid = this.#pids.get(name);
    if (pid === undefined) throw new Error(`the scenario knows no ${name}`);
    return pid;
  }

  /** From now on the process has this name in the trace. */
  #meet(name: string, pid: Pid): void {
    this.#pids.set(name, pid);
    this.#monitors.set(name, monitor(pid));
  }

  /** As `#meet`, said by a process of the scenario. */
  meet(name: string, pid: Pid): void {
    this.#pids.set(name, pid);
  }

  watch(name: string): void {
    this.#monitors.set(name, monitor(this.pid(name)));
  }

  event(...event: unknown[]): void {
    send(this.#me, ["$event", event]);
  }

  get me(): Pid {
    return this.#me;
  }

  #started(name: string, result: unknown): unknown {
    if (Array.isArray(result) && result[0] === "ok") {
      this.#meet(name, result[1] as Pid);
      return "ok";
    }
    return result;
  }

  // ---------------------------------------------------------------- talking to actors

  async #tell(name: string, command: Command): Promise<unknown> {
    const last = ["return", "throw", "raise", "die"].includes(command[0]);
    const ref = makeRef();
    const gone = monitor(this.pid(name));
    send(this.pid(name), ["$do", ref, command]);
    if (last) return "told";
    const answer = await this.#take(
      (m) => (m[0] === "$done" && ref.equals(m[1])) || (m[0] === "DOWN" && gone.equals(m[1])),
    );
    demonitor(gone, { flush: true });
    if (answer[0] === "DOWN") return "gone";
    if (command[0] === "spawn" || command[0] === "start_link") {
      if (this.#pids.has(command[1])) this.watch(command[1]);
    }
    return answer[2];
  }

  async #ask(name: string, question: readonly [string, number]): Promise<unknown> {
    const ref = makeRef();
    send(this.pid(name), [question[0], ref, question[1]]);
    return this.#await(["$done", ref]);
  }

  async #await([tag, ref]: readonly [string, Ref]): Promise<unknown> {
    return (await this.#take((m) => m[0] === tag && ref.equals(m[1])))[2] ?? "ok";
  }

  async #take(match: (message: readonly unknown[]) => boolean): Promise<readonly unknown[]> {
    const found = await receive(
      (message) => (Array.isArray(message) && match(message) ? (message as readonly unknown[]) : undefined),
      { after: PATIENCE_MS },
    );
    if (found === undefined) throw new Error("nothing came of it");
    return found;
  }

  // ---------------------------------------------------------------- servers and supervisors

  async startServer(
    name: string,
    begin: Begin,
    options: ServerOptions,
    how: "start" | "startLink",
  ): Promise<unknown> {
    const result = await GenServer[how](server(this, name, begin, options), null, { name: options.name });
    if (Array.isArray(result) && result[0] === "ok") {
      this.meet(name, result[1] as Pid);
      if (how === "start") this.watch(name);
      return "ok";
    }
    return result;
  }

  /** How often this one has been started, this time included. */
  count(name: string): number {
    const count = (this.#starts.get(name) ?? 0) + 1;
    this.#starts.set(name, count);
    return count;
  }

  #spec(child: Child): ChildSpec {
    const { id, begin = ["ok"], restart, shutdown, significant } = child;
    return {
      id,
      start: [() => GenServer.startLink(server(this, id, begin, child, true)), []],
      restart: (restart ?? "permanent") as "permanent",
      shutdown: (shutdown ?? 1000) as number,
      significant: significant ?? false,
    };
  }

  #supervisor(flags: Flags, children: readonly Child[]) {
    const { strategy = "one_for_one", intensity = 3, period = 5, auto = "never" } = flags;
    return {
      init: () =>
        [
          "ok",
          [
            { strategy: strategy as "one_for_one", intensity, period, autoShutdown: auto as "never" },
            children.map((child) => this.#spec(child)),
          ],
        ] as const,
    };
  }

  // ---------------------------------------------------------------- plain terms

  #plain(value: unknown): unknown {
    if (value === undefined) return null;
    if (isPid(value)) {
      for (const [name, pid] of this.#pids) if (pid.equals(value)) return name;
      return value.equals(this.#me) ? "DIRECTOR" : "PID";
    }
    if (isRef(value)) return "REF";
    if (value instanceof Error) return value.message;
    if (typeof value === "string") return /\n\s+at /.test(value) ? "STACK" : value;
    if (Array.isArray(value)) {
      // `["ok", undefined]`: a child that ignored; Erlang says `undefined`, which is not its `nil`.
      if (value.length === 2 && value[0] === "ok" && value[1] === undefined) return ["ok", "undefined"];
      return value.map((item) => this.#plain(item));
    }
    if (typeof value === "object" && value !== null) {
      if ("name" in value && "node" in value) return [this.#plain(value.name), "NODE"];
      if ("start" in value) return "CHILD";
      const snake = (key: string): string => key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
      return Object.entries(value).map(([key, item]) => [snake(key), this.#plain(item)]);
    }
    if (value === Number.POSITIVE_INFINITY) return "infinity";
    return value;
  }
}

// ------------------------------------------------------------------ processes of the scenario

/** A plain process that does what the director tells it, and keeps whatever else it is sent. */
const actor = (director: Director) => async (): Promise<unknown> => {
  const seen: unknown[] = [];
  let asked: readonly [Ref, number] | undefined;
  const monitors = new Map<string, Ref>();
  for (;;) {
    if (asked !== undefined && seen.length >= asked[1]) {
      send(director.me, ["$done", asked[0], seen.splice(0, asked[1])]);
      asked = undefined;
    }
    const message = await receive((each) => [each] as const).then(([each]) => each);
    const [tag, ref, what] = (Array.isArray(message) ? message : []) as unknown as readonly [
      string,
      Ref,
      unknown,
    ];
    if (tag === "$seen") asked = [ref, what as number];
    else if (tag === "$sync") send(what as Pid, ["$pass", ref]);
    else if (tag === "$pass") send(director.me, ["$synced", ref]);
    else if (tag === "$do") {
      const command = what as Command;
      switch (command[0]) {
        case "return":
          return command[1];
        case "throw":
          throw command[1];
        case "raise":
          throw new Error(String(command[1]));
        case "die":
          exit(command[1]);
      }
      send(director.me, ["$done", ref, await obey(director, command as Command, monitors)]);
    } else seen.push(message);
  }
};

async function obey(director: Director, command: Command, monitors: Map<string, Ref>): Promise<unknown> {
  try {
    return await carryOut(director, command, monitors);
  } catch (thrown) {
    if (!(thrown instanceof ExitSignal)) return ["error", "badarg"];
    if (!command[0].startsWith("task")) return ["exit", thrown.reason];
    return ["exit", (thrown.reason as readonly unknown[])[0]];
  }
}

async function carryOut(director: Director, command: Command, monitors: Map<string, Ref>): Promise<unknown> {
  switch (command[0]) {
    case "trap":
      return trapExit(command[1]);
    case "spawn": {
      const [, name, how] = command;
      const body = actor(director);
      const started =
        how === "monitor" ? spawnMonitor(body)[0] : how === "link" ? spawnLink(body) : spawn(body);
      director.meet(name, started);
      return "ok";
    }
    case "link":
      return link(director.pid(command[1]));
    case "unlink":
      return unlink(director.pid(command[1]));
    case "monitor":
      monitors.set(command[1], monitor(director.pid(command[1])));
      return "ok";
    case "monitor_name":
      monitors.set(command[1], monitor(command[1]));
      return "ok";
    case "demonitor":
      return demonitor(monitors.get(command[1]) as Ref);
    case "demonitor_flush":
      return demonitor(monitors.get(command[1]) as Ref, { flush: true });
    case "demonitor_info":
      return demonitor(monitors.get(command[1]) as Ref, { info: true });
    case "exit":
      return exit(director.pid(command[1]), command[2]);
    case "send":
      return send(director.pid(command[1]), command[2]);
    case "send_name":
      return send(command[1], command[2]);
    case "register":
      return register(command[1], self());
    case "unregister":
      return unregister(command[1]);
    case "whereis":
      return whereis(command[1]);
    case "put":
      return put(command[1], command[2]);
    case "get":
      return get(command[1]);
    case "start_link":
      return director.startServer(command[1], command[2], command[3], "startLink");
    case "call":
      return ["ok", await GenServer.call(director.pid(command[1]), command[2], command[3])];
    case "call_name":
      return ["ok", await GenServer.call(command[1], command[2])];
    case "stop":
      return GenServer.stop(director.pid(command[1]), command[2]);
    case "reg":
    case "reg_dup": {
      const name = await registry(command[0] === "reg" ? "unique" : "duplicate");
      const result = Registry.register(name, command[1], command[2]);
      return result[0] === "ok" ? "ok" : result;
    }
    case "unreg":
      return Registry.unregister(await registry("unique"), command[1]);
    case "dup_unreg":
      return Registry.unregister(await registry("duplicate"), command[1]);
    case "reg_lookup":
      return Registry.lookup(await registry("unique"), command[1]);
    case "dup_lookup":
      return [...Registry.lookup<number>(await registry("duplicate"), command[1])].sort(
        ([, a], [, b]) => a - b,
      );
    case "reg_keys":
      return Registry.keys(await registry("unique"), self());
    case "task_await":
      return ["ok", await Task.await(task(command[1], command[2]), command[3])];
    case "task_yield":
      return Task.yield(task(command[1], command[2]), command[3]);
    case "task_shutdown":
      return Task.shutdown(task(command[1], command[2]), command[3]);
    default:
      throw new Error(`no actor knows how to ${command[0]}`);
  }
}

async function registry(keys: "unique" | "duplicate"): Promise<string> {
  const name = `oracle_${keys}`;
  if (whereis(name) === undefined) await Registry.start({ keys, name });
  return name;
}

const task = (what: string, term: Term) =>
  Task.async<Term>(() => {
    if (what === "value") return term;
    if (what === "exit") return exit(term);
    if (what === "raise") throw new Error(String(term));
    return new Promise(() => {});
  });

/**
 * A server that does in each callback what it is asked to, and tells the director what happens to
 * it.
 */
function server(
  director: Director,
  name: string,
  begin: Begin,
  options: ServerOptions,
  supervised = false,
): GenServerModule<null> {
  const reply = (act: Act): unknown => {
    if (act[0] === "reply") return ["reply", act[1], null];
    if (act[0] === "timeout") return ["reply", "ok", null, act[1]];
    if (act[0] === "continue") return ["reply", "ok", null, ["continue", act[1]]];
    if (act[0] === "stop_reply") return ["stop", act[1], act[2], null];
    return noReply(act);
  };
  const noReply = (act: Act): unknown => {
    switch (act[0]) {
      case "stop":
        return ["stop", act[1], null];
      case "bad":
        return act[1];
      case "raise":
        throw new Error(act[1]);
      case "exit":
        return exit(act[1]);
      case "timeout":
        return ["noreply", null, act[1]];
      case "continue":
        return ["noreply", null, ["continue", act[1]]];
      default:
        return ["noreply", null];
    }
  };
  return {
    init() {
      const count = director.count(name);
      if (options.trap) trapExit(true);
      const up = (result: unknown): unknown => {
        director.meet(name, self());
        if (supervised) director.event("up", name);
        return result;
      };
      const started = (): never => {
        switch (begin[0]) {
          case "ignore":
            return "ignore" as never;
          case "stop":
            return ["stop", begin[1]] as never;
          case "raise":
            throw new Error(begin[1]);
          case "exit":
            return exit(begin[1]);
          case "bad":
            return begin[1] as never;
          case "ok_after":
            return (count > begin[1] ? up(["ok", null]) : ["stop", begin[2]]) as never;
          case "ok_then":
            return (count === 1 || count > begin[1] + 1 ? up(["ok", null]) : ["stop", begin[2]]) as never;
          case "ok_continue":
            return up(["ok", null, ["continue", begin[1]]]) as never;
          case "ok_timeout":
            return up(["ok", null, begin[1]]) as never;
          default:
            return up(["ok", null]) as never;
        }
      };
      return started();
    },
    handleCall: (act: Act) => reply(act) as never,
    handleCast: (act: Act) => noReply(act) as never,
    handleContinue(act) {
      director.event("continue", name);
      return noReply(act as Act) as never;
    },
    handleInfo(message) {
      if (message === "timeout") {
        director.event("timeout", name);
        return ["noreply", null];
      }
      if (Array.isArray(message) && message[0] === "$info") {
        director.event("info", name);
        return noReply(message[1] as Act) as never;
      }
      director.event("info", name, message);
      return ["noreply", null];
    },
    terminate(reason) {
      director.event("terminate", name, reason);
      const { terminate } = options;
      if (terminate?.[0] === "raise") throw new Error(terminate[1]);
      if (terminate?.[0] === "exit") exit(terminate[1]);
    },
  };
}
