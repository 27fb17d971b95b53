/**
 * The reducer of a topic in a world of its own: a client, the connection's process, and a thread
 * with the channels. What is on its way between them arrives in any interleaving. Channels refuse,
 * crash, stop, hang and are killed; threads die, topics move.
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type Credit,
  type Subscription,
  type SubscriptionEffect,
  type SubscriptionEvent,
  step,
} from "../../../src/channels/socket/topic-subscription.js";

type Event = SubscriptionEvent<Channel>;
type Start = Extract<SubscriptionEffect<Channel>, { type: "start" }>;

/** What a channel makes of its join, and of an event. */
type Fate = "ok" | "refuse" | "crash" | "hang";
type Deed = "echo" | "stop" | "throw" | "hang";

type Action =
  | { readonly type: "join"; readonly fate: Fate }
  /** `of` is how many joins ago the one was that the frame names; without one it names none. */
  | { readonly type: "push"; readonly deed: Deed; readonly of: number | undefined }
  | { readonly type: "leave"; readonly of: number | undefined }
  /** One of the things that can happen happens. */
  | { readonly type: "happen"; readonly which: number }
  | { readonly type: "time passes" | "killed" | "topic moves" }
  /** The last reports that are on their way die with it. */
  | { readonly type: "thread dies"; readonly lost: number };

/** What the client sees; the ref is that of the frame it is about, or the join's. */
type Seen = readonly [
  kind: "joined" | "refused" | "reply" | "unmatched" | "stale" | "left" | "close" | "error",
  ref: string,
];

type Order = { readonly type: "push" | "leave" | "replaced" | "ended"; readonly ref: string };

class Channel {
  readonly token: number;
  readonly join: string;
  /** The join that it replaces, whose close follows the answer. */
  readonly owed: string | undefined;
  readonly mailbox: Order[] = [];
  state: "joining" | "joined" | "stopping" | "crashing" | "hanging" | "dead" = "joining";
  /** It was killed, or its thread died. */
  cutOff = false;
  given = 0;
  handled = 0;

  constructor(token: number, join: string, owed: string | undefined) {
    this.token = token;
    this.join = join;
    this.owed = owed;
  }

  toJSON(): string {
    return `channel of ${this.join}`;
  }
}

/**
 * What reaches the connection's thread as one: frames for the client, and a report for its process.
 */
type Report = { readonly frames: readonly Seen[]; readonly event: Event | undefined } | "thread died";

const ROOM = 2;

class World {
  readonly seen: Seen[] = [];
  readonly fates = new Map<string, Fate>();
  readonly deeds = new Map<string, Deed>();
  readonly leaves: string[] = [];
  /** Which channel a push or leave was handed to. */
  readonly handedTo = new Map<string, Channel>();
  state: Subscription<Channel> | undefined;
  #refs = 0;
  #fresh = 0;
  #moves = false;
  readonly #joins: string[] = [];
  readonly #timers: number[] = [];
  /** Of the connection's process: channels it watches, and joins that have not been taken up. */
  readonly #watched = new Set<Channel>();
  readonly #asked = new Set<number>();
  readonly #toShard: Start[] = [];
  readonly #reports: Report[] = [];
  #channels: Channel[] = [];

  act(action: Action): void {
    switch (action.type) {
      case "join": {
        const ref = this.#ref();
        this.fates.set(ref, action.fate);
        this.#joins.unshift(ref);
        this.#send("phx_join", ref, ref);
        return;
      }
      case "push": {
        const ref = this.#ref();
        this.deeds.set(ref, action.deed);
        this.#send("event", this.#joinRef(action.of), ref);
        return;
      }
      case "leave": {
        const ref = this.#ref();
        this.leaves.push(ref);
        this.#send("phx_leave", this.#joinRef(action.of), ref);
        return;
      }
      case "happen":
        this.#happen(action.which);
        return;
      case "time passes":
        this.#timePasses();
        return;
      case "topic moves":
        this.#moves = true;
        return;
      case "killed": {
        const [channel] = this.#channels;
        if (channel !== undefined) this.#cutOff(channel);
        return;
      }
      case "thread dies":
        this.#threadDies(action.lost);
        return;
    }
  }

  #ref(): string {
    this.#refs += 1;
    return `${this.#refs}`;
  }

  #joinRef(of: number | undefined): string | null {
    return of === undefined ? null : (this.#joins[of] ?? "of no join");
  }

  #send(event: string, joinRef: string | null, ref: string): void {
    const frame = { joinRef, ref, topic: "t", event, payload: "{}]" };
    this.#step({ type: "request", request: { frame, size: 1, channel: 0 }, credit: this.#credit() });
  }

  /** Lets everything happen that still can, time included. */
  settle(): void {
    for (let steps = 0; steps < 5000; steps += 1) {
      if (this.#happen(0)) continue;
      if (this.#timers.length === 0) return;
      this.#timePasses();
    }
    throw new Error("it does not come to rest");
  }

  // ---------------------------------------------------------------- the connection's process

  #credit(): Credit {
    const { given = 0, handled = 0 } = this.state?.channel ?? {};
    return { frames: ROOM - given + handled, bytes: 1000 };
  }

  #step(event: Event): void {
    const before = this.state;
    const printed = JSON.stringify(before);
    this.#fresh += 1;
    const [after, effects] = step(before, event, this.#fresh);
    expect(JSON.stringify(before)).toBe(printed);
    this.state = after;
    for (const effect of effects) this.#perform(effect);
  }

  #perform(effect: SubscriptionEffect<Channel>): void {
    switch (effect.type) {
      case "start":
        this.#asked.add(effect.token);
        // The next thread is there long after the end of the last has been reported.
        if (!this.#reports.includes("thread died")) this.#toShard.push(effect);
        return;
      case "forward":
        effect.channel.given += 1;
        this.#hand(effect.channel, { type: "push", ref: effect.request.frame.ref as string });
        return;
      case "leave":
        this.#hand(effect.channel, { type: "leave", ref: effect.leave.ref as string });
        return;
      case "replace":
        this.#hand(effect.channel, { type: "replaced", ref: "" });
        return;
      case "ended":
        this.#hand(effect.channel, { type: "ended", ref: "" });
        return;
      case "end":
      case "kill":
        this.#cutOff(effect.channel);
        return;
      case "timer":
        this.#timers.push(effect.timer);
        return;
      case "unmatched": {
        const { event, ref } = effect.frame;
        this.seen.push([event === "phx_leave" ? "left" : "unmatched", ref as string]);
        return;
      }
      case "stale":
        this.seen.push(["stale", effect.frame.ref as string]);
        return;
      case "refuse":
        this.seen.push(["refused", effect.join.ref as string]);
        return;
      case "left":
        this.seen.push(["left", effect.leave.ref as string]);
        return;
      case "close":
        this.seen.push(["close", effect.joinRef as string]);
        return;
      case "crash":
        this.seen.push(["error", effect.joinRef as string]);
    }
  }

  #hand(channel: Channel, order: Order): void {
    if (order.ref !== "") this.handedTo.set(order.ref, channel);
    if (channel.state !== "dead") channel.mailbox.push(order);
  }

  #timePasses(): void {
    const timer = this.#timers.shift();
    if (timer !== undefined)
      this.#step({ type: "timeout", timer, handled: this.state?.channel?.handled ?? 0 });
  }

  #arrives(report: Report): void {
    if (report === "thread died") {
      const watched = [...this.#watched];
      const asked = [...this.#asked];
      this.#watched.clear();
      this.#asked.clear();
      for (const { token } of watched) this.#step({ type: "down", token, connectionLost: true });
      for (const token of asked) this.#step({ type: "failed", token, response: {} });
      return;
    }
    this.seen.push(...report.frames);
    const { event } = report;
    if (event === undefined) return;
    if (event.type === "started") this.#watched.add(event.channel);
    if (event.type === "started" || event.type === "failed" || event.type === "topic_moved")
      this.#asked.delete(event.token);
    if (event.type === "down")
      for (const channel of this.#watched) if (channel.token === event.token) this.#watched.delete(channel);
    this.#step(
      event.type === "joined" || event.type === "credit" ? { ...event, credit: this.#credit() } : event,
    );
  }

  // ---------------------------------------------------------------- the thread with the channels

  /** False when nothing can happen. */
  #happen(which: number): boolean {
    const choices: (() => void)[] = [];
    if (this.#reports.length > 0) choices.push(() => this.#arrives(this.#reports.shift() as Report));
    if (this.#toShard.length > 0) choices.push(() => this.#starts(this.#toShard.shift() as Start));
    for (const channel of this.#channels) {
      if (channel.state === "joining" && this.fates.get(channel.join) !== "hang")
        choices.push(() => this.#joinsNow(channel));
      else if (channel.state !== "joining" && channel.state !== "hanging" && channel.mailbox.length > 0)
        choices.push(() => this.#handles(channel, channel.mailbox.shift() as Order));
    }
    choices[which % choices.length]?.();
    return choices.length > 0;
  }

  #report(frames: readonly Seen[], event?: Event): void {
    this.#reports.push({ frames, event });
  }

  #starts({ token, join, owed }: Start): void {
    if (this.#moves) {
      this.#moves = false;
      this.#report([], { type: "topic_moved", token });
      return;
    }
    const channel = new Channel(token, join.frame.ref as string, owed?.joinRef as string | undefined);
    this.#channels.push(channel);
    this.#report([], { type: "started", token, channel });
  }

  #joinsNow(channel: Channel): void {
    const { token, join, owed } = channel;
    const close: readonly Seen[] = owed === undefined ? [] : [["close", owed]];
    switch (this.fates.get(join)) {
      case "ok":
        channel.state = "joined";
        this.#report([["joined", join], ...close], { type: "joined", token, credit: this.#credit() });
        return;
      case "refuse":
        this.#report([["refused", join], ...close], { type: "refused", token });
        this.#ends(channel);
        return;
      default:
        this.#ends(channel);
        return;
    }
  }

  #handles(channel: Channel, { type, ref }: Order): void {
    const { token, join, state } = channel;
    if (state === "stopping" || state === "crashing") {
      if (type === "push") this.#report([["unmatched", ref]]);
      else if (type === "leave") this.#report([["left", ref]]);
      else if (type === "ended") {
        if (state === "stopping") this.#report([["close", join]], { type: "closed", token });
        this.#ends(channel);
      }
    } else if (type === "leave") {
      this.#report(
        [
          ["left", ref],
          ["close", join],
        ],
        { type: "closed", token },
      );
      this.#ends(channel);
    } else if (type === "replaced") this.#ends(channel);
    else if (type === "push") this.#does(channel, ref);
  }

  #does(channel: Channel, ref: string): void {
    const { token } = channel;
    channel.handled += 1;
    this.#report([], { type: "credit", token, credit: this.#credit() });
    switch (this.deeds.get(ref)) {
      case "echo":
        this.#report([["reply", ref]]);
        return;
      case "hang":
        channel.state = "hanging";
        return;
      case "stop":
        channel.state = "stopping";
        this.#report([["reply", ref]], { type: "closing", token });
        return;
      default:
        channel.state = "crashing";
        this.#report([], { type: "closing", token });
        return;
    }
  }

  #ends(channel: Channel): void {
    if (channel.state === "dead") return;
    channel.state = "dead";
    this.#channels = this.#channels.filter((other) => other !== channel);
    this.#report([], { type: "down", token: channel.token, connectionLost: false });
  }

  #cutOff(channel: Channel): void {
    if (channel.state === "dead") return;
    channel.cutOff = true;
    this.#ends(channel);
  }

  #threadDies(lost: number): void {
    for (const channel of [...this.#channels, ...this.#watched]) {
      channel.cutOff = true;
      channel.state = "dead";
    }
    this.#channels = [];
    this.#toShard.length = 0;
    this.#reports.splice(Math.max(0, this.#reports.length - lost));
    this.#reports.push("thread died");
  }
}

const of = fc.option(fc.constantFrom(0, 0, 0, 1, 2), { nil: undefined });

const peaceful: fc.Arbitrary<Action> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      type: fc.constant("join" as const),
      fate: fc.constantFrom<Fate[]>("ok", "ok", "refuse", "crash"),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({ type: fc.constant("push" as const), deed: fc.constant("echo" as Deed), of }),
  },
  { weight: 2, arbitrary: fc.record({ type: fc.constant("leave" as const), of }) },
  { weight: 8, arbitrary: fc.record({ type: fc.constant("happen" as const), which: fc.nat(5) }) },
);
const anything: fc.Arbitrary<Action> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      type: fc.constant("join" as const),
      fate: fc.constantFrom<Fate[]>("ok", "ok", "refuse", "crash", "hang"),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      type: fc.constant("push" as const),
      deed: fc.constantFrom<Deed[]>("echo", "echo", "stop", "throw", "hang"),
      of,
    }),
  },
  { weight: 2, arbitrary: fc.record({ type: fc.constant("leave" as const), of }) },
  { weight: 10, arbitrary: fc.record({ type: fc.constant("happen" as const), which: fc.nat(5) }) },
  { weight: 4, arbitrary: fc.constant({ type: "time passes" as const }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constantFrom("killed" as const, "topic moves" as const) }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("thread dies" as const), lost: fc.nat(4) }) },
);

/** What Phoenix does, where each frame is done with before the next is looked at. */
function inOrder(actions: readonly Action[]): Seen[] {
  const seen: Seen[] = [];
  const joins: string[] = [];
  let refs = 0;
  let live: string | undefined;
  for (const action of actions) {
    if (action.type !== "join" && action.type !== "push" && action.type !== "leave") continue;
    refs += 1;
    const ref = `${refs}`;
    if (action.type === "join") {
      joins.unshift(ref);
      seen.push([action.fate === "ok" ? "joined" : "refused", ref]);
      if (live !== undefined) seen.push(["close", live]);
      live = action.fate === "ok" ? ref : undefined;
      continue;
    }
    const joinRef = action.of === undefined ? null : (joins[action.of] ?? "of no join");
    if (live === undefined) seen.push([action.type === "leave" ? "left" : "unmatched", ref]);
    else if (joinRef !== null && joinRef !== live) seen.push(["stale", ref]);
    else if (action.type === "push") seen.push(["reply", ref]);
    else {
      seen.push(["left", ref], ["close", live]);
      live = undefined;
    }
  }
  return seen;
}

const RUNS = 4000;

/** A channel hangs over one of more events than it may have before it, with a join behind them. */
const BEHIND_A_FULL_WINDOW: Action[] = [
  { type: "join", fate: "ok" },
  ...Array.from({ length: 6 }, (): Action => ({ type: "happen", which: 0 })),
  ...["echo", "echo", "hang", ...Array.from({ length: 6 }, () => "echo")].map(
    (deed): Action => ({ type: "push", deed: deed as Deed, of: 0 }),
  ),
  { type: "join", fate: "ok" },
];
const count = (seen: readonly Seen[], ref: string, ...kinds: Seen[0][]): number =>
  seen.filter(([kind, of]) => of === ref && kinds.includes(kind)).length;

describe("a topic of a connection", () => {
  test("frames are answered as if handled one after the other (C-104, C-109, C-119)", () => {
    fc.assert(
      fc.property(fc.array(peaceful, { maxLength: 40 }), (actions) => {
        const world = new World();
        for (const action of actions) world.act(action);
        world.settle();
        const expected = inOrder(actions);
        const byRef = (seen: readonly Seen[]): Seen[] =>
          [...seen].sort(
            ([kind, ref], [otherKind, other]) => Number(ref) - Number(other) || (kind < otherKind ? -1 : 1),
          );
        expect(byRef(world.seen)).toEqual(byRef(expected));
        // Answers of socket and channel may pass each other; joins, replies and ends do not.
        const inLine = (seen: readonly Seen[]): Seen[] =>
          seen.filter(
            ([kind]) => kind === "joined" || kind === "refused" || kind === "close" || kind === "reply",
          );
        expect(inLine(world.seen)).toEqual(inLine(expected));
      }),
      { numRuns: RUNS },
    );
  });

  test("whatever happens, joins are answered once and channels end once (C-105, C-110)", () => {
    fc.assert(
      fc.property(fc.array(anything, { maxLength: 80 }), (actions) => {
        const world = new World();
        for (const action of actions) world.act(action);
        world.settle();
        // No join waits without end.
        expect(world.state?.queue.joins ?? 0).toBe(0);
        // What still hangs is ended by a further join.
        world.act({ type: "join", fate: "ok" });
        world.settle();
        world.act({ type: "leave", of: 0 });
        world.settle();
        expect(world.state).toBeUndefined();
        const { seen } = world;
        for (const ref of world.fates.keys()) {
          expect([ref, count(seen, ref, "joined", "refused")]).toEqual([ref, 1]);
          expect([ref, count(seen, ref, "close", "error")]).toEqual([ref, count(seen, ref, "joined")]);
          const joined = seen.findIndex(([kind, of]) => kind === "joined" && of === ref);
          const end = seen.findIndex(([kind, of]) => (kind === "close" || kind === "error") && of === ref);
          if (joined >= 0) expect(end).toBeGreaterThan(joined);
        }
        for (const [ref, deed] of world.deeds) {
          const answers = count(seen, ref, "reply", "unmatched", "stale");
          expect(answers).toBeLessThanOrEqual(1);
          // Only what a channel was handed may be lost with it.
          const channel = world.handedTo.get(ref);
          if (answers === 0)
            expect([ref, channel !== undefined && (channel.cutOff || deed === "throw")]).toEqual([ref, true]);
        }
        for (const ref of world.leaves) {
          const answers = count(seen, ref, "left", "stale");
          if (world.handedTo.get(ref)?.cutOff === true) expect(answers).toBeLessThanOrEqual(1);
          else expect([ref, answers]).toEqual([ref, 1]);
        }
      }),
      { numRuns: RUNS, examples: [[BEHIND_A_FULL_WINDOW]] },
    );
  });
});
