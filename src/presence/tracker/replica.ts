/**
 * Failure detection of other replicas (Phoenix.Tracker.Replica). Pure functions of (table, event,
 * now).
 *
 *     unknown ── heartbeat ──▶ up ── silent for downPeriod ──▶ down ── silent for permdownPeriod
 *        ▲                     ▲────────── heartbeat ────────────┘                     │
 *        ├── permdown, or another incarnation of the name ── up, down                  │
 *        └─────────────────────────────────────────────────────────────────────────────┘
 *
 * Times are monotonic ms. An incarnation that has sent permdown, or that another one has replaced,
 * is over: its messages are ignored for `permdownPeriod`.
 */
import { type RefText, type ReplicaRef, refText, sameRef } from "./clock.js";

export interface Replica {
  readonly ref: ReplicaRef;
  readonly status: "up" | "down";
  readonly lastHeartbeatAt: number;
}

export interface Replicas {
  readonly byName: ReadonlyMap<string, Replica>;
  /** Incarnations that are over, and until when that is remembered. */
  readonly over: ReadonlyMap<RefText, number>;
}

export type ReplicaChange = readonly ["up" | "down" | "permdown", ReplicaRef];

export interface Periods {
  readonly downPeriod: number;
  readonly permdownPeriod: number;
}

export type Outcome = readonly [Replicas, readonly ReplicaChange[]];

/** Incarnations of one name that are remembered as over. */
const MAX_OVER = 1024;

export const noReplicas: Replicas = { byName: new Map(), over: new Map() };

export const isOver = ({ over }: Replicas, ref: ReplicaRef): boolean => over.has(refText(ref));

/**
 * A heartbeat has arrived. One of an incarnation that is over changes nothing, unless the one that
 * replaced it is down: then messages had overtaken each other, and this one is the present one.
 */
export function heartbeatReceived(
  replicas: Replicas,
  ref: ReplicaRef,
  now: number,
  { permdownPeriod }: Periods,
): Outcome {
  const known = replicas.byName.get(ref.name);
  const wasOver = isOver(replicas, ref);
  if (wasOver && known?.status !== "down") return [replicas, []];
  const changes: ReplicaChange[] = [];
  let { over } = wasOver ? reinstate(replicas, ref) : replicas;
  if (known !== undefined && !sameRef(known.ref, ref)) {
    if (known.status === "up") changes.push(["down", known.ref]);
    changes.push(["permdown", known.ref], ["up", ref]);
    over = remember(over, known.ref, now + permdownPeriod);
  } else if (known?.status !== "up") {
    changes.push(["up", ref]);
  }
  return [
    { byName: new Map(replicas.byName).set(ref.name, { ref, status: "up", lastHeartbeatAt: now }), over },
    changes,
  ];
}

/**
 * A replica has sent permdown. When it is unknown or replaced, it is only remembered as over.
 */
export function permdownReceived(
  replicas: Replicas,
  ref: ReplicaRef,
  now: number,
  { permdownPeriod }: Periods,
): Outcome {
  if (isOver(replicas, ref)) return [replicas, []];
  const over = remember(replicas.over, ref, now + permdownPeriod);
  const known = replicas.byName.get(ref.name);
  if (known === undefined || !sameRef(known.ref, ref)) return [{ ...replicas, over }, []];
  const byName = new Map(replicas.byName);
  byName.delete(ref.name);
  const changes: ReplicaChange[] = [["permdown", ref]];
  if (known.status === "up") changes.unshift(["down", ref]);
  return [{ byName, over }, changes];
}

/** An incarnation that was considered over is the present one. */
export function reinstate(replicas: Replicas, ref: ReplicaRef): Replicas {
  const over = new Map(replicas.over);
  over.delete(refText(ref));
  return { ...replicas, over };
}

/** Marks replicas as down or permdown that have been silent for too long. */
export function detectDowns(
  replicas: Replicas,
  now: number,
  { downPeriod, permdownPeriod }: Periods,
): Outcome {
  const changes: ReplicaChange[] = [];
  const byName = new Map(replicas.byName);
  for (const [name, replica] of replicas.byName) {
    const silence = now - replica.lastHeartbeatAt;
    if (silence > downPeriod && replica.status === "up") {
      changes.push(["down", replica.ref]);
      byName.set(name, { ...replica, status: "down" });
    }
    if (silence > permdownPeriod) {
      changes.push(["permdown", replica.ref]);
      byName.delete(name);
    }
  }
  const forgotten = [...replicas.over].filter(([, until]) => until <= now);
  if (changes.length === 0 && forgotten.length === 0) return [replicas, changes];
  const over = new Map(replicas.over);
  for (const [ref] of forgotten) over.delete(ref);
  return [{ byName, over }, changes];
}

/**
 * This replica itself was paused for `late` ms: silence of others in that time does not count.
 * After a pause of more than `downPeriod` each replica has `grace` ms to send a heartbeat.
 */
export function forgivePause(
  replicas: Replicas,
  now: number,
  late: number,
  grace: number,
  { downPeriod }: Periods,
): Replicas {
  const byName = new Map(replicas.byName);
  for (const [name, replica] of byName) {
    if (replica.status === "down") continue;
    const forgiven = replica.lastHeartbeatAt + late;
    const latest = late > downPeriod ? Math.max(forgiven, now - downPeriod + grace) : forgiven;
    byName.set(name, { ...replica, lastHeartbeatAt: Math.min(now, latest) });
  }
  return { ...replicas, byName };
}

function remember(
  over: ReadonlyMap<RefText, number>,
  ref: ReplicaRef,
  until: number,
): ReadonlyMap<RefText, number> {
  const next = new Map(over).set(refText(ref), until);
  if (next.size <= MAX_OVER) return next;
  const prefix = `${ref.name} `;
  const ofName = [...next.keys()].filter((text) => text.startsWith(prefix));
  for (const text of ofName.slice(0, ofName.length - MAX_OVER)) next.delete(text);
  return next;
}
