import { expect, test } from "vitest";
import { type ContentEncoding, chooseEncoding } from "../../../src/app/http/content-encoding.js";

const ALL: readonly ContentEncoding[] = ["br", "gzip", "identity"];

test.each([
  [undefined, "identity"],
  ["", "identity"],
  ["br, gzip", "br"],
  ["gzip, deflate, br, zstd", "br"],
  ["gzip", "gzip"],
  ["GZIP", "gzip"],
  ["x-gzip", "gzip"],
  ["deflate", "identity"],
  ["br;q=0.5, gzip;q=0.8", "gzip"],
  ["br ; q=0.1 , gzip ; q=0.1", "br"],
  ["br;q=0, gzip", "gzip"],
  ["br;q=0, gzip;q=0", "identity"],
  ["br;q=0.000", "identity"],
  ["identity;q=1, br;q=0.5", "identity"],
  ["identity, br", "br"],
  ["identity;q=0, gzip;q=0.1", "gzip"],
  ["identity;q=0", undefined],
  ["*", "br"],
  ["*;q=0", undefined],
  ["*;q=0, gzip", "gzip"],
  ["*;q=0, identity", "identity"],
  ["*;q=0.5, br;q=0", "gzip"],
  ["br;q=nonsense, gzip;q=0.9", "br"],
  [", ,gzip,", "gzip"],
] as const)("a client that accepts %j gets %s", (header, expected) => {
  expect(chooseEncoding(header, ALL)).toBe(expected);
});

test("only an encoding that there is can be chosen", () => {
  expect(chooseEncoding("br, gzip", ["gzip", "identity"])).toBe("gzip");
  expect(chooseEncoding("br, gzip", ["identity"])).toBe("identity");
});
