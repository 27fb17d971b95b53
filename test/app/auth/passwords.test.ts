import { scryptSync } from "node:crypto";
import { expect, test } from "vitest";
import { hashPassword, isOutdated, verifyPassword } from "../../../src/app/auth/passwords.js";
import { Overloaded } from "../../../src/app/fair-queue.js";

test("a password matches only its own hash, and two hashes of it differ", async () => {
  const [one, two] = await Promise.all([hashPassword("correct horse"), hashPassword("correct horse")]);
  expect(one).toMatch(/^\$scrypt\$ln=15,r=8,p=3\$[^$]+\$[^$]+$/);
  expect(one).not.toBe(two);
  expect(await verifyPassword("correct horse", one)).toBe(true);
  expect(await verifyPassword("correct horsf", one)).toBe(false);
  expect(await verifyPassword("correct horse", "nonsense")).toBe(false);
});

test("a hash made with other parameters is good and outdated", async () => {
  expect(isOutdated(await hashPassword("x"))).toBe(false);
  const key = scryptSync("x", Buffer.from("c2FsdA", "base64"), 32, { N: 1024, r: 8, p: 1 });
  const old = `$scrypt$ln=10,r=8,p=1$c2FsdA$${key.toString("base64").replace(/=+$/, "")}`;
  expect([await verifyPassword("x", old), isOutdated(old)]).toEqual([true, true]);
});

test("an unknown user takes the same work and is refused", async () => {
  const started = performance.now();
  await verifyPassword("x", await hashPassword("x"));
  const known = performance.now() - started;
  const before = performance.now();
  expect(await verifyPassword("x", undefined)).toBe(false);
  expect(performance.now() - before).toBeGreaterThan(known / 8);
});

test("a flood is refused once the queue is full, and those in the queue are served", async () => {
  const results = await Promise.allSettled(
    Array.from({ length: 110 }, () => verifyPassword("x", "$scrypt$ln=10,r=8,p=1$AA$AA")),
  );
  const refused = results.filter(
    (result) => result.status === "rejected" && result.reason instanceof Overloaded,
  );
  expect(refused).toHaveLength(8);
  expect(results.filter((result) => result.status === "fulfilled")).toHaveLength(102);
});

test("a flood from one network is refused beyond its share, and holds up no other", async () => {
  const cheap = "$scrypt$ln=10,r=8,p=1$AA$AA";
  const order: string[] = [];
  const flood = Array.from({ length: 110 }, () =>
    verifyPassword("x", cheap, "2001:db8::/64").then(() => order.push("flood")),
  );
  const other = verifyPassword("x", cheap, "192.0.2.1").then(() => order.push("other"));
  const results = await Promise.allSettled(flood);
  await other;
  expect(results.filter(({ status }) => status === "fulfilled")).toHaveLength(52);
  // Its turn comes after three of the flood (see fair-queue.test.ts); how many of the flood end
  // before it depends on how the threads of scrypt are scheduled.
  expect(order.indexOf("other")).toBeLessThan(26);
});
