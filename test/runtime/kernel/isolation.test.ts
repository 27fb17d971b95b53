/** What a process of the same thread gets of what was sent to it, in each isolation. */
import { createNode, receive, send } from "simurgh/runtime";
import { describe, expect, test } from "vitest";

class Counter {
  #count = 1;
  get count(): number {
    return this.#count;
  }
}

describe.each(["freeze", "clone", "none"] as const)("isolation %s", (isolation) => {
  const sent = async (value: unknown): Promise<unknown> => {
    const node = createNode({ isolation, onReport() {} });
    try {
      let got!: (value: unknown) => void;
      const arrived = new Promise<unknown>((resolve) => {
        got = resolve;
      });
      const pid = node.spawn(async () => got((await receive((message) => ({ message }))).message));
      await node.run(() => void send(pid, [value]));
      return ((await arrived) as unknown[])[0];
    } finally {
      await node.stop();
    }
  };

  test.each([
    ["a URL", new URL("http://a/b"), (value: URL) => value.href],
    ["headers", new Headers({ a: "1" }), (value: Headers) => value.get("a")],
    ["an instance with private fields", new Counter(), (value: Counter) => value.count],
    ["a function", () => 5, (value: () => number) => value()],
    ["a map", new Map([["k", { v: 1 }]]), (value: Map<string, unknown>) => JSON.stringify([...value])],
    ["a date", new Date(5), (value: Date) => value.getTime()],
    ["a pattern", /a/g, (value: RegExp) => value.flags],
    ["bytes", new Uint8Array([1]), (value: Uint8Array) => value[0]],
    [
      "an error",
      Object.assign(new Error("m"), { status: 503 }),
      (value: { message: string; status: number }) => [value.message, value.status],
    ],
  ])("%s arrives whole", async (_what, value, look) => {
    const looked = look as (value: unknown) => unknown;
    expect(looked(await sent(value))).toEqual(looked(value));
  });
});
