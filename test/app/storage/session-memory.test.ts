import { expect, test } from "vitest";
import { REMEMBERED_MS, SessionMemory } from "../../../src/app/storage/session-memory.js";

const ann = { id: 1, first_name: "Ann", email: "ann@example.com" };

test("a session is remembered for its user, no longer than an access token", () => {
  let now = 0;
  const memory = new SessionMemory(() => now);
  memory.saw("a", ann);
  expect(memory.recall("a", 1)).toEqual(ann);
  expect(memory.recall("a", 2)).toBeUndefined();
  expect(memory.recall("b", 1)).toBeUndefined();
  now = REMEMBERED_MS;
  expect(memory.recall("a", 1)).toEqual(ann);
  now += 1;
  expect(memory.recall("a", 1)).toBeUndefined();
});

test("what is ended is forgotten: one session, or all of a user", () => {
  const memory = new SessionMemory();
  for (const id of ["a", "b", "c"]) memory.saw(id, ann);
  memory.saw("d", { ...ann, id: 2 });
  memory.forget("a");
  expect(memory.recall("a", 1)).toBeUndefined();
  expect(memory.recall("b", 1)).toEqual(ann);
  memory.forgetUser(1);
  expect([memory.recall("b", 1), memory.recall("c", 1)]).toEqual([undefined, undefined]);
  expect(memory.recall("d", 2)).toBeDefined();
});
