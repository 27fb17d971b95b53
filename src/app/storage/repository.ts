/**
 * The Repository: the process that owns the database (Ecto.Repo in the tutorial). Everybody else, on whatever thread, asks
 * it by `GenServer.call`. What can be asked is told concept by concept: users.ts, sessions.ts,
 * challenges.ts, sharing.ts, chat.ts.
 *
 * It runs in a thread of its own, because better-sqlite3 waits for the disk synchronously: a slow commit must hold up
 * neither the sockets nor a room. With `SHARDS=0` everything, this too, runs in the main thread.
 *
 * Requests run at the same time, except where an operation orders its writes (`writes`). Each has a deadline, after which
 * it fails rather than hangs. What it is asked with and answers crosses threads: plain data only.
 */
import {
  type ChildSpec,
  type From,
  GenServer,
  type GenServerModule,
  type ThreadContext,
} from "simurgh/runtime";
import { QueryFailedError } from "typeorm";
import type { DatabaseConfig } from "../config.js";
import { Ordered } from "../ordered.js";
import { challenges } from "./challenges.js";
import { chat } from "./chat.js";
import { createDataSource } from "./data-source.js";
import type { Database, Outcome } from "./database.js";
import { sessions } from "./sessions.js";
import { sharing } from "./sharing.js";
import { users } from "./users.js";

export type { ChallengeView } from "./challenges.js";
export type { Failure, Outcome } from "./database.js";
export type { UserView } from "./users.js";

export const REPOSITORY = "repository";

const operations = (database: Database) => ({
  ...users(database),
  ...sessions(database),
  ...challenges(database),
  ...sharing(database),
  ...chat(database),
});

/** The repository as its callers see it. */
export type Repository = Readonly<ReturnType<typeof operations>>;

type Operation = (...args: readonly unknown[]) => Promise<Outcome<unknown>>;
type Request = readonly [operation: string, ...args: unknown[]];

/** Milliseconds one request may take, and how long a caller waits for it at the most. */
const DEADLINE_MS = 4000;

interface State extends Database {
  readonly operations: ReadonlyMap<string, Operation>;
}

const server: GenServerModule<State, DatabaseConfig, Request> = {
  name: "Repository",

  async init(config) {
    const source = createDataSource(config);
    try {
      await source.initialize();
      await source.runMigrations({ transaction: "each" });
    } catch (error) {
      await source.destroy().catch(() => {});
      return [
        "stop",
        ["database_unavailable", (error as NodeJS.ErrnoException).code ?? "", (error as Error).message],
      ];
    }
    const database = { source, writes: new Ordered<number>() };
    const named = Object.entries(operations(database)) as unknown as [string, Operation][];
    return ["ok", { ...database, operations: new Map(named) }];
  },

  handleCall(request, from, state) {
    void answer(request, from, state);
    return ["noreply", state];
  },

  async terminate(_reason, { source, writes }) {
    await writes.allSettled();
    await source.destroy();
  },

  formatStatus: ({ state }) => ({ writes: state.writes.size }),
};

async function answer([name, ...args]: Request, from: From, state: State): Promise<void> {
  let outcome: Outcome<unknown>;
  try {
    const operation = state.operations.get(name);
    if (operation === undefined) throw new Error(`there is no operation ${name}`);
    outcome = await withDeadline(operation(...args));
  } catch (error) {
    outcome = isDuplicate(error) ? ["error", "taken"] : ["error", "unavailable"];
    if (outcome[1] === "unavailable")
      console.error(`[phoenixpair] the database failed: ${(error as Error).message}`);
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

const isDuplicate = (error: unknown): boolean =>
  error instanceof QueryFailedError &&
  ["SQLITE_CONSTRAINT_UNIQUE", "ER_DUP_ENTRY"].includes((error.driverError as { code?: string }).code ?? "");

export const repositorySpec = (config: DatabaseConfig): ChildSpec => ({
  id: REPOSITORY,
  start: [GenServer.startLink, [server, config, { name: REPOSITORY }]],
  shutdown: 8000,
});

/** The tree of the storage thread: called there by the runtime. */
export const start = (config: DatabaseConfig, _context: ThreadContext): readonly ChildSpec[] => [
  repositorySpec(config),
];

/** A Repository whose operations go through `ask`, each as its name and arguments. */
export function repositoryBy(ask: (request: Request) => Promise<Outcome<unknown>>): Repository {
  return new Proxy({} as Repository, {
    // Nobody may take it for a promise.
    get: (_target, name) =>
      typeof name === "string" && name !== "then"
        ? (...args: readonly unknown[]) => ask([name, ...args])
        : undefined,
  });
}

/** A client of the repository on the thread with this node index. For use inside processes. */
export const repositoryOn = (node: number): Repository =>
  repositoryBy((request) => askRepository(node, request));

/** Asks from inside a process. */
export async function askRepository(node: number, request: Request): Promise<Outcome<unknown>> {
  try {
    return await GenServer.call<Outcome<unknown>>({ name: REPOSITORY, node }, request, DEADLINE_MS + 1000);
  } catch {
    // Its thread is being restarted, or it is too busy to answer.
    return ["error", "unavailable"];
  }
}
