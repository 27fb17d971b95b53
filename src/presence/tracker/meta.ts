/** Checks keys and metas in the calling process, and makes refs. */
import { randomBytes } from "node:crypto";
import { BadArg } from "simurgh/runtime";
import type { Meta } from "./delta.js";

/**
 * A key as text: clients see keys as JSON object keys. Throws `BadArg` for anything but a string,
 * number or boolean.
 */
export function checkKey(key: unknown): string {
  if (typeof key === "string") return key;
  if (typeof key === "number" || typeof key === "boolean") return String(key);
  throw new BadArg(`badarg: a presence key must be a string, number or boolean, got ${typeof key}`);
}

/** Refuses what could not be sent to a client. Throws `BadArg` that names the place. */
export function checkMeta(meta: unknown): asserts meta is Record<string, unknown> {
  if (typeof meta !== "object" || meta === null || Array.isArray(meta))
    throw new BadArg("badarg: a presence meta must be an object");
  checkPlain(meta, "meta");
}

function checkPlain(value: unknown, path: string, depth = 0): void {
  if (depth > 32) throw new BadArg(`badarg: ${path} is nested too deeply, or contains itself`);
  if (value === null || typeof value === "string" || typeof value === "boolean" || value === undefined)
    return;
  if (typeof value === "number") {
    if (Number.isFinite(value)) return;
    throw new BadArg(`badarg: ${path} is ${value}, which JSON cannot say`);
  }
  if (typeof value !== "object")
    throw new BadArg(`badarg: ${path} is a ${typeof value}; a presence meta must be plain data`);
  if (Array.isArray(value)) {
    value.forEach((item, index) => void checkPlain(item, `${path}[${index}]`, depth + 1));
    return;
  }
  const prototype = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) {
    throw new BadArg(
      `badarg: ${path} is a ${prototype.constructor?.name ?? "class instance"}; a presence meta must be plain data`,
    );
  }
  for (const [key, item] of Object.entries(value)) checkPlain(item, `${path}.${key}`, depth + 1);
}

/** The meta with a ref of its own; the tracker's, whatever the caller put there. */
export function withRef(meta: Record<string, unknown>, previous?: string): Meta {
  const { phx_ref: _ref, phx_ref_prev: _previous, ...rest } = meta;
  const phx_ref = randomBytes(12).toString("base64url");
  return previous === undefined ? { ...rest, phx_ref } : { ...rest, phx_ref, phx_ref_prev: previous };
}
