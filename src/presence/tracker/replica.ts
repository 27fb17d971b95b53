/**
 * The life of the other replicas, as one of them sees it. Pure functions of (table, event, now).
 *
 *     unknown ── heard ──▶ up ── silent for downPeriod ──▶ down ── silent for permdownPeriod ──▶ unknown
 *        ▲                  ▲────────── heard ──────────────┘
 *        └── goodbye, or another incarnation of the name ── up, down
 *
 * Times are monotonic ms. An incarnation that said goodbye or was followed by another one is over:
 * what still arrives from it is ignored for `permdownPeriod`, whatever its number.
 */
import { type RefText, type ReplicaRef, refText, sameRef } from "./clock.js";

export interface Replica {
  readonly ref: ReplicaRef;
  readonly status: "up" | "down";
  readonly heardAt: number;
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
 * A heartbeat came. What comes from an incarnation that is over changes nothing, unless the one
 * that followed it has fallen silent: then messages had overtaken each other, and this is the one
 * that goes on.
 */
export function heard(
  replicas: Replicas,
  ref: ReplicaRef,
  now: number,
  { permdownPeriod }: Periods,
): Outcome {
  const known = replicas.byName.get(ref.name);
  const wasOver = isOver(replicas, ref);
  if (wasOver && known?.status !== "down") return [replicas, []];
  const changes: ReplicaChange[] = [];
  let { over } = wasOver ? restored(replicas, ref) : replicas;
  if (known !== undefined && !sameRef(known.ref, ref)) {
    if (known.status === "up") changes.push(["down", known.ref]);
    changes.push(["permdown", known.ref], ["up", ref]);
    over = remember(over, known.ref, now + permdownPeriod);
  } else if (known?.status !== "up") {
    changes.push(["up", ref]);
  }
  return [
    { byName: new Map(replicas.byName).set(ref.name, { ref, status: "up", heardAt: now }), over },
    changes,
  ];
}

/**
 * It said that it will not come back. Unknown or already followed by another: ignored, but
 * remembered as over.
 */
export function saidGoodbye(
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

/** An incarnation taken for over turned out to be the one that stays. */
export function restored(replicas: Replicas, ref: ReplicaRef): Replicas {
  const over = new Map(replicas.over);
  over.delete(refText(ref));
  return { ...replicas, over };
}

/** Who has been silent for too long. */
export function judge(replicas: Replicas, now: number, { downPeriod, permdownPeriod }: Periods): Outcome {
  const changes: ReplicaChange[] = [];
  const byName = new Map(replicas.byName);
  for (const [name, replica] of replicas.byName) {
    const silence = now - replica.heardAt;
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
 * This replica itself did nothing for `late` ms: nobody's silence in that time counts. After more
 * than a `downPeriod` of it everybody gets `grace` ms to be heard first.
 */
export function excuse(
  replicas: Replicas,
  now: number,
  late: number,
  grace: number,
  { downPeriod }: Periods,
): Replicas {
  const byName = new Map(replicas.byName);
  for (const [name, replica] of byName) {
    if (replica.status === "down") continue;
    const excused = replica.heardAt + late;
    const latest = late > downPeriod ? Math.max(excused, now - downPeriod + grace) : excused;
    byName.set(name, { ...replica, heardAt: Math.min(now, latest) });
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
