/**
 * A payload that goes to many clients one by one, such as the state of a room to each who joins:
 * whoever marks it as shared promises that it never changes again, and its JSON is then made once.
 */
const shared = new WeakMap<object, string | undefined>();

/** Marks a payload as never changing. */
export function sharePayload<T extends object>(payload: T): T {
  if (!shared.has(payload)) shared.set(payload, undefined);
  return payload;
}

/** Its JSON, made once; undefined when it is not marked. */
export function sharedJson(payload: unknown): string | undefined {
  if (typeof payload !== "object" || payload === null || !shared.has(payload)) return undefined;
  let json = shared.get(payload);
  if (json === undefined) {
    json = JSON.stringify(payload);
    shared.set(payload, json);
  }
  return json;
}
