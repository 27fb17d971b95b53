import { expect, test } from "vitest";
import { parseRoute, roomPath, signInPath } from "../../src/app/web/routes.js";

test.each([
  ["/", { page: "challenges" }],
  ["/new/", { page: "new" }],
  ["/c/7", { page: "room", id: "7" }],
  ["/c/a%20b", { page: "room", id: "a b" }],
  ["/c/", { page: "not-found" }],
  ["/c/%E0%A4%A", { page: "not-found" }],
  ["/c/7/edit", { page: "not-found" }],
  ["/nowhere", { page: "not-found" }],
])("the address %s means its page", (path, route) => {
  expect(parseRoute(path, "")).toEqual(route);
});

test("signing in leads back to where one was going", () => {
  const path = signInPath(roomPath("a/b"));
  const url = new URL(path, "http://x");
  expect(parseRoute(url.pathname, url.search)).toEqual({ page: "sign-in", next: "/c/a%2Fb" });
});

test.each(["https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)", "evil"])(
  "signing in never leads to another site: %s",
  (next) => {
    expect(parseRoute("/sign-in", `?next=${encodeURIComponent(next)}`)).toEqual({
      page: "sign-in",
      next: "/",
    });
  },
);
