/**
 * Refresh tokens: opaque, valid for one renewal. They live in the page's cookie; the database has
 * their hashes.
 *
 * The successor of a token follows from it, from what the asker says with it (`nonce`) and from a
 * key of the server. So a renewal whose answer was lost can be asked again in the same words and
 * has the same answer, while a thief of an old token cannot ask that.
 */
import { createHash, createHmac, randomBytes, randomUUID } from "node:crypto";

export interface RefreshToken {
  readonly sessionId: string;
  readonly text: string;
  readonly hash: string;
}

const hashOf = (text: string): string => createHash("sha256").update(text).digest("hex");

function token(sessionId: string, secret: Buffer): RefreshToken {
  const text = `${sessionId}.${secret.toString("base64url")}`;
  return { sessionId, text, hash: hashOf(text) };
}

/** The first token of a new session. */
export const newRefreshToken = (): RefreshToken => token(randomUUID(), randomBytes(32));

/** A token as it came in; undefined for anything that cannot be one. */
export function readRefreshToken(text: string | undefined): RefreshToken | undefined {
  const match = /^([0-9a-f-]{36})\.[\w-]{43}$/.exec(text ?? "");
  return match === null
    ? undefined
    : { sessionId: match[1] as string, text: match[0], hash: hashOf(match[0]) };
}

export function successor({ sessionId, text }: RefreshToken, nonce: string, key: string): RefreshToken {
  return token(sessionId, createHmac("sha256", key).update(`refresh\0${text}\0${nonce}`).digest());
}
