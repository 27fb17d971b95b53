/**
 * The cookie that holds a page's refresh token: out of reach of its scripts, sent to `/api/session`
 * alone, and only by pages of this site.
 */
import type { Context } from "hono";
import { deleteCookie, getCookie, setCookie } from "hono/cookie";
import { type RefreshToken, readRefreshToken } from "../auth/refresh-tokens.js";
import { SESSION_IDLE_MS } from "../storage/sessions.js";

/**
 * Browsers take the prefix from https alone; one for a host as a whole would not go with the path.
 */
const nameFor = (secure: boolean): string => `${secure ? "__Secure-" : ""}phoenixpair_session`;
const PATH = "/api/session";

export function giveSessionCookie(context: Context, { text }: RefreshToken, secure: boolean): void {
  setCookie(context, nameFor(secure), text, {
    path: PATH,
    httpOnly: true,
    sameSite: "Strict",
    secure,
    maxAge: SESSION_IDLE_MS / 1000,
  });
}

export function takeSessionCookie(context: Context, secure: boolean): void {
  deleteCookie(context, nameFor(secure), { path: PATH, httpOnly: true, sameSite: "Strict", secure });
}

export const sessionCookie = (context: Context, secure: boolean): RefreshToken | undefined =>
  readRefreshToken(getCookie(context, nameFor(secure)));
