/**
 * What keeps one process's data from being changed under another's feet inside a thread.
 *
 * - `freeze`: messages are deeply frozen when sent, so that a mutation throws where it happens. For
 *   development.
 * - `clone`: messages are copied, as they are between threads. What cannot cross there is handed
 *   over as it is, and so are errors.
 * - `none`: messages are passed by reference and trusted not to be changed. For production.
 */
import { hidesState } from "./hidden-state.js";
import { messageClassOf } from "./message-class.js";
import { Pid, Ref } from "./pid.js";

export type Isolation = "freeze" | "clone" | "none";

export const defaultIsolation = (): Isolation => (process.env.NODE_ENV === "production" ? "none" : "freeze");

export function isolate(mode: Isolation, message: unknown): unknown {
  if (typeof message !== "object" || message === null || mode === "none") return message;
  return mode === "freeze" ? deepFreeze(message) : deepClone(message);
}

function isPlain(value: object): boolean {
  if (Array.isArray(value)) return true;
  const prototype = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

/**
 * Freezes plain objects and arrays; instances of classes belong to their class and are left alone.
 */
function deepFreeze<T extends object>(value: T): T {
  if (Object.isFrozen(value) || !isPlain(value)) return value;
  Object.freeze(value);
  for (const item of Object.values(value)) {
    if (typeof item === "object" && item !== null) deepFreeze(item);
  }
  return value;
}

/** Copies plain data; identities are immutable values and stay as they are. */
function deepClone(value: unknown): unknown {
  if (typeof value !== "object" || value === null || value instanceof Pid || value instanceof Ref)
    return value;
  if (Array.isArray(value)) return value.map(deepClone);
  if (isPlain(value))
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, deepClone(item)]));
  if (messageClassOf(value) !== undefined) return value;
  if (value instanceof Map)
    return new Map([...value].map(([key, item]) => [deepClone(key), deepClone(item)]));
  if (value instanceof Set) return new Set([...value].map(deepClone));
  if (value instanceof Error || hidesState(value)) return value;
  return structuredClone(value);
}
