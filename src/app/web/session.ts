/**
 * Who is signed in, in this tab and in all others of this origin.
 *
 * The token lives in localStorage so that a reload, a new tab and a deep link find it. Signing out (or in as somebody
 * else) in one tab is seen by the others through the `storage` event: a tab never goes on as a person who has left.
 */

import type { Signed } from "./types.js";
import { useSyncExternalStore } from "./ui/store.js";

const KEY = "phoenixpair.session";
const listeners = new Set<() => void>();
let current: Signed | null = read();

function read(): Signed | null {
  try {
    const value: unknown = JSON.parse(localStorage.getItem(KEY) ?? "null");
    return isSigned(value) ? value : null;
  } catch {
    // Storage may be switched off or hold something foreign: then nobody is signed in.
    return null;
  }
}

function isSigned(value: unknown): value is Signed {
  if (typeof value !== "object" || value === null) return false;
  const { token, user } = value as Partial<Signed>;
  return typeof token === "string" && typeof user?.first_name === "string";
}

function changed(next: Signed | null): void {
  current = next;
  for (const listener of [...listeners]) listener();
}

window.addEventListener("storage", (event) => {
  if (event.key === KEY || event.key === null) changed(read());
});

export const session = {
  get: (): Signed | null => current,

  /** Asked for at each (re)connect, so that a socket never comes back with an old token. */
  token: (): string => current?.token ?? "",

  signIn(signed: Signed): void {
    try {
      localStorage.setItem(KEY, JSON.stringify({ token: signed.token, user: signed.user }));
    } catch {
      // Without storage the session lasts as long as the page.
    }
    changed(signed);
  },

  signOut(): void {
    try {
      localStorage.removeItem(KEY);
    } catch {
      // Nothing was stored then.
    }
    changed(null);
  },

  subscribe(listener: () => void): () => void {
    listeners.add(listener);
    return () => listeners.delete(listener);
  },
};

export function useSession(): Signed | null {
  return useSyncExternalStore(session.subscribe, session.get);
}
