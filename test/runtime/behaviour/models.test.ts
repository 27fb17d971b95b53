/**
 * Models: short programs that say what must come out, against the real thing under random programs
 * of requests and faults. fast-check makes the programs and shrinks those that fail; the simulation
 * makes each run repeatable.
 */
import fc from "fast-check";
import {
  type ChildSpec,
  cancelTimer,
  exit,
  GenServer,
  isAlive,
  monitor,
  type Pid,
  type Ref,
  Registry,
  type Restart,
  readTimer,
  receive,
  type Strategy,
  Supervisor,
  self,
  sendAfter,
  sleep,
  spawn,
  trapExit,
} from "simurgh/runtime";
import { simulate } from "simurgh/testing";
import { describe, expect, test } from "vitest";

const next = (after?: number): Promise<unknown> =>
  receive((message) => ({ message }), { after }).then((got) => got?.message);

// ------------------------------------------------------------------ supervisors

/** A tree as it is written down: leaves are workers. Ids are paths, such as "0.2". */
interface Plan {
  readonly restart: Restart;
  readonly strategy?: Strategy;
  readonly children?: readonly Plan[];
}

type Request =
  | { readonly kind: "crash"; readonly at: number }
  | { readonly kind: "end" | "terminate" | "restart" | "delete"; readonly at: number };

const restart = fc.constantFrom<Restart>("permanent", "transient", "temporary");
const strategy = fc.constantFrom<Strategy>("one_for_one", "one_for_all", "rest_for_one");
const plan: fc.Arbitrary<Plan> = fc.letrec<{ plan: Plan; worker: Plan; supervisor: Plan }>((tie) => ({
  plan: fc.oneof({ maxDepth: 3, withCrossShrink: true }, tie("worker"), tie("supervisor")),
  worker: fc.record({ restart }),
  supervisor: fc.record({
    restart,
    strategy,
    children: fc.array(tie("plan"), { maxLength: 4 }),
  }),
})).supervisor;
const request = fc.record({
  kind: fc.constantFrom("crash", "end", "terminate", "restart", "delete"),
  at: fc.nat(),
}) as fc.Arbitrary<Request>;

/** The reference: what a supervisor's child is, and what becomes of it. */
class Model {
  readonly id: string;
  readonly plan: Plan;
  readonly parent: Model | undefined;
  readonly starts: Map<string, number>;
  alive = false;
  children: Model[] = [];

  constructor(id: string, plan: Plan, parent: Model | undefined, starts: Map<string, number>) {
    this.id = id;
    this.plan = plan;
    this.parent = parent;
    this.starts = starts;
  }

  start(): void {
    this.alive = true;
    this.starts.set(this.id, (this.starts.get(this.id) ?? 0) + 1);
    this.children = (this.plan.children ?? []).map(
      (child, index) => new Model(`${this.id}.${index}`, child, this, this.starts),
    );
    for (const child of this.children) child.start();
  }

  stop(): void {
    this.alive = false;
    this.children = [];
  }

  /** It ended by itself. */
  ended(normal: boolean): void {
    this.stop();
    const { parent } = this;
    if (parent === undefined) return;
    if (this.plan.restart === "temporary") parent.forget(this);
    else if (this.plan.restart === "permanent" || !normal) parent.restartAround(this);
  }

  forget(child: Model): void {
    this.children = this.children.filter((each) => each !== child);
  }

  restartAround(child: Model): void {
    const from = this.plan.strategy === "one_for_all" ? 0 : this.children.indexOf(child);
    const group = this.plan.strategy === "one_for_one" ? [child] : this.children.slice(from);
    for (const each of group) {
      if (each === child) continue;
      each.stop();
      if (each.plan.restart === "temporary") this.forget(each);
    }
    for (const each of group) if (this.children.includes(each)) each.start();
  }

  /** Everything below, itself included, in a fixed order. */
  *all(): IterableIterator<Model> {
    yield this;
    for (const child of this.children) yield* child.all();
  }

  toJSON(): unknown {
    return [this.id, this.alive, this.children.map((child) => child.toJSON())];
  }
}

/** The same tree of real processes. */
class Real {
  readonly starts = new Map<string, number>();
  readonly pids = new Map<string, Pid>();

  spec(id: string, { restart, strategy, children }: Plan): ChildSpec {
    return {
      id,
      restart,
      start: [() => this.start(id, strategy, children), []],
      type: children ? "supervisor" : "worker",
    };
  }

  async start(
    id: string,
    strategy: Strategy | undefined,
    children: readonly Plan[] | undefined,
  ): Promise<unknown> {
    const result =
      children === undefined
        ? await GenServer.startLink({
            init: () => ["ok", 0],
            handleCast: (reason, state) => ["stop", reason, state],
          })
        : await Supervisor.startLink(
            children.map((child, index) => this.spec(`${id}.${index}`, child)),
            { strategy: strategy as Strategy, intensity: 1_000_000 },
          );
    this.starts.set(id, (this.starts.get(id) ?? 0) + 1);
    this.pids.set(id, result[1] as Pid);
    return result;
  }

  pid(id: string): Pid {
    return this.pids.get(id) as Pid;
  }

  async describe(id: string): Promise<unknown> {
    const children: unknown[] = [];
    const infos = await Supervisor.whichChildren(this.pid(id));
    for (const info of [...infos].reverse()) {
      const alive = info.pid !== undefined && info.pid !== "restarting" && isAlive(info.pid);
      children.push(
        info.type === "supervisor" && alive ? await this.describe(info.id as string) : [info.id, alive, []],
      );
    }
    return [id, true, children];
  }
}

async function ended(pid: Pid, act: () => unknown): Promise<void> {
  const ref = monitor(pid);
  act();
  await receive((message) => (Array.isArray(message) && ref.equals(message[1]) ? true : undefined));
}

describe("supervisor", () => {
  test("any tree under any crashes and requests is what the model says (R-220, R-221, R-230, R-231, R-232, R-233)", async () => {
    await fc.assert(
      fc.asyncProperty(
        plan,
        fc.array(request, { maxLength: 12 }),
        fc.integer({ min: 1, max: 2 ** 31 }),
        async (root, requests, seed) => {
          await simulate({ seed }, async (sim) => {
            trapExit(true);
            const model = new Model("0", root, undefined, new Map());
            model.start();
            const real = new Real();
            await real.start("0", root.strategy, root.children);
            for (const { kind, at } of requests) {
              const targets = [...model.all()].filter((each) => each.parent !== undefined);
              const target = targets[at % Math.max(targets.length, 1)];
              if (target === undefined) break;
              const parent = target.parent as Model;
              switch (kind) {
                case "crash":
                  if (!target.alive) break;
                  await ended(real.pid(target.id), () => exit(real.pid(target.id), "kill"));
                  target.ended(false);
                  break;
                case "end":
                  if (!target.alive || target.plan.children !== undefined) break;
                  await ended(real.pid(target.id), () => GenServer.cast(real.pid(target.id), "normal"));
                  target.ended(true);
                  break;
                case "terminate":
                  expect(await Supervisor.terminateChild(real.pid(parent.id), target.id)).toBe("ok");
                  target.stop();
                  if (target.plan.restart === "temporary") parent.forget(target);
                  break;
                case "restart": {
                  const result = await Supervisor.restartChild(real.pid(parent.id), target.id);
                  if (target.alive) expect(result).toEqual(["error", "running"]);
                  else {
                    expect(result[0]).toBe("ok");
                    target.start();
                  }
                  break;
                }
                case "delete": {
                  const result = await Supervisor.deleteChild(real.pid(parent.id), target.id);
                  expect(result).toEqual(target.alive ? ["error", "running"] : "ok");
                  if (!target.alive) parent.forget(target);
                  break;
                }
              }
              await sim.quiet();
              expect(await real.describe("0")).toEqual(model.toJSON());
              expect(Object.fromEntries(real.starts)).toEqual(Object.fromEntries(model.starts));
            }
          });
        },
      ),
      { numRuns: 150 },
    );
  });

  test("a supervisor gives up at exactly one crash too many within the period (R-222)", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 0, max: 4 }),
        fc.integer({ min: 1, max: 5 }),
        fc.array(fc.integer({ min: 0, max: 4000 }), { minLength: 1, maxLength: 15 }),
        async (intensity, period, gaps) => {
          await simulate({ seed: 1 }, async (sim) => {
            trapExit(true);
            const started = await Supervisor.startLink(
              [{ id: "c", start: [() => GenServer.startLink({ init: () => ["ok", 0] }), []] }],
              { strategy: "one_for_one", intensity, period },
            );
            const sup = started[1] as Pid;
            const crashes: number[] = [];
            for (const gap of gaps) {
              await sleep(gap);
              const child = (await Supervisor.whichChildren(sup))[0]?.pid as Pid;
              exit(child, "kill");
              crashes.push(sim.clock.now());
              await sim.quiet();
              const within = crashes.filter((at) => sim.clock.now() - at <= period * 1000).length;
              expect(isAlive(sup)).toBe(within <= intensity);
              if (within > intensity) break;
            }
          });
        },
      ),
      { numRuns: 100 },
    );
  });
});

// ------------------------------------------------------------------ registry

type RegistryStep = {
  readonly kind: "register" | "unregister" | "die";
  readonly who: number;
  readonly key: number;
};

describe("registry", () => {
  test("any registering, unregistering and dying leaves what the model says (R-302, R-303, R-307, X-166, X-167)", async () => {
    const step = fc.record({
      kind: fc.constantFrom("register", "register", "unregister", "die"),
      who: fc.nat(3),
      key: fc.nat(3),
    }) as fc.Arbitrary<RegistryStep>;
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom("unique", "duplicate"),
        fc.array(step, { maxLength: 40 }),
        async (keys, steps) => {
          await simulate({ seed: 1 }, async () => {
            await Registry.startLink({ keys: keys as "unique", name: "reg" });
            const me = self();
            const worker = (): Pid =>
              spawn(async () => {
                for (;;) {
                  const [act, key, value] = (await next()) as readonly [string, number, number];
                  const result =
                    act === "register"
                      ? Registry.register("reg", key, value)[0]
                      : Registry.unregister("reg", key);
                  (await import("simurgh/runtime")).send(me, result);
                }
              });
            const { send } = await import("simurgh/runtime");
            const workers = [worker(), worker(), worker(), worker()];
            let model: { who: number; key: number; value: number }[] = [];
            for (const [value, { kind, who, key }] of steps.entries()) {
              const pid = workers[who] as Pid;
              if (kind === "die") {
                await ended(pid, () => exit(pid, "kill"));
                model = model.filter((entry) => entry.who !== who);
                workers[who] = worker();
              } else {
                send(pid, [kind, key, value]);
                const result = await next();
                if (kind === "unregister") {
                  expect(result).toBe("ok");
                  model = model.filter((entry) => entry.who !== who || entry.key !== key);
                } else if (keys === "unique" && model.some((entry) => entry.key === key))
                  expect(result).toBe("error");
                else {
                  expect(result).toBe("ok");
                  model.push({ who, key, value });
                }
              }
              expect(Registry.count("reg")).toBe(model.length);
              for (let each = 0; each <= 3; each += 1) {
                const found = Registry.lookup<number>("reg", each).map(([, found]) => found);
                const wanted = model.filter((entry) => entry.key === each).map((entry) => entry.value);
                expect(found.toSorted()).toEqual(wanted.toSorted());
                const kept = Registry.keys("reg", workers[each] as Pid);
                expect(kept.toSorted()).toEqual(
                  model
                    .filter((entry) => entry.who === each)
                    .map((entry) => entry.key)
                    .toSorted(),
                );
              }
            }
          });
        },
      ),
      { numRuns: 150 },
    );
  });
});

// ------------------------------------------------------------------ timers

describe("timers", () => {
  test("timers fire once, in the order of deadlines, however they are cancelled (R-070, R-072, R-073, R-075)", async () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant("set" as const), ms: fc.nat(50) }),
      fc.record({ kind: fc.constant("cancel" as const), at: fc.nat() }),
      fc.record({ kind: fc.constant("wait" as const), ms: fc.nat(40) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
        await simulate({ seed: 1 }, async (sim) => {
          const refs: Ref[] = [];
          let model: { n: number; at: number }[] = [];
          const fired: number[] = [];
          const expected: number[] = [];
          const pass = async (ms: number): Promise<void> => {
            await sleep(ms);
            await sim.quiet();
            const now = sim.clock.now();
            expected.push(
              ...model
                .filter(({ at }) => at <= now)
                .sort((a, b) => a.at - b.at || a.n - b.n)
                .map(({ n }) => n),
            );
            model = model.filter(({ at }) => at > now);
            for (let message = await next(0); message !== undefined; message = await next(0))
              fired.push(message as number);
            expect(fired).toEqual(expected);
          };
          for (const act of steps) {
            if (act.kind === "set") {
              model.push({ n: refs.length, at: sim.clock.now() + act.ms });
              refs.push(sendAfter(self(), refs.length, act.ms));
            } else if (act.kind === "wait") await pass(act.ms);
            else if (refs.length > 0) {
              const n = act.at % refs.length;
              const left = model.find((timer) => timer.n === n);
              const ref = refs[n] as Ref;
              expect(readTimer(ref)).toBe(left === undefined ? false : left.at - sim.clock.now());
              expect(cancelTimer(ref)).toBe(left === undefined ? false : left.at - sim.clock.now());
              model = model.filter((timer) => timer.n !== n);
            }
          }
          await pass(100);
          expect(model).toEqual([]);
        });
      }),
      { numRuns: 200 },
    );
  });
});
