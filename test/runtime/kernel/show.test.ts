import fc from "fast-check";
import { createNode } from "simurgh/runtime";
import { afterAll, describe, expect, test } from "vitest";
import { show } from "#runtime";

const node = createNode({ onReport() {} });
afterAll(() => node.stop());

const boom = (): never => {
  throw new Error("boom");
};
const loop: Record<string, unknown> = {};
loop.self = loop;
class Odd {
  get [Symbol.toStringTag](): string {
    return boom();
  }
}

/** Values whose own ways to become a text do not work. */
const HOSTILE: readonly (readonly [what: string, value: unknown])[] = [
  ["a toString that is no function", { toString: 0 }],
  ["a toString and valueOf that throw", { toString: boom, valueOf: boom }],
  ["a toJSON that throws", { toJSON: boom }],
  ["a toJSON that gives nothing", { toJSON: () => undefined }],
  ["a Symbol.toPrimitive that throws", { [Symbol.toPrimitive]: boom }],
  ["no prototype", Object.create(null)],
  ["a getter that throws", Object.defineProperty({}, "x", { get: boom, enumerable: true })],
  ["a tag that throws", new Odd()],
  ["a proxy that refuses everything", new Proxy({}, { get: boom, ownKeys: boom, getPrototypeOf: boom })],
  ["itself inside", loop],
  ["a bigint inside", { n: 1n }],
  ["a huge bigint", 1n << 1_000_000n],
  ["a symbol", Symbol("s")],
  ["a long symbol", Symbol("s".repeat(100_000))],
  ["a long text", "x".repeat(1_000_000)],
  ["a long list", Array.from({ length: 100_000 }, (_, n) => n)],
  ["an error without a name", Object.assign(new Error("m"), { name: { toString: 0 } })],
  ["a function", boom],
];

describe("show", () => {
  test.each(HOSTILE)("shows a value with %s, and not at length", (_what, value) => {
    const text = show(value);
    expect(typeof text).toBe("string");
    expect(text.length).toBeLessThan(2100);
  });

  test.each([
    ["text", "text"],
    [5, "5"],
    [-0, "0"],
    [null, "null"],
    [undefined, "undefined"],
    [12n, "12"],
    [{ a: [1] }, '{"a":[1]}'],
    [new TypeError("no"), "TypeError: no"],
  ])("shows %s as %s", (value, text) => expect(show(value)).toBe(text));

  test("shows a pid as it is printed everywhere", () => {
    const pid = node.spawn(() => new Promise(() => {}));
    expect(show(pid)).toBe(String(pid));
  });

  test("shows anything there is", () => {
    fc.assert(
      fc.property(fc.anything({ withBigInt: true, withNullPrototype: true, withMap: true }), (value) => {
        expect(show(value, 50).length).toBeLessThan(90);
      }),
    );
  });
});
