/**
 * A clock says how many changes of each replica have been seen, without gaps: a map from the
 * replica's ref to the number of the last change. Pure functions.
 *
 * A missing ref counts as 0, and a 0 says nothing. Phoenix.Tracker.Clock compares the number of
 * refs as well, so that a clock with a zero in it asks for what it has.
 */

/** The name of a replica and its incarnation, as one text: `refText`. */
export type RefText = string;

export type Clock = ReadonlyMap<RefText, number>;

/**
 * One replica: `name` is stable over restarts, `incarnation` is new for each start and says nothing
 * about which of two came first.
 */
export interface ReplicaRef {
  readonly name: string;
  readonly incarnation: string;
}

export const refText = ({ name, incarnation }: ReplicaRef): RefText => `${name} ${incarnation}`;

export const sameRef = (a: ReplicaRef, b: ReplicaRef): boolean =>
  a.name === b.name && a.incarnation === b.incarnation;

/** Whether `a` has seen everything that `b` has. Every clock dominates itself and the empty one. */
export function dominates(a: Clock, b: Clock): boolean {
  for (const [ref, seen] of b) if (seen > (a.get(ref) ?? 0)) return false;
  return true;
}

/**
 * The replicas whose changes `own` lacks. Each is asked for its own changes only, so its answer is
 * never older than its clock. Empty exactly when `own` dominates `announced`.
 */
export const behind = (own: Clock, announced: Clock): readonly RefText[] =>
  [...announced].filter(([ref, clock]) => clock > (own.get(ref) ?? 0)).map(([ref]) => ref);
