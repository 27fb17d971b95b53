/**
 * When to send what of a shared document, and whether what was typed is saved. Pure: events in,
 * actions out. Bytes are opaque here; room-document.ts knows Yjs and carries the actions out.
 *
 *     away ──joined──▶ asking ──asked──▶ live ──left──▶ away
 *                        ▲                 │
 *                        └── retry, later ─┘ refused
 *
 * `asking`: the server was asked which of our edits it lacks. Its answer brings the difference, and
 * from then on edits go out as they are made. Nothing goes out before: an edit that overtakes an
 * earlier one is refused for the gap.
 *
 * Only the server says "saved": an edit counts as stored when the update that
 * carried it was answered with ok. Edits of an update that was refused, or whose answer a broken
 * link swallowed, are owed: they go with the next difference, and sending again what has arrived
 * after all does no harm.
 */
import { mergeUpdates } from "yjs";

export type SyncEvent =
  | { readonly type: "joined"; readonly canWrite: boolean; readonly persistence: Persistence }
  | { readonly type: "left" }
  /**
   * The server said what it has; `missing` is what it lacks and what is not known to be stored, in
   * order.
   */
  | { readonly type: "asked"; readonly missing: readonly Uint8Array[] }
  /** The question was refused or not answered in time. */
  | { readonly type: "unasked" }
  | { readonly type: "edited"; readonly update: Uint8Array }
  | { readonly type: "stored"; readonly id: number }
  | { readonly type: "refused"; readonly id: number; readonly refusal: Refusal }
  | { readonly type: "access"; readonly canWrite: boolean }
  | { readonly type: "persistence"; readonly persistence: Persistence }
  | { readonly type: "tick" };

export type SyncAction =
  /** Ask the server what it lacks, and for what we lack. */
  { readonly type: "ask" } | { readonly type: "push"; readonly id: number; readonly update: Uint8Array };

export type Persistence = "ok" | "degraded" | "read_only";

export interface Refusal {
  readonly reason: string;
  readonly why?: string | undefined;
  readonly retryAfterMs?: number | undefined;
}

export type SaveStatus = "saved" | "saving" | "unsaved";

/** Why nothing goes out although there is a connection. */
export type Block = "role" | "persistence" | "too_large" | "bad_update";

export interface SyncState {
  readonly phase: "away" | "asking" | "live";
  /** Not sent yet. */
  readonly pending: readonly Uint8Array[];
  /** Sent and not answered, in order. */
  readonly unanswered: readonly number[];
  /**
   * There are edits that are neither pending nor unanswered and not stored; the next difference has
   * them.
   */
  readonly owed: boolean;
  readonly block: Block | undefined;
  readonly persistence: Persistence;
  /** Refusals in a row. */
  readonly failures: number;
  /** When to ask again. */
  readonly retryAt: number | undefined;
  readonly flushAt: number;
  /** Since when nothing has become stored although there is something to store. */
  readonly waitingSince: number;
  readonly nextId: number;
}

export interface Step {
  readonly state: SyncState;
  readonly actions: readonly SyncAction[];
}

/** Edits of this time go together. */
const GATHER_MS = 20;
/** Between two updates: the server takes 30 a second in the long run. */
const APART_MS = 35;
/** Bytes of an update; larger ones come here in parts already. */
export const UPDATE_LIMIT = 64 * 1024;
/** Updates without an answer before the rest waits. */
const WINDOW = 32;
/** Without an answer for so long it is called "not saved yet" rather than "saving". */
const SLOW_MS = 6_000;
const RETRY_MS = [100, 500, 1_000, 2_000, 5_000];
/** Refusals in a row of what can only be a fault, after which it is not tried again. */
const GIVE_UP_AFTER = 5;

export const initialSync: SyncState = {
  phase: "away",
  pending: [],
  unanswered: [],
  owed: false,
  block: undefined,
  persistence: "ok",
  failures: 0,
  retryAt: undefined,
  flushAt: 0,
  waitingSince: 0,
  nextId: 1,
};

/** Everything typed here is stored by the server. */
export const isSaved = (state: SyncState): boolean =>
  !state.owed && state.pending.length === 0 && state.unanswered.length === 0;

export function saveStatus(state: SyncState, now: number): SaveStatus {
  if (isSaved(state)) return "saved";
  const moves = state.phase !== "away" && state.block === undefined && state.persistence === "ok";
  return moves && state.failures === 0 && now < state.waitingSince + SLOW_MS ? "saving" : "unsaved";
}

/** When a `tick` is due, if nothing else happens before. */
export function wakeAt(state: SyncState, now: number): number | undefined {
  if (state.phase === "away") return undefined;
  const times: number[] = [];
  if (state.retryAt !== undefined) times.push(state.retryAt);
  if (maySend(state) && state.pending.length > 0) times.push(state.flushAt);
  if (saveStatus(state, now) === "saving") times.push(state.waitingSince + SLOW_MS);
  return times.length === 0 ? undefined : Math.min(...times);
}

const maySend = (state: SyncState): boolean =>
  state.phase === "live" &&
  state.block === undefined &&
  state.retryAt === undefined &&
  state.unanswered.length < WINDOW;

export function step(state: SyncState, event: SyncEvent, now: number): Step {
  const { state: next, actions } = settle(handle(state, event, now), now);
  return { state: isSaved(state) && !isSaved(next) ? { ...next, waitingSince: now } : next, actions };
}

function handle(state: SyncState, event: SyncEvent, now: number): Step {
  switch (event.type) {
    case "joined": {
      const { canWrite, persistence } = event;
      const block = blockOf(canWrite, persistence);
      return ask({ ...owing(state), unanswered: [], failures: 0, block, persistence });
    }
    case "left":
      return quiet({ ...owing(state), phase: "away", unanswered: [], retryAt: undefined });
    case "asked":
      if (state.phase === "away") return quiet(state);
      return quiet({ ...state, phase: "live", pending: event.missing, owed: false, flushAt: now });
    case "unasked": {
      if (state.phase !== "asking") return quiet(state);
      return quiet({ ...state, failures: state.failures + 1, retryAt: now + backoff(state.failures) });
    }
    case "edited":
      return quiet(edited(state, event.update, now));
    case "stored":
      if (!state.unanswered.includes(event.id)) return quiet(state);
      return quiet({
        ...state,
        unanswered: state.unanswered.filter((id) => id !== event.id),
        failures: 0,
        waitingSince: now,
      });
    case "refused":
      if (!state.unanswered.includes(event.id)) return quiet(state);
      return quiet(refused(state, event.id, event.refusal, now));
    case "access":
      return unblock(state, event.canWrite, state.persistence);
    case "persistence":
      return unblock({ ...state, persistence: event.persistence }, state.block !== "role", event.persistence);
    case "tick":
      return state.retryAt !== undefined && now >= state.retryAt ? ask(state) : quiet(state);
  }
}

const backoff = (failures: number): number => RETRY_MS[Math.min(failures, RETRY_MS.length - 1)]!;

const quiet = (state: SyncState): Step => ({ state, actions: [] });

const ask = (state: SyncState): Step => ({
  state: { ...owing(state), phase: "asking", retryAt: undefined },
  actions: [{ type: "ask" }],
});

/** What is pending or unanswered goes with the next difference. */
const owing = (state: SyncState): SyncState => ({ ...state, owed: !isSaved(state), pending: [] });

const blockOf = (canWrite: boolean, persistence: Persistence): Block | undefined =>
  canWrite ? (persistence === "read_only" ? "persistence" : undefined) : "role";

/** A right that was given, a database that is back: what was held back goes out. */
function unblock(state: SyncState, canWrite: boolean, persistence: Persistence): Step {
  const block = blockOf(canWrite, persistence);
  if (block === state.block) return quiet(state);
  const fault = state.block === "too_large" || state.block === "bad_update";
  if (block !== undefined || state.phase === "away") return quiet({ ...state, block });
  return fault ? quiet(state) : ask({ ...state, block });
}

function edited(state: SyncState, update: Uint8Array, now: number): SyncState {
  if (state.block === "too_large") {
    // Perhaps it was shortened: what the server then gets is the difference, which has room for it
    // or not.
    return { ...state, owed: true, block: undefined, retryAt: now + RETRY_MS[1]! };
  }
  if (state.phase !== "live" || state.block !== undefined || state.retryAt !== undefined) {
    return { ...state, owed: true };
  }
  const flushAt = state.pending.length > 0 ? state.flushAt : Math.max(now + GATHER_MS, state.flushAt);
  return { ...state, pending: [...state.pending, update], flushAt };
}

/**
 * What was sent after a refused update is refused for the gap; one question for all of them is
 * enough.
 */
function refused(state: SyncState, id: number, refusal: Refusal, now: number): SyncState {
  const owing: SyncState = {
    ...state,
    owed: true,
    pending: [],
    unanswered: state.unanswered.filter((other) => other !== id),
  };
  if (state.phase !== "live" || state.retryAt !== undefined || state.block !== undefined) return owing;
  if (refusal.reason === "read_only") {
    const block = refusal.why === "persistence" ? "persistence" : "role";
    return { ...owing, block };
  }
  if (refusal.reason === "too_large") return { ...owing, block: "too_large" };
  const failures = state.failures + 1;
  if (failures > GIVE_UP_AFTER && refusal.reason === "bad_update") {
    return { ...owing, failures, block: "bad_update" };
  }
  const wait = refusal.retryAfterMs ?? backoff(state.failures);
  return { ...owing, failures, retryAt: now + wait };
}

/** Sends when there is something to send and nothing forbids it. The only place that sends. */
function settle({ state, actions }: Step, now: number): Step {
  if (!maySend(state) || state.pending.length === 0 || now < state.flushAt) return { state, actions };
  let size = 0;
  const fits = state.pending.findIndex((update) => {
    size += update.length;
    return size > UPDATE_LIMIT;
  });
  const count = fits === -1 ? state.pending.length : Math.max(1, fits);
  const id = state.nextId;
  const update = count === 1 ? state.pending[0]! : mergeUpdates(state.pending.slice(0, count));
  return {
    state: {
      ...state,
      pending: state.pending.slice(count),
      unanswered: [...state.unanswered, id],
      flushAt: now + APART_MS,
      nextId: id + 1,
    },
    actions: [...actions, { type: "push", id, update }],
  };
}
