import { expect, test } from "vitest";
import { readCount, readId } from "../../src/app/ids.js";

test("an id is what the digits of a number say, up to the largest of the database", () => {
  expect(["1", "7", "10", "2147483647"].map(readId)).toEqual([1, 7, 10, 2_147_483_647]);
});

const strange = [
  "",
  "01",
  "1 ",
  " 1",
  "1\n",
  "+1",
  "-1",
  "1.0",
  "1e0",
  "0x1",
  "0b1",
  "1_0",
  "1n",
  "１",
  "١",
  "1\u0000",
];
const others = [1, true, null, undefined, ["1"], { toString: () => "1" }, new String("1")];

test.each([...strange, "0", "2147483648", "99999999999999999999", ...others])("%j is no id", (value) => {
  expect(readId(value)).toBeUndefined();
});

test("a count may be 0 and is no less strict", () => {
  expect(["0", "12", "999999999999999"].map(readCount)).toEqual([0, 12, 999_999_999_999_999]);
  for (const value of [...strange, "1000000000000000", ...others]) expect(readCount(value)).toBeUndefined();
});
