/**
 * TrackerCore is the replication protocol of a tracker without its process (Phoenix.Tracker.State
 * and Shard). It takes events with the time, and returns effects. It has no timers, randomness or
 * network: the same events at the same times have the same effects, which the simulation checks.
 *
 * `LocalReplica` holds its own entries, a `RemoteReplica` those of each other replica; `Replicas`
 * says which of them are up, and the `View` what is therefore visible. Each replica publishes only
 * its own changes. A replica that lacks some asks the one that made them, so an answer is never
 * older than that replica's last heartbeat.
 *
 * Changes are published `flushAfter` ms after the first of them; without changes a replica sends a
 * heartbeat each `idleInterval`. The caller calls `wake` at `deadline`.
 *
 * It is one concept in one file: each part reads and changes the same table of peers.
 */
import { behind, type RefText, type ReplicaRef, refText, sameRef } from "./clock.js";
import { type Delta, type Entry, type Meta, splitDelta } from "./delta.js";
import { DeltaLog } from "./delta-log.js";
import { LocalReplica } from "./local-replica.js";
import type { Heartbeat, Message, TransferAck, TransferRequest } from "./message.js";
import type { Settings } from "./options.js";
import { RemoteReplica, type Step } from "./remote-replica.js";
import {
  detectDowns,
  forgivePause,
  heartbeatReceived,
  isOver,
  noReplicas,
  type Outcome,
  permdownReceived,
  type Replicas,
  reinstate,
} from "./replica.js";
import { ackParts, BYTES_PER_MS } from "./transfer.js";
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
   * An older replica has the same name: this one is fenced, and publishes nothing any more.
   */
  | readonly ["conflict", ReplicaRef]
  /** The clocks were equal and the entries were not: everything is requested again. */
  | readonly ["diverged", ReplicaRef]
  | readonly ["transfer", what: "requested" | "delta" | "full" | "empty", ReplicaRef];

export interface CoreOptions {
  readonly ref: ReplicaRef;
  readonly settings: Settings;
  /** Whether this replica keeps the entries of a topic: whether it owns its slot. */
  readonly owns: (topic: string) => boolean;
  /** The same for a slot. */
  readonly ownsSlot: (slot: number) => boolean;
  /** False when there are no other nodes: nothing is published or logged. */
  readonly replicated?: boolean;
  /** Number before the first change. Default 0. */
  readonly version?: number;
}

interface Peer {
  readonly ref: ReplicaRef;
  readonly replica: RemoteReplica;
  /** Its own clock, from its last heartbeat. */
  announced: number;
  /** The last change of this replica that it has confirmed. */
  confirmed: number;
  /** When to request missing changes. */
  requestAt: number | undefined;
  /** Request changes even when none is known to be missing; `full` for everything. */
  force: "no" | "missing" | "full";
  transfer: { readonly id: number; at: number; readonly parts: Map<number, TransferAck> } | undefined;
  /** Until when an answer to it is being sent. */
  busyUntil: number;
}

/** How long a gap may close by itself: messages can overtake each other. */
const GAP_PATIENCE_MS = 50;
/** Changes of one delta; larger ones go out in several. */
const DELTA_CHANGES = 1000;
/** Bytes of the log. */
const KEPT_BYTES = 8 * 1024 * 1024;
/** The longest time between two digests, while changes are published. */
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
  #lastHeartbeatAt = Number.NEGATIVE_INFINITY;
  #lastDigest = Number.NEGATIVE_INFINITY;
  #sampleAt = 0;
  #nextRequest = 1;
  /** The first tick is over: no replica has claimed this one's name. */
  #announced = false;
  /** Changes of others have been applied that are not confirmed to them yet. */
  #unconfirmed = false;
  #fenced = false;

  constructor(options: CoreOptions) {
    this.#options = options;
    this.#settings = options.settings;
    this.#ref = options.ref;
    this.#replicated = options.replicated ?? true;
    this.own = new LocalReplica(options.version ?? 0);
    this.#log = new DeltaLog(
      { maxChanges: this.#settings.maxKept, maxBytes: KEPT_BYTES },
      this.own.published,
    );
  }

  get ref(): ReplicaRef {
    return this.#ref;
  }

  /** Whether an older replica holds the name. */
  get fenced(): boolean {
    return this.#fenced;
  }

  /** Others that are known, and whether they are up. */
  get replicas(): Replicas {
    return this.#replicas;
  }

  /** When `wake` is to be called next. */
  get deadline(): number {
    let next = Math.min(this.#tickAt, this.#flushAt);
    for (const { requestAt } of this.#peers.values())
      if (requestAt !== undefined && requestAt < next) next = requestAt;
    return next;
  }

  // ---------------------------------------------------------------- local changes

  /** Asks whether the name is free, and ticks for the first time after `wait` ms. */
  start(now: number, wait: number): readonly Effect[] {
    this.#startedAt = now;
    if (!this.#replicated) return [];
    this.#tickAt = now + wait;
    this.#sampleAt = now + this.#settings.samplePeriod;
    return this.#commit(() => this.#broadcast({ kind: "hello", ref: this.#ref }));
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

  /** Leaves for good: publishes what is unpublished, then permdown. */
  permdown(now: number): readonly Effect[] {
    return this.#commit(() => {
      if (!this.#replicated || this.#fenced) return;
      this.#broadcastDelta(now);
      this.#broadcast({ kind: "permdown", ref: this.#ref, restores: undefined });
      this.#fenced = true;
      this.#tickAt = this.#flushAt = Number.POSITIVE_INFINITY;
    });
  }

  /** Publishes the changes that wait. */
  flush(now: number): readonly Effect[] {
    return this.#commit(() => {
      if (this.#replicated && !this.#fenced) this.#broadcastDelta(now);
    });
  }

  /** Broadcasts the permdown of another replica that has certainly ended: a thread of this node. */
  permdownFor(ref: ReplicaRef): readonly Effect[] {
    return this.#commit(() => this.#broadcast({ kind: "permdown", ref, restores: undefined }));
  }

  // ---------------------------------------------------------------- time

  wake(now: number): readonly Effect[] {
    return this.#commit(() => {
      if (this.#fenced || !this.#replicated) return;
      if (now >= this.#flushAt) this.#broadcastDelta(now);
      for (const peer of this.#peers.values()) {
        if (peer.requestAt !== undefined && now >= peer.requestAt) {
          peer.requestAt = undefined;
          this.#requestTransfer(peer, now);
        }
      }
      if (now >= this.#tickAt) this.#tick(now);
    });
  }

  #tick(now: number): void {
    this.#forgiveOwnPause(now);
    this.#announced = true;
    this.#broadcastDelta(now);
    this.#broadcastHeartbeatIfDue(now);
    this.#requestMissing(now);
    this.#applyChanges(detectDowns(this.#replicas, now, this.#settings));
    this.#tickAt = now + this.#settings.broadcastPeriod;
  }

  /** After a pause of this process, silence of others says nothing. */
  #forgiveOwnPause(now: number): void {
    const { broadcastPeriod, idleInterval } = this.#settings;
    const late = now - this.#tickAt;
    if (late > 2 * broadcastPeriod)
      this.#replicas = forgivePause(this.#replicas, now, late, idleInterval, this.#settings);
  }

  #broadcastHeartbeatIfDue(now: number): void {
    const { broadcastPeriod, idleInterval } = this.#settings;
    // A tick may come a little early or late; half a period decides which of two ticks is meant.
    const isIdle = now + broadcastPeriod / 2 > this.#lastHeartbeatAt + idleInterval;
    if (isIdle || this.#unconfirmed || this.#awaitsConfirmation()) this.#sendHeartbeat(undefined, now);
  }

  #requestMissing(now: number): void {
    if (now < this.#sampleAt) return;
    this.#sampleAt = now + this.#settings.samplePeriod;
    for (const text of behind(this.clock, this.#announcedClock()))
      this.#requestTransfer(this.#peers.get(text) as Peer, now);
  }

  // ---------------------------------------------------------------- messages of other replicas

  /** Takes a message of another replica. */
  receive(message: Message, now: number): readonly Effect[] {
    return this.#commit(() => {
      if (this.#fenced || !this.#replicated) return;
      const { ref } = message;
      if (sameRef(ref, this.#ref)) return;
      if (ref.name === this.#ref.name) {
        this.#duplicateName(message, now);
        return;
      }
      switch (message.kind) {
        case "hello":
          // It knows no replica yet, and should not wait for the next heartbeat.
          if (!isOver(this.#replicas, ref)) this.#sendHeartbeat(ref, now);
          return;
        case "heartbeat":
          this.#heartbeatReceived(message, now);
          return;
        case "transfer_req":
          if (sameRef(message.to, this.#ref)) this.#sendTransfer(message, now);
          return;
        case "transfer_ack":
          if (sameRef(message.to, this.#ref)) this.#applyTransfer(message, now);
          return;
        case "permdown":
          this.#applyChanges(permdownReceived(this.#replicas, ref, now, this.#settings));
          if (message.restores !== undefined)
            this.#replicas = reinstate(this.#replicas, { name: ref.name, incarnation: message.restores });
          return;
        case "name_taken":
          return;
      }
    });
  }

  /** The transport has lost messages of that node: its replicas are asked for changes soon. */
  gap(isFrom: (ref: ReplicaRef) => boolean, now: number): void {
    for (const peer of this.#peers.values()) {
      if (!isFrom(peer.ref)) continue;
      if (peer.force === "no") peer.force = "missing";
      peer.requestAt = Math.min(peer.requestAt ?? Number.POSITIVE_INFINITY, now + GAP_PATIENCE_MS);
    }
  }

  /**
   * Topics have moved between the threads of this node. Entries of others on topics that have left
   * are forgotten without a diff. For topics that have come, each replica is asked for everything.
   */
  reassigned(gained: boolean, now: number): readonly Effect[] {
    return this.#commit(() => {
      for (const peer of this.#peers.values()) {
        const lost = peer.replica.keep(this.#options.owns);
        if (this.#isUp(peer)) this.view.take(lost);
        if (!gained) continue;
        peer.force = "full";
        peer.transfer = undefined;
        peer.requestAt = now;
      }
    });
  }

  /** The transport works again: sends a heartbeat to all replicas at once. */
  connected(now: number): readonly Effect[] {
    return this.#commit(() => {
      if (this.#fenced || !this.#replicated) return;
      this.#broadcastDelta(now);
      // What it said at its start may have been lost: it need not wait for the heartbeats of the
      // others.
      if (this.#peers.size === 0) this.#broadcast({ kind: "hello", ref: this.#ref });
      this.#sendHeartbeat(undefined, now);
    });
  }

  #heartbeatReceived(message: Heartbeat, now: number): void {
    const { ref, clock, delta, seen, digest } = message;
    this.#applyChanges(heartbeatReceived(this.#replicas, ref, now, this.#settings), now);
    if (isOver(this.#replicas, ref)) return;
    const peer = this.#peers.get(refText(ref)) as Peer;
    for (const [of] of seen) if (this.#isPastSelf(of)) this.#correctIncarnation(ref, of);
    const { version } = peer.replica;
    if (delta !== undefined) this.#applyVisible(peer, peer.replica.apply(this.#mine(delta)), version);
    peer.announced = Math.max(peer.announced, clock, delta?.to ?? 0);
    const confirmed = seen.find(([of]) => sameRef(of, this.#ref));
    if (confirmed !== undefined) {
      peer.confirmed = Math.max(peer.confirmed, confirmed[1]);
      this.#forgetConfirmed();
    }
    if (this.#isBehind(peer)) peer.requestAt ??= now + GAP_PATIENCE_MS;
    else if (digest !== undefined && !peer.replica.gapped && peer.replica.version === clock) {
      if (this.#digestDiffers(peer.replica, digest)) {
        this.#effects.push(["diverged", ref]);
        peer.force = "full";
        peer.requestAt = now;
      }
    }
  }

  #digestDiffers(replica: RemoteReplica, digest: NonNullable<Heartbeat["digest"]>): boolean {
    const theirs = new Map(digest);
    const slots = new Set([...theirs.keys(), ...replica.digest.entries().map(([slot]) => slot)]);
    for (const slot of slots) {
      if (this.#options.ownsSlot(slot) && replica.digest.of(slot) !== (theirs.get(slot) ?? 0)) return true;
    }
    return false;
  }

  /** Another replica has this one's name: the older one stays, the younger one is fenced. */
  #duplicateName(message: Message, now: number): void {
    const age = now - this.#startedAt;
    if (message.kind === "name_taken") {
      const older =
        message.age > age || (message.age === age && message.ref.incarnation < this.#ref.incarnation);
      if (message.against !== this.#ref.incarnation || !older) return;
      this.#broadcast({ kind: "permdown", ref: this.#ref, restores: message.ref.incarnation });
      this.#fenced = true;
      this.#tickAt = this.#flushAt = Number.POSITIVE_INFINITY;
      this.#effects.push(["conflict", message.ref]);
    } else if (message.kind === "hello" || message.kind === "heartbeat") {
      this.#broadcast({ kind: "name_taken", ref: this.#ref, against: message.ref.incarnation, age });
    } else if (message.kind === "permdown" && message.restores === this.#ref.incarnation) {
      // The others have taken the younger one for a restart of this replica: correct them.
      this.#sendHeartbeat(undefined, now);
    }
  }

  #isPastSelf({ name, incarnation }: ReplicaRef): boolean {
    return name === this.#ref.name && incarnation !== this.#ref.incarnation;
  }

  /**
   * `peer` considers an earlier incarnation of this replica the present one: messages had overtaken
   * each other.
   */
  #correctIncarnation(peer: ReplicaRef, past: ReplicaRef): void {
    if (!this.#announced) return;
    const permdown: Message = { kind: "permdown", ref: past, restores: this.#ref.incarnation };
    const heartbeat = this.#heartbeatMessage(undefined, this.own.published);
    // The permdown must arrive first.
    this.#effects.push(["direct", peer, permdown, 0], ["direct", peer, heartbeat, GAP_PATIENCE_MS]);
  }

  #applyChanges([replicas, changes]: Outcome, now = 0): void {
    this.#replicas = replicas;
    for (const [what, ref] of changes) {
      const text = refText(ref);
      const peer = this.#peers.get(text);
      if (what === "up") {
        this.#effects.push(["replica", "replica_up", ref]);
        if (peer === undefined) {
          this.#peers.set(text, {
            ref,
            replica: new RemoteReplica(),
            announced: 0,
            confirmed: 0,
            requestAt: undefined,
            force: "no",
            transfer: undefined,
            busyUntil: 0,
          });
        } else {
          this.#emitDiff([...peer.replica.entries()].map((after) => ({ before: undefined, after })));
        }
        // It may not know this replica.
        this.#sendHeartbeat(ref, now);
      } else if (what === "down") {
        this.#effects.push(["replica", "replica_down", ref]);
        if (peer !== undefined)
          this.#emitDiff([...peer.replica.entries()].map((before) => ({ before, after: undefined })));
      } else {
        this.#effects.push(["replica", "replica_permdown", ref]);
        this.#peers.delete(text);
        this.#forgetConfirmed();
      }
    }
  }

  // ---------------------------------------------------------------- transfers

  /** The clock of this replica; without replicas that are down. */
  get clock(): ReadonlyMap<RefText, number> {
    const clock = new Map([[refText(this.#ref), this.own.published]]);
    for (const [text, peer] of this.#peers) if (this.#isUp(peer)) clock.set(text, peer.replica.version);
    return clock;
  }

  /** The clocks of the replicas that are up, from their own heartbeats. */
  #announcedClock(): ReadonlyMap<RefText, number> {
    const clock = new Map<RefText, number>();
    for (const [text, peer] of this.#peers)
      if (this.#isUp(peer)) clock.set(text, Math.max(peer.announced, peer.replica.latest));
    return clock;
  }

  #isBehind({ replica, announced }: Peer): boolean {
    return Math.max(announced, replica.latest) > replica.version;
  }

  /** Whether a replica that is up has not confirmed the last change. */
  #awaitsConfirmation(): boolean {
    for (const peer of this.#peers.values())
      if (peer.confirmed < this.own.published && this.#isUp(peer)) return true;
    return false;
  }

  #requestTransfer(peer: Peer, now: number): void {
    const { transfer, replica, force } = peer;
    if (!this.#isUp(peer) || (force === "no" && !this.#isBehind(peer))) return;
    if (transfer !== undefined && now - transfer.at < 2 * this.#settings.samplePeriod) return;
    const id = this.#nextRequest;
    this.#nextRequest += 1;
    peer.transfer = { id, at: now, parts: new Map() };
    peer.force = "no";
    const full = force === "full";
    const request: TransferRequest = {
      kind: "transfer_req",
      ref: this.#ref,
      to: peer.ref,
      id,
      since: replica.version,
      full,
    };
    this.#effects.push(["transfer", "requested", peer.ref], ["direct", peer.ref, request, 0]);
  }

  #sendTransfer({ ref, id, since, full }: TransferRequest, now: number): void {
    const peer = this.#peers.get(refText(ref));
    if (peer !== undefined && now < peer.busyUntil) return;
    this.#broadcastDelta(now);
    const version = this.own.published;
    const missed = full ? undefined : since >= version ? { changes: [] } : this.#log.since(since);
    // A delta never has more changes than a full transfer.
    const isDelta = missed !== undefined && missed.changes.length <= this.own.size + 1;
    const changes = isDelta ? missed.changes : [...this.own.entries()];
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
    for (const { answer, bytes } of ackParts(common, changes)) {
      this.#effects.push(["direct", ref, answer, after]);
      after += bytes / BYTES_PER_MS;
    }
    if (peer !== undefined) peer.busyUntil = now + after;
  }

  #applyTransfer(answer: TransferAck, now: number): void {
    const peer = this.#peers.get(refText(answer.ref));
    if (peer?.transfer?.id !== answer.id) return;
    peer.transfer.parts.set(answer.part, answer);
    peer.transfer.at = now;
    if (peer.transfer.parts.size < answer.parts) return;
    const { parts } = peer.transfer;
    peer.transfer = undefined;
    const all = [...parts.values()].flatMap(({ changes }) => changes);
    const { since, version } = answer;
    const before = peer.replica.version;
    const changes = all.filter(({ topic }) => this.#options.owns(topic));
    this.#applyVisible(
      peer,
      since === undefined
        ? peer.replica.replace({ version, entries: changes as Entry[] })
        : peer.replica.apply({ from: since, to: version, changes }),
      before,
    );
    peer.announced = Math.max(peer.announced, version);
    if (this.#isBehind(peer)) peer.requestAt = now + GAP_PATIENCE_MS;
  }

  #mine(delta: Delta): Delta {
    const changes = delta.changes.filter(({ topic }) => this.#options.owns(topic));
    return changes.length === delta.changes.length ? delta : { ...delta, changes };
  }

  #forgetConfirmed(): void {
    let byAll = this.own.published;
    for (const { confirmed } of this.#peers.values()) byAll = Math.min(byAll, confirmed);
    this.#log.confirmed(byAll);
  }

  // ---------------------------------------------------------------- broadcasts

  /** Publishes the unpublished changes. */
  #broadcastDelta(now: number): void {
    if (!this.#announced) return;
    this.#flushAt = Number.POSITIVE_INFINITY;
    const delta = this.own.flushDelta();
    if (delta === undefined) return;
    for (const part of splitDelta(delta, DELTA_CHANGES)) {
      // A replica that is not up needs no log: it will request everything.
      this.#log.add(part, now);
      this.#broadcastHeartbeat(part, now, part.to);
    }
    if (this.#peers.size === 0) this.#log.confirmed(this.own.published);
  }

  #sendHeartbeat(to: ReplicaRef | undefined, now: number): void {
    if (!this.#announced) return;
    if (to === undefined) this.#broadcastHeartbeat(undefined, now, this.own.published);
    else this.#effects.push(["direct", to, this.#heartbeatMessage(undefined, this.own.published), 0]);
  }

  #broadcastHeartbeat(delta: Delta | undefined, now: number, clock: number): void {
    this.#lastHeartbeatAt = now;
    if (delta === undefined) this.#unconfirmed = false;
    const interval = delta === undefined ? this.#settings.idleInterval / 2 : DIGEST_INTERVAL_MS;
    const withDigest = clock === this.own.version && now >= this.#lastDigest + interval;
    if (withDigest) this.#lastDigest = now;
    this.#broadcast(this.#heartbeatMessage(delta, clock, withDigest));
  }

  #heartbeatMessage(delta: Delta | undefined, clock: number, withDigest = false): Heartbeat {
    const seen = [...this.#peers.values()]
      .filter((peer) => this.#isUp(peer))
      .map(({ ref, replica }) => [ref, replica.version] as const);
    return {
      kind: "heartbeat",
      ref: this.#ref,
      clock,
      delta,
      seen: delta === undefined ? seen : [],
      digest: withDigest ? this.own.digest.entries() : undefined,
    };
  }

  #broadcast(message: Message): void {
    this.#effects.push(["broadcast", message]);
  }

  // ---------------------------------------------------------------- helpers

  #ownChange(steps: readonly Step[], now: number): readonly Effect[] {
    return this.#commit(() => {
      this.#emitDiff(steps);
      if (!this.#replicated || this.#fenced) {
        this.own.flushDelta();
        return;
      }
      if (this.own.version > LAST_VERSION) this.#renew(now);
      if (!this.own.hasUnpublished) return;
      const first = this.#announced ? now : this.#tickAt;
      this.#flushAt = Math.min(this.#flushAt, Math.max(first, now + this.#settings.flushAfter));
    });
  }

  /** A new incarnation that has all the entries of this one. */
  #renew(now: number): void {
    this.#broadcast({ kind: "permdown", ref: this.#ref, restores: undefined });
    const [, lives = "0"] = /~(\d+)$/.exec(this.#ref.incarnation) ?? [];
    const incarnation = `${this.#ref.incarnation.replace(/~\d+$/, "")}~${Number(lives) + 1}`;
    this.#ref = { name: this.#ref.name, incarnation };
    this.own.renumber();
    this.#broadcastDelta(now);
  }

  #applyVisible(peer: Peer, steps: readonly Step[], versionBefore: number): void {
    if (peer.replica.version > versionBefore) this.#unconfirmed = true;
    // Entries of a replica that is down change without a diff.
    if (this.#isUp(peer)) this.#emitDiff(steps);
  }

  #emitDiff(steps: readonly Step[]): void {
    if (steps.length > 0) this.#effects.push(["diff", this.view.take(steps)]);
  }

  #isUp({ ref }: Peer): boolean {
    const known = this.#replicas.byName.get(ref.name);
    return known !== undefined && known.status === "up" && sameRef(known.ref, ref);
  }

  #commit(work: () => void): readonly Effect[] {
    work();
    const effects = this.#effects;
    this.#effects = [];
    return effects;
  }

  // ---------------------------------------------------------------- statistics

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
    for (const { replica } of this.#peers.values()) {
      residue += replica.residue;
      remote += replica.size;
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
      fenced: this.#fenced,
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
  /** Own changes in the log. */
  readonly keptChanges: number;
  /** Ranges and tombstones beyond gaps. */
  readonly residue: number;
  /** Age of the oldest own change that a replica that is up has not confirmed. */
  readonly lagMs: number;
  /** Whether an older replica holds the name. */
  readonly fenced: boolean;
}
