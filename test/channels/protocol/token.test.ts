import { createHmac, pbkdf2Sync } from "node:crypto";
import fc from "fast-check";
import { Token } from "simurgh/channels";
import { afterEach, describe, expect, test, vi } from "vitest";
import { startServer, type TestServer } from "../support.js";

const SECRET = "a secret of enough bytes";
const later = (seconds: number): void => void vi.setSystemTime(Date.now() + seconds * 1000);
afterEach(() => vi.useRealTimers());

describe.each([
  ["signed", Token.sign, Token.verify],
  ["encrypted", Token.encrypt, Token.decrypt],
] as const)("a token that is %s", (kind, make, check) => {
  test("gives its data back, whatever JSON that is (C-197, C-200)", () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.string(), (data, salt) => {
        const token = make(SECRET, salt, data);
        expect(check(SECRET, salt, token)).toEqual(["ok", JSON.parse(JSON.stringify(data))]);
      }),
      { numRuns: 50 },
    );
  });

  test("is missing, invalid or expired, and tells which (C-200)", () => {
    const token = make(SECRET, "salt", 7);
    expect(check(SECRET, "salt", null)).toEqual(["error", "missing"]);
    expect(check(SECRET, "salt", undefined)).toEqual(["error", "missing"]);
    for (const garbage of [
      "",
      "garbage",
      "a.b.c",
      "XCP.",
      "XCP.abc",
      7,
      {},
      token.slice(0, -4),
      `${token}AAAA`,
    ])
      expect(check(SECRET, "salt", garbage)).toEqual(["error", "invalid"]);
    expect(check(SECRET, "other salt", token)).toEqual(["error", "invalid"]);
    expect(check("another secret of many bytes", "salt", token)).toEqual(["error", "invalid"]);
    for (const aheadMs of [5, 30_000]) {
      const ahead = make(SECRET, "salt", 7, { signedAt: (Date.now() + aheadMs) / 1000 });
      expect(check(SECRET, "salt", ahead), `${aheadMs} ms ahead`).toEqual(["ok", 7]);
    }
    const tomorrow = make(SECRET, "salt", 7, { signedAt: Date.now() / 1000 + 3600 });
    expect(check(SECRET, "salt", tomorrow)).toEqual(["error", "invalid"]);
  });

  test("one changed character makes it invalid (C-200)", () => {
    const token = make(SECRET, "salt", { id: 7 });
    fc.assert(
      fc.property(fc.nat(token.length - 2), (at) => {
        const changed = `${token.slice(0, at)}${token[at] === "A" ? "B" : "A"}${token.slice(at + 1)}`;
        expect(check(SECRET, "salt", changed)[0]).toBe("error");
      }),
      { numRuns: 100 },
    );
  });

  test("the age of a token counts from its signing, one day by default (C-199)", () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    const [day, minute, ever] = [
      make(SECRET, "s", 1),
      make(SECRET, "s", 1, { maxAge: 60 }),
      make(SECRET, "s", 1, { maxAge: Number.POSITIVE_INFINITY }),
    ];
    const old = make(SECRET, "s", 1, { signedAt: Date.now() / 1000 - 100, maxAge: 100.5 });
    expect(check(SECRET, "s", old)).toEqual(["ok", 1]);
    later(61);
    expect([day, minute, ever, old].map((token) => check(SECRET, "s", token)[1])).toEqual([
      1,
      "expired",
      1,
      "expired",
    ]);
    expect(check(SECRET, "s", minute, { maxAge: 62 })).toEqual(["ok", 1]);
    expect(check(SECRET, "s", day, { maxAge: 60 })).toEqual(["error", "expired"]);
    expect(check(SECRET, "s", ever, { maxAge: 0 })).toEqual(["error", "expired"]);
    expect(check(SECRET, "s", make(SECRET, "s", 1, { maxAge: -1 }))).toEqual(["error", "expired"]);
    later(86_400);
    expect([day, ever].map((token) => check(SECRET, "s", token)[1])).toEqual(["expired", 1]);
    expect(() => make(SECRET, "s", 1, { maxAge: Number.NaN })).toThrow("maxAge must be a number of seconds");
  });

  test("other rounds, digests and salts derive other keys (C-198)", () => {
    const same = { keyIterations: 1000, keyLength: 32, keyDigest: "sha256" } as const;
    const token = make(SECRET, "s", 1, same);
    expect(check(SECRET, "s", token)).toEqual(["ok", 1]);
    for (const other of [
      { keyIterations: 999 },
      { keyDigest: "sha512" as const },
      { keyDigest: "sha384" as const },
    ]) {
      expect(check(SECRET, "s", token, other)).toEqual(["error", "invalid"]);
      expect(check(SECRET, "s", make(SECRET, "s", 1, other), other)).toEqual(["ok", 1]);
    }
    if (kind === "signed") {
      expect(check(SECRET, "s", token, { keyLength: 64 })).toEqual(["error", "invalid"]);
      const at = { signedAt: 1_800_000_000 };
      expect(make(SECRET, "s", 1, { ...same, ...at })).toBe(make(SECRET, "s", 1, at));
    }
  });

  test("a short secret, an invalid salt and an unknown endpoint are refused (C-197)", () => {
    expect(() => make("short", "s", 1)).toThrow("a secret of at least 20 bytes; this one has 5");
    expect(() => check("short", "s", "x")).toThrow("at least 20 bytes");
    expect(() => make(SECRET, 7 as never, 1)).toThrow("the salt of a token must be a string");
    expect(() => make({ endpoint: "no one" }, "s", 1)).toThrow("the endpoint no one has no secret");
    expect(() => make(SECRET, "s", undefined)).toThrow("must be plain JSON");
  });
});

describe("its form", () => {
  test("signed: three parts of URL-safe Base64, HS256 over the first two (C-201)", () => {
    const token = Token.sign(SECRET, "salt", { a: "ü" }, { signedAt: 1_800_000_000, maxAge: 10 });
    const [header, body, mac] = token.split(".") as [string, string, string];
    expect(token).toMatch(/^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/);
    expect(header).toBe("SFMyNTY");
    expect(JSON.parse(Buffer.from(body, "base64url").toString())).toEqual([
      { a: "ü" },
      1_800_000_000_000,
      10_000,
    ]);
    const key = pbkdf2Sync(SECRET, "salt", 1000, 32, "sha256");
    expect(mac).toBe(createHmac("sha256", key).update(`${header}.${body}`).digest("base64url"));
  });

  test("tokens signed with HS384 and HS512 verify, other headers do not (C-201)", () => {
    const key = pbkdf2Sync(SECRET, "salt", 1000, 32, "sha256");
    const body = Buffer.from(JSON.stringify([1, Date.now(), null])).toString("base64url");
    const signed = (name: string, hash: string): string => {
      const head = `${Buffer.from(name).toString("base64url")}.${body}`;
      return `${head}.${createHmac(hash, key).update(head).digest("base64url")}`;
    };
    expect(Token.verify(SECRET, "salt", signed("HS384", "sha384"))).toEqual(["ok", 1]);
    expect(Token.verify(SECRET, "salt", signed("HS512", "sha512"))).toEqual(["ok", 1]);
    for (const [name, hash] of [
      ["HS1", "sha1"],
      ["none", "sha256"],
      ["HS512", "sha256"],
    ] as const)
      expect(Token.verify(SECRET, "salt", signed(name, hash))).toEqual(["error", "invalid"]);
  });

  test("encrypted tokens are XCP, with a fresh nonce, and reveal nothing (C-202)", () => {
    const token = Token.encrypt(SECRET, "salt", "the data");
    expect(token).toMatch(/^XCP\.[A-Za-z0-9_-]+$/);
    const bytes = Buffer.from(token.slice(4), "base64url");
    const plain = JSON.stringify(["the data", Date.now(), 86_400_000]).length;
    expect(bytes.length).toBe(24 + 16 + plain);
    expect(bytes.toString("latin1")).not.toContain("the data");
    expect(Token.encrypt(SECRET, "salt", "the data")).not.toBe(token);
    expect(() => Token.encrypt(SECRET, "s", 1, { keyLength: 16 })).toThrow("needs a key of 32 bytes");
  });

  test("what a token holds is data and nothing else: no prototype is touched (C-202)", () => {
    const data = JSON.parse('{"__proto__":{"polluted":true},"constructor":1}');
    const result = Token.decrypt<Record<string, unknown>>(SECRET, "s", Token.encrypt(SECRET, "s", data));
    expect(Object.keys(result[1] as object)).toEqual(["__proto__", "constructor"]);
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
  });
});

test.each([0, 1])(
  "with %i shards, sockets and endpoints sign alike in every thread (C-197)",
  async (shards) => {
    const server: TestServer = await startServer({ shards, secret: "the endpoint's own secret" });
    try {
      const token = await server.run(() => Token.sign("endpoint", "salt", { id: 1 }));
      expect(Token.verify("the endpoint's own secret", "salt", token)).toEqual(["ok", { id: 1 }]);
      expect(await server.run(() => Token.verify({ endpoint: "endpoint" }, "salt", token))).toEqual([
        "ok",
        { id: 1 },
      ]);
    } finally {
      await server.stop();
    }
  },
);
