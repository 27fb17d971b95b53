/**
 * Converts data for another thread: checks that it can be sent, and wraps the few values that
 * MessagePack cannot encode.
 *
 * Plain data crosses by copy: primitives, arrays, plain objects, Date, Map, Set, RegExp, typed
 * arrays, errors, and the runtime's identities. Instances of other classes lose their prototype, as
 * in structured clone, unless they have data that is not in their properties. Those, functions and
 * symbols cannot cross: the sender gets a `DataCloneError` that names the place, at the send.
 *
 * `toWire` copies only what has to be wrapped; ordinary data is passed unchanged.
 */

import { className, hidesState } from "./hidden-state.js";
import { messageClassOf } from "./message-class.js";
import { Pid, Ref } from "./pid.js";
import { From } from "./request.js";
import { CallMessage, CastMessage, SystemMessage } from "./server-messages.js";
import { show } from "./show.js";

/** A value that cannot be sent to another thread. */
export class DataCloneError extends Error {
  override readonly name = "DataCloneError";
}

/** A value that MessagePack cannot encode, in a form that it can. */
export class Boxed {
  readonly kind: string;
  readonly content: unknown;

  constructor(kind: string, content: unknown) {
    this.kind = kind;
    this.content = content;
  }
}

const MAX_DEPTH = 500;
/** Errors inside errors, as causes and properties, that are sent as errors. */
const MAX_ERRORS = 16;

/**
 * Why a value cannot be sent, and where it is. The path is built on the way up, so that data that
 * can be sent costs nothing.
 */
class Refusal {
  path = "";
  readonly what: string;

  constructor(what: string) {
    this.what = what;
  }

  /** Adds the place of the value inside an outer one. */
  at(place: string): this {
    this.path = place + this.path;
    return this;
  }
}

const refuse = (what: string): never => {
  throw new Refusal(`is ${what}; only plain data can be sent to another thread`);
};

/**
 * What is to be packed in place of `value`. Throws a `DataCloneError` that names the place of what
 * cannot cross.
 */
export function toWire(value: unknown): unknown {
  try {
    return wireOf(value, 0);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    throw new DataCloneError(`message${show(error.path, 500)} ${error.what}`);
  }
}

/** As `wireOf`, of what is at `place` in something else. */
function within(value: unknown, depth: number, place: () => string): unknown {
  try {
    return wireOf(value, depth + 1);
  } catch (error) {
    throw error instanceof Refusal ? error.at(place()) : error;
  }
}

function wireOf(value: unknown, depth: number): unknown {
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
      return refuse("a function");
    case "symbol":
      return refuse("a symbol");
    case "object":
      break;
    default:
      return value;
  }
  if (
    value === null ||
    value instanceof Pid ||
    value instanceof Ref ||
    value instanceof From ||
    value instanceof Boxed
  )
    return value;
  if (depth > MAX_DEPTH)
    throw new Refusal(`is nested more than ${MAX_DEPTH} levels deep, or contains itself`);
  if (Array.isArray(value)) return arrayToWire(value, depth);
  const prototype = Object.getPrototypeOf(value);
  if (prototype === Object.prototype || prototype === null) return objectToWire(value, depth);
  const known = messageClassOf(value);
  if (known !== undefined) {
    const fields = known.fields(value);
    const wire = arrayToWire(fields, depth + 1) as typeof fields;
    return wire === fields ? value : known.make(wire);
  }
  if (value instanceof CallMessage) {
    const request = wireOf(value.request, depth + 1);
    return request === value.request ? value : new CallMessage(value.from, request);
  }
  if (value instanceof CastMessage) {
    const request = wireOf(value.request, depth + 1);
    return request === value.request ? value : new CastMessage(request);
  }
  if (value instanceof SystemMessage) {
    return new SystemMessage(value.from, value.operation, wireOf(value.argument, depth + 1));
  }
  if (value instanceof Map) {
    const entries = [...value].map(([key, item]) => [
      within(key, depth, () => " key"),
      within(item, depth, () => `.get(${show(key, 100)})`),
    ]);
    return new Boxed("map", entries);
  }
  if (value instanceof Set) return new Set([...value].map((item) => within(item, depth, () => " member")));
  if (value instanceof Error) return errorToWire(value, depth);
  if (
    value instanceof Date ||
    value instanceof RegExp ||
    ArrayBuffer.isView(value) ||
    value instanceof ArrayBuffer
  )
    return value;
  if (hidesState(value)) refuse(`a ${className(value)}`);
  return objectToWire({ ...value }, depth);
}

function arrayToWire(value: readonly unknown[], depth: number): unknown {
  let copy: unknown[] | undefined;
  for (let index = 0; index < value.length; index += 1) {
    const item = value[index];
    if (isSimple(item)) continue;
    const wire = within(item, depth, () => `[${index}]`);
    if (wire !== item) {
      copy ??= value.slice();
      copy[index] = wire;
    }
  }
  return copy ?? value;
}

function objectToWire(value: object, depth: number): unknown {
  const source = value as Record<string, unknown>;
  let copy: Record<string, unknown> | undefined;
  let special = false;
  for (const key of Object.keys(source)) {
    const item = source[key];
    if (key === "__proto__" || !key.isWellFormed()) special = true;
    if (isSimple(item)) continue;
    const wire = within(item, depth, () => `.${key}`);
    if (wire !== item) {
      copy ??= { ...source };
      copy[key] = wire;
    }
  }
  if (special) {
    const entries = Object.entries(copy ?? source).map(([key, item]) => [wireOf(key, 0), item]);
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

// ------------------------------------------------------------------ errors

let errorsAbove = 0;

/**
 * An error crosses with all it says: also its own properties, its cause, and the errors of an
 * `AggregateError`. What cannot cross of that arrives as a text, since an error must get through.
 */
function errorToWire(error: Error, depth: number): Boxed {
  const described = (value: unknown): unknown => {
    if (errorsAbove >= MAX_ERRORS) return show(value);
    errorsAbove += 1;
    try {
      return wireOf(value, depth + 1);
    } catch (refusal) {
      if (!(refusal instanceof Refusal)) throw refusal;
      return show(value);
    } finally {
      errorsAbove -= 1;
    }
  };
  const { name, message, stack } = error;
  const content: Record<string, unknown> = {
    name: typeof name === "string" ? name : show(name),
    message: typeof message === "string" ? message : show(message),
    stack: typeof stack === "string" ? stack : show(stack),
  };
  // Some errors have a code by their class.
  const { code } = error as { code?: unknown };
  if (code !== undefined && !Object.hasOwn(error, "code")) content.code = described(code);
  if (error.cause !== undefined) content.cause = described(error.cause);
  if (error instanceof AggregateError) content.errors = described(error.errors);
  const own = Object.entries(error).filter(([key]) => !(key in content));
  if (own.length > 0) content.own = own.map(([key, value]) => [wireOf(key, 0), described(value)]);
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
      const {
        name,
        message,
        stack,
        own = [],
        ...rest
      } = content as { name: string; message: string; stack: string; own?: readonly [string, unknown][] };
      const error =
        "errors" in rest ? new AggregateError([], message) : new (ERROR_CLASSES[name] ?? Error)(message);
      for (const [key, value] of Object.entries({ stack, ...rest })) {
        Object.defineProperty(error, key, { value, enumerable: false, writable: true, configurable: true });
      }
      for (const [key, value] of own)
        Object.defineProperty(error, key, { value, enumerable: true, writable: true, configurable: true });
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
      // "moved": the connection puts the memory there.
      return new Boxed(kind, content);
  }
}
