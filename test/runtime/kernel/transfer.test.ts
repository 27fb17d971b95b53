import { BadArg, exit, self, send, spawn } from "simurgh/runtime";
import { afterEach, describe, expect, test } from "vitest";
import { pidFromParts } from "../../../src/runtime/kernel/bifs.js";
import { inLab, next, reasonOf } from "../support.js";
import { eventually, joinedNodes, type Pair } from "../threads/support.js";

const bytes = (...values: number[]): Uint8Array<ArrayBuffer> => {
  const array = new Uint8Array(new ArrayBuffer(values.length));
  array.set(values);
  return array;
};

describe("memory that is handed over", () => {
  let pair: Pair | undefined;
  afterEach(() => pair?.stop());

  test("across threads the receiver has the bytes, and the sender's buffer is gone (R-462, X-201)", async () => {
    pair = joinedNodes();
    const seen: unknown[] = [];
    const { near, far } = pair;
    const remote = far.spawn(async () => {
      for (;;) seen.push(await next(60_000));
    });
    await near.run(() => {
      const to = pidFromParts(near, remote);
      const payload = bytes(1, 2, 3, 4);
      send(to, "before");
      send(
        to,
        { whole: payload.buffer, view: payload.subarray(1, 3), other: bytes(9) },
        { transfer: [payload.buffer] },
      );
      send(to, "after");
      expect([payload.length, payload.buffer.byteLength]).toEqual([0, 0]);
    });
    await eventually(() => seen.length === 3, "three messages have arrived");
    const [first, moved, last] = seen as [
      string,
      { whole: ArrayBuffer; view: Uint8Array; other: Uint8Array },
      string,
    ];
    expect([first, last]).toEqual(["before", "after"]);
    expect([...new Uint8Array(moved.whole)]).toEqual([1, 2, 3, 4]);
    expect([...moved.view]).toEqual([2, 3]);
    expect(moved.view.buffer).toBe(moved.whole);
    expect([...moved.other]).toEqual([9]);
  });

  test("within a thread it is the same (R-462, X-201)", () =>
    inLab(async () => {
      const payload = new Float64Array(new ArrayBuffer(16));
      payload.set([1.5, 2.5]);
      send(self(), ["data", payload, new Map([["m", payload.buffer]])], { transfer: [payload.buffer] });
      expect(payload.length).toBe(0);
      const [, view, map] = (await next()) as [string, Float64Array, Map<string, ArrayBuffer>];
      expect([...view]).toEqual([1.5, 2.5]);
      expect(map.get("m")).toBe(view.buffer);
    }));

  test("the buffer leaves the sender also without a receiver (R-462)", () =>
    inLab(async () => {
      const dead = spawn(() => {});
      await reasonOf(dead);
      const payload = bytes(1);
      send(dead, payload, { transfer: [payload.buffer] });
      expect(payload.length).toBe(0);
    }));

  test("pooled and shared memory, views and unknown names are refused (R-462)", () =>
    inLab(async () => {
      const pooled = Buffer.from("small");
      expect(() => send(self(), pooled, { transfer: [pooled.buffer as ArrayBuffer] })).toThrow(
        "cannot be transferred",
      );
      expect(pooled.toString()).toBe("small");
      const view = bytes(1, 2);
      expect(() => send(self(), view, { transfer: [view as never] })).toThrow(
        "transfer takes different ArrayBuffers",
      );
      expect(() => send(self(), view, { transfer: [view.buffer, view.buffer] })).toThrow(BadArg);
      expect(() => send("no one", view, { transfer: [view.buffer] })).toThrow("a transfer needs a pid");
      expect(view.length).toBe(2);
      expect(await next(0)).toBeUndefined();
    }));

  test("what cannot be sent is refused before anything is taken from the sender (R-462, R-460)", async () => {
    pair = joinedNodes();
    const { near, far } = pair;
    const remote = far.spawn(() => new Promise(() => {}));
    await near
      .run(() => {
        const payload = bytes(7);
        expect(() =>
          send(pidFromParts(near, remote), { payload, fn: () => 1 }, { transfer: [payload.buffer] }),
        ).toThrow("fn is a function");
        expect(payload.length).toBe(1);
        exit(self(), "normal");
      })
      .catch(() => {});
  });
});
