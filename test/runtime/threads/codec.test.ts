import { EventEmitter } from "node:events";
import fc from "fast-check";
import { createNode, Pid, Ref } from "simurgh/runtime";
import { afterAll, describe, expect, test } from "vitest";
import { registerMessageClass } from "#runtime";
import { DataCloneError, toWire } from "../../../src/runtime/kernel/wire-data.js";
import { unpackAll } from "../../../src/runtime/threads/codec.js";
import { SendBuffer } from "../../../src/runtime/threads/send-buffer.js";

const node = createNode({ index: 3, creation: 2, onReport() {} });
afterAll(() => node.stop());

class Wish {
  readonly what: unknown;
  readonly from: unknown;

  constructor(what: unknown, from: unknown) {
    this.what = what;
    this.from = from;
  }
}
registerMessageClass(Wish, 0x3f, ({ what, from }) => [what, from]);

describe("data between threads", () => {
  /** Through the send buffer, a port's own copying, and back. */
  function roundTrip(value: unknown): unknown {
    const buffer = new SendBuffer();
    buffer.add([toWire(value)]);
    const arrived = structuredClone(buffer.take());
    const out: unknown[] = [];
    unpackAll(node, arrived, (signal) => out.push(signal[0]));
    return out[0];
  }

  test("undefined, NaN, -0, bigint, Date, Map, Set, RegExp and arrays keep type (R-461)", () => {
    const value = {
      nothing: undefined,
      nan: Number.NaN,
      minusZero: -0,
      big: 2n ** 80n,
      when: new Date(86_400_000),
      map: new Map<unknown, unknown>([[{ k: 1 }, new Map([["inner", -0]])]]),
      set: new Set(["a", 1]),
      pattern: /a.b/gi,
      floats: new Float64Array([1.5, -2]),
      bytes: new Uint8Array([0, 255]),
    };
    expect(roundTrip(value)).toEqual(value);
    expect(Object.is((roundTrip({ z: -0 }) as { z: number }).z, -0)).toBe(true);
  });

  test("lone surrogates and keys such as __proto__ survive (R-461)", () => {
    const value = JSON.parse('{"__proto__":{"x":1},"constructor":2,"s":"\\ud800!"}');
    const back = roundTrip(value) as Record<string, unknown>;
    expect(Object.keys(back)).toEqual(["__proto__", "constructor", "s"]);
    expect(Object.getOwnPropertyDescriptor(back, "__proto__")?.value).toEqual({ x: 1 });
    expect(back.s).toBe("\ud800!");
  });

  test("errors keep name, message, stack, cause and code (R-460)", () => {
    const error = Object.assign(new TypeError("outer", { cause: new RangeError("inner") }), { code: "E_X" });
    const back = roundTrip(error) as TypeError & { code: string };
    expect(back).toBeInstanceOf(TypeError);
    expect([back.name, back.message, back.stack, back.code]).toEqual([
      "TypeError",
      "outer",
      error.stack,
      "E_X",
    ]);
    expect(back.cause).toBeInstanceOf(RangeError);
    expect((back.cause as Error).message).toBe("inner");
  });

  test("errors keep own properties, AggregateError's errors and codes", () => {
    const inner = Object.assign(new Error("inner"), { status: 503 });
    const outer = Object.assign(new AggregateError([inner, "text"], "outer", { cause: inner }), {
      detail: { list: [1, new Map([["k", 1]])] },
      retry: () => 1,
    });
    const back = roundTrip(outer) as typeof outer;
    expect(back).toBeInstanceOf(AggregateError);
    expect(back.detail).toEqual(outer.detail);
    expect(Object.keys(back)).toEqual(["detail", "retry"]);
    // What cannot cross must not keep an error from getting through.
    expect(back.retry).toBe("a function");
    expect(back.errors).toHaveLength(2);
    expect(back.errors[0]).toMatchObject({ message: "inner", status: 503 });
    expect(back.cause).toMatchObject({ message: "inner", status: 503 });
    expect((roundTrip(new DOMException("gone", "AbortError")) as { code: number }).code).toBe(20);
    const own = Object.assign(new Error("own cause"), { again: null as unknown });
    own.again = own;
    expect(roundTrip(own)).toMatchObject({
      message: "own cause",
      again: { again: { message: "own cause" } },
    });
  });

  test.each([
    ["a generator", (function* () {})()],
    ["an asynchronous generator", (async function* () {})()],
    ["an iterator of a map", new Map([[1, 2]]).entries()],
    ["an iterator of an array", [1].values()],
    ["an iterator of matches", "a".matchAll(/a/g)],
    ["an iterator of segments", new Intl.Segmenter().segment("a")[Symbol.iterator]()],
  ])("%s, which has no class, is refused, too", (_what, value) => {
    expect(() => toWire({ list: [value] })).toThrow(DataCloneError);
    expect(() => toWire({ list: [value] })).toThrow(/^message\.list\[0\] is a .+; only plain data/);
  });

  class Counter {
    #count = 1;
    readonly shown = "#not private";
    get count(): number {
      return this.#count;
    }
  }
  class Sub extends Counter {}
  test.each([
    ["URL", new URL("http://a/")],
    ["URLSearchParams", new URLSearchParams("a=1")],
    ["Headers", new Headers({ a: "1" })],
    ["Request", new Request("http://a/")],
    ["FormData", new FormData()],
    ["Blob", new Blob(["x"])],
    ["AbortController", new AbortController()],
    ["ReadableStream", new ReadableStream()],
    ["WeakMap", new WeakMap()],
    ["WeakRef", new WeakRef({})],
    ["Counter", new Counter()],
    ["Sub", new Sub()],
    ["Number", Object(1)],
    ["SharedArrayBuffer", new SharedArrayBuffer(1)],
    ["NumberFormat", new Intl.NumberFormat("en")],
    ["EventEmitter", new EventEmitter()],
  ])("a %s has data that is not in its properties: it is refused, with its place", (name, value) => {
    expect(() => toWire({ list: [value] })).toThrow(DataCloneError);
    expect(() => toWire({ list: [value] })).toThrow(`message.list[0] is a ${name}; only plain data`);
  });

  test("getters and proxies arrive as plain data", () => {
    class Color {
      // A # in a text is no private field.
      readonly hex = "#fff";
    }
    const given = {
      get now() {
        return 5;
      },
    };
    expect(roundTrip([new Color(), given, new Proxy({ a: 1 }, {})])).toEqual([
      { hex: "#fff" },
      { now: 5 },
      { a: 1 },
    ]);
  });

  test.each([
    ["a function", { a: [{ b: () => 1 }] }, "message.a[0].b is a function"],
    ["a symbol", [Symbol("s")], "message[0] is a symbol"],
    ["a promise", { later: Promise.resolve() }, "message.later is a Promise"],
  ])("R-460 %s is refused at the send with the place it stands", (_what, value, text) => {
    expect(() => toWire(value)).toThrow(DataCloneError);
    expect(() => toWire(value)).toThrow(text);
  });

  test("a value that contains itself is refused (R-461)", () => {
    const loop: Record<string, unknown> = {};
    loop.self = loop;
    expect(() => toWire(loop)).toThrow("contains itself");
  });

  test("instances of a registered message class keep their class", () => {
    const pid = node.spawn(() => new Promise(() => {}));
    const wish = new Wish({ text: "\ud800", list: [undefined, -0, new Map([[1, 2]])] }, pid);
    const back = roundTrip([wish]) as Wish[];
    expect(back[0]).toBeInstanceOf(Wish);
    expect(back[0]?.what).toEqual(wish.what);
    expect(pid.equals(back[0]?.from)).toBe(true);
    for (const like of [{ what: 1, from: 2 }, [1, 2], { "@simurgh": "message", content: [0x3f, [1, 2]] }]) {
      const copy = roundTrip(like);
      expect(copy).not.toBeInstanceOf(Wish);
      expect(copy).toEqual(like);
    }
    expect(() => toWire(new Wish(() => {}, null))).toThrow("message[0] is a function");
    expect(() => registerMessageClass(class Other {}, 0x3f, () => [])).toThrow("a type of its own");
    expect(() => registerMessageClass(class Other {}, 0x20, () => [])).toThrow("from 0x30 to 0x3f");
  });

  test("instances of classes lose their prototype (R-460)", () => {
    class Point {
      x = 1;
      method(): number {
        return this.x;
      }
    }
    const back = roundTrip(new Point());
    expect(back).toEqual({ x: 1 });
    expect(Object.getPrototypeOf(back)).toBe(Object.prototype);
  });

  test("pids and refs come back equal and printable, inside maps and arrays too (X-199, R-004)", () => {
    const pid = node.spawn(() => new Promise(() => {}));
    const ref = node.newRef();
    const back = roundTrip({ list: [pid], map: new Map([[ref, pid]]) }) as {
      list: Pid[];
      map: Map<Ref, Pid>;
    };
    expect(back.list[0]).toBeInstanceOf(Pid);
    expect(pid.equals(back.list[0])).toBe(true);
    expect(String(back.list[0])).toBe(`<3.${pid.id}.2>`);
    const [[key, value]] = [...back.map] as [[Ref, Pid]];
    expect(key).toBeInstanceOf(Ref);
    expect(ref.equals(key)).toBe(true);
    expect(pid.equals(value)).toBe(true);
  });

  test("any JSON-like or cloneable data round-trips unchanged (R-461)", () => {
    const anything = fc.anything({
      withBigInt: true,
      withDate: true,
      withMap: true,
      withSet: true,
      withTypedArray: true,
      withNullPrototype: false,
    });
    fc.assert(
      fc.property(anything, (value) => {
        expect(roundTrip(value)).toEqual(structuredClone(value));
      }),
      { numRuns: 500 },
    );
  });
});
