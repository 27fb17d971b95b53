import fc from "fast-check";
import { Socket } from "phoenix";
import qs from "qs";
import { describe, expect, test } from "vitest";
import { connectParams } from "../../../src/channels/socket/connect-params.js";

/** With prototypes, so that it compares. */
const read = (query: string): unknown => {
  const params = connectParams(query);
  return params === undefined ? undefined : JSON.parse(JSON.stringify(params));
};

/** The query that Phoenix's client makes of its params. */
function written(params: object): string {
  const socket = new Socket("ws://localhost/socket", { params, transport: class {} as never });
  return socket.endPointURL().split("?")[1] as string;
}

describe("connect params", () => {
  test.each([
    ["", {}],
    ["=", { "": "" }],
    ["=value", { "": "value" }],
    ["key", { key: "" }],
    ["&x=1&&y=2&", { x: "1", y: "2" }],
    ["foo=bar&foo=baz", { foo: "baz" }],
    ["my+weird+field=q1%212%22%27w%245%267%2Fz8%29%3F", { "my weird field": "q1!2\"'w$5&7/z8)?" }],
    ["foo[]", { foo: [""] }],
    ["foo[]=bar&foo[]=baz&bat[]=1", { foo: ["bar", "baz"], bat: ["1"] }],
    ["x[y][z]=1&x[y][z]=2", { x: { y: { z: "2" } } }],
    ["x[y][z][]=1&x[y][z][]=2", { x: { y: { z: ["1", "2"] } } }],
    ["x[y][][z][]=1", { x: { y: [{ z: ["1"] }] } }],
    ["x[][a]=1&x[][b]=2", { x: [{ a: "1", b: "2" }] }],
    ["x[][][]=1", { x: [[["1"]]] }],
    ["cursor[42]=abc&cursor[7]=d", { cursor: { 42: "abc", 7: "d" } }],
    ["a[0]=x&a[1]=y", { a: { 0: "x", 1: "y" } }],
    ["a[101]=x&a[-1]=y&a[1.5]=z", { a: { 101: "x", "-1": "y", "1.5": "z" } }],
    ["0=x&1[2][]=y", { 0: "x", 1: { 2: ["y"] } }],
  ])("%s as Phoenix reads it", (query, expected) => {
    expect(read(query)).toEqual(expected);
  });

  test.each([
    ["x[]=1&x[y]=1", { x: { y: "1" } }],
    ["x[y]=1&x[]=1", { x: ["1"] }],
    ["x[y][][w]=2&x[y]=1", { x: { y: "1" } }],
    ["x=1&x[y]=1", { x: { y: "1" } }],
    ["x[y]=1&x=1", { x: "1" }],
    ["x[y][0][w]=2&x[y]=1", { x: { y: "1" } }],
    ["x[0]=a&x[]=b&x[1]=c", { x: { 0: "a", 1: "c" } }],
  ])("of what cannot be together the last wins: %s", (query, expected) => {
    expect(read(query)).toEqual(expected);
  });

  test.each([
    ["[a]=1", { "[a]": "1" }],
    ["a]=1", { "a]": "1" }],
    ["a[b=1", { "a[b": "1" }],
    ["a[b]c=1", { "a[b]c": "1" }],
    ["a[[b]=1", { a: { "[b": "1" } }],
    ["a[b]]=1", { a: { "b]": "1" } }],
    ["a%5Bb%5D=1", { a: { b: "1" } }],
    ["a=100%", { a: "100%" }],
    ["a=%zz%41", { a: "%zzA" }],
  ])("brackets and percent signs that belong to nothing are themselves: %s", (query, expected) => {
    expect(read(query)).toEqual(expected);
  });

  test("names of Object.prototype are ordinary param names", () => {
    const params = connectParams("constructor[prototype]=1&toString=2&a[hasOwnProperty]=3") as never;
    expect(JSON.stringify(params)).toBe(
      '{"constructor":{"prototype":"1"},"toString":"2","a":{"hasOwnProperty":"3"}}',
    );
    expect(Object.assign({}, connectParams("__proto__[admin]=1&a[__proto__][admin]=1"))).toEqual({ a: {} });
    expect(({} as { admin?: unknown }).admin).toBeUndefined();
  });

  test("what is not UTF-8 is no query", () => {
    for (const query of ["a=%ff", "%c3=1", "a[%80]=1", "a=%ed%a0%80"]) expect(read(query)).toBeUndefined();
    expect(read("a=%C3%BC")).toEqual({ a: "ü" });
  });

  test("pairs and depth are bounded", () => {
    const many = Array.from({ length: 300 }, (_, n) => `a[k${n}]=${n}`).join("&");
    expect(Object.keys((read(many) as { a: object }).a)).toHaveLength(200);
    expect(read(`deep${"[a]".repeat(5000)}=1&b=2`)).toEqual({ b: "2" });
    expect(read(`deep${"[]".repeat(5000)}=1&b=2`)).toEqual({ b: "2" });
  });

  const key = fc.oneof(fc.string({ minLength: 1, maxLength: 4 }), fc.nat().map(String)).filter(
    // Such a name writes itself into the brackets of another.
    (name) => !/[[\]]/.test(name) && name !== "__proto__" && name.isWellFormed(),
  );
  const text = fc.string({ unit: "grapheme", maxLength: 8 });
  const { tree } = fc.letrec((tie) => ({
    tree: fc.dictionary(key, fc.oneof({ depthSize: "small" }, text, tie("branch")), { maxKeys: 4 }),
    branch: fc.dictionary(key, fc.oneof({ depthSize: "small" }, text, tie("branch")), {
      minKeys: 1,
      maxKeys: 4,
    }),
  }));

  test("what Phoenix's client writes of nested objects comes back as it was", () => {
    fc.assert(
      fc.property(tree, (params) => {
        expect(read(written(params as object))).toEqual({ ...(params as object), vsn: "2.0.0" });
      }),
    );
  });

  test("what a writer of lists with [] writes comes back as it was", () => {
    const lists = fc.dictionary(key, fc.oneof(text, fc.array(text, { minLength: 1, maxLength: 4 })));
    fc.assert(
      fc.property(lists, (params) => {
        const query = qs.stringify(params, { arrayFormat: "brackets", encodeValuesOnly: false });
        expect(read(query)).toEqual({ ...params });
      }),
    );
  });

  test("nothing that can be sent makes it throw or hold more than was sent", () => {
    const rubbish = fc.string({ unit: fc.constantFrom(..."a0[]=&%+\u00ff_"), maxLength: 60 });
    fc.assert(
      fc.property(rubbish, (query) => {
        expect(JSON.stringify(connectParams(query) ?? {}).length).toBeLessThan(10 * query.length + 10);
      }),
    );
  });
});
