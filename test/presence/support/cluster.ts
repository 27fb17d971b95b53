/**
 * Several replicas on one simulated network: every delay, loss, repetition and fault comes from one
 * seed, time is virtual, so the same seed takes the same steps. Each message goes through its wire
 * form. After each diff the replica's folded diffs are held against what it lists.
 */
import { Presence as PhoenixPresence } from "phoenix";
import { Random } from "simurgh/testing";
import { groupByKey } from "../../../src/presence/broadcast/payload.js";
import type { ReplicaRef } from "../../../src/presence/tracker/clock.js";
import { decode, encode, type Message } from "../../../src/presence/tracker/message.js";
import { type ReplicationOptions, type Settings, settingsOf } from "../../../src/presence/tracker/options.js";
import {
  type CoreStats,
  type Effect,
  type ReplicaEvent,
  TrackerCore,
} from "../../../src/presence/tracker/tracker-core.js";
import type { Diff } from "../../../src/presence/tracker/view.js";

export interface ClusterOptions extends ReplicationOptions {
  readonly seed?: number;
  readonly replicas?: readonly string[];
  /** Least and most ms that a message is under way. Default 1 to 10. */
  readonly latency?: readonly [number, number];
}

export interface Notified {
  readonly at: number;
  readonly topic: string;
  readonly joins: readonly string[];
  readonly leaves: readonly string[];
  readonly refs: readonly string[];
}

interface Flight {
  readonly due: number;
  readonly sequence: number;
  readonly from: string;
  readonly to: string;
  readonly wire: unknown;
}

/** One life of one replica. */
export interface Life {
  readonly name: string;
  readonly core: TrackerCore;
  readonly startedAt: number;
  alive: boolean;
  frozen: boolean;
  wallOffset: number;
  readonly notified: Notified[];
  readonly events: [at: number, event: ReplicaEvent | "conflict" | "diverged", ref: string][];
  /** What its diffs give when applied to nothing. */
  readonly folded: Map<string, Map<string, string>>;
  /** A browser that was given the state at some time and every diff since. */
  readonly browser: Map<string, object>;
  readonly inbox: Flight[];
}

export const settings = (options: ReplicationOptions = {}): Settings => {
  const result = settingsOf(options);
  if (Array.isArray(result)) throw new Error(result[1] as string);
  return result as Settings;
};

export class Cluster {
  readonly random: Random;
  readonly settings: Settings;
  readonly lives = new Map<string, Life>();
  readonly trace: string[] = [];
  readonly sent: {
    readonly at: number;
    readonly from: string;
    readonly to: string;
    readonly message: Message;
  }[] = [];
  /** Probability that a message is lost, and that it comes twice. */
  loss = 0;
  twice = 0;
  latency: readonly [number, number];
  /** Says which messages are dropped, on top of everything else. */
  drop: (message: Message, from: string, to: string) => boolean = () => false;
  /** Extra delay of a message. */
  delay: (message: Message, from: string, to: string) => number = () => 0;
  now = 0;
  readonly #cut = new Set<string>();
  readonly #flights: Flight[] = [];
  #sequence = 0;
  #nextRef = 1;
  #incarnations = 0;
  #keepSent = true;

  constructor(options: ClusterOptions = {}) {
    this.random = new Random(options.seed ?? 1);
    this.settings = settings(options);
    this.latency = options.latency ?? [1, 10];
    for (const name of options.replicas ?? ["A", "B"]) this.start(name);
  }

  /** Does not remember what was sent: for long runs. */
  forgetSent(): void {
    this.#keepSent = false;
  }

  // ---------------------------------------------------------------- lives

  start(name: string, options: { readonly wall?: number; readonly version?: number } = {}): Life {
    this.#incarnations += 1;
    const core = new TrackerCore({
      ref: { name, incarnation: `i${this.#incarnations}` },
      settings: this.settings,
      owns: () => true,
      ownsSlot: () => true,
      ...(options.version === undefined ? {} : { version: options.version }),
    });
    const life: Life = {
      name,
      core,
      startedAt: this.now,
      alive: true,
      frozen: false,
      wallOffset: options.wall ?? 0,
      notified: [],
      events: [],
      folded: new Map(),
      browser: new Map(),
      inbox: [],
    };
    this.lives.set(name, life);
    this.#note(`start ${name} ${core.ref.incarnation}`);
    const wait = (0.1 + 0.15 * this.random.next()) * this.settings.broadcastPeriod;
    this.#do(life, core.start(this.now, wait));
    return life;
  }

  life(name: string): Life {
    const life = this.lives.get(name);
    if (life === undefined) throw new Error(`there is no replica ${name}`);
    return life;
  }

  core(name: string): TrackerCore {
    return this.life(name).core;
  }

  get living(): Life[] {
    return [...this.lives.values()].filter(({ alive }) => alive);
  }

  /** Ends it with no permdown. */
  crash(name: string): void {
    this.#note(`crash ${name}`);
    this.life(name).alive = false;
  }

  permdown(name: string): void {
    this.#note(`permdown ${name}`);
    const life = this.life(name);
    this.#do(life, life.core.permdown(this.now));
    life.alive = false;
  }

  /** The transport of one replica works again. */
  connected(name: string): void {
    const life = this.life(name);
    this.#do(life, life.core.connected(this.now));
  }

  /** Starts a second replica by a name that lives. */
  startDuplicate(name: string): void {
    const first = this.life(name);
    this.lives.delete(name);
    const duplicate = this.start(name);
    this.lives.delete(name);
    this.lives.set(name, first);
    this.duplicate = duplicate;
    this.#do(duplicate, [["broadcast", { kind: "hello", ref: duplicate.core.ref }]]);
  }

  restart(name: string, options: { readonly wall?: number } = {}): Life {
    this.life(name).alive = false;
    return this.start(name, options);
  }

  freeze(name: string): void {
    this.#note(`freeze ${name}`);
    this.life(name).frozen = true;
  }

  thaw(name: string): void {
    this.#note(`thaw ${name}`);
    const life = this.life(name);
    life.frozen = false;
    for (const { wire } of life.inbox.splice(0)) this.#receive(life, wire);
  }

  // ---------------------------------------------------------------- the network

  /** Nothing gets from one to the other; both ways unless `oneWay`. */
  cut(from: string, to: string, oneWay = false): void {
    this.#note(`cut ${from} ${to}${oneWay ? " one way" : ""}`);
    this.#cut.add(`${from} ${to}`);
    if (!oneWay) this.#cut.add(`${to} ${from}`);
  }

  heal(): void {
    this.#note("heal");
    this.#cut.clear();
  }

  /** Cuts each of one side from each of the other. */
  partition(one: readonly string[], other: readonly string[]): void {
    for (const a of one) for (const b of other) this.cut(a, b);
  }

  // ---------------------------------------------------------------- what processes do

  join(at: string, topic: string, pid: string, key = pid): string {
    const life = this.life(at);
    const meta = { phx_ref: this.#ref() };
    const wall = 1e12 + this.now + life.wallOffset;
    const effects = life.core.join(topic, pid, key, meta, this.now, wall);
    if (effects === undefined) return "already";
    this.#note(`join ${at} ${topic} ${pid} ${key} ${meta.phx_ref}`);
    this.#do(life, effects);
    return meta.phx_ref;
  }

  update(at: string, topic: string, pid: string, key = pid): string {
    const life = this.life(at);
    const before = life.core.own.get(topic, pid, key);
    if (before === undefined) return "absent";
    const meta = { phx_ref: this.#ref(), phx_ref_prev: before.meta.phx_ref };
    this.#note(`update ${at} ${topic} ${pid} ${key} ${meta.phx_ref}`);
    this.#do(life, life.core.update(topic, pid, key, meta, this.now) ?? []);
    return meta.phx_ref;
  }

  leave(at: string, topic: string, pid: string, key = pid): void {
    this.#note(`leave ${at} ${topic} ${pid} ${key}`);
    const life = this.life(at);
    this.#do(life, life.core.leave(topic, pid, key, this.now));
  }

  /** The end of a process. */
  die(at: string, pid: string): void {
    this.#note(`die ${at} ${pid}`);
    const life = this.life(at);
    this.#do(life, life.core.leaveAll(pid, this.now));
  }

  // ---------------------------------------------------------------- time

  /** Lets this many virtual ms pass. */
  run(ms: number): void {
    const until = this.now + ms;
    for (;;) {
      const flight = this.#flights[0];
      let due = flight?.due ?? Number.POSITIVE_INFINITY;
      let waking: Life | undefined;
      for (const life of [
        ...this.lives.values(),
        ...(this.duplicate === undefined ? [] : [this.duplicate]),
      ]) {
        if (!life.alive || life.frozen) continue;
        const at = Math.max(this.now, life.core.deadline);
        if (at < due) {
          due = at;
          waking = life;
        }
      }
      if (due > until) break;
      this.now = Math.max(this.now, due);
      if (waking !== undefined) this.#do(waking, waking.core.wake(this.now));
      else this.#land();
    }
    this.now = until;
  }

  /**
   * Long enough for everyone to agree: an idle heartbeat, two samples and the messages they cause.
   */
  quiet(): void {
    this.heal();
    this.loss = 0;
    this.twice = 0;
    this.drop = () => false;
    this.delay = () => 0;
    this.run(this.settings.idleInterval + 2 * this.settings.samplePeriod + 10 * this.latency[1]);
  }

  // ---------------------------------------------------------------- what is seen

  topicsOf(name: string): string[] {
    const { core } = this.life(name);
    const topics = new Set([...core.own.topics(), ...this.life(name).folded.keys()]);
    return [...topics].sort();
  }

  /** What a replica lists: keys and refs, in order. */
  list(name: string, topic = "room"): string[] {
    return this.core(name)
      .view.entries(topic)
      .map(({ key, meta }) => `${key} ${meta.phx_ref}`);
  }

  keys(name: string, topic = "room"): string[] {
    return [
      ...new Set(
        this.core(name)
          .view.entries(topic)
          .map(({ key }) => key),
      ),
    ].sort();
  }

  /** Everything a replica lists, on all topics. */
  everything(name: string): Record<string, string[]> {
    const lists = this.topicsOf(name).map((topic) => [topic, this.list(name, topic)] as const);
    return Object.fromEntries(lists.filter(([, entries]) => entries.length > 0));
  }

  /** What is really there: the entries of all living replicas. */
  truth(): string[] {
    return this.living
      .filter(({ core }) => !core.fenced)
      .flatMap(({ core }) =>
        [...core.own.entries()].map(({ topic, key, meta }) => `${topic} ${key} ${meta.phx_ref}`),
      )
      .sort();
  }

  stats(name: string): CoreStats {
    return this.core(name).stats(this.now);
  }

  messages(kind: Message["kind"], since = 0): { at: number; from: string; to: string; message: Message }[] {
    return this.sent.filter(({ message, at }) => message.kind === kind && at >= since);
  }

  /** Throws unless all living replicas list the same, and their browsers agree with them. */
  checkAgreement(): void {
    const truth = this.truth();
    for (const life of this.living) {
      const { name } = life;
      const listed = Object.entries(this.everything(name))
        .flatMap(([topic, entries]) => entries.map((entry) => `${topic} ${entry}`))
        .sort();
      if (JSON.stringify(listed) !== JSON.stringify(truth))
        throw new Error(`${name} lists ${JSON.stringify(listed)}, true is ${JSON.stringify(truth)}`);
      this.#checkFold(life);
    }
    const [first, ...others] = this.living;
    for (const other of others) {
      const [a, b] = [this.everything((first as Life).name), this.everything(other.name)].map((lists) =>
        JSON.stringify(lists),
      );
      if (a !== b)
        throw new Error(`${(first as Life).name} and ${other.name} list in different orders: ${a} ${b}`);
    }
  }

  /**
   * Throws unless all living replicas list each other's entries; those of the dead may still be
   * there.
   */
  checkTheLiving(): void {
    const truth = new Set(this.truth());
    const live = new Set(this.living.map(({ core }) => core.ref.incarnation));
    for (const { name, core } of this.living) {
      const listed = Object.entries(this.everything(name)).flatMap(([topic, entries]) =>
        entries.map((entry) => `${topic} ${entry}`),
      );
      const missing = [...truth].filter((entry) => !listed.includes(entry));
      if (missing.length > 0) throw new Error(`${name} lacks ${missing}`);
      const dead = [...core.replicas.byName.values()].filter(({ ref }) => !live.has(ref.incarnation));
      if (dead.length === 0 && listed.length !== truth.size)
        throw new Error(`${name} lists ghosts: ${listed}`);
    }
  }

  /** A browser joins the topic: it gets the state now, and every diff from now on. */
  browse(name: string, topic: string): void {
    const life = this.life(name);
    const entries = life.core.view.entries(topic).map(({ key, meta }) => [key, meta] as const);
    const before = life.browser.get(topic) ?? Object.create(null);
    const state = PhoenixPresence.syncState(before as never, structuredClone(groupByKey(entries)) as never);
    life.browser.set(topic, state as object);
  }

  // ---------------------------------------------------------------- inside

  #ref(): string {
    const ref = `r${String(this.#nextRef).padStart(6, "0")}`;
    this.#nextRef += 1;
    return ref;
  }

  #note(what: string): void {
    this.trace.push(`${Math.round(this.now)} ${what}`);
  }

  #do(life: Life, effects: readonly Effect[]): void {
    for (const effect of effects) {
      switch (effect[0]) {
        case "broadcast":
          for (const { name } of this.lives.values())
            if (name !== life.name) this.#send(life.name, name, effect[1], 0);
          // A duplicate by the same name receives it too.
          if (this.duplicate !== undefined && life.name === this.duplicate.name)
            this.#toDuplicate(life, effect[1]);
          break;
        case "direct":
          this.#send(life.name, effect[1].name, effect[2], effect[3]);
          break;
        case "diff":
          this.#tell(life, effect[1]);
          break;
        case "replica":
          life.events.push([this.now, effect[1], refOf(effect[2])]);
          this.#note(`${life.name}: ${effect[1]} ${refOf(effect[2])}`);
          break;
        case "conflict":
        case "diverged":
          life.events.push([this.now, effect[0], refOf(effect[1])]);
          this.#note(`${life.name}: ${effect[0]} ${refOf(effect[1])}`);
          break;
        case "transfer":
          break;
      }
    }
  }

  /** A second life by a name that lives: set by scenarios of two nodes with one name. */
  duplicate: Life | undefined;

  #toDuplicate(from: Life, message: Message): void {
    const other = from === this.duplicate ? this.life(from.name) : (this.duplicate as Life);
    this.#flights.push({
      due: this.now + this.latency[0],
      sequence: this.#sequence++,
      from: from.name,
      to: other === this.duplicate ? "duplicate" : from.name,
      wire: encode("presence", message),
    });
    this.#flights.sort(byDue);
  }

  #send(from: string, to: string, message: Message, after: number): void {
    if (this.#keepSent) this.sent.push({ at: this.now + after, from, to, message });
    const lost =
      this.#cut.has(`${from} ${to}`) || this.random.chance(this.loss) || this.drop(message, from, to);
    if (lost) return;
    const copies = this.random.chance(this.twice) ? 2 : 1;
    const [least, most] = this.latency;
    for (let copy = 0; copy < copies; copy += 1) {
      const due =
        this.now + after + least + this.random.below(most - least + 1) + this.delay(message, from, to);
      const flight = { due, sequence: this.#sequence++, from, to, wire: encode("presence", message) };
      let index = this.#flights.length;
      while (index > 0 && byDue(flight, this.#flights[index - 1] as Flight) < 0) index -= 1;
      this.#flights.splice(index, 0, flight);
    }
  }

  #land(): void {
    const flight = this.#flights.shift() as Flight;
    const life = flight.to === "duplicate" ? this.duplicate : this.lives.get(flight.to);
    if (life === undefined || !life.alive) return;
    if (life.frozen) life.inbox.push(flight);
    else this.#receive(life, flight.wire);
  }

  #receive(life: Life, wire: unknown): void {
    this.#do(life, life.core.receive(decode("presence", wire), this.now));
  }

  /** Hands a replica a message, who sent it. */
  inject(name: string, message: Message): void {
    this.#receive(this.life(name), encode("presence", message));
  }

  #tell(life: Life, diff: Diff): void {
    for (const [topic, { joins, leaves }] of diff) {
      if (joins.length + leaves.length === 0)
        throw new Error(`${life.name} notified an empty diff of ${topic}`);
      let folded = life.folded.get(topic);
      if (folded === undefined) {
        folded = new Map();
        life.folded.set(topic, folded);
      }
      for (const [key, { phx_ref }] of leaves)
        if (folded.get(phx_ref) !== key || !folded.delete(phx_ref))
          throw new Error(`${life.name} notified that ${key} ${phx_ref} left, which was not there`);
      for (const [key, { phx_ref }] of joins) {
        if (folded.has(phx_ref)) throw new Error(`${life.name} notified twice that ${key} ${phx_ref} joined`);
        folded.set(phx_ref, key);
      }
      life.notified.push({
        at: this.now,
        topic,
        joins: joins.map(([key]) => key),
        leaves: leaves.map(([key]) => key),
        refs: joins.map(([, { phx_ref }]) => phx_ref),
      });
      const browser = life.browser.get(topic);
      if (browser !== undefined) {
        const payload = structuredClone({ joins: groupByKey(joins), leaves: groupByKey(leaves) });
        life.browser.set(topic, PhoenixPresence.syncDiff(browser as never, payload as never) as object);
      }
    }
  }

  #checkFold({ name, folded, browser, core }: Life): void {
    for (const [topic, entries] of folded) {
      const byDiffs = [...entries].map(([ref, key]) => `${key} ${ref}`).sort();
      const listed = this.list(name, topic).toSorted();
      if (JSON.stringify(byDiffs) !== JSON.stringify(listed))
        throw new Error(`the diffs of ${name} give ${byDiffs} on ${topic}, listed is ${listed}`);
    }
    for (const [topic, state] of browser) {
      const shown = Object.entries(state as Record<string, { metas: { phx_ref: string }[] }>)
        .flatMap(([key, { metas }]) => metas.map(({ phx_ref }) => `${key} ${phx_ref}`))
        .sort();
      const listed = core.view
        .entries(topic)
        .map(({ key, meta }) => `${key} ${meta.phx_ref}`)
        .sort();
      if (JSON.stringify(shown) !== JSON.stringify(listed))
        throw new Error(`the browser of ${name} shows ${shown} on ${topic}, listed is ${listed}`);
    }
  }
}

const byDue = (a: Flight, b: Flight): number => a.due - b.due || a.sequence - b.sequence;

const refOf = ({ name, incarnation }: ReplicaRef): string => `${name} ${incarnation}`;
