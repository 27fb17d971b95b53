/**
 * The Repository: the process that owns the database (Ecto.Repo in the tutorial). Everybody else, on whatever thread, asks
 * it by `GenServer.call`.
 *
 * It runs in a thread of its own, because better-sqlite3 waits for the disk synchronously: a slow commit must hold up
 * neither the sockets nor a room. With `SHARDS=0` everything, this too, runs in the main thread.
 *
 * Requests of one kind of caller keep their order where it matters: writes of one challenge are queued behind each other,
 * everything else goes on at the same time. Each has a deadline, after which it fails rather than hangs.
 */
import {
  type ChildSpec,
  type From,
  GenServer,
  type GenServerModule,
  type ThreadContext,
} from "simurgh/runtime";
import { type DataSource, QueryFailedError } from "typeorm";
import type { DatabaseConfig } from "../config.js";
import { createDataSource } from "./data-source.js";
import type { Challenge, User } from "./entities.js";

export const REPOSITORY = "repository";

/** What the API shows of a user and a challenge. */
export interface UserView {
  readonly id: number;
  readonly first_name: string;
  readonly email: string;
}

export interface ChallengeView {
  readonly id: number;
  readonly title: string;
  readonly prompt: string;
  readonly language: string;
  readonly response: string;
  readonly updated_at: string;
}

export interface NewUser {
  readonly firstName: string;
  readonly email: string;
  readonly passwordHash: string;
}

export interface NewChallenge {
  readonly title: string;
  readonly prompt: string;
  readonly language: string;
  readonly response: string;
  readonly ownerId: number;
}

export type RepositoryRequest =
  | readonly ["create user", NewUser]
  | readonly ["user by email", string]
  | readonly ["user", number]
  | readonly ["list challenges"]
  | readonly ["challenge", number]
  | readonly ["create challenge", NewChallenge]
  | readonly ["update response", id: number, response: string];

export type Outcome<T> = readonly ["ok", T] | readonly ["error", "taken" | "not_found" | "unavailable"];

/** Milliseconds one request may take, and how long a caller waits for it at the most. */
const DEADLINE_MS = 4000;

interface State {
  readonly source: DataSource;
  /** The last write of each challenge that is still under way. */
  readonly writes: Map<number, Promise<unknown>>;
}

export const normalEmail = (email: string): string => email.trim().normalize("NFC").toLowerCase();

const userView = ({ id, firstName, email }: User): UserView => ({ id, first_name: firstName, email });

const challengeView = ({ id, title, prompt, language, response, updatedAt }: Challenge): ChallengeView => ({
  id,
  title,
  prompt,
  language,
  response,
  updated_at: updatedAt.toISOString(),
});

const server: GenServerModule<State, DatabaseConfig, RepositoryRequest> = {
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
    return ["ok", { source, writes: new Map() }];
  },

  handleCall(request, from, state) {
    void answer(request, from, state);
    return ["noreply", state];
  },

  async terminate(_reason, { source, writes }) {
    await Promise.allSettled(writes.values());
    await source.destroy();
  },

  formatStatus: ({ state }) => ({ writes: state.writes.size }),
};

async function answer(request: RepositoryRequest, from: From, state: State): Promise<void> {
  let outcome: Outcome<unknown>;
  try {
    outcome = await withDeadline(carryOut(request, state));
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

async function carryOut(request: RepositoryRequest, state: State): Promise<Outcome<unknown>> {
  const users = state.source.getRepository<User>("User");
  const challenges = state.source.getRepository<Challenge>("Challenge");
  switch (request[0]) {
    case "create user": {
      const [, { firstName, email, passwordHash }] = request;
      const user = { firstName, email, emailNormal: normalEmail(email), passwordHash, createdAt: new Date() };
      const { identifiers } = await users.insert(user);
      return ["ok", userView({ ...user, id: identifiers[0]?.id as number })];
    }
    case "user by email": {
      const user = await users.findOneBy({ emailNormal: normalEmail(request[1]) });
      return user === null ? NOT_FOUND : ["ok", { ...userView(user), passwordHash: user.passwordHash }];
    }
    case "user": {
      const user = await users.findOneBy({ id: request[1] });
      return user === null ? NOT_FOUND : ["ok", userView(user)];
    }
    case "list challenges":
      return ["ok", (await challenges.find({ order: { id: "ASC" } })).map(challengeView)];
    case "challenge": {
      await state.writes.get(request[1]);
      const challenge = await challenges.findOneBy({ id: request[1] });
      return challenge === null ? NOT_FOUND : ["ok", challengeView(challenge)];
    }
    case "create challenge": {
      const now = new Date();
      const challenge = { ...request[1], createdAt: now, updatedAt: now };
      const { identifiers } = await challenges.insert(challenge);
      return ["ok", challengeView({ ...challenge, id: identifiers[0]?.id as number })];
    }
    case "update response": {
      const [, id, response] = request;
      return inOrder(state, id, async () => {
        const { affected } = await challenges.update({ id }, { response, updatedAt: new Date() });
        if (affected === 0) return NOT_FOUND;
        const challenge = await challenges.findOneBy({ id });
        return challenge === null ? NOT_FOUND : ["ok", challengeView(challenge)];
      });
    }
  }
}

const NOT_FOUND = ["error", "not_found"] as const;

/** Runs `work` after the writes of the same challenge that came before it. */
function inOrder<T>({ writes }: State, id: number, work: () => Promise<T>): Promise<T> {
  const before = writes.get(id) ?? Promise.resolve();
  const mine = before.then(work, work);
  const settled = mine.catch(() => {});
  writes.set(id, settled);
  void settled.then(() => {
    if (writes.get(id) === settled) writes.delete(id);
  });
  return mine;
}

export const repositorySpec = (config: DatabaseConfig): ChildSpec => ({
  id: REPOSITORY,
  start: [GenServer.startLink, [server, config, { name: REPOSITORY }]],
  shutdown: 8000,
});

/** The tree of the storage thread: called there by the runtime. */
export const start = (config: DatabaseConfig, _context: ThreadContext): readonly ChildSpec[] => [
  repositorySpec(config),
];

/** The repository as its callers see it. A database that does not answer is an outcome, not an exception. */
export interface Repository {
  createUser(user: NewUser): Promise<Outcome<UserView>>;
  userByEmail(email: string): Promise<Outcome<UserView & { readonly passwordHash: string }>>;
  user(id: number): Promise<Outcome<UserView>>;
  listChallenges(): Promise<Outcome<readonly ChallengeView[]>>;
  challenge(id: number): Promise<Outcome<ChallengeView>>;
  createChallenge(challenge: NewChallenge): Promise<Outcome<ChallengeView>>;
  updateResponse(id: number, response: string): Promise<Outcome<ChallengeView>>;
}

/** A client of the repository on the thread with this node index. For use inside processes. */
export function repositoryOn(node: number): Repository {
  const ask = async <T>(request: RepositoryRequest): Promise<Outcome<T>> => {
    try {
      return await GenServer.call<Outcome<T>>({ name: REPOSITORY, node }, request, DEADLINE_MS + 1000);
    } catch {
      // Its thread is being restarted, or it is too busy to answer.
      return ["error", "unavailable"];
    }
  };
  return {
    createUser: (user) => ask(["create user", user]),
    userByEmail: (email) => ask(["user by email", email]),
    user: (id) => ask(["user", id]),
    listChallenges: () => ask(["list challenges"]),
    challenge: (id) => ask(["challenge", id]),
    createChallenge: (challenge) => ask(["create challenge", challenge]),
    updateResponse: (id, response) => ask(["update response", id, response]),
  };
}
