/**
 * Counts attempts for all gateways of a node: one process in the main thread, which every gateway
 * asks. What is counted is forgotten when it restarts. Other nodes count for themselves.
 */
import { type ChildSpec, GenServer, type GenServerModule } from "simurgh/runtime";
import { Overloaded } from "../fair-queue.js";
import { type AttemptLimit, Attempts } from "./attempts.js";

const NAME = "phoenixpair.attempts";
/** Node index of the main thread. */
const MAIN = 0;
const ANSWER_MS = 5000;
const MINUTE_MS = 60_000;

const LIMITS = {
  /** Of one account from one address, in vain. */
  "log-in": { most: 5, windowMs: MINUTE_MS, longestWaitMs: 15 * MINUTE_MS },
  /** Of one address, whatever the account, in vain. */
  guess: { most: 100, windowMs: 10 * MINUTE_MS },
  "sign-up": { most: 10, windowMs: 60 * MINUTE_MS },
} as const satisfies Readonly<Record<string, AttemptLimit>>;

export type LimitName = keyof typeof LIMITS;

/** What can be asked, by key: see attempts.ts. */
export type AttemptRequest = readonly [
  operation: "waitFor" | "count" | "take" | "forgive" | "succeeded",
  limit: LimitName,
  key: string,
];

/** Asks the counter; for `waitFor` and `take` the answer is milliseconds. */
export type AttemptCounter = (...request: AttemptRequest) => Promise<number>;

type State = Readonly<Record<LimitName, Attempts>>;

const server: GenServerModule<State, null, AttemptRequest> = {
  name: "AttemptCounter",
  init: () => [
    "ok",
    {
      "log-in": new Attempts(LIMITS["log-in"]),
      guess: new Attempts(LIMITS.guess),
      "sign-up": new Attempts(LIMITS["sign-up"]),
    },
  ],
  handleCall: ([operation, limit, key], _from, state) => ["reply", state[limit][operation](key) ?? 0, state],
};

export const attemptCounterSpec = (): ChildSpec => ({
  id: NAME,
  start: [GenServer.startLink, [server, null, { name: NAME }]],
});

/**
 * Asks from inside a process, on any thread of the node. Throws `Overloaded` when there is no
 * answer: no guess is uncounted.
 */
export const askAttempts: AttemptCounter = async (...request) => {
  try {
    return await GenServer.call<number>({ name: NAME, node: MAIN }, request, ANSWER_MS);
  } catch {
    throw new Overloaded("attempts cannot be counted");
  }
};
