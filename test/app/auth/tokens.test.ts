import { createHmac } from "node:crypto";
import jwt from "jsonwebtoken";
import { expect, test } from "vitest";
import { newRefreshToken, readRefreshToken, successor } from "../../../src/app/auth/refresh-tokens.js";
import { issueToken, verifyToken } from "../../../src/app/auth/tokens.js";

const keys = { secret: "the secret of today, long enough", previous: [] };
const who = { userId: 7, sessionId: "s" };
const claims = { use: "access", sid: "s", sub: "7", iss: "phoenixpair", aud: "phoenixpair:access", jti: "j" };
const sign = (payload: object, options: jwt.SignOptions = {}, secret = keys.secret): string =>
  jwt.sign(payload, secret, { expiresIn: 60, ...options });

test("a token tells its user, its session and its end, and lives as long as asked", () => {
  const before = Math.floor(Date.now() / 1000);
  const token = issueToken(who, keys, 900);
  const read = verifyToken(token, keys);
  expect(read).toMatchObject(who);
  expect(read?.expiresAt).toBeGreaterThanOrEqual(before + 900);
  expect(read?.expiresAt).toBeLessThanOrEqual(Math.floor(Date.now() / 1000) + 900);
  expect(jwt.decode(token)).toMatchObject({ ...claims, jti: expect.any(String), exp: expect.any(Number) });
});

test("tokens of the previous key stay valid until it is removed", () => {
  const old = issueToken(who, keys, 60);
  const rotated = { secret: "the secret of tomorrow, long too", previous: [keys.secret] };
  expect(verifyToken(old, rotated)).toMatchObject(who);
  expect(verifyToken(old, { ...rotated, previous: [] })).toBeUndefined();
  const fresh = issueToken(who, rotated, 60);
  expect(verifyToken(fresh, rotated)).toMatchObject(who);
  expect(verifyToken(fresh, keys)).toBeUndefined();
});

test("a kid chooses the key and does not replace the signature", () => {
  const kid = jwt.decode(issueToken(who, keys, 60), { complete: true })?.header.kid as string;
  expect(kid).toMatch(/^[\w-]{12}$/);
  expect(keys.secret).not.toContain(kid);
  expect(verifyToken(sign(claims, { keyid: kid }), keys)).toMatchObject(who);
  expect(verifyToken(sign(claims, { keyid: kid }, "another secret of some length"), keys)).toBeUndefined();
  expect(verifyToken(sign(claims, { keyid: "unknown" }), keys)).toBeUndefined();
});

const without = (name: keyof typeof claims): object =>
  Object.fromEntries(Object.entries(claims).filter(([key]) => key !== name));

/** Signed by hand: the library signs no subject but a text. */
function forged(payload: object): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  const exp = Math.floor(Date.now() / 1000) + 60;
  const text = `${part({ alg: "HS256", typ: "JWT" })}.${part({ ...payload, exp })}`;
  return `${text}.${createHmac("sha256", keys.secret).update(text).digest("base64url")}`;
}

const bad: [what: string, token: string][] = [
  ...(Object.keys(claims) as (keyof typeof claims)[]).map((name): [string, string] => [
    `no ${name}`,
    sign(without(name)),
  ]),
  ["another use", sign({ ...claims, use: "invite" })],
  ["another issuer", sign({ ...claims, iss: "else" })],
  ["another audience", sign({ ...claims, aud: "phoenixpair:invite" })],
  ["no end", jwt.sign(claims, keys.secret)],
  ["another algorithm", sign(claims, { algorithm: "HS512" })],
  ["no algorithm", jwt.sign(claims, "", { algorithm: "none", expiresIn: 60 })],
  ["a session that is no text", sign({ ...claims, sid: { $ne: "" } })],
  ["a negative user", sign({ ...claims, sub: "-7" })],
  ...[["1"], [7], true, 7, null, { id: "7" }, "0x7", "7 ", " 7", "+7", "7e0", "07", "7.0", "７", ""].map(
    (sub): [string, string] => [`the subject ${JSON.stringify(sub)}`, forged({ ...claims, sub })],
  ),
  ["too long a text", `${sign(claims)}${"x".repeat(5000)}`],
];

test.each(bad)("a token with %s is none", (_what, token) => {
  expect(verifyToken(token, keys)).toBeUndefined();
});

test("what all those lack is what makes a token good", () => {
  expect(verifyToken(forged(claims), keys)).toMatchObject(who);
  expect(verifyToken(sign(claims), keys)).toMatchObject(who);
});

test("the successor of a refresh token is derived from it and the secrets", () => {
  const first = newRefreshToken();
  const next = successor(first, "words", "key");
  expect(successor(first, "words", "key")).toEqual(next);
  expect(next.sessionId).toBe(first.sessionId);
  const others = [
    successor(first, "other words", "key"),
    successor(first, "words", "other key"),
    successor(newRefreshToken(), "words", "key"),
    first,
  ];
  for (const other of others) expect(other.text).not.toBe(next.text);
});

test("a refresh token is parsed exactly, and its hash does not reveal it", () => {
  const token = newRefreshToken();
  expect(readRefreshToken(token.text)).toEqual(token);
  expect(token.hash).toMatch(/^[0-9a-f]{64}$/);
  expect(token.text).not.toContain(token.hash);
  for (const text of [undefined, "", "x", `${token.text}x`, token.text.slice(1), `${token.sessionId}.'--`])
    expect(readRefreshToken(text)).toBeUndefined();
});
