/**
 * Sessions: who is signed in where. One row each, renewed in place.
 *
 * A row holds hashes of the refresh token that counts now and of the one before it, never a token.
 * Renewing is one conditional update, so of two holders of a token one wins. A client that shows a
 * token that counts no longer ends the session: either they or the one who renewed it stole it. The
 * one exception is a renewal whose answer was lost: asked again in the same words, it has the same
 * successor, and that has not been used.
 *
 * While the database does not answer, users who were seen lately stay signed in for a while:
 * session-memory.ts.
 */
import { EntitySchema, In, LessThan, Not } from "typeorm";
import {
  columnTypes,
  type Database,
  DEFAULT_QUOTAS,
  type Dialect,
  NOT_FOUND,
  type Outcome,
  timeText,
} from "./database.js";
import { SessionMemory } from "./session-memory.js";
import { type User, type UserView, userView } from "./users.js";

export interface Session {
  id: string;
  userId: number;
  tokenHash: string;
  previousHash: string | null;
  createdAt: Date;
  expiresAt: Date;
}

export const sessionEntity = (dialect: Dialect) => {
  const { at } = columnTypes(dialect);
  return new EntitySchema<Session>({
    name: "Session",
    tableName: "sessions",
    columns: {
      id: { type: "varchar", length: 36, primary: true },
      userId: { name: "user_id", type: "integer" },
      tokenHash: { name: "token_hash", type: "varchar", length: 64 },
      previousHash: { name: "previous_hash", type: "varchar", length: 64, nullable: true },
      createdAt: { name: "created_at", ...at },
      expiresAt: { name: "expires_at", ...at },
    },
  });
};

const DAY_MS = 24 * 60 * 60 * 1000;
/** A session that is not renewed ends after this time, and every session after the longer one. */
export const SESSION_IDLE_MS = 14 * DAY_MS;
const SESSION_MOST_MS = 90 * DAY_MS;

/** A session that is remembered is not made to wait longer than this for a database that hangs. */
const PATIENCE_MS = 1500;

export interface NewSession {
  readonly id: string;
  readonly userId: number;
  readonly tokenHash: string;
  /** Of the password that was shown. */
  readonly passwordHash: string;
}

export interface Renewal {
  readonly id: string;
  readonly tokenHash: string;
  readonly nextHash: string;
}

/**
 * Stores a session unless its user has another password by now. On MySQL the user's row is locked:
 * a change of the password comes before this statement or after it, and ends the session then.
 */
export async function insertSession(
  query: (sql: string, parameters: readonly unknown[]) => Promise<unknown>,
  dialect: Dialect,
  { id, userId, tokenHash, passwordHash }: NewSession,
): Promise<void> {
  const now = Date.now();
  await query(
    `insert into sessions (id, user_id, token_hash, previous_hash, created_at, expires_at)
     select ?, id, ?, null, ?, ? from users where id = ? and password_hash = ?${dialect === "mysql" ? " lock in share mode" : ""}`,
    [id, tokenHash, timeText(now), timeText(now + SESSION_IDLE_MS), userId, passwordHash],
  );
}

export interface Renewed {
  readonly user: UserView;
  /** The token counted no longer, which has ended the session. */
  readonly over: boolean;
}

export function sessions({ source, dialect, quotas = DEFAULT_QUOTAS }: Database) {
  const table = source.getRepository<Session>("Session");
  const users = source.getRepository<User>("User");

  const memory = new SessionMemory();

  const userOf = async (session: Session | null): Promise<Outcome<UserView>> => {
    if (session === null || session.expiresAt.getTime() <= Date.now()) return NOT_FOUND;
    const user = await users.findOneBy({ id: session.userId });
    return user === null ? NOT_FOUND : ["ok", userView(user)];
  };

  /** Ends the sessions that were renewed longest ago, where a person has too many. */
  const endBeyond = async (userId: number, except: string): Promise<void> => {
    const old = await table.find({
      where: { userId, id: Not(except) },
      select: { id: true },
      order: { expiresAt: "DESC" },
      skip: quotas.sessions - 1,
      take: 100,
    });
    if (old.length === 0) return;
    for (const { id } of old) memory.forget(id);
    await table.delete({ id: In(old.map(({ id }) => id)) });
  };

  return {
    /** Begins a session; `forbidden` when the password has been replaced since it was checked. */
    async createSession(session: NewSession): Promise<Outcome<null>> {
      const { id, userId } = session;
      await table.delete({ userId, expiresAt: LessThan(new Date()) });
      await insertSession((sql, parameters) => source.query(sql, [...parameters]), dialect, session);
      if (!(await table.existsBy({ id }))) return ["error", "forbidden"];
      await endBeyond(userId, id);
      return ["ok", null];
    },

    /** The user of a valid session, or of one that was valid lately when the database is away. */
    async sessionUser(id: string, userId: number): Promise<Outcome<UserView>> {
      const asked = (async () => {
        const found = await userOf(await table.findOneBy({ id, userId }));
        if (found[0] === "ok") memory.saw(id, found[1]);
        else memory.forget(id);
        return found;
      })();
      if (memory.recall(id, userId) === undefined) return asked;
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise<undefined>((resolve) => {
        timer = setTimeout(resolve, PATIENCE_MS, undefined);
      });
      const found = await Promise.race([asked.catch(() => undefined), late]);
      clearTimeout(timer);
      if (found !== undefined) return found;
      // Asked again: it may have been ended meanwhile.
      const remembered = memory.recall(id, userId);
      return remembered === undefined ? asked : ["ok", remembered];
    },

    /**
     * Puts the next token in the place of this one. A token that counts no longer ends the session.
     */
    async renewSession({ id, tokenHash, nextHash }: Renewal): Promise<Outcome<Renewed>> {
      const session = await table.findOneBy({ id });
      const found = await userOf(session);
      if (session === null) return NOT_FOUND;
      if (found[0] === "error") return found;
      const [, user] = found;
      const most = session.createdAt.getTime() + SESSION_MOST_MS;
      const expiresAt = new Date(Math.min(Date.now() + SESSION_IDLE_MS, most));
      const { affected } = await table.update(
        { id, tokenHash },
        { tokenHash: nextHash, previousHash: tokenHash, expiresAt },
      );
      if (affected === 1) return ["ok", { user, over: false }];
      const now = await table.findOneBy({ id });
      if (now?.previousHash === tokenHash && now.tokenHash === nextHash) return ["ok", { user, over: false }];
      memory.forget(id);
      await table.delete({ id });
      // It may have been asked for just before it was gone.
      memory.forget(id);
      return ["ok", { user, over: true }];
    },

    /** Ends a session, without a check: only its user knows its id. */
    async endSession(id: string): Promise<Outcome<{ readonly userId: number }>> {
      memory.forget(id);
      const session = await table.findOneBy({ id });
      if (session === null) return NOT_FOUND;
      await table.delete({ id });
      // It may have been asked for just before it was gone.
      memory.forget(id);
      return ["ok", { userId: session.userId }];
    },

    /** Another node has ended sessions of this user. */
    async forgetSessions(userId: number): Promise<Outcome<null>> {
      memory.forgetUser(userId);
      return ["ok", null];
    },

    /** Whether a thread of this node gets what other nodes publish. */
    async trustSessions(thread: number, reachable: boolean): Promise<Outcome<null>> {
      memory.trust(thread, reachable);
      return ["ok", null];
    },

    /** Ends all sessions of a user. */
    async endSessions(userId: number): Promise<Outcome<null>> {
      memory.forgetUser(userId);
      await table.delete({ userId });
      memory.forgetUser(userId);
      return ["ok", null];
    },
  };
}
