import { expect, test } from "vitest";
import { type Access, type Given, roleIn } from "../../../src/app/access/role.js";

const role = (access: Access, given: Given | undefined) => roleIn({ ownerId: 1, access }, 2, given);

test.each(["edit", "view"] as const)("what the owner has given holds in every kind of room: %s", (given) => {
  expect([role("open", given), role("restricted", given)]).toEqual([given, given]);
});

test("a person who was sent away is nothing in any room", () => {
  expect([role("open", "removed"), role("restricted", "removed")]).toEqual([undefined, undefined]);
});

test("a user without a role may edit an open room, and nothing elsewhere", () => {
  expect([role("open", undefined), role("restricted", undefined)]).toEqual(["edit", undefined]);
});

test("an owner is the owner whatever was given", () => {
  expect(roleIn({ ownerId: 1, access: "restricted" }, 1, "removed")).toBe("owner");
});
