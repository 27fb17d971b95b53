/**
 * Who is signed in, in this tab and in all others of this origin.
 *
 *     unknown ──renewed──▶ signed in ──signed out, refused──▶ signed out
 *        └──────────refused──────────────────────────────────────┘
 *
 * The access token lives in this page's memory alone. What survives a reload is a cookie that no
 * script can read: with it the page gets a new token when it loads and each time before the token
 * ends (the clock of this machine may be wrong, so the token's lifetime counts, not its date).
 * localStorage only says that a user is signed in, so that tabs know of each other: a tab
 * never continues as a user who has left.
 */
import { ApiError, fetchJson } from "./fetch-json.js";
import { forgetUnsavedEdits } from "./sync/unsaved-edits.js";
import type { Signed } from "./types.js";
import { useSyncExternalStore } from "./ui/store.js";

/** Undefined: it is not known yet whether the session is valid. */
export type SessionState = Signed | null | undefined;

export type Renewed = "renewed" | "ended" | "unreachable";

const MARK = "phoenixpair.session";
const NONCE = "phoenixpair.renewal";
/** Renewed after this part of the token's life; what is left is for tries that fail. */
const RENEW_AT = 0.8;
const RETRY_MS = 5_000;

const listeners = new Set<() => void>();
/** Without storage a user may be signed in. */
let state: SessionState = stored(MARK) === null ? null : undefined;
let renewAt = Number.POSITIVE_INFINITY;
let timer: ReturnType<typeof setTimeout> | undefined;
let renewing: Promise<Renewed> | undefined;
/**
 * Counts sign-ins and sign-outs: an answer that was asked for before the last one is no longer
 * wanted.
 */
let epoch = 0;

function stored(key: string): string | null | undefined {
  try {
    return localStorage.getItem(key);
  } catch {
    return undefined;
  }
}

function store(key: string, value: string | null): void {
  try {
    if (value === null) localStorage.removeItem(key);
    else localStorage.setItem(key, value);
  } catch {
    // Without storage the tabs do not hear of each other.
  }
}

function changed(next: SessionState): void {
  state = next;
  for (const listener of [...listeners]) listener();
}

function wakeAt(at: number): void {
  renewAt = at;
  clearTimeout(timer);
  if (at === Number.POSITIVE_INFINITY) return;
  timer = setTimeout(() => void session.renew(), Math.max(0, at - Date.now()));
}

function adopt(signed: Signed): void {
  epoch += 1;
  store(MARK, String(signed.user.id));
  wakeAt(Date.now() + lifetimeOf(signed.token) * RENEW_AT);
  changed({ token: signed.token, user: signed.user });
}

function forget(): void {
  epoch += 1;
  store(MARK, null);
  store(NONCE, null);
  wakeAt(Number.POSITIVE_INFINITY);
  changed(null);
}

/** Milliseconds a token lives, from what it says of itself. */
function lifetimeOf(token: string): number {
  try {
    const part = token.split(".")[1] ?? "";
    const { iat, exp } = JSON.parse(atob(part.replaceAll("-", "+").replaceAll("_", "/"))) as {
      iat: number;
      exp: number;
    };
    return exp > iat ? (exp - iat) * 1000 : 60_000;
  } catch {
    return 60_000;
  }
}

async function renewOnce(): Promise<Renewed> {
  // Kept until there is an answer: should this page be gone by then, the next one asks in the same
  // words.
  let nonce = stored(NONCE);
  if (!nonce) {
    nonce = Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(36)).join("");
    store(NONCE, nonce);
  }
  const asked = epoch;
  try {
    const signed = await fetchJson("/api/session", { method: "POST", headers: { "x-phoenixpair": nonce } });
    store(NONCE, null);
    if (asked === epoch) adopt(signed as Signed);
    return state ? "renewed" : "ended";
  } catch (error) {
    if (asked !== epoch) return state ? "renewed" : "ended";
    if (error instanceof ApiError && error.status === 401) {
      forget();
      return "ended";
    }
    wakeAt(Date.now() + RETRY_MS);
    return "unreachable";
  }
}

/**
 * One tab at a time, where the browser lets tabs agree: the next one then has the cookie of this
 * one.
 */
const alone = (work: () => Promise<Renewed>): Promise<Renewed> =>
  navigator.locks ? navigator.locks.request("phoenixpair.renewal", work) : work();

window.addEventListener("storage", (event) => {
  if (event.key !== MARK && event.key !== null) return;
  const mark = stored(MARK);
  if (mark === null) {
    if (state !== null) forget();
  } else if (mark !== undefined && mark !== String(state?.user.id)) void session.renew();
});

/** A machine that slept wakes up with a token that has ended. */
const catchUp = (): void => {
  if (document.visibilityState === "visible" && Date.now() >= renewAt) void session.renew();
};
document.addEventListener("visibilitychange", catchUp);
window.addEventListener("online", catchUp);
window.addEventListener("pageshow", catchUp);

export const session = {
  get: (): SessionState => state,

  /** Asked for at each (re)connect, so that a socket never comes back with an old token. */
  token: (): string => state?.token ?? "",

  signIn: adopt,

  /** Gets a new token. Who asks while one is on its way gets the same answer. */
  renew(): Promise<Renewed> {
    renewing ??= alone(renewOnce).finally(() => {
      renewing = undefined;
    });
    return renewing;
  },

  /** The server has ended it. */
  ended: forget,

  /**
   * Here at once; on the server as soon as it can be reached, or when the session has gone unused
   * for long enough.
   */
  signOut(): void {
    const token = session.token();
    if (state) void forgetUnsavedEdits(String(state.user.id));
    void fetchJson("/api/session", {
      method: "DELETE",
      keepalive: true,
      headers: { "x-phoenixpair": "sign-out", ...(token && { authorization: `Bearer ${token}` }) },
    }).catch(() => {});
    forget();
  },

  subscribe(listener: () => void): () => void {
    listeners.add(listener);
    return () => listeners.delete(listener);
  },
};

export function useSession(): SessionState {
  return useSyncExternalStore(session.subscribe, session.get);
}
