/**
 * The Repository is the process that owns the database (Ecto.Repo in the tutorial). Other
 * processes, on every thread, ask it by `GenServer.call`. The requests are defined concept by
 * concept: users.ts, sessions.ts, challenges.ts, sharing.ts, chat.ts, room-log.ts.
 *
 * It runs in a thread of its own, because better-sqlite3 waits for the disk synchronously: a slow
 * commit must hold up neither the sockets nor a room. With `SHARDS=0` everything, this too, runs in
 * the main thread.
 *
 * Requests run at the same time, except where an operation orders its writes (`writes`). Each has a
 * deadline, after which it fails rather than hangs. What it is asked with and answers crosses
 * threads: plain data only.
 */
import { ThreadMetrics } from "simurgh/observer";
import {
  type ChildSpec,
  type From,
  GenServer,
  type GenServerModule,
  type StartResult,
  type ThreadContext,
} from "simurgh/runtime";
import type { DataSource } from "typeorm";
import type { DatabaseConfig } from "../config.js";
import { KeyedQueue } from "../keyed-queue.js";
import { RepeatedLog } from "../repeated-log.js";
import { challenges } from "./challenges.js";
import { chat } from "./chat.js";
import { createDataSource } from "./data-source.js";
import { type Database, dialectOf, type Outcome, type Quotas } from "./database.js";
import { isDuplicate } from "./database-error.js";
import { passwords } from "./passwords.js";
import { DEADLINE_MS, REPOSITORY, type Request } from "./repository-client.js";
import { roomLog } from "./room-log.js";
import { prepareSchema, startProblem } from "./schema.js";
import { sessions } from "./sessions.js";
import { sharing } from "./sharing.js";
import { checkFiles } from "./sqlite-checks.js";
import { Transactions } from "./transactions.js";
import { users } from "./users.js";

export type { ChallengeView } from "./challenges.js";
export type { Failure, Outcome } from "./database.js";
export type { UserView } from "./users.js";

const plain = (database: Database) => ({
  ...users(database),
  ...sessions(database),
  ...challenges(database),
  ...sharing(database),
  ...chat(database),
});
const operations = (database: Database) => ({
  ...plain(database),
  ...passwords(database),
  ...roomLog(database),
  /** Whether something could be stored now. */
  async databaseStatus(): Promise<Outcome<null>> {
    await database.transactions.probe();
    return ["ok", null];
  },
});

/**
 * Operations without a write: on SQLite they run while another process has the lock for writing.
 */
const READS: ReadonlySet<string> = new Set<keyof Repository>([
  "access",
  "challenge",
  "challengeDetails",
  "chatMessages",
  "firstNames",
  "forgetSessions",
  "listChallenges",
  "logFigures",
  "logSettled",
  "openRoom",
  "role",
  "roomVersion",
  "roomVersions",
  "searchChallenges",
  "sessionUser",
  "sharing",
  "trustSessions",
  "updatesAfter",
  "userByEmail",
]);

/** The repository as its callers see it. */
export type Repository = Readonly<ReturnType<typeof operations>>;

type Operation = (...args: readonly unknown[]) => Promise<Outcome<unknown>>;

interface State extends Database {
  readonly operations: ReadonlyMap<string, Operation>;
}

/** The operations by name, each in transactions of its own, or apart from any. */
export function stateOf(source: DataSource, transactions: Transactions, quotas?: Quotas): State {
  const writes = new KeyedQueue<number>();
  const database = { source, dialect: dialectOf(source), transactions, writes, quotas };
  const entries = (all: object) => Object.entries(all) as [string, Operation][];
  const apart = entries(plain(database)).map(([name, operation]): [string, Operation] => [
    name,
    (...args) => transactions.apart(READS.has(name) ? "read" : "write", () => operation(...args)),
  ]);
  return { ...database, operations: new Map([...entries(operations(database)), ...apart]) };
}

const server: GenServerModule<State, DatabaseConfig, Request> = {
  name: "Repository",

  async init(config) {
    const source = createDataSource(config);
    try {
      if (config.kind === "sqlite") await checkFiles(config.location);
      await source.initialize();
      await prepareSchema(source);
    } catch (error) {
      await source.destroy().catch(() => {});
      return ["stop", ["database_unavailable", startProblem(error)]];
    }
    return ["ok", stateOf(source, new Transactions(source), config.quotas)];
  },

  handleCall(request, from, state) {
    void answer(request, from, state);
    return ["noreply", state];
  },

  async terminate(_reason, { source, writes, operations }) {
    await writes.allSettled();
    await operations.get("logSettled")?.();
    await source.destroy();
  },

  formatStatus: ({ state }) => ({ writes: state.writes.size }),
};

const log = new RepeatedLog();

async function answer([name, ...args]: Request, from: From, state: State): Promise<void> {
  let outcome: Outcome<unknown>;
  try {
    const operation = state.operations.get(name);
    if (operation === undefined) throw new Error(`there is no operation ${name}`);
    outcome = await withDeadline(operation(...args));
    if (!READS.has(name)) log.over("[phoenixpair] the database works again");
  } catch (error) {
    // Elsewhere a row that is there already is one that was stored without an answer: asking again
    // finds it.
    outcome = ["error", name === "createUser" && isDuplicate(error) ? "taken" : "unavailable"];
    if (outcome[1] === "unavailable")
      log.trouble(`[phoenixpair] the database failed: ${(error as Error).message}`);
  }
  GenServer.reply(from, outcome);
}

function withDeadline<T>(work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${DEADLINE_MS} ms`)), DEADLINE_MS);
  });
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}

export const startRepository = (config: DatabaseConfig): Promise<StartResult> =>
  GenServer.startLink(server, config, { name: REPOSITORY });

/** Plain data: it crosses to the storage thread. */
export interface StorageArgs {
  readonly database: DatabaseConfig;
  /** Whether there are metrics. */
  readonly measured: boolean;
}

/** The tree of the storage thread: called there by the runtime. */
export const start = ({ database, measured }: StorageArgs, _context: ThreadContext): readonly ChildSpec[] => [
  { id: REPOSITORY, start: [startRepository, [database]], shutdown: 8000 },
  ...(measured ? [ThreadMetrics.childSpec({})] : []),
];
