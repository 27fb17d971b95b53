import { expect, test } from "vitest";
import { firstName, NewUserBody } from "../../src/app/input.js";

const nameOf = (name: string): string | undefined =>
  NewUserBody.safeParse({ email: "a@example.com", password: "correct horse", name }).data?.name;

test("names are composed (NFC), so that two spellings of one name are one", () => {
  expect(nameOf("Zoe\u0308")).toBe("Zo\u00eb");
});

test.each([
  ["a line break", "An\nn"],
  ["a bell", "An\u0007n"],
  ["a right-to-left override", "A\u202enn"],
  ["an isolate", "A\u2066nn"],
  ["a right-to-left mark", "A\u200fnn"],
  ["an Arabic letter mark", "A\u061cnn"],
  ["a zero-width space", "A\u200bnn"],
  ["a byte order mark", "A\ufeffnn"],
  ["a line separator", "A\u2028nn"],
  ["a tag character", "A\u{e0041}nn"],
  ["half of a surrogate pair", "A\ud83dnn"],
  ["a joiner that joins nothing", "Ann\u200d"],
  ["joiners in a row", "A\u200d\u200dnn"],
  ["nothing but marks", "\u0301\u0302"],
  ["nothing but fillers of Hangul", "\u3164\u115f \uffa0"],
  ["nothing but empty Braille cells", "\u2800 \u2800"],
  ["more than is shown before its first letter", `${"\u00ad".repeat(60)}Ann`],
  ["nothing", " \t "],
  ["too much", "x".repeat(101)],
])("a name with %s is refused", (_what, name) => {
  expect(nameOf(name)).toBeUndefined();
});

test.each(["مهدی\u200cزاده", "👩‍👩‍👧", "O’Neill-Łukasz", "李小龍", "ஸ்ரீ", "123"])(
  "the name %s is one",
  (name) => {
    expect(nameOf(name)).toBe(name.normalize("NFC"));
  },
);

test.each([
  "x".repeat(1_000_000),
  "x ".repeat(500_000),
  "\u00ad".repeat(1_000_000),
  "\u0301\u0323".repeat(260_000),
])("a name as long as a body is refused as too long, at once", (name) => {
  const startedAt = performance.now();
  const parsed = NewUserBody.safeParse({ email: "a@example.com", password: "correct horse", name });
  expect(parsed.error?.issues.map(({ message }) => message)).toEqual([
    "name may have at most 100 characters",
  ]);
  expect(performance.now() - startedAt).toBeLessThan(1000);
});

test("a name counts as it is composed", () => {
  const name = "\u1fa7".repeat(100);
  expect(nameOf(name.normalize("NFD"))).toBe(name);
});

test("a first name is cut after 40 graphemes, never inside of one", () => {
  expect(firstName("Ann Lee")).toBe("Ann");
  expect(firstName("👩‍👩‍👧".repeat(50))).toBe("👩‍👩‍👧".repeat(40));
  expect(firstName("e\u0301\u0302".repeat(50))).toBe("e\u0301\u0302".repeat(40));
});

test.each(["\u00ad Ann", "\u0301 Ann Lee", "\ufe0f \u3164 Ann", "\u2800 Ann"])(
  "the first name of %j is the first that is seen",
  (name) => {
    expect(firstName(nameOf(name) as string)).toBe("Ann");
  },
);

test.each(["password", "PASSWORD", "12345678", "qwertyuiop", "zzzzzzzzzz", "short", "x".repeat(129)])(
  "the password %j is refused",
  (password) => {
    const { success } = NewUserBody.safeParse({ email: "a@example.com", password, name: "Ann" });
    expect(success).toBe(false);
  },
);

test("prototypes cannot be reached through a body", () => {
  const body = JSON.parse(
    '{"email":"a@example.com","password":"correct horse","name":"Ann","__proto__":{"admin":true},"constructor":{"prototype":{"admin":true}}}',
  ) as unknown;
  const parsed = NewUserBody.parse(body);
  expect(Object.keys(parsed).sort()).toEqual(["email", "name", "password"]);
  expect((parsed as { admin?: unknown }).admin).toBeUndefined();
  expect(({} as { admin?: unknown }).admin).toBeUndefined();
});
