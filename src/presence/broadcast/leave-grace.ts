/**
 * LeaveGrace delays leaves, so that a key that returns in time, from any node, counts as changed
 * and not as gone. Pure.
 *
 * A leave waits for `graceMs`. A join of its key in the meantime is sent together with it, so that
 * clients get one frame with the key on both sides, as for an update. Until then the key is listed.
 */
import type { Meta } from "../tracker/delta.js";
import type { TopicDiff } from "../tracker/view.js";

type Named = readonly [key: string, meta: Meta];

interface Held {
  readonly named: Named;
  readonly until: number;
}

export class LeaveGrace {
  readonly #graceMs: number;
  /** By topic and key, oldest first. */
  readonly #held = new Map<string, Map<string, Held[]>>();

  constructor(graceMs: number) {
    this.#graceMs = graceMs;
  }

  /** When the next one has to leave. */
  get deadline(): number {
    let next = Number.POSITIVE_INFINITY;
    for (const keys of this.#held.values())
      for (const [first] of keys.values()) next = Math.min(next, (first as Held).until);
    return next;
  }

  /** The part of a change that need not wait. */
  take(topic: string, { joins, leaves }: TopicDiff, now: number): TopicDiff {
    const keys = this.#held.get(topic) ?? new Map<string, Held[]>();
    const joining = new Map<string, Named[]>();
    for (const named of joins) push(joining, named[0], named);
    const leaving: Named[] = [];
    for (const named of leaves) {
      // An update has both sides already.
      if (shift(joining, named[0]) !== undefined) leaving.push(named);
      else push(keys, named[0], { named, until: now + this.#graceMs });
    }
    const unchanged = new Set<Named>();
    for (const [key, coming] of joining) {
      for (const named of coming) {
        const back = shift(keys, key)?.named;
        if (back === undefined) break;
        // A replica that is up again brings back the very same: nothing has changed.
        if (back[1].phx_ref === named[1].phx_ref) unchanged.add(named);
        else leaving.push(back);
      }
    }
    if (keys.size === 0) this.#held.delete(topic);
    else this.#held.set(topic, keys);
    return { joins: joins.filter((named) => !unchanged.has(named)), leaves: leaving };
  }

  /** Who has been waited for long enough, by topic. */
  expire(now: number): ReadonlyMap<string, TopicDiff> {
    const expired = new Map<string, TopicDiff>();
    for (const [topic, keys] of this.#held) {
      const leaves: Named[] = [];
      for (const [key, held] of keys) {
        while (held[0] !== undefined && held[0].until <= now) leaves.push((held.shift() as Held).named);
        if (held.length === 0) keys.delete(key);
      }
      if (keys.size === 0) this.#held.delete(topic);
      if (leaves.length > 0) expired.set(topic, { joins: [], leaves });
    }
    return expired;
  }

  /** Who has left and is listed still. */
  held(topic: string): readonly Named[] {
    return [...(this.#held.get(topic)?.values() ?? [])].flatMap((held) => held.map(({ named }) => named));
  }
}

function push<T>(map: Map<string, T[]>, key: string, value: T): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [value]);
  else list.push(value);
}

function shift<T>(map: Map<string, T[]>, key: string): T | undefined {
  const list = map.get(key);
  const first = list?.shift();
  if (list?.length === 0) map.delete(key);
  return first;
}
