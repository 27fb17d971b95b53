/**
 * Keeping one editor and the server's text the same, over a protocol that only knows whole texts: a client sends all
 * of it (`response:update`), the server stores it and sends all of it to everyone (`response:updated`), the sender
 * included. The last writer wins on the server; this module is what makes that bearable. It is pure: events in,
 * a new state and actions out, no clock, no socket, no editor.
 *
 * The texts it reasons about:
 *
 *     seen ...... what the server is known to have held, newest last; the newest is `server`
 *     head ...... what everybody ought to see once all merges known here have been sent (mostly the same as `server`)
 *     doc ....... what stands in this editor = head + what is in flight + what has not been sent yet
 *
 * Each is tied to the next by an exact ChangeSet, so a remote edit can be carried over local ones (and the other way
 * round) without guessing.
 *
 * States of the link:  away ──joined──▶ idle ──doc ≠ server──▶ in flight ──own echo──▶ idle
 *                       ▲                                        │ refused: wait, then idle
 *                       └────────────left (from anywhere)────────┘ overdue: idle
 *
 * Rules, in the order in which they matter:
 *  1. A remote text changes the editor only by the difference to the text it was made from, merged three-way. What was
 *     typed here and is not confirmed stays.
 *  2. At most one update is in flight; the next one carries whatever the text is by then.
 *  3. An update is confirmed by its own echo, never by time. Without a connection nothing is sent. On rejoin the
 *     server's text is merged like any other remote text, and what it lacks is sent.
 *  4. Two updates that cross each other: the server keeps the second alone. The second's author sees both and sends
 *     the merged text at once. The first's author knows that a text which undoes its own keystrokes of a moment ago
 *     in favour of something else was made without knowing them: it keeps them on screen, waits for the other's merged
 *     text, and sends its own if none comes. Whoever typed nothing looks on: shows the merge, never sends it, and
 *     after a glance takes the server's word.
 *
 * When two insert at the same place, the one whose text reached the server first stands first, so all merges agree.
 */
import { ChangeSet } from "@codemirror/state";
import { apply, changesBetween, diff, distance } from "../../rooms/text-diff.js";

/** A text that somebody in the room can have had on screen. */
interface Seen {
  /** The server held it: sent by others, or by this client; or it is a merge that others come to as well. */
  readonly from: "others" | "me" | "merge";
  readonly text: string;
  /** From `text` to `head`. */
  readonly toHead: ChangeSet;
  readonly at: number;
}

interface Flight {
  readonly id: number;
  readonly text: string;
  /** What it adds to `head`. */
  readonly changes: ChangeSet;
  /** From `text` to head + `changes`: what others did while it was under way. */
  readonly since: ChangeSet;
  readonly sentAt: number;
}

export interface SyncState {
  readonly joined: boolean;
  readonly doc: string;
  readonly head: string;
  /** Never without a text of the server's after the first join. */
  readonly seen: readonly Seen[];
  readonly flight: Flight | null;
  /** Local edits that are not in flight: from head + flight to doc. */
  readonly unsent: ChangeSet;
  /** An update given up on, which the server may store after all. */
  readonly lost: readonly { readonly text: string; readonly until: number }[];
  /** Before this time nothing is sent. A local edit ends a `patience`, not a `backoff`. */
  readonly patience: number;
  readonly backoff: number;
  /** Nothing of one's own is at stake in the crossing that `patience` waits for. */
  readonly onlooker: boolean;
  /** Updates refused or unanswered in a row. */
  readonly failures: number;
  /** Updates sent in a row without a local edit: texts that only repair what a crossing broke. */
  readonly repairs: number;
  /** Between 0 and 1, of this client alone: two who disagree must not go on doing so in step. */
  readonly stagger: number;
  readonly nextId: number;
}

export type SyncEvent =
  | { readonly type: "joined"; readonly text: string }
  | { readonly type: "left" }
  | { readonly type: "edited"; readonly changes: ChangeSet }
  | { readonly type: "updated"; readonly text: string }
  | { readonly type: "confirmed"; readonly id: number }
  | { readonly type: "refused"; readonly id: number }
  | { readonly type: "tick" };

export type SyncAction =
  /** Change the editor: a remote edit, not the reader's own, so not for the undo history. */
  | { readonly type: "apply"; readonly changes: ChangeSet }
  | { readonly type: "send"; readonly id: number; readonly text: string };

export interface Step {
  readonly state: SyncState;
  readonly actions: readonly SyncAction[];
}

export type SaveStatus = "saved" | "saving" | "unsaved";

/** How long own keystrokes count as "of a moment ago" (rule 4), and how many texts are kept for it. */
export const RECENT_MS = 2_000;
const SEEN_AT_MOST = 24;
/** Whoever removes more than this at once means the text as it is, whatever was typed a moment ago. */
const SLIP = 8;
/** Nobody removes what another has written before having seen it for this long. */
const GLANCE_MS = 400;
/** How long the author of a text that lost waits for the winner's merged one. */
export const PATIENCE_MS = 900;
/** An update without an answer is sent anew after this. */
export const OVERDUE_MS = 10_000;
const LOST_FOR_MS = 20_000;
/** A repair that does not settle it is repeated later and later, and then the server's text is taken as it is. */
const REPAIRS_AT_MOST = 5;
const BACKOFF_MS = [500, 1_000, 2_000, 5_000, 10_000];

const nothing = (text: string): ChangeSet => ChangeSet.empty(text.length);

export function initialSync(stagger: number): SyncState {
  return {
    joined: false,
    doc: "",
    head: "",
    seen: [],
    flight: null,
    unsent: ChangeSet.empty(0),
    lost: [],
    patience: 0,
    backoff: 0,
    onlooker: true,
    failures: 0,
    repairs: 0,
    stagger,
    nextId: 1,
  };
}

/** What has to outlive a page: the text last known to be the server's, an update without an answer, and the text. */
export interface Draft {
  readonly server: string;
  readonly flight: string | null;
  readonly doc: string;
}

/** What is worth keeping of a room that is left; undefined when the server has it all. */
export function draftOf(state: SyncState): Draft | undefined {
  const server = serverText(state);
  if (server === undefined || inStep(state)) return undefined;
  return { server, flight: state.flight?.text ?? null, doc: state.doc };
}

/** The state in which a draft was left, without a connection. The next join merges it like any outage. */
export function resumeSync(draft: Draft, stagger: number, now: number): SyncState {
  const { server, flight, doc } = draft;
  return {
    ...initialSync(stagger),
    doc,
    head: server,
    seen: [{ from: "others", text: server, toHead: nothing(server), at: now }],
    flight:
      flight === null
        ? null
        : {
            id: 0,
            text: flight,
            changes: changesBetween(server, flight),
            since: nothing(flight),
            sentAt: now,
          },
    unsent: changesBetween(flight ?? server, doc),
  };
}

const newest = (state: SyncState): Seen | undefined => state.seen.findLast((entry) => entry.from !== "merge");

/** The server's newest text, as far as is known here. */
export function serverText(state: SyncState): string | undefined {
  return newest(state)?.text;
}

/** Everything typed here is stored by the server. */
export function inStep(state: SyncState): boolean {
  return state.flight === null && (state.seen.length === 0 || state.doc === serverText(state));
}

export function saveStatus(state: SyncState): SaveStatus {
  if (inStep(state)) return "saved";
  return state.joined && state.failures === 0 ? "saving" : "unsaved";
}

/** When a `tick` is due, if nothing else happens before. */
export function wakeAt(state: SyncState): number | undefined {
  if (!state.joined) return undefined;
  if (state.flight) return state.flight.sentAt + OVERDUE_MS;
  return inStep(state) ? undefined : Math.max(state.patience, state.backoff);
}

export function step(state: SyncState, event: SyncEvent, now: number): Step {
  switch (event.type) {
    case "joined":
      return settle(rejoin(state, event.text, now), now);
    case "left":
      return { state: { ...state, joined: false }, actions: [] };
    case "edited": {
      const edited = edit(state, event.changes);
      // Edits that cancel each other out leave it to the next tick: an editor cannot be changed while it reports.
      return edited.state.unsent.empty ? edited : settle(edited, now);
    }
    case "updated":
      return settle(receive(state, event.text, now), now);
    case "confirmed":
      return settle(state.flight?.id === event.id ? acknowledge(state, now) : { state, actions: [] }, now);
    case "refused":
      return settle(state.flight?.id === event.id ? postpone(state, now) : { state, actions: [] }, now);
    case "tick":
      return settle(state.joined && isOverdue(state, now) ? giveUp(state, now) : { state, actions: [] }, now);
  }
}

/** Sends when there is something to send and nothing forbids it. The only place that sends. */
function settle({ state, actions }: Step, now: number): Step {
  if (!state.joined || state.flight) return { state, actions };
  if (inStep(state)) return { state: { ...state, repairs: 0, patience: 0 }, actions };
  const repair = state.unsent.empty;
  if (repair && state.repairs >= REPAIRS_AT_MOST) return giveIn({ state, actions });
  if (repair && state.repairs > 0 && state.patience === 0) {
    const patience = now + PATIENCE_MS * (state.repairs + state.stagger);
    return { state: { ...state, patience }, actions };
  }
  if (now < Math.max(state.patience, state.backoff)) return { state, actions };
  if (repair && state.onlooker && state.patience > 0) return giveIn({ state, actions });
  const flight: Flight = {
    id: state.nextId,
    text: state.doc,
    changes: state.unsent,
    since: nothing(state.doc),
    sentAt: now,
  };
  return {
    state: {
      ...state,
      flight,
      unsent: nothing(state.doc),
      patience: 0,
      repairs: repair ? state.repairs + 1 : 0,
      nextId: state.nextId + 1,
    },
    actions: [...actions, { type: "send", id: flight.id, text: flight.text }],
  };
}

/** The merges of several clients do not agree, and nobody has typed since: the server's word ends it. */
function giveIn({ state, actions }: Step): Step {
  const text = serverText(state)!;
  const changes = changesBetween(state.doc, text);
  const seen = state.seen.map((entry) => ({ ...entry, toHead: entry.toHead.compose(changes) }));
  return {
    state: { ...state, doc: text, head: text, seen, unsent: nothing(text), patience: 0, repairs: 0 },
    actions: [...actions, { type: "apply", changes }],
  };
}

function edit(state: SyncState, changes: ChangeSet): Step {
  const doc = apply(state.doc, changes);
  return { state: { ...state, doc, unsent: state.unsent.compose(changes), patience: 0 }, actions: [] };
}

function rejoin(state: SyncState, text: string, now: number): Step {
  if (state.seen.length === 0) return adoptFirst(state, text, now);
  const joined: SyncState = { ...state, joined: true, patience: 0, backoff: 0, failures: 0 };
  const flight = joined.flight;
  if (!flight) return receive(joined, text, now);
  if (text === flight.text) return acknowledge(joined, now);

  // Was the update in flight stored before the link broke? If so, the text of now was made from it.
  const stored = distance(flight.text, text).cost < distance(serverText(joined)!, text).cost;
  const before = stored ? acknowledge(joined, now).state : giveUp(joined, now).state;
  return receive(before, text, now);
}

function adoptFirst(state: SyncState, text: string, now: number): Step {
  return {
    state: {
      ...state,
      joined: true,
      doc: text,
      head: text,
      seen: [{ from: "others", text, toHead: nothing(text), at: now }],
      unsent: nothing(text),
    },
    actions: [{ type: "apply", changes: changesBetween(state.doc, text) }],
  };
}

/** The flight's text is the server's newest: what it added is part of the head now. */
function acknowledge(state: SyncState, now: number): Step {
  const flight = state.flight!;
  const seen = state.seen.map((entry) => ({ ...entry, toHead: entry.toHead.compose(flight.changes) }));
  const head = apply(state.head, flight.changes);
  // The server answers a link's updates in order: what was given up before this one comes soon or never.
  const lost = state.lost.map((entry) => ({ ...entry, until: Math.min(entry.until, now + LOST_FOR_MS) }));
  const entry: Seen = { from: "me", text: flight.text, toHead: flight.since, at: now };
  return {
    state: { ...state, head, seen: remember(seen, entry, head), flight: null, lost, failures: 0 },
    actions: [],
  };
}

/** What was in flight is unsent again. */
function ground(state: SyncState): SyncState {
  const flight = state.flight!;
  return { ...state, flight: null, unsent: flight.changes.compose(state.unsent) };
}

function postpone(state: SyncState, now: number): Step {
  const wait = BACKOFF_MS[Math.min(state.failures, BACKOFF_MS.length - 1)]!;
  return { state: { ...ground(state), failures: state.failures + 1, backoff: now + wait }, actions: [] };
}

const isOverdue = (state: SyncState, now: number): boolean =>
  state.flight !== null && now >= state.flight.sentAt + OVERDUE_MS;

/** Nobody knows what became of it: it is sent again, and its echo is recognised should it come after all. */
function giveUp(state: SyncState, now: number): Step {
  const lost = state.lost.filter((entry) => entry.until > now);
  lost.push({ text: state.flight!.text, until: Number.POSITIVE_INFINITY });
  return { state: { ...ground(state), lost, failures: state.failures + 1 }, actions: [] };
}

/** The server holds `text` now. */
function receive(state: SyncState, text: string, now: number): Step {
  if (state.seen.length === 0) return { state, actions: [] };
  if (state.flight?.text === text) return acknowledge(state, now);
  if (text === serverText(state)) return { state, actions: [] };

  const lost = state.lost.find((entry) => entry.text === text && entry.until > now);
  if (lost) {
    // Its edits stand in doc already: merging it would type them a second time.
    const entry: Seen = { from: "me", text, toHead: changesBetween(text, state.head), at: now };
    const rest = state.lost.filter((other) => other !== lost);
    return { state: { ...state, seen: remember(state.seen, entry, state.head), lost: rest }, actions: [] };
  }
  return text === state.doc ? agree(state, text, now) : merge(state, text, now);
}

/** Somebody else sent exactly what stands here: nothing is left to send, nothing to change. */
function agree(state: SyncState, text: string, now: number): Step {
  const flight = state.flight;
  const local = flight ? flight.changes.compose(state.unsent) : state.unsent;
  const seen = state.seen.map((entry) => ({ ...entry, toHead: entry.toHead.compose(local) }));
  const entry: Seen = { from: "others", text, toHead: nothing(text), at: now };
  return {
    state: {
      ...state,
      head: text,
      seen: remember(seen, entry, text),
      flight: flight && { ...flight, changes: nothing(text), since: flight.since.compose(state.unsent) },
      unsent: nothing(text),
      patience: 0,
    },
    actions: [],
  };
}

function merge(state: SyncState, text: string, now: number): Step {
  const base = chooseBase(state, text, now);
  const edits = changesBetween(base.text, text);

  // Over what the server had received before it, then over what it will receive after it.
  const onHead = edits.map(base.toHead);
  const entry: Seen = { from: "others", text, toHead: base.toHead.map(edits, true), at: now };
  const seen = state.seen.map((other) => ({ ...other, toHead: other.toHead.compose(onHead) }));

  let onDoc = onHead;
  let flight = state.flight;
  if (flight) {
    const onFlight = onHead.map(flight.changes, true);
    flight = { ...flight, changes: flight.changes.map(onHead), since: flight.since.compose(onFlight) };
    onDoc = onFlight;
  }
  const unsent = state.unsent.map(onDoc);
  onDoc = onDoc.map(state.unsent, true);

  const head = apply(state.head, onHead);
  const doc = apply(state.doc, onDoc);
  // Nothing of our own is under way, yet the text on screen differs: it is the other's turn to send the merged text.
  const waits = flight === null && unsent.empty && doc !== text && state.repairs === 0;
  const onlooker = !state.seen.some((other) => other.from === "me" && other.at > now - RECENT_MS);
  const patience = waits ? now + (onlooker ? GLANCE_MS : PATIENCE_MS * (1 + state.stagger)) : 0;
  return {
    state: { ...state, head, doc, seen: remember(seen, entry, head), flight, unsent, patience, onlooker },
    actions: onDoc.empty ? [] : [{ type: "apply", changes: onDoc }],
  };
}

/**
 * From which text was this one made? Nobody says, so: from the one it is nearest to, among those its author can have
 * had: the texts of the last moment, and the merges that others come to as well. Whoever goes back to an earlier text of
 * the server's exactly, or just removes in one place, means it, unless it comes too soon after a keystroke of ours.
 */
function chooseBase(state: SyncState, text: string, now: number): Pick<Seen, "text" | "toHead"> {
  const server = newest(state)!;
  const head = { text: state.head, toHead: nothing(state.head) };
  if (text === head.text) return head;
  const fresh = (entry: Seen): boolean => entry.at > now - RECENT_MS;
  const merged = state.seen.findLast(
    (entry) => entry.from === "merge" && entry.text === text && fresh(entry),
  );
  if (merged) return merged;

  const direct = diff(server.text, text);
  const crossing = state.head !== server.text;
  const mine = state.seen.findLast((entry) => entry.from === "me")?.at ?? 0;
  const local = state.flight !== null || !state.unsent.empty;
  const back = state.seen.some((entry) => entry.from !== "merge" && entry.text === text);
  const removes = direct.length === 1 && direct[0]!.insert === "";
  if ((back || removes) && !local && mine <= now - GLANCE_MS) return server;

  let best: Pick<Seen, "text" | "toHead"> = server;
  let lowest = distance(server.text, text).cost;
  const consider = (base: Pick<Seen, "text" | "toHead">, margin = 0): void => {
    const { cost, removed } = distance(base.text, text);
    if (removed > SLIP || cost + margin >= lowest) return;
    best = base;
    lowest = cost + margin;
  };
  if (crossing) consider(head, -0.5);
  for (let i = state.seen.length - 1; i >= 0; i -= 1) {
    consider(state.seen[i]!);
    // What stood before the oldest fresh text has been seen by everybody.
    if (!fresh(state.seen[i]!)) break;
  }
  return best;
}

/** Keeps the newest few; every entry costs a little work for each edit. */
function remember(seen: readonly Seen[], entry: Seen, head: string): readonly Seen[] {
  const next = [...seen, entry];
  if (head !== entry.text) next.push({ from: "merge", text: head, toHead: nothing(head), at: entry.at });
  if (next.length <= SEEN_AT_MOST) return next;
  const cut = next.length - SEEN_AT_MOST;
  // A long row of merges must not push out the server's newest text.
  return next.filter((item, i) => i >= cut || item === entry);
}
