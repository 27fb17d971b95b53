/**
 * Tokens: data a client carries and cannot change, or not even read (Phoenix.Token).
 *
 *     const token = Token.sign(socket, "user auth", { id: 7 });
 *     const result = Token.verify(socket, "user auth", token, { maxAge: 3600 });
 *     if (result[0] === "ok") result[1].id;
 *
 * The context is an endpoint's name, anything that has an `endpoint`, such as a socket, or a secret
 * of at least 20 bytes. The salt separates the uses of one secret; it is not secret itself. Data is
 * plain JSON. Any holder of a signed token can read it: use `encrypt` for confidential data.
 */

import { createHmac, pbkdf2Sync, randomBytes, timingSafeEqual } from "node:crypto";
import { xchacha20poly1305 } from "@noble/ciphers/chacha.js";
import { BadArg } from "simurgh/runtime";
import { show } from "#runtime";
import { endpointSecret } from "./endpoint-config.js";

export type TokenContext = string | { readonly endpoint: string };

export interface KeyOptions {
  /** Rounds of the key derivation. Default 1000. */
  readonly keyIterations?: number;
  /** Bytes of the derived key. Default 32. */
  readonly keyLength?: number;
  /** Default "sha256". */
  readonly keyDigest?: "sha256" | "sha384" | "sha512";
}

export interface SignOptions extends KeyOptions {
  /** Seconds since the epoch. Default now. */
  readonly signedAt?: number;
  /** Seconds the token is valid; Infinity for no limit. Default 86,400, a day. */
  readonly maxAge?: number;
}

export interface VerifyOptions extends KeyOptions {
  /** Overrides the maximum age that the token was signed with. */
  readonly maxAge?: number;
}

export type TokenResult<T> = readonly ["ok", T] | readonly ["error", "missing" | "invalid" | "expired"];

const DAY = 86_400;
const MIN_SECRET_BYTES = 20;
const HASHES: Record<string, string> = { HS256: "sha256", HS384: "sha384", HS512: "sha512" };
const HEADER = Buffer.from("HS256").toString("base64url");
/** The prefix of an encrypted token, and its additional authenticated data. */
const ENCRYPTED = "XCP.";
const ADDITIONAL_DATA = Buffer.from("A128GCM");
const NONCE_BYTES = 24;
const TAG_BYTES = 16;

/** Cache of derived keys: derivation is slow by design, and few distinct keys are in use. */
const keys = new Map<string, Buffer>();
const MAX_KEYS = 1000;

function keyOf(context: TokenContext, salt: string, options: KeyOptions): Buffer {
  const { keyIterations = 1000, keyLength = 32, keyDigest = "sha256" } = options;
  const secret = secretOf(context);
  if (typeof salt !== "string") throw new BadArg("badarg: the salt of a token must be a string");
  const id = JSON.stringify([secret, salt, keyIterations, keyLength, keyDigest]);
  let key = keys.get(id);
  if (key === undefined) {
    key = pbkdf2Sync(secret, salt, keyIterations, keyLength, keyDigest);
    if (keys.size >= MAX_KEYS) keys.clear();
    keys.set(id, key);
  }
  return key;
}

function secretOf(context: TokenContext): string {
  const secret =
    typeof context === "string" ? (endpointSecret(context) ?? context) : endpointSecret(context.endpoint);
  if (secret === undefined)
    throw new BadArg(
      `badarg: the endpoint ${(context as { endpoint: string }).endpoint} has no secret in this thread; give Endpoint the option secret`,
    );
  if (Buffer.byteLength(secret) < MIN_SECRET_BYTES)
    throw new BadArg(
      `badarg: a token needs an endpoint, a socket or a secret of at least ${MIN_SECRET_BYTES} bytes; this one has ${Buffer.byteLength(secret)}`,
    );
  return secret;
}

/** How far the clock of the signing node may be ahead of this one's. */
const MAX_CLOCK_SKEW_MS = 60_000;

/** The content of a token. A `maxAgeMs` of null is no limit. */
type Content = readonly [data: unknown, signedAtMs: number, maxAgeMs: number | null];

function contentOf(data: unknown, { signedAt, maxAge = DAY }: SignOptions): string {
  if (typeof maxAge !== "number" || Number.isNaN(maxAge))
    throw new BadArg(`badarg: maxAge must be a number of seconds, got ${show(maxAge)}`);
  const signedAtMs = signedAt === undefined ? Date.now() : Math.trunc(signedAt * 1000);
  const text = JSON.stringify(data);
  if (text === undefined) throw new BadArg("badarg: the data of a token must be plain JSON");
  const age = maxAge === Number.POSITIVE_INFINITY ? null : Math.trunc(maxAge * 1000);
  return `[${text},${signedAtMs},${age}]`;
}

function read<T>(text: string, { maxAge }: VerifyOptions): TokenResult<T> {
  let content: Content;
  try {
    content = JSON.parse(text) as Content;
  } catch {
    return ["error", "invalid"];
  }
  if (!Array.isArray(content) || content.length !== 3 || !Number.isFinite(content[1]))
    return ["error", "invalid"];
  const [data, signedAtMs, storedMs] = content;
  const ageMs = maxAge === undefined ? (storedMs ?? Number.POSITIVE_INFINITY) : maxAge * 1000;
  if (signedAtMs > Date.now() + MAX_CLOCK_SKEW_MS) return ["error", "invalid"];
  if (ageMs <= 0 || signedAtMs + Math.trunc(ageMs) < Date.now()) return ["error", "expired"];
  return ["ok", data as T];
}

export const Token = {
  /**
   * A signed token that carries `data`, which any holder can read and none can change. Throws
   * `BadArg` for a secret that is too short.
   */
  sign(context: TokenContext, salt: string, data: unknown, options: SignOptions = {}): string {
    const body = `${HEADER}.${Buffer.from(contentOf(data, options)).toString("base64url")}`;
    const mac = createHmac("sha256", keyOf(context, salt, options))
      .update(body)
      .digest("base64url");
    return `${body}.${mac}`;
  },

  /** The data of a signed token, or `["error", "missing" | "invalid" | "expired"]`. */
  verify<T = unknown>(
    context: TokenContext,
    salt: string,
    token: unknown,
    options: VerifyOptions = {},
  ): TokenResult<T> {
    const key = keyOf(context, salt, options);
    if (token === null || token === undefined) return ["error", "missing"];
    const parts = typeof token === "string" ? token.split(".") : [];
    const [header, body, mac] = parts as [string, string, string];
    const hash = HASHES[Buffer.from(header ?? "", "base64url").toString()];
    if (parts.length !== 3 || hash === undefined) return ["error", "invalid"];
    const expected = createHmac(hash, key).update(`${header}.${body}`).digest();
    const given = Buffer.from(mac, "base64url");
    if (given.length !== expected.length || !timingSafeEqual(given, expected)) return ["error", "invalid"];
    return read(Buffer.from(body, "base64url").toString(), options);
  },

  /** Like `sign`, but only holders of the secret can read the data. */
  encrypt(context: TokenContext, salt: string, data: unknown, options: SignOptions = {}): string {
    const nonce = randomBytes(NONCE_BYTES);
    const sealed = cipher(keyOf(context, salt, options), nonce).encrypt(
      Buffer.from(contentOf(data, options)),
    );
    const tag = sealed.subarray(sealed.length - TAG_BYTES);
    const text = sealed.subarray(0, sealed.length - TAG_BYTES);
    return ENCRYPTED + Buffer.concat([nonce, tag, text]).toString("base64url");
  },

  /** The data of an encrypted token. */
  decrypt<T = unknown>(
    context: TokenContext,
    salt: string,
    token: unknown,
    options: VerifyOptions = {},
  ): TokenResult<T> {
    const key = keyOf(context, salt, options);
    if (token === null || token === undefined) return ["error", "missing"];
    if (typeof token !== "string" || !token.startsWith(ENCRYPTED)) return ["error", "invalid"];
    const bytes = Buffer.from(token.slice(ENCRYPTED.length), "base64url");
    if (bytes.length < NONCE_BYTES + TAG_BYTES) return ["error", "invalid"];
    const nonce = bytes.subarray(0, NONCE_BYTES);
    const tag = bytes.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES);
    let text: Uint8Array;
    try {
      text = cipher(key, nonce).decrypt(Buffer.concat([bytes.subarray(NONCE_BYTES + TAG_BYTES), tag]));
    } catch {
      return ["error", "invalid"];
    }
    return read(Buffer.from(text).toString(), options);
  },
};

function cipher(key: Buffer, nonce: Uint8Array): ReturnType<typeof xchacha20poly1305> {
  if (key.length !== 32)
    throw new BadArg("badarg: encryption needs a key of 32 bytes; leave keyLength at its default");
  return xchacha20poly1305(key, nonce, ADDITIONAL_DATA);
}
