/**
 * The sizes; that they keep the program alive is shown in thread-server.test.ts, with real threads.
 */
import { getHeapStatistics } from "node:v8";
import { expect, test } from "vitest";
import { heapLimits } from "../../../src/runtime/threads/heap-guard.js";

const MIB = 1024 * 1024;

test.each([
  [32, 160, 96],
  [256, 512, 384],
  [4096, 5120, 4608],
])("a limit of %i MiB leaves room up to a hard one of %i, with the alarm half-way", (limit, hard, alarm) => {
  const heap = heapLimits({ maxOldGenerationSizeMb: limit, codeRangeSizeMb: 16 });
  expect(heap).toEqual({
    limitBytes: limit * MIB,
    alarmBytes: alarm * MIB,
    hard: { maxOldGenerationSizeMb: hard, maxYoungGenerationSizeMb: 24, codeRangeSizeMb: 16 },
  });
});

test("without a limit Node's own is used", () => {
  const heap = heapLimits({ maxYoungGenerationSizeMb: 8 });
  const nodes = getHeapStatistics().heap_size_limit / MIB;
  expect(heap.hard.maxOldGenerationSizeMb).toBeLessThanOrEqual(Math.ceil(Math.max(nodes, nodes / 2 + 128)));
  expect(heap.limitBytes).toBeLessThan(heap.alarmBytes);
  expect(heap.hard.maxYoungGenerationSizeMb).toBe(8);
});
