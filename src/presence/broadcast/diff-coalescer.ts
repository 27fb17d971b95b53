/**
 * Coalescing: the changes of one topic between two frames, merged. Pure. When the next frame is due
 * is a matter of pace.ts.
 *
 * What came and went in between vanishes, a chain of updates becomes one, and the order inside a
 * frame does not matter because every state of an entry has a ref of its own. Only one thing must
 * not vanish: somebody who was given the state of the topic meanwhile may hold what the others
 * never saw. So `served` marks what a state contained, and its leave is kept; and what a state
 * lacked is joined even when for the others it had never gone.
 */
import type { Meta } from "../tracker/delta.js";
import type { TopicDiff } from "../tracker/view.js";

type Named = readonly [key: string, meta: Meta];

export class DiffCoalescer {
  readonly #joins = new Map<string, Named>();
  readonly #leaves = new Map<string, Named>();
  /**
   * Refs of joins that a state contained, and of leaves that a state lacked, while they waited
   * here.
   */
  readonly #served = new Set<string>();
  /** Changes that came in and will not go out. */
  merged = 0;
  #updated = false;

  /** Number of changes that wait. */
  get size(): number {
    return this.#joins.size + this.#leaves.size;
  }

  /** Whether an update of somebody whom clients know is among what waits. */
  get updated(): boolean {
    return this.#updated;
  }

  add({ joins, leaves }: TopicDiff): void {
    for (const named of leaves) this.#leave(named);
    for (const named of joins) this.#join(named);
  }

  /** A state of the topic, with everything up to now, was given to somebody. */
  served(): void {
    for (const ref of this.#joins.keys()) this.#served.add(ref);
    for (const ref of this.#leaves.keys()) this.#served.add(ref);
  }

  /** What is to be told, and an empty window; undefined when there is nothing. */
  take(): TopicDiff | undefined {
    this.#updated = false;
    if (this.size === 0) {
      this.#served.clear();
      return undefined;
    }
    const diff = { joins: [...this.#joins.values()], leaves: [...this.#leaves.values()] };
    this.#joins.clear();
    this.#leaves.clear();
    this.#served.clear();
    return diff;
  }

  /** What waits to be told, by ref. */
  pending(): { readonly joins: ReadonlyMap<string, Named>; readonly leaves: ReadonlyMap<string, Named> } {
    return { joins: this.#joins, leaves: this.#leaves };
  }

  #join(named: Named): void {
    const { phx_ref: ref, phx_ref_prev: former } = named[1];
    if (former !== undefined && this.#leaves.has(former)) this.#updated = true;
    // The same state of the same entry is back: a replica that was down is up again.
    if (this.#leaves.delete(ref)) {
      this.merged += 2;
      if (!this.#served.has(ref)) return;
    }
    this.#joins.set(ref, named);
  }

  #leave(named: Named): void {
    const ref = named[1].phx_ref;
    if (this.#joins.delete(ref)) {
      this.merged += 2;
      if (!this.#served.has(ref)) return;
    }
    this.#leaves.set(ref, named);
  }
}
