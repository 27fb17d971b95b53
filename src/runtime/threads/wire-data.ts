/**
 * What may cross from one thread to another, and how the few things MessagePack cannot say are said.
 *
 * Plain data crosses by copy: primitives, arrays, plain objects, Date, Map, Set, RegExp, typed arrays, errors, and the
 * runtime's identities. Instances of other classes lose their prototype, as in structured clone. Functions and
 * symbols cannot cross: the sender gets a `DataCloneError` that names the place, at the send.
 *
 * `toWire` copies only where something has to be said differently; ordinary data is handed on as it is.
 */

import { messageClassOf } from "../message-class.js";
import { CallMessage, CastMessage, SystemMessage } from "../server-messages.js";
import { show } from "../show.js";
import { From, isIdentity } from "./wire-identities.js";

/** A value that cannot be sent to another thread. */
export class DataCloneError extends Error {
  override readonly name = "DataCloneError";
}

/** Something MessagePack has no form for, said in terms it has. */
export class Boxed {
  readonly kind: string;
  readonly content: unknown;

  constructor(kind: string, content: unknown) {
    this.kind = kind;
    this.content = content;
  }
}

const MAX_DEPTH = 500;

export function toWire(value: unknown, path = "message", depth = 0): unknown {
  switch (typeof value) {
    case "string":
      // UTF-8 has no lone surrogates.
      return value.isWellFormed()
        ? value
        : new Boxed(
            "utf16",
            Uint16Array.from({ length: value.length }, (_, i) => value.charCodeAt(i)),
          );
    case "number":
      return Object.is(value, -0) ? new Boxed("-0", null) : value;
    case "function":
      throw new DataCloneError(`${path} is a function; only plain data can be sent to another thread`);
    case "symbol":
      throw new DataCloneError(`${path} is a symbol; only plain data can be sent to another thread`);
    case "object":
      break;
    default:
      return value;
  }
  if (value === null || isIdentity(value) || value instanceof From || value instanceof Boxed) return value;
  if (depth > MAX_DEPTH)
    throw new DataCloneError(`${path} is nested more than ${MAX_DEPTH} levels deep, or contains itself`);
  if (Array.isArray(value)) return arrayToWire(value, path, depth);
  const prototype = Object.getPrototypeOf(value);
  if (prototype === Object.prototype || prototype === null) return objectToWire(value, path, depth);
  const known = messageClassOf(value);
  if (known !== undefined) {
    const fields = known.fields(value);
    const wire = arrayToWire(fields, path, depth + 1) as typeof fields;
    return wire === fields ? value : known.make(wire);
  }
  if (value instanceof CallMessage) {
    const request = toWire(value.request, path, depth + 1);
    return request === value.request ? value : new CallMessage(value.from, request);
  }
  if (value instanceof CastMessage) {
    const request = toWire(value.request, path, depth + 1);
    return request === value.request ? value : new CastMessage(request);
  }
  if (value instanceof SystemMessage) {
    return new SystemMessage(value.from, value.operation, toWire(value.argument, path, depth + 1));
  }
  if (value instanceof Map) {
    const entries = [...value].map(([key, item]) => [
      toWire(key, `${path} key`, depth + 1),
      toWire(item, `${path}.get(${show(key)})`, depth + 1),
    ]);
    return new Boxed("map", entries);
  }
  if (value instanceof Set)
    return new Set([...value].map((item) => toWire(item, `${path} member`, depth + 1)));
  if (value instanceof Error) return errorToWire(value, path, depth);
  if (
    value instanceof Date ||
    value instanceof RegExp ||
    ArrayBuffer.isView(value) ||
    value instanceof ArrayBuffer
  )
    return value;
  if (
    value instanceof Promise ||
    value instanceof WeakMap ||
    value instanceof WeakSet ||
    value instanceof WeakRef
  ) {
    throw new DataCloneError(
      `${path} is a ${value.constructor.name}; only plain data can be sent to another thread`,
    );
  }
  return objectToWire({ ...value }, path, depth);
}

function arrayToWire(value: readonly unknown[], path: string, depth: number): unknown {
  let copy: unknown[] | undefined;
  for (let index = 0; index < value.length; index += 1) {
    const item = value[index];
    if (isSimple(item)) continue;
    const wire = toWire(item, `${path}[${index}]`, depth + 1);
    if (wire !== item) {
      copy ??= value.slice();
      copy[index] = wire;
    }
  }
  return copy ?? value;
}

function objectToWire(value: object, path: string, depth: number): unknown {
  const source = value as Record<string, unknown>;
  let copy: Record<string, unknown> | undefined;
  let special = false;
  for (const key of Object.keys(source)) {
    const item = source[key];
    if (key === "__proto__" || !key.isWellFormed()) special = true;
    if (isSimple(item)) continue;
    const wire = toWire(item, `${path}.${key}`, depth + 1);
    if (wire !== item) {
      copy ??= { ...source };
      copy[key] = wire;
    }
  }
  if (special) {
    const entries = Object.entries(copy ?? source).map(([key, item]) => [toWire(key), item]);
    return new Boxed("object", entries);
  }
  return copy ?? value;
}

/** Values that need no look: the common ones, decided without a call. */
const isSimple = (item: unknown): boolean =>
  item === null ||
  item === undefined ||
  typeof item === "boolean" ||
  (typeof item === "number" && item !== 0);

function errorToWire(error: Error, path: string, depth: number): Boxed {
  const content: Record<string, unknown> = { name: error.name, message: error.message, stack: error.stack };
  const { code, reason } = error as { code?: unknown; reason?: unknown };
  if (code !== undefined) content.code = toWire(code, `${path}.code`, depth + 1);
  if (reason !== undefined) content.reason = toWire(reason, `${path}.reason`, depth + 1);
  if (error.cause !== undefined) content.cause = toWire(error.cause, `${path}.cause`, depth + 1);
  return new Boxed("error", content);
}

const ERROR_CLASSES: Record<string, ErrorConstructor> = {
  Error,
  TypeError: TypeError as ErrorConstructor,
  RangeError: RangeError as ErrorConstructor,
  SyntaxError: SyntaxError as ErrorConstructor,
  ReferenceError: ReferenceError as ErrorConstructor,
  EvalError: EvalError as ErrorConstructor,
  URIError: URIError as ErrorConstructor,
};

/** What a boxed value stands for. */
export function unbox({ kind, content }: Boxed): unknown {
  switch (kind) {
    case "map":
      return new Map(content as [unknown, unknown][]);
    case "object": {
      const object = {};
      for (const [key, value] of content as [string, unknown][]) {
        // Defined, not assigned: a key named __proto__ stays an ordinary key.
        Object.defineProperty(object, key, { value, enumerable: true, writable: true, configurable: true });
      }
      return object;
    }
    case "utf16":
      return String.fromCharCode(...(content as Uint16Array));
    case "-0":
      return -0;
    case "error": {
      const { name, message, stack, ...rest } = content as { name: string; message: string; stack: string };
      const error = new (ERROR_CLASSES[name] ?? Error)(message);
      for (const [key, value] of Object.entries({ stack, ...rest })) {
        Object.defineProperty(error, key, { value, enumerable: false, writable: true, configurable: true });
      }
      if (error.name !== name)
        Object.defineProperty(error, "name", {
          value: name,
          enumerable: false,
          writable: true,
          configurable: true,
        });
      return error;
    }
    default:
      // "moved": the road puts the memory there.
      return new Boxed(kind, content);
  }
}
