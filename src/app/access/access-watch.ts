/**
 * AccessWatch is the process that keeps the access of those who are in the rooms of its thread up
 * to date: every channel enters here once it has joined, and is sent `["access", AccessState]`
 * whenever it may do more or less than before.
 *
 * The database is asked when a change is announced, when messages of other nodes may have been
 * lost, once after each join, and every `recheckMs` in any case; more often while the engine is
 * away. Questions go in batches, one at a time. The decisions are in access-ledger.ts.
 */
import { Endpoint, isBroadcast } from "simurgh/channels";
import { type AdapterHealth, PubSub } from "simurgh/pubsub";
import {
  type ChildSpec,
  GenServer,
  type GenServerModule,
  monitor,
  type Pid,
  self,
  send,
  sendAfter,
  thisNode,
} from "simurgh/runtime";
import { appContext, ENDPOINT } from "../app-context.js";
import { type Outcome, repositoryOn } from "../storage/repository-client.js";
import {
  type AccessAnswer,
  type AccessChange,
  AccessLedger,
  type AccessState,
  MOST_QUESTIONS,
  type Presence,
} from "./access-ledger.js";
import type { Role } from "./role.js";

const NAME = "phoenixpair.access_watch";

/** Published on the topic of a room. */
export const ACCESS_CHANGED = "access:changed";

export interface AccessChanged {
  /** Whose access has been changed; that of all users without. */
  readonly user_id?: number;
  /** The database has not said whether the change was stored. */
  readonly unsure?: boolean;
}

/** The topic on which nodes publish that sessions have been ended, as `{user_id}`. */
const SESSIONS_ENDED = "sessions:ended";

/** The database does not answer: how soon to ask again, growing to the longer. */
const FIRST_RETRY_MS = 1000;
const LAST_RETRY_MS = 15_000;
const ANSWER_MS = 2000;
/** How often to look whether messages of other nodes get lost. */
const LOOK_MS = 2000;
/** While they do, everything is asked about once in so many looks. */
const LOOKS_UNREACHABLE = 7;

export interface AccessWatchOptions {
  readonly pubsub: string;
  readonly recheckMs: number;
}

/** A channel that has joined. */
export interface Entering extends Omit<Presence, "channel"> {
  readonly pid: Pid;
  readonly room: Pid;
  readonly role: Role;
  /** Its role is not of the database but of another channel of the same person. */
  readonly remembered: boolean;
}

type Cast =
  | readonly ["enter", Entering]
  | readonly ["changed", challengeId: number, AccessChanged]
  | readonly ["renewed", Pid, sessionId: string];
type Call = readonly ["certain role", challengeId: number, userId: number];

type Answered = readonly ["answered", Outcome<readonly AccessAnswer[]>];

class Watch {
  readonly #options: AccessWatchOptions;
  readonly #ledger = new AccessLedger();
  readonly #pids = new Map<string, Pid>();
  /** Challenges by the process of their room, which passes on the changes of access there. */
  readonly #rooms = new Map<string, number>();
  /** Whom the database is being asked about. */
  #asked: readonly Presence[] | undefined;
  #retryMs = 0;
  /** How often messages of other nodes were lost, as counted so far. */
  #lost = 0;
  #looks = 0;

  constructor(options: AccessWatchOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#ledger.size;
  }

  certainRole(challengeId: number, userId: number): Role | undefined {
    return this.#ledger.certainRole(challengeId, userId);
  }

  cast(request: Cast): void {
    switch (request[0]) {
      case "enter":
        this.#enter(request[1]);
        break;
      case "changed":
        this.#ledger.announce(request[1], request[2].user_id, request[2].unsure !== true);
        break;
      case "renewed":
        this.#ledger.renew(String(request[1]), request[2]);
    }
    this.ask();
  }

  #enter({ pid, room, challengeId, userId, sessionId, role, remembered }: Entering): void {
    if (!this.#rooms.has(String(room))) {
      this.#rooms.set(String(room), challengeId);
      monitor(room);
    }
    const channel = String(pid);
    this.#pids.set(channel, pid);
    this.#ledger.enter({ channel, challengeId, userId, sessionId }, role, remembered);
    monitor(pid);
  }

  /** A channel or a room has ended. */
  down(pid: Pid): void {
    const challengeId = this.#rooms.get(String(pid));
    if (challengeId !== undefined) {
      this.#rooms.delete(String(pid));
      this.#ledger.roomEnded(challengeId);
      return;
    }
    this.#pids.delete(String(pid));
    this.#ledger.leave(String(pid));
  }

  begin(): void {
    this.subscribe();
    this.look();
    this.#armRecheck();
  }

  /** Looks how this thread is joined to other nodes. */
  look(): void {
    const me = self();
    PubSub.health(this.#options.pubsub).then(
      (health) => send(me, ["health", health]),
      // Too busy to answer; what it missed meanwhile shows in its counts.
      () => send(me, ["no health"]),
    );
  }

  saw(health: AdapterHealth | undefined): void {
    // There are no other nodes.
    if (health === undefined) return;
    const reachable = health.status === "up";
    const lost = health.reconnects + health.gaps + health.lost;
    if (reachable !== this.#ledger.reachable || lost !== this.#lost) {
      this.#lost = lost;
      repositoryOn(appContext().storageNode).trustSessions(thisNode().index, reachable);
      this.#ledger.doubt(reachable);
      this.#retryMs = 0;
      this.ask();
    }
    this.#looks += 1;
    if (!reachable && this.#looks % LOOKS_UNREACHABLE === 0) {
      this.#ledger.recheck();
      this.ask();
    }
    sendAfter(self(), ["look"], LOOK_MS);
  }

  /**
   * The topic may be of another thread, which may be starting or restarting: repeated with each
   * recheck.
   */
  subscribe(): void {
    const { pubsub } = this.#options;
    const again = async (): Promise<void> => {
      await PubSub.unsubscribe(pubsub, SESSIONS_ENDED);
      await PubSub.subscribe(pubsub, SESSIONS_ENDED);
    };
    const me = self();
    again().catch(() => send(me, ["not subscribed"]));
  }

  recheck(): void {
    // Again, since the storage may have been restarted.
    repositoryOn(appContext().storageNode).trustSessions(thisNode().index, this.#ledger.reachable);
    this.#ledger.recheck();
    this.ask();
    this.subscribe();
    this.#armRecheck();
  }

  #armRecheck(): void {
    // Threads and nodes do not all ask at once.
    sendAfter(self(), ["recheck"], Math.round(this.#options.recheckMs * (0.8 + 0.2 * Math.random())));
  }

  /** Asks about some of those that are due, unless an answer is waited for. */
  ask(retry = false): void {
    if (this.#asked !== undefined || !this.#ledger.hasDue || (this.#retryMs > 0 && !retry)) return;
    const taken = this.#ledger.take(MOST_QUESTIONS);
    this.#asked = taken;
    const me = self();
    const questions = taken.map(({ challengeId, userId, sessionId }) => ({ challengeId, userId, sessionId }));
    void repositoryOn(appContext().storageNode)
      .access(questions)
      .then((outcome) => send(me, ["answered", outcome] satisfies Answered));
  }

  answered([, outcome]: Answered): void {
    const taken = this.#asked ?? [];
    this.#asked = undefined;
    if (outcome[0] === "ok") {
      this.#retryMs = 0;
      this.#tell(this.#ledger.answered(taken, outcome[1]));
      this.ask();
      return;
    }
    this.#tell(this.#ledger.failed(taken));
    this.#retryMs = Math.min(LAST_RETRY_MS, Math.max(FIRST_RETRY_MS, this.#retryMs * 2));
    sendAfter(self(), ["retry"], this.#retryMs);
  }

  #tell(changes: readonly AccessChange[]): void {
    for (const { channel, state } of changes) {
      const pid = this.#pids.get(channel);
      if (pid !== undefined) send(pid, ["access", state]);
    }
  }
}

const server: GenServerModule<Watch, AccessWatchOptions, Call, Cast> = {
  name: "AccessWatch",

  init(options) {
    const watch = new Watch(options);
    watch.begin();
    return ["ok", watch];
  },

  handleCall: ([, challengeId, userId], _from, watch) => [
    "reply",
    watch.certainRole(challengeId, userId),
    watch,
  ],

  handleCast(request, watch) {
    watch.cast(request);
    return ["noreply", watch];
  },

  handleInfo(message, watch) {
    if (isBroadcast(message) && message.event === SESSIONS_ENDED)
      repositoryOn(appContext().storageNode).forgetSessions((message.payload as { user_id: number }).user_id);
    if (!Array.isArray(message)) return ["noreply", watch];
    if (message[0] === "answered") watch.answered(message as unknown as Answered);
    else if (message[0] === "retry") watch.ask(true);
    else if (message[0] === "recheck") watch.recheck();
    else if (message[0] === "DOWN") watch.down(message[3] as Pid);
    else if (message[0] === "look") watch.look();
    else if (message[0] === "no health") sendAfter(self(), ["look"], LOOK_MS);
    else if (message[0] === "not subscribed") sendAfter(self(), ["subscribe"], FIRST_RETRY_MS);
    else if (message[0] === "subscribe") watch.subscribe();
    else if (message[0] === "health") watch.saw(message[1] as AdapterHealth | undefined);
    return ["noreply", watch];
  },

  formatStatus: ({ state }) => ({ channels: state.size }),
};

export const AccessWatch = {
  childSpec: (options: AccessWatchOptions): ChildSpec => ({
    id: NAME,
    start: [GenServer.startLink, [server, options, { name: NAME }]],
  }),

  /**
   * For a channel that has joined. It ends with the watch, without which it would learn of no
   * change.
   */
  enter(entering: Omit<Entering, "pid">): void {
    monitor(NAME);
    GenServer.cast(NAME, ["enter", { ...entering, pid: self() }] satisfies Cast);
  },

  /** For a room: the access to it has been changed. */
  changed: (challengeId: number, change: AccessChanged): void =>
    void GenServer.cast(NAME, ["changed", challengeId, change] satisfies Cast),

  /** For a channel that goes by another session now. */
  renewed: (sessionId: string): void =>
    void GenServer.cast(NAME, ["renewed", self(), sessionId] satisfies Cast),

  /**
   * What a person who is or was in the room of this thread has for certain, for when the database
   * does not answer.
   */
  certainRole: (challengeId: number, userId: number): Promise<Role | undefined> =>
    GenServer.call<Role | undefined>(
      NAME,
      ["certain role", challengeId, userId] satisfies Call,
      ANSWER_MS,
    ).catch(() => undefined),

  /**
   * Publishes that sessions of a user have been ended: no node believes in one that it remembers.
   */
  sessionsEnded: (userId: number) =>
    Endpoint.broadcast(ENDPOINT, SESSIONS_ENDED, SESSIONS_ENDED, { user_id: userId }),
};

/** What a channel is sent by the watch. */
export const isAccessNews = (message: unknown): message is readonly ["access", AccessState] =>
  Array.isArray(message) && message[0] === "access" && message.length === 2;
