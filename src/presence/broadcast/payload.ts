/**
 * The payloads that clients get (Phoenix.Presence): `presence_state` is `key → {metas: [...]}`,
 * `presence_diff` is `{joins, leaves}` of the same.
 */
import type { Meta } from "../tracker/delta.js";

export interface PresenceEntry {
  readonly metas: readonly Meta[];
  /** Whatever `fetch` adds. */
  readonly [extra: string]: unknown;
}

export type Presences = Readonly<Record<string, PresenceEntry>>;

export interface PresenceDiff {
  readonly joins: Presences;
  readonly leaves: Presences;
}

/** Groups metas by key. Keys such as `__proto__` are ordinary keys. */
export function groupByKey(entries: Iterable<readonly [key: string, meta: Meta]>): Presences {
  // Asking a map who is there is much cheaper than asking an object with thousands of keys.
  const groups = new Map<string, Meta[]>();
  const presences: Record<string, PresenceEntry> = {};
  for (const [key, meta] of entries) {
    const metas = groups.get(key);
    if (metas !== undefined) {
      metas.push(meta);
      continue;
    }
    const entry = { metas: [meta] };
    groups.set(key, entry.metas);
    setOwn(presences, key, entry);
  }
  return presences;
}

/** Sets a property of the object itself, whatever its name. */
export function setOwn<T>(object: Record<string, T>, key: string, value: T): void {
  if (key === "__proto__")
    Object.defineProperty(object, key, { value, enumerable: true, writable: true, configurable: true });
  else object[key] = value;
}
