/**
 * DiffCoalescer merges the changes of one topic between two frames. Pure. coalescing.ts decides
 * when the next frame is sent.
 *
 * An entry that joins and leaves in between is dropped, and consecutive updates become one. The
 * order inside a frame does not matter, because each state of an entry has its own ref. One case
 * must be kept: a client that has got the state of the topic in between may know an entry that
 * other clients never saw. So `served` marks what a state contained, and its leave is sent; an
 * entry that a state lacked is sent as a join, even if other clients never saw it leave.
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

  /** Whether an update of a key that clients know is waiting. */
  get updated(): boolean {
    return this.#updated;
  }

  add({ joins, leaves }: TopicDiff): void {
    for (const named of leaves) this.#leave(named);
    for (const named of joins) this.#join(named);
  }

  /** Some client has got a state of the topic with everything up to now. */
  served(): void {
    for (const ref of this.#joins.keys()) this.#served.add(ref);
    for (const ref of this.#leaves.keys()) this.#served.add(ref);
  }

  /** The changes to send, and an empty window; undefined when there are none. */
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

  /** The changes that wait, by ref. */
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
