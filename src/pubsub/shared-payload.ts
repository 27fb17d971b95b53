/**
 * Memoizes the JSON of an immutable payload. Use it for a payload that is sent to many clients one
 * by one, such as a room snapshot for each joiner; after `sharePayload(p)` the caller must not
 * change `p`.
 *
 * PubSub itself never uses it: presence marks payloads and channels encode them, and this is the
 * lowest layer that both see.
 */
const shared = new WeakMap<object, string | undefined>();

/** Marks a payload as immutable, and returns it. */
export function sharePayload<T extends object>(payload: T): T {
  if (!shared.has(payload)) shared.set(payload, undefined);
  return payload;
}

/** The JSON of a marked payload, encoded once; undefined when it is not marked. */
export function sharedJson(payload: unknown): string | undefined {
  if (typeof payload !== "object" || payload === null || !shared.has(payload)) return undefined;
  let json = shared.get(payload);
  if (json === undefined) {
    json = JSON.stringify(payload);
    shared.set(payload, json);
  }
  return json;
}
