/**
 * Which thread owns which slot: evenly, and with as few slots moved as that allows. Pure.
 */
import { SLOTS } from "#pubsub";

/** The first layout: slots take turns. */
export const inTurns = (threads: readonly number[]): readonly number[] =>
  Array.from({ length: SLOTS }, (_, number) => threads[number % threads.length] as number);

/**
 * The same slots spread over `threads`: none has two more than another, and a slot moves only where
 * that needs it.
 */
export function spread(owners: readonly number[], threads: readonly number[]): readonly number[] {
  const counts = new Map(threads.map((thread) => [thread, 0]));
  for (const owner of owners) if (counts.has(owner)) counts.set(owner, (counts.get(owner) as number) + 1);
  const least = Math.floor(owners.length / threads.length);
  let larger = owners.length % threads.length;
  // Who has most keeps one more than the others, where it does not come out even.
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
