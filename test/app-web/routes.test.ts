import { expect, test } from "vitest";
import { joinPath, parseRoute, roomPath, signInPath } from "../../src/app/web/routes.js";

test.each([
  ["/", { page: "challenges" }],
  ["/new/", { page: "new" }],
  ["/c/7", { page: "room", id: "7" }],
  ["/c/a%20b", { page: "room", id: "a b" }],
  ["/c/", { page: "not-found" }],
  ["/c/%E0%A4%A", { page: "not-found" }],
  ["/c/7/edit", { page: "edit", id: "7" }],
  ["/c/7/edit/more", { page: "not-found" }],
  ["/account", { page: "account" }],
  ["/join", { page: "join", token: "" }],
  ["/nowhere", { page: "not-found" }],
])("the address %s means its page", (path, route) => {
  expect(parseRoute(path, "")).toEqual(route);
});

test("an invitation's token stands behind the #, and survives signing in", () => {
  const url = new URL(joinPath("to-ken_1"), "http://x");
  expect([url.pathname, url.search]).toEqual(["/join", ""]);
  expect(parseRoute(url.pathname, url.search, url.hash)).toEqual({ page: "join", token: "to-ken_1" });
  const signIn = new URL(signInPath(url.pathname + url.search + url.hash), "http://x");
  expect(parseRoute(signIn.pathname, signIn.search)).toEqual({ page: "sign-in", next: "/join#to-ken_1" });
});

test("signing in leads back to where one was going", () => {
  const path = signInPath(roomPath("a/b"));
  const url = new URL(path, "http://x");
  expect(parseRoute(url.pathname, url.search)).toEqual({ page: "sign-in", next: "/c/a%2Fb" });
});

test.each([
  "https://evil.example",
  "//evil.example",
  "/\\evil.example",
  "javascript:alert(1)",
  "evil",
  "/\t/evil.example",
  "/\n/evil.example",
  "/\r\n//evil.example",
  "\t//evil.example",
  " //evil.example",
  "/ /evil.example",
  "/\u0000/evil.example",
  "/\u0085/evil.example",
  "/\t\\evil.example",
  "/%09/evil.example",
  "/%2f/evil.example",
  "/%5cevil.example",
  "/..//evil.example",
  "/new/..//evil.example",
  "/c/../..//",
  "/.//evil.example",
  "/%2e%2e//evil.example",
  "///evil.example",
  "/@evil.example",
  "/sign-in?next=%2F%2Fevil.example",
  "/nowhere",
  "",
])("signing in leads to a page of this program or home: %j", (next) => {
  expect(parseRoute("/sign-in", `?next=${encodeURIComponent(next)}`)).toEqual({
    page: "sign-in",
    next: "/",
  });
});

test.each([
  ["/c/7?tab=chat#line", "/c/7?tab=chat#line"],
  ["/c/7/edit", "/c/7/edit"],
  ["/c/b\u00fccher", "/c/b%C3%BCcher"],
  ["/x/../c/7", "/c/7"],
  ["/account/", "/account/"],
])("signing in leads on to %s", (next, path) => {
  expect(parseRoute("/sign-up", `?next=${encodeURIComponent(next)}`)).toEqual({
    page: "sign-up",
    next: path,
  });
});
