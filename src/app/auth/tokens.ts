/**
 * Access tokens: JSON Web Tokens, signed by HS256 and nothing else. Each belongs to a session and
 * is short-lived; a new one is had with the session's refresh token (refresh-tokens.ts).
 *
 * Keys rotate: tokens name their key (`kid`), the current one signs, and previous ones continue to
 * be accepted.
 */
import { createHash, randomUUID } from "node:crypto";
import jwt from "jsonwebtoken";
import { readId } from "../ids.js";

const ISSUER = "phoenixpair";
const AUDIENCE = "phoenixpair:access";
/** What the token is for: a token for anything else is not accepted as access. */
const USE = "access";
/** Seconds that the clocks of two nodes may differ; when a token was issued is not looked at. */
const CLOCK_TOLERANCE = 5;

/** Plain data: it crosses threads. */
export interface SigningKeys {
  readonly secret: string;
  /** Secrets that signed before, and whose tokens are good until they expire. */
  readonly previous: readonly string[];
}

export interface Claims {
  readonly userId: number;
  readonly sessionId: string;
  /** When it ends, in seconds since 1970. */
  readonly expiresAt: number;
}

const keyIds = new Map<string, string>();

/** Names a key without telling it. */
function keyId(secret: string): string {
  let id = keyIds.get(secret);
  if (id === undefined) {
    id = createHash("sha256").update(`kid ${secret}`).digest("base64url").slice(0, 12);
    keyIds.set(secret, id);
  }
  return id;
}

export function issueToken(
  { userId, sessionId }: Omit<Claims, "expiresAt">,
  { secret }: SigningKeys,
  seconds: number,
): string {
  return jwt.sign({ use: USE, sid: sessionId }, secret, {
    algorithm: "HS256",
    keyid: keyId(secret),
    subject: String(userId),
    issuer: ISSUER,
    audience: AUDIENCE,
    expiresIn: seconds,
    jwtid: randomUUID(),
  });
}

/** The claims of a good token; undefined for anything else, whatever is wrong with it. */
export function verifyToken(token: unknown, keys: SigningKeys): Claims | undefined {
  if (typeof token !== "string" || token.length > 4096) return undefined;
  try {
    const kid = jwt.decode(token, { complete: true })?.header.kid;
    const key =
      kid === undefined ? keys.secret : [keys.secret, ...keys.previous].find((one) => keyId(one) === kid);
    if (key === undefined) return undefined;
    const claims = jwt.verify(token, key, {
      algorithms: ["HS256"],
      issuer: ISSUER,
      audience: AUDIENCE,
      clockTolerance: CLOCK_TOLERANCE,
    });
    if (typeof claims === "string" || claims.exp === undefined || claims.jti === undefined) return undefined;
    if (claims.use !== USE || typeof claims.sid !== "string") return undefined;
    const userId = readId(claims.sub);
    if (userId === undefined) return undefined;
    return { userId, sessionId: claims.sid, expiresAt: claims.exp };
  } catch {
    return undefined;
  }
}
