import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import { bitsOf, ENOUGH_BITS, isGuessable } from "../../../src/app/auth/secret-strength.js";

/** Bytes as random ones look, the same in every run. */
const bytes = (seed: number, length: number): Buffer =>
  Buffer.concat([0, 1].map((n) => createHash("sha256").update(`${seed} ${n}`).digest())).subarray(0, length);

test("what openssl and the like make is hard to guess, in every encoding", () => {
  for (let seed = 0; seed < 100; seed += 1) {
    const secrets = [
      bytes(seed, 32).toString("base64"),
      bytes(seed, 24).toString("base64url"),
      bytes(seed, 32).toString("hex"),
      bytes(seed, 16).toString("hex"),
      bytes(seed, 16).toString("hex").toUpperCase(),
      bytes(seed, 16)
        .toString("hex")
        .replace(/(.{8})(.{4})(.{4})(.{4})(.{12})/, "$1-$2-$3-$4-$5"),
    ];
    for (const secret of secrets) expect([secret, bitsOf(secret) > ENOUGH_BITS]).toEqual([secret, true]);
  }
});

test.each([
  "x".repeat(12),
  "x".repeat(64),
  "ab".repeat(40),
  "secretsecret",
  "secret".repeat(8),
  "SecretSecretSecretSecretSecretSecret",
  "changeme",
  "changeme-changeme-changeme-changeme",
  "change-me-in-production-please-1234567890",
  "please-change-this-secret-before-production",
  "your-256-bit-secret-your-256-bit-secret",
  "your_jwt_secret_key_here_must_be_long_enough",
  "thisisaverylongsecretkeyforjwttokens!!",
  "supersecretkeysupersecretkey12345678",
  "my_super_secret_jwt_key_change_in_production",
  "P@ssw0rdP@ssw0rdP@ssw0rdP@ssw0rd",
  "p4ssw0rd-s3cr3t-p4ssw0rd-s3cr3t-123",
  "passwordpasswordpasswordpassword",
  "12345678901234567890123456789012",
  "0123456789abcdef0123456789abcdef",
  "abcdefghijklmnopqrstuvwxyz0123456789",
  "zyxwvutsrqponmlkjihgfedcba9876543210",
  "qwertyuiopasdfghjklzxcvbnm1234567890",
  "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik9ol0p",
  "aaaaaaaaaaaaaaaabbbbbbbbbbbbbbbb",
  "00000000000000000000000000000000",
  "deadbeefdeadbeefdeadbeefdeadbeef",
  "phoenixpair-phoenixpair-phoenixpair",
  "Simurgh PhoenixPair production secret 2026!",
  "JWT_SECRET=JWT_SECRET=JWT_SECRET=JWT_SECRET",
  "$(openssl rand -base64 32)",
  "the output of: openssl rand -base64 32",
  "development-secret-do-not-use-in-production",
  "correct horse battery staple correct horse",
])("%j is guessable", (secret) => {
  expect([secret, Math.round(bitsOf(secret)), isGuessable(secret)]).toEqual([
    secret,
    expect.any(Number),
    true,
  ]);
});
