/** The values of the Phoenix protocol: messages of clients, replies and broadcasts. */
import { show } from "#runtime";

/** A join_ref or ref: normally a string, but any JSON value; echoed unchanged. */
export type WireRef = string | number | boolean | null | object;

/** Whether two refs are the same value of the same type. */
export const sameRef = (a: WireRef, b: WireRef): boolean =>
  a === b || (typeof a === "object" && typeof b === "object" && JSON.stringify(a) === JSON.stringify(b));

/** One decoded frame of a client. */
export interface Message {
  readonly joinRef: WireRef;
  readonly ref: WireRef;
  readonly topic: string;
  readonly event: string;
  readonly payload: unknown;
}

/** A message to all subscribers of a topic (Phoenix.Socket.Broadcast). */
export interface Broadcast {
  readonly topic: string;
  readonly event: string;
  readonly payload: unknown;
}

/**
 * The payload of a broadcast as JSON, encoded once for the other nodes, or received from one of
 * them. Frames embed the JSON; it is decoded only for processes that read the payload.
 */
export class EncodedPayload {
  readonly json: string;
  #value: unknown;

  /** `value` is the decoded payload, when it is known. */
  constructor(json: string, value?: unknown) {
    this.json = json;
    this.#value = value;
  }

  get value(): unknown {
    this.#value ??= JSON.parse(this.json);
    return this.#value;
  }
}

/** One frame on its way to a client: text, or bytes of a binary frame. */
export type Frame = string | Uint8Array;

export const isBroadcast = (value: unknown): value is Broadcast =>
  typeof value === "object" &&
  value !== null &&
  typeof (value as Broadcast).topic === "string" &&
  typeof (value as Broadcast).event === "string" &&
  "payload" in value;

/** Whether a push or broadcast may carry this payload: an object, or bytes. */
export function checkPayload(event: string, payload: unknown): void {
  const fine = typeof payload === "object" && payload !== null && !Array.isArray(payload);
  if (!fine)
    throw new TypeError(
      `the payload of ${event} must be an object or bytes, got ${Array.isArray(payload) ? "an array" : show(payload)}`,
    );
}

/** The response of a reply, `{}` by default. Throws for a value that JSON would silently omit. */
export function checkedResponse(status: string, response: unknown): unknown {
  if (response === undefined) return {};
  if (typeof response === "function" || typeof response === "symbol")
    throw new TypeError(`the ${status} reply must be a JSON value or bytes, got a ${typeof response}`);
  return response;
}

/** The bytes of a binary payload; undefined for any other. */
export function bytesOf(payload: unknown): Uint8Array | undefined {
  if (payload instanceof Uint8Array) return payload;
  return payload instanceof ArrayBuffer ? new Uint8Array(payload) : undefined;
}
