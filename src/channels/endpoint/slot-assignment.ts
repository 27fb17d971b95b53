/** Assigns slots to threads evenly, moving as few as possible. Pure. */
import { SLOTS } from "#pubsub";

/** Assigns slots to threads in turn. */
export const roundRobin = (threads: readonly number[]): readonly number[] =>
  Array.from({ length: SLOTS }, (_, number) => threads[number % threads.length] as number);

/**
 * Distributes the slots over `threads`, whose shares differ by at most one, and moves no more slots
 * than that requires.
 */
export function rebalance(owners: readonly number[], threads: readonly number[]): readonly number[] {
  const counts = new Map(threads.map((thread) => [thread, 0]));
  for (const owner of owners) if (counts.has(owner)) counts.set(owner, (counts.get(owner) as number) + 1);
  const least = Math.floor(owners.length / threads.length);
  let larger = owners.length % threads.length;
  // When the slots do not divide evenly, the threads with the most keep one more.
  const shares = new Map<number, number>();
  for (const [thread] of [...counts].sort(([, a], [, b]) => b - a)) {
    shares.set(thread, least + (larger > 0 ? 1 : 0));
    larger -= 1;
  }
  const kept = new Map(threads.map((thread) => [thread, 0]));
  const free: number[] = [];
  const next = owners.map((owner, number) => {
    const has = kept.get(owner);
    if (has === undefined || has >= (shares.get(owner) as number)) {
      free.push(number);
      return owner;
    }
    kept.set(owner, has + 1);
    return owner;
  });
  for (const thread of threads)
    for (let has = kept.get(thread) as number; has < (shares.get(thread) as number); has += 1)
      next[free.shift() as number] = thread;
  return next;
}
