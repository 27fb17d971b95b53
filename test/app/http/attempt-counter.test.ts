import { createNode, Supervisor } from "simurgh/runtime";
import { expect, test } from "vitest";
import { Overloaded } from "../../../src/app/fair-queue.js";
import { askAttempts, attemptCounterSpec } from "../../../src/app/http/attempt-counter.js";

test("limits are counted apart, over all threads, and refuse without the counter", async () => {
  const node = createNode();
  await node.run(async () => {
    await expect(askAttempts("take", "log-in", "ann")).rejects.toBeInstanceOf(Overloaded);
    await Supervisor.startLink([attemptCounterSpec()], { strategy: "one_for_one" });
    // As many gateways would, at the same time.
    const taken = await Promise.all(Array.from({ length: 12 }, () => askAttempts("take", "log-in", "ann")));
    expect(taken.filter((wait) => wait === 0)).toHaveLength(5);
    expect(await askAttempts("waitFor", "guess", "ann")).toBe(0);
    expect(await askAttempts("waitFor", "sign-up", "ann")).toBe(0);
    await askAttempts("succeeded", "log-in", "ann");
    expect(await askAttempts("waitFor", "log-in", "ann")).toBe(0);
  });
  await node.stop();
});
