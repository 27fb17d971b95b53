/**
 * The tracker without its process: takes events and the time, gives what is to be done. No timers,
 * no randomness, no network: the same events at the same times have the same effects, which is what
 * the simulation checks.
 *
 * Its own entries live in `LocalReplica`; of each other replica it keeps an `RemoteReplica`;
 * `Replicas` says who is alive, and the `View` what is therefore visible. Everybody tells only of
 * himself, so whoever is behind asks the replica it is behind of, and an answer can never be staler
 * than what that replica said before.
 *
 * Own changes are told `flushAfter` ms after the first of them; who has nothing to tell sends a
 * heartbeat each `idleInterval`. Call `wake` at `deadline`.
 */
import { behind, type RefText, type ReplicaRef, refText, sameRef } from "./clock.js";
import { type Delta, type Meta, type Row, splitDelta } from "./delta.js";
import { DeltaLog } from "./delta-log.js";
import { LocalReplica } from "./local-replica.js";
import type { Answer, Heartbeat, Message, Request } from "./message.js";
import type { Settings } from "./options.js";
import { RemoteReplica, type Step } from "./remote-replica.js";
import {
  excuse,
  heard,
  isOver,
  judge,
  noReplicas,
  type Outcome,
  type Replicas,
  restored,
  saidGoodbye,
} from "./replica.js";
import { answerParts, BYTES_PER_MS } from "./transfer.js";
import { type Diff, View } from "./view.js";

export type ReplicaEvent = "replica_up" | "replica_down" | "replica_permdown";

export type Effect =
  /** To all other nodes. */
  | readonly ["broadcast", Message]
  /** To the node of one replica, `after` ms from now. */
  | readonly ["direct", to: ReplicaRef, message: Message, after: number]
  | readonly ["diff", Diff]
  | readonly ["replica", ReplicaEvent, ReplicaRef]
  /**
   * Another replica with the same name has been there for longer: this one keeps silent from now
   * on.
   */
  | readonly ["conflict", ReplicaRef]
  /** Clocks agreed and entries did not: everything is asked for again. */
  | readonly ["diverged", ReplicaRef]
  | readonly ["transfer", what: "asked" | "delta" | "full" | "empty", ReplicaRef];

export interface CoreOptions {
  readonly ref: ReplicaRef;
  readonly settings: Settings;
  /** Whether this replica keeps the entries of a topic: whether it owns its slot. */
  readonly owns: (topic: string) => boolean;
  /** The same for a slot. */
  readonly ownsSlot: (slot: number) => boolean;
  /** False when there are no other nodes: nothing is told, nothing kept to be told. */
  readonly replicated?: boolean;
  /** Number before the first change. Default 0. */
  readonly version?: number;
}

interface Peer {
  readonly ref: ReplicaRef;
  readonly origin: RemoteReplica;
  /** What it said its own clock is. */
  announced: number;
  /** What it has seen of this replica. */
  confirmed: number;
  /** When to ask it for what is missing. */
  askAt: number | undefined;
  /** Ask even when nothing is known to be missing; `full` for everything. */
  force: "no" | "missing" | "full";
  asked: { readonly id: number; at: number; readonly parts: Map<number, Answer> } | undefined;
  /** Until when an answer to it is under way. */
  busyUntil: number;
}

/** How long a gap may close by itself, by a message that was overtaken. */
const GAP_PATIENCE_MS = 50;
/** Changes of one delta; larger ones go out in several. */
const DELTA_CHANGES = 1000;
/** Kept deltas of one replica. */
const KEPT_BYTES = 8 * 1024 * 1024;
/** Replicas are told what they should have at least so often, busy or not. */
const DIGEST_INTERVAL_MS = 30_000;
/** Before this many changes a new incarnation begins: numbers beyond 2^53 are not exact. */
const LAST_VERSION = Number.MAX_SAFE_INTEGER - 1_000_000;

export class TrackerCore {
  readonly view = new View();
  readonly own: LocalReplica;
  readonly #settings: Settings;
  readonly #options: CoreOptions;
  readonly #replicated: boolean;
  readonly #peers = new Map<RefText, Peer>();
  readonly #log: DeltaLog;
  #ref: ReplicaRef;
  #replicas: Replicas = noReplicas;
  #effects: Effect[] = [];
  #startedAt = 0;
  #tickAt = Number.POSITIVE_INFINITY;
  #flushAt = Number.POSITIVE_INFINITY;
  #lastSpoke = Number.NEGATIVE_INFINITY;
  #lastDigest = Number.NEGATIVE_INFINITY;
  #sampleAt = 0;
  #nextRequest = 1;
  /** Its name is free as far as anybody said, and the others have heard of it. */
  #announced = false;
  /** Something of the others was seen that they have not been told is seen. */
  #unconfirmed = false;
  #muted = false;

  constructor(options: CoreOptions) {
    this.#options = options;
    this.#settings = options.settings;
    this.#ref = options.ref;
    this.#replicated = options.replicated ?? true;
    this.own = new LocalReplica(options.version ?? 0);
    this.#log = new DeltaLog({ maxChanges: this.#settings.maxKept, maxBytes: KEPT_BYTES }, this.own.told);
  }

  get ref(): ReplicaRef {
    return this.#ref;
  }

  /** Whether an older replica holds the name. */
  get muted(): boolean {
    return this.#muted;
  }

  /** Others that are known, and whether they are up. */
  get replicas(): Replicas {
    return this.#replicas;
  }

  /** When `wake` is to be called next. */
  get deadline(): number {
    let next = Math.min(this.#tickAt, this.#flushAt);
    for (const { askAt } of this.#peers.values()) if (askAt !== undefined && askAt < next) next = askAt;
    return next;
  }

  // ---------------------------------------------------------------- local changes

  /** Begins: asks whether the name is free, and ticks for the first time after `wait` ms. */
  start(now: number, wait: number): readonly Effect[] {
    this.#startedAt = now;
    if (!this.#replicated) return [];
    this.#tickAt = now + wait;
    this.#sampleAt = now + this.#settings.samplePeriod;
    return this.#done(() => this.#say({ kind: "hello", ref: this.#ref }));
  }

  /** Undefined when the process is tracked under that topic and key already. */
  join(
    topic: string,
    pid: string,
    key: string,
    meta: Meta,
    now: number,
    wall: number,
  ): readonly Effect[] | undefined {
    const step = this.own.join(topic, pid, key, meta, wall);
    return step && this.#ownChange([step], now);
  }

  update(topic: string, pid: string, key: string, meta: Meta, now: number): readonly Effect[] | undefined {
    const step = this.own.update(topic, pid, key, meta);
    return step && this.#ownChange([step], now);
  }

  leave(topic: string, pid: string, key: string, now: number): readonly Effect[] {
    const step = this.own.leave(topic, pid, key);
    return step === undefined ? [] : this.#ownChange([step], now);
  }

  leaveAll(pid: string, now: number): readonly Effect[] {
    const steps = this.own.leaveAll(pid);
    return steps.length === 0 ? [] : this.#ownChange(steps, now);
  }

  /** Says goodbye for good; the last that is said. */
  goodbye(now: number): readonly Effect[] {
    return this.#done(() => {
      if (!this.#replicated || this.#muted) return;
      this.#tell(now);
      this.#say({ kind: "goodbye", ref: this.#ref, restores: undefined });
      this.#muted = true;
      this.#tickAt = this.#flushAt = Number.POSITIVE_INFINITY;
    });
  }

  /** Tells the changes that wait to be told. */
  flush(now: number): readonly Effect[] {
    return this.#done(() => {
      if (this.#replicated && !this.#muted) this.#tell(now);
    });
  }

  /** Says goodbye for another replica, whose end is certain: a thread of the same node. */
  goodbyeFor(ref: ReplicaRef): readonly Effect[] {
    return this.#done(() => this.#say({ kind: "goodbye", ref, restores: undefined }));
  }

  // ---------------------------------------------------------------- time

  wake(now: number): readonly Effect[] {
    return this.#done(() => {
      if (this.#muted || !this.#replicated) return;
      if (now >= this.#flushAt) this.#tell(now);
      for (const peer of this.#peers.values()) {
        if (peer.askAt !== undefined && now >= peer.askAt) {
          peer.askAt = undefined;
          this.#ask(peer, now);
        }
      }
      if (now >= this.#tickAt) this.#tick(now);
    });
  }

  #tick(now: number): void {
    const { broadcastPeriod, idleInterval, samplePeriod } = this.#settings;
    const late = now - this.#tickAt;
    if (late > 2 * broadcastPeriod)
      this.#replicas = excuse(this.#replicas, now, late, idleInterval, this.#settings);
    this.#announced = true;
    this.#tell(now);
    // A tick may come a little early or late; half a period decides which of two ticks is meant.
    const idle = now + broadcastPeriod / 2 > this.#lastSpoke + idleInterval;
    if (idle || this.#unconfirmed || this.#awaitsConfirmation()) this.#heartbeat(undefined, now);
    if (now >= this.#sampleAt) {
      this.#sampleAt = now + samplePeriod;
      for (const text of behind(this.clock, this.#announcedClock()))
        this.#ask(this.#peers.get(text) as Peer, now);
    }
    this.#live(judge(this.#replicas, now, this.#settings));
    this.#tickAt = now + broadcastPeriod;
  }

  // ---------------------------------------------------------------- the others

  /** Takes a message of another replica. */
  receive(message: Message, now: number): readonly Effect[] {
    return this.#done(() => {
      if (this.#muted || !this.#replicated) return;
      const { ref } = message;
      if (sameRef(ref, this.#ref)) return;
      if (ref.name === this.#ref.name) {
        this.#namesake(message, now);
        return;
      }
      switch (message.kind) {
        case "hello":
          // It knows nobody yet: it need not wait for the next heartbeat.
          if (!isOver(this.#replicas, ref)) this.#heartbeat(ref, now);
          return;
        case "heartbeat":
          this.#heartbeatFrom(message, now);
          return;
        case "request":
          if (sameRef(message.to, this.#ref)) this.#answer(message, now);
          return;
        case "answer":
          if (sameRef(message.to, this.#ref)) this.#answered(message, now);
          return;
        case "goodbye":
          this.#live(saidGoodbye(this.#replicas, ref, now, this.#settings));
          if (message.restores !== undefined)
            this.#replicas = restored(this.#replicas, { name: ref.name, incarnation: message.restores });
          return;
        case "taken":
          return;
      }
    });
  }

  /** The transport lost something from that node: whoever is there is asked at once. */
  gap(isFrom: (ref: ReplicaRef) => boolean, now: number): void {
    for (const peer of this.#peers.values()) {
      if (!isFrom(peer.ref)) continue;
      if (peer.force === "no") peer.force = "missing";
      peer.askAt = Math.min(peer.askAt ?? Number.POSITIVE_INFINITY, now + GAP_PATIENCE_MS);
    }
  }

  /**
   * Topics have moved between the threads of this node. What was known of the others on topics that
   * are gone is forgotten, unseen: nobody here looks at them any more; for those that came,
   * everybody is asked for all they have.
   */
  reassigned(gained: boolean, now: number): readonly Effect[] {
    return this.#done(() => {
      for (const peer of this.#peers.values()) {
        const lost = peer.origin.keep(this.#options.owns);
        if (this.#isUp(peer)) this.view.take(lost);
        if (!gained) continue;
        peer.force = "full";
        peer.asked = undefined;
        peer.askAt = now;
      }
    });
  }

  /** The transport works again: everybody is told at once that this replica is here. */
  connected(now: number): readonly Effect[] {
    return this.#done(() => {
      if (this.#muted || !this.#replicated) return;
      this.#tell(now);
      // What it said at its start may have been lost: it need not wait for the heartbeats of the
      // others.
      if (this.#peers.size === 0) this.#say({ kind: "hello", ref: this.#ref });
      this.#heartbeat(undefined, now);
    });
  }

  #heartbeatFrom(message: Heartbeat, now: number): void {
    const { ref, clock, delta, seen, digest } = message;
    this.#live(heard(this.#replicas, ref, now, this.#settings), now);
    if (isOver(this.#replicas, ref)) return;
    const peer = this.#peers.get(refText(ref)) as Peer;
    for (const [of] of seen) if (this.#isPastSelf(of)) this.#correct(ref, of);
    const { version } = peer.origin;
    if (delta !== undefined) this.#show(peer, peer.origin.apply(this.#mine(delta)), version);
    peer.announced = Math.max(peer.announced, clock, delta?.to ?? 0);
    const confirmed = seen.find(([of]) => sameRef(of, this.#ref));
    if (confirmed !== undefined) {
      peer.confirmed = Math.max(peer.confirmed, confirmed[1]);
      this.#forgetConfirmed();
    }
    if (this.#lacks(peer)) peer.askAt ??= now + GAP_PATIENCE_MS;
    else if (digest !== undefined && !peer.origin.gapped && peer.origin.version === clock) {
      if (this.#differs(peer.origin, digest)) {
        this.#effects.push(["diverged", ref]);
        peer.force = "full";
        peer.askAt = now;
      }
    }
  }

  #differs(origin: RemoteReplica, digest: NonNullable<Heartbeat["digest"]>): boolean {
    const theirs = new Map(digest);
    const slots = new Set([...theirs.keys(), ...origin.digest.entries().map(([slot]) => slot)]);
    for (const slot of slots) {
      if (this.#options.ownsSlot(slot) && origin.digest.of(slot) !== (theirs.get(slot) ?? 0)) return true;
    }
    return false;
  }

  /** Another one by the name of this replica: who has been there for longer stays. */
  #namesake(message: Message, now: number): void {
    const age = now - this.#startedAt;
    if (message.kind === "taken") {
      const older =
        message.age > age || (message.age === age && message.ref.incarnation < this.#ref.incarnation);
      if (message.against !== this.#ref.incarnation || !older) return;
      this.#say({ kind: "goodbye", ref: this.#ref, restores: message.ref.incarnation });
      this.#muted = true;
      this.#tickAt = this.#flushAt = Number.POSITIVE_INFINITY;
      this.#effects.push(["conflict", message.ref]);
    } else if (message.kind === "hello" || message.kind === "heartbeat") {
      this.#say({ kind: "taken", ref: this.#ref, against: message.ref.incarnation, age });
    } else if (message.kind === "goodbye" && message.restores === this.#ref.incarnation) {
      // The others took the newer one for this replica's next life: tell them that this one goes
      // on.
      this.#heartbeat(undefined, now);
    }
  }

  #isPastSelf({ name, incarnation }: ReplicaRef): boolean {
    return name === this.#ref.name && incarnation !== this.#ref.incarnation;
  }

  /**
   * `peer` takes an earlier life of this replica for the present one: messages had overtaken each
   * other.
   */
  #correct(peer: ReplicaRef, past: ReplicaRef): void {
    if (!this.#announced) return;
    const goodbye: Message = { kind: "goodbye", ref: past, restores: this.#ref.incarnation };
    const pulse = this.#pulse(undefined, this.own.told);
    // One after the other: the goodbye must be there first.
    this.#effects.push(["direct", peer, goodbye, 0], ["direct", peer, pulse, GAP_PATIENCE_MS]);
  }

  #live([replicas, changes]: Outcome, now = 0): void {
    this.#replicas = replicas;
    for (const [what, ref] of changes) {
      const text = refText(ref);
      const peer = this.#peers.get(text);
      if (what === "up") {
        this.#effects.push(["replica", "replica_up", ref]);
        if (peer === undefined) {
          this.#peers.set(text, {
            ref,
            origin: new RemoteReplica(),
            announced: 0,
            confirmed: 0,
            askAt: undefined,
            force: "no",
            asked: undefined,
            busyUntil: 0,
          });
        } else {
          this.#diff([...peer.origin.rows()].map((after) => ({ before: undefined, after })));
        }
        // It may not know this replica either.
        this.#heartbeat(ref, now);
      } else if (what === "down") {
        this.#effects.push(["replica", "replica_down", ref]);
        if (peer !== undefined)
          this.#diff([...peer.origin.rows()].map((before) => ({ before, after: undefined })));
      } else {
        this.#effects.push(["replica", "replica_permdown", ref]);
        this.#peers.delete(text);
        this.#forgetConfirmed();
      }
    }
  }

  // ---------------------------------------------------------------- what is missing

  /** What is known of each replica, without gaps. Of replicas that are down nothing is said. */
  get clock(): ReadonlyMap<RefText, number> {
    const clock = new Map([[refText(this.#ref), this.own.told]]);
    for (const [text, peer] of this.#peers) if (this.#isUp(peer)) clock.set(text, peer.origin.version);
    return clock;
  }

  /** What each replica that is up said of itself. */
  #announcedClock(): ReadonlyMap<RefText, number> {
    const clock = new Map<RefText, number>();
    for (const [text, peer] of this.#peers)
      if (this.#isUp(peer)) clock.set(text, Math.max(peer.announced, peer.origin.latest));
    return clock;
  }

  #lacks({ origin, announced }: Peer): boolean {
    return Math.max(announced, origin.latest) > origin.version;
  }

  /** Whether some replica that is up has not said yet that it knows the latest. */
  #awaitsConfirmation(): boolean {
    for (const peer of this.#peers.values())
      if (peer.confirmed < this.own.told && this.#isUp(peer)) return true;
    return false;
  }

  #ask(peer: Peer, now: number): void {
    const { asked, origin, force } = peer;
    if (!this.#isUp(peer) || (force === "no" && !this.#lacks(peer))) return;
    if (asked !== undefined && now - asked.at < 2 * this.#settings.samplePeriod) return;
    const id = this.#nextRequest;
    this.#nextRequest += 1;
    peer.asked = { id, at: now, parts: new Map() };
    peer.force = "no";
    const full = force === "full";
    const request: Request = {
      kind: "request",
      ref: this.#ref,
      to: peer.ref,
      id,
      since: origin.version,
      full,
    };
    this.#effects.push(["transfer", "asked", peer.ref], ["direct", peer.ref, request, 0]);
  }

  #answer({ ref, id, since, full }: Request, now: number): void {
    const peer = this.#peers.get(refText(ref));
    if (peer !== undefined && now < peer.busyUntil) return;
    this.#tell(now);
    const version = this.own.told;
    const missed = full ? undefined : since >= version ? { changes: [] } : this.#log.since(since);
    // Never more than the whole.
    const isDelta = missed !== undefined && missed.changes.length <= this.own.size + 1;
    const changes = isDelta ? missed.changes : [...this.own.rows()];
    const kind = isDelta ? (changes.length === 0 ? "empty" : "delta") : "full";
    this.#effects.push(["transfer", kind, ref]);
    const common = {
      ref: this.#ref,
      to: ref,
      id,
      since: isDelta ? Math.min(since, version) : undefined,
      version,
    };
    let after = 0;
    for (const { answer, bytes } of answerParts(common, changes)) {
      this.#effects.push(["direct", ref, answer, after]);
      after += bytes / BYTES_PER_MS;
    }
    if (peer !== undefined) peer.busyUntil = now + after;
  }

  #answered(answer: Answer, now: number): void {
    const peer = this.#peers.get(refText(answer.ref));
    if (peer?.asked?.id !== answer.id) return;
    peer.asked.parts.set(answer.part, answer);
    peer.asked.at = now;
    if (peer.asked.parts.size < answer.parts) return;
    const { parts } = peer.asked;
    peer.asked = undefined;
    const all = [...parts.values()].flatMap(({ changes }) => changes);
    const { since, version } = answer;
    const before = peer.origin.version;
    const changes = all.filter(({ topic }) => this.#options.owns(topic));
    this.#show(
      peer,
      since === undefined
        ? peer.origin.replace({ version, rows: changes as Row[] })
        : peer.origin.apply({ from: since, to: version, changes }),
      before,
    );
    peer.announced = Math.max(peer.announced, version);
    if (this.#lacks(peer)) peer.askAt = now + GAP_PATIENCE_MS;
  }

  #mine(delta: Delta): Delta {
    const changes = delta.changes.filter(({ topic }) => this.#options.owns(topic));
    return changes.length === delta.changes.length ? delta : { ...delta, changes };
  }

  #forgetConfirmed(): void {
    let byAll = this.own.told;
    for (const { confirmed } of this.#peers.values()) byAll = Math.min(byAll, confirmed);
    this.#log.confirmed(byAll);
  }

  // ---------------------------------------------------------------- what is said

  /** Tells the others what is new. */
  #tell(now: number): void {
    if (!this.#announced) return;
    this.#flushAt = Number.POSITIVE_INFINITY;
    const delta = this.own.tell();
    if (delta === undefined) return;
    for (const part of splitDelta(delta, DELTA_CHANGES)) {
      // Who is not there needs no journal: it will ask for everything.
      this.#log.add(part, now);
      this.#speak(part, now, part.to);
    }
    if (this.#peers.size === 0) this.#log.confirmed(this.own.told);
  }

  #heartbeat(to: ReplicaRef | undefined, now: number): void {
    if (!this.#announced) return;
    if (to === undefined) this.#speak(undefined, now, this.own.told);
    else this.#effects.push(["direct", to, this.#pulse(undefined, this.own.told), 0]);
  }

  #speak(delta: Delta | undefined, now: number, clock: number): void {
    this.#lastSpoke = now;
    if (delta === undefined) this.#unconfirmed = false;
    const interval = delta === undefined ? this.#settings.idleInterval / 2 : DIGEST_INTERVAL_MS;
    const withDigest = clock === this.own.version && now >= this.#lastDigest + interval;
    if (withDigest) this.#lastDigest = now;
    this.#say(this.#pulse(delta, clock, withDigest));
  }

  #pulse(delta: Delta | undefined, clock: number, withDigest = false): Heartbeat {
    const seen = [...this.#peers.values()]
      .filter((peer) => this.#isUp(peer))
      .map(({ ref, origin }) => [ref, origin.version] as const);
    return {
      kind: "heartbeat",
      ref: this.#ref,
      clock,
      delta,
      seen: delta === undefined ? seen : [],
      digest: withDigest ? this.own.digest.entries() : undefined,
    };
  }

  #say(message: Message): void {
    this.#effects.push(["broadcast", message]);
  }

  // ---------------------------------------------------------------- helpers

  #ownChange(steps: readonly Step[], now: number): readonly Effect[] {
    return this.#done(() => {
      this.#diff(steps);
      if (!this.#replicated || this.#muted) {
        this.own.tell();
        return;
      }
      if (this.own.version > LAST_VERSION) this.#renew(now);
      if (!this.own.pending) return;
      const first = this.#announced ? now : this.#tickAt;
      this.#flushAt = Math.min(this.#flushAt, Math.max(first, now + this.#settings.flushAfter));
    });
  }

  /** A new incarnation that has all the entries of this one. */
  #renew(now: number): void {
    this.#say({ kind: "goodbye", ref: this.#ref, restores: undefined });
    const [, lives = "0"] = /~(\d+)$/.exec(this.#ref.incarnation) ?? [];
    const incarnation = `${this.#ref.incarnation.replace(/~\d+$/, "")}~${Number(lives) + 1}`;
    this.#ref = { name: this.#ref.name, incarnation };
    this.own.renumber();
    this.#tell(now);
  }

  #show(peer: Peer, steps: readonly Step[], versionBefore: number): void {
    if (peer.origin.version > versionBefore) this.#unconfirmed = true;
    // What is hidden changes unseen.
    if (this.#isUp(peer)) this.#diff(steps);
  }

  #diff(steps: readonly Step[]): void {
    if (steps.length > 0) this.#effects.push(["diff", this.view.take(steps)]);
  }

  #isUp({ ref }: Peer): boolean {
    const known = this.#replicas.byName.get(ref.name);
    return known !== undefined && known.status === "up" && sameRef(known.ref, ref);
  }

  #done(work: () => void): readonly Effect[] {
    work();
    const effects = this.#effects;
    this.#effects = [];
    return effects;
  }

  // ---------------------------------------------------------------- to look at

  stats(now: number): CoreStats {
    let up = 0;
    for (const { status } of this.#replicas.byName.values()) up += status === "up" ? 1 : 0;
    let oldest: number | undefined;
    for (const peer of this.#peers.values()) {
      const at = this.#isUp(peer) ? this.#log.addedAfter(peer.confirmed) : undefined;
      if (at !== undefined) oldest = Math.min(oldest ?? at, at);
    }
    let residue = 0;
    let remote = 0;
    for (const { origin } of this.#peers.values()) {
      residue += origin.residue;
      remote += origin.size;
    }
    return {
      entries: this.own.size,
      remoteEntries: remote,
      topics: this.view.topics,
      processes: this.own.processes,
      replicasUp: up,
      replicasDown: this.#replicas.byName.size - up,
      over: this.#replicas.over.size,
      keptChanges: this.#log.size,
      residue,
      lagMs: oldest === undefined ? 0 : now - oldest,
      muted: this.#muted,
    };
  }
}

export interface CoreStats {
  /** Entries of this replica's processes. */
  readonly entries: number;
  readonly remoteEntries: number;
  readonly topics: number;
  readonly processes: number;
  readonly replicasUp: number;
  readonly replicasDown: number;
  /** Incarnations remembered as over. */
  readonly over: number;
  /** Own changes kept to be told again. */
  readonly keptChanges: number;
  /** Causal data kept beside the entries of others. */
  readonly residue: number;
  /** Age of the oldest own change that some replica that is up has not confirmed. */
  readonly lagMs: number;
  /** Whether an older replica holds the name. */
  readonly muted: boolean;
}
