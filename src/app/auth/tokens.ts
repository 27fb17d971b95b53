/** Access tokens: JSON Web Tokens, signed by HS256 and nothing else. */
import { randomUUID } from "node:crypto";
import jwt from "jsonwebtoken";

const ISSUER = "phoenixpair";
const AUDIENCE = "phoenixpair:access";
/** Seconds a token is good for. */
export const TOKEN_LIFETIME = 12 * 60 * 60;
const CLOCK_TOLERANCE = 5;

export interface Claims {
  readonly userId: number;
  /** When it ends, in seconds since 1970. */
  readonly expiresAt: number;
}

export function issueToken(userId: number, secret: string): string {
  return jwt.sign({}, secret, {
    algorithm: "HS256",
    subject: String(userId),
    issuer: ISSUER,
    audience: AUDIENCE,
    expiresIn: TOKEN_LIFETIME,
    jwtid: randomUUID(),
  });
}

/** The claims of a good token; undefined for anything else, whatever is wrong with it. */
export function verifyToken(token: unknown, secret: string): Claims | undefined {
  if (typeof token !== "string" || token.length > 4096) return undefined;
  try {
    const claims = jwt.verify(token, secret, {
      algorithms: ["HS256"],
      issuer: ISSUER,
      audience: AUDIENCE,
      clockTolerance: CLOCK_TOLERANCE,
    });
    if (typeof claims === "string" || claims.exp === undefined || claims.jti === undefined) return undefined;
    const userId = Number(claims.sub);
    return Number.isSafeInteger(userId) && userId > 0 ? { userId, expiresAt: claims.exp } : undefined;
  } catch {
    return undefined;
  }
}
