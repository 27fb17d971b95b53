import fc from "fast-check";
import { expect, test } from "vitest";
import { FairQueue, Overloaded } from "../../src/app/fair-queue.js";

/** A queue whose jobs end when they are notified to, and what came of them in order. */
function harness(options: { concurrency?: number; maxWaiting?: number; maxWaitingPerKey?: number } = {}) {
  const queue = new FairQueue({
    concurrency: 1,
    maxWaiting: 100,
    maxWaitingPerKey: 50,
    ...options,
    what: "jobs are waiting",
  });
  const started: string[] = [];
  const refused: string[] = [];
  const ends: (() => void)[] = [];
  const settle = async (): Promise<void> => {
    for (let n = 0; n < 10; n += 1) await Promise.resolve();
  };
  return {
    started,
    refused,
    async add(name: string, key: string | undefined): Promise<void> {
      const job = (): Promise<void> => {
        started.push(name);
        return new Promise((resolve) => ends.push(resolve));
      };
      queue.run(key, job).catch((error: unknown) => {
        if (error instanceof Overloaded) refused.push(name);
        else throw error;
      });
      await settle();
    },
    /** Ends the oldest job that runs. */
    async next(): Promise<boolean> {
      const end = ends.shift();
      end?.();
      await settle();
      return end !== undefined;
    },
  };
}

test("keys take turns, and the jobs of a key keep their order", async () => {
  const { add, next, started } = harness();
  for (let n = 1; n <= 4; n += 1) await add(`a${n}`, "a");
  await add("b1", "b");
  await add("b2", "b");
  await add("c1", "c");
  while (await next());
  expect(started).toEqual(["a1", "a2", "b1", "c1", "a3", "b2", "a4"]);
});

test("the jobs of a key are bounded, and those without a key in all", async () => {
  const { add, refused } = harness({ maxWaiting: 5, maxWaitingPerKey: 2 });
  for (let n = 1; n <= 4; n += 1) await add(`a${n}`, "a");
  expect(refused).toEqual(["a4"]);
  for (let n = 1; n <= 4; n += 1) await add(`-${n}`, undefined);
  expect(refused).toEqual(["a4", "-4"]);
});

test("a full queue makes room at the cost of the key with the most jobs", async () => {
  const { add, next, refused, started } = harness({ maxWaiting: 6, maxWaitingPerKey: 5 });
  for (let n = 1; n <= 6; n += 1) await add(`a${n}`, "a");
  for (let n = 1; n <= 4; n += 1) await add(`b${n}`, "b");
  await add("c1", "c");
  expect(refused).toEqual(["a6", "a5", "b4", "a4"]);
  while (await next());
  expect(started).toEqual(["a1", "a2", "b1", "c1", "a3", "b2", "b3"]);
});

test("a job that fails hands its place on", async () => {
  const queue = new FairQueue({
    concurrency: 1,
    maxWaiting: 5,
    maxWaitingPerKey: 5,
    what: "jobs are waiting",
  });
  const failing = queue.run("a", () => Promise.reject(new Error("broken")));
  const after = queue.run("a", async () => "done");
  await expect(failing).rejects.toThrow("broken");
  expect(await after).toBe("done");
});

test("whatever comes, no more run than may, all are run or refused", async () => {
  const step = fc.oneof(
    fc.record({ key: fc.constantFrom("a", "b", "c", undefined) }),
    fc.constant("end" as const),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
      const { add, next, started, refused } = harness({
        concurrency: 2,
        maxWaiting: 6,
        maxWaitingPerKey: 4,
      });
      let added = 0;
      for (const one of steps) {
        if (one === "end") await next();
        else {
          added += 1;
          await add(`${one.key}${added}`, one.key);
        }
      }
      while (await next());
      expect([...started, ...refused]).toHaveLength(added);
      expect(new Set([...started, ...refused]).size).toBe(added);
    }),
    { numRuns: 50 },
  );
});
