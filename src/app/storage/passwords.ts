/**
 * The change of a password: in one transaction the hash is replaced, every session of the user
 * ends, and a new one begins. So no session that began with the former password outlives it,
 * whatever else is asked for at the same time.
 */
import type { Database, Outcome } from "./database.js";
import { insertSession, type NewSession } from "./sessions.js";

export interface PasswordChange {
  /** The hash that the present password was checked against. */
  readonly before: string;
  /** The session that begins, with the new hash. */
  readonly session: NewSession;
}

export function passwords({ transactions, dialect }: Database) {
  return {
    /** `forbidden` when the password has been replaced since it was checked. */
    changePassword: ({ before, session }: PasswordChange): Promise<Outcome<null>> =>
      transactions.run(async ({ query }): Promise<Outcome<null>> => {
        const { userId, passwordHash } = session;
        await query("update users set password_hash = ? where id = ? and password_hash = ?", [
          passwordHash,
          userId,
          before,
        ]);
        const changed = await query("select 1 from users where id = ? and password_hash = ?", [
          userId,
          passwordHash,
        ]);
        if (changed.length === 0) return ["error", "forbidden"];
        await query("delete from sessions where user_id = ?", [userId]);
        await insertSession(query, dialect, session);
        return ["ok", null];
      }),
  };
}
