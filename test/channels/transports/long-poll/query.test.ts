import { describe, expect, test } from "vitest";
import { sessionToken, withoutSessionToken } from "../../../../src/channels/transports/long-poll/query.js";

const OURS = `0~.${"k".repeat(24)}.t1.${"m".repeat(43)}`;
const params = (query: string, header?: string): string => withoutSessionToken(header, query);

describe("the token of a long-poll session", () => {
  test("is the last of several in a query, and the header's before any of them", () => {
    expect(sessionToken(undefined, "token=app&vsn=2.0.0&token=session")).toBe("session");
    expect(sessionToken(undefined, "vsn=2.0.0&")).toBeUndefined();
    expect(sessionToken("header", "token=app")).toBe("header");
    expect(sessionToken(["header", "other"], "token=app")).toBe("header");
  });

  test.each([
    ["the first request of a client has its params alone", "token=app&vsn=2.0.0&", "token=app&vsn=2.0.0&"],
    ["a later one has the session's after them", `token=app&vsn=2.0.0&token=${OURS}`, "token=app&vsn=2.0.0"],
    [
      "a session of another server is notified by its place",
      "token=app&vsn=2.0.0&token=x",
      "token=app&vsn=2.0.0",
    ],
    ["a session alone is notified by its looks", `vsn=2.0.0&token=${OURS}`, "vsn=2.0.0"],
    ["the old client's word for none", "token=app&vsn=2.0.0&token=undefined", "token=app&vsn=2.0.0"],
    [
      "a param with parts",
      "token[a]=1&token%5Bb%5D=2&vsn=2.0.0&token=x",
      "token[a]=1&token%5Bb%5D=2&vsn=2.0.0",
    ],
    ["a param of that name written otherwise", `%74oken=app&token=${OURS}`, "%74oken=app"],
    ["a query without any", "a=1&a=2", "a=1&a=2"],
    ["what is no URI component", `%zz=1&token=app&token=${OURS}`, "%zz=1&token=app"],
  ])("connect params leave it out: %s", (_, query, left) => {
    expect(params(query)).toBe(left);
  });

  test("with a header the query is the application's own", () => {
    expect(params(`token=app&token=${OURS}`, "header")).toBe(`token=app&token=${OURS}`);
  });
});
