/** Accounts: who may log in, and what others see of them. */
import { type Repository as EntityRepository, EntitySchema, In } from "typeorm";
import { normalEmail } from "../email.js";
import { columnTypes, type Database, type Dialect, keyType, NOT_FOUND, type Outcome } from "./database.js";

export interface User {
  id: number;
  firstName: string;
  email: string;
  /** The e-mail in the one form that must be unique. */
  emailNormal: string;
  passwordHash: string;
  createdAt: Date;
}

export const userEntity = (dialect: Dialect) =>
  new EntitySchema<User>({
    name: "User",
    tableName: "users",
    columns: {
      id: { type: "integer", primary: true, generated: "increment" },
      firstName: { name: "first_name", type: "varchar", length: 100 },
      email: { type: "varchar", length: 254 },
      emailNormal: { name: "email_normal", ...keyType(dialect, 254) },
      passwordHash: { name: "password_hash", type: "varchar", length: 255 },
      createdAt: { name: "created_at", ...columnTypes(dialect).at },
    },
    uniques: [{ name: "users_email_normal", columns: ["emailNormal"] }],
  });

/** What the API shows of a user. */
export interface UserView {
  readonly id: number;
  readonly first_name: string;
  readonly email: string;
}

export interface NewUser {
  readonly firstName: string;
  readonly email: string;
  readonly passwordHash: string;
}

export const userView = ({ id, firstName, email }: User): UserView => ({ id, first_name: firstName, email });

/**
 * The id and the first name of each of these users. No ids, no query: without a condition it would
 * be every user.
 */
export async function usersById(
  table: EntityRepository<User>,
  ids: readonly number[],
): Promise<readonly Pick<User, "id" | "firstName">[]> {
  if (ids.length === 0) return [];
  return table.find({ where: { id: In([...new Set(ids)]) }, select: { id: true, firstName: true } });
}

export function users({ source }: Database) {
  const table = source.getRepository<User>("User");
  return {
    async createUser({ firstName, email, passwordHash }: NewUser): Promise<Outcome<UserView>> {
      const user = { firstName, email, emailNormal: normalEmail(email), passwordHash, createdAt: new Date() };
      try {
        const { identifiers } = await table.insert(user);
        return ["ok", userView({ ...user, id: identifiers[0]?.id as number })];
      } catch (error) {
        // The connection may have been lost after the account was stored. Hashes are salted: the
        // same one is this account's.
        const found = await table.findOneBy({ emailNormal: user.emailNormal });
        if (found?.passwordHash !== passwordHash) throw error;
        return ["ok", userView(found)];
      }
    },

    async userByEmail(email: string): Promise<Outcome<UserView & { readonly passwordHash: string }>> {
      const user = await table.findOneBy({ emailNormal: normalEmail(email) });
      return user === null ? NOT_FOUND : ["ok", { ...userView(user), passwordHash: user.passwordHash }];
    },

    /** How these users are called, by id. */
    async firstNames(ids: readonly number[]): Promise<Outcome<Readonly<Record<number, string>>>> {
      const found = await usersById(table, ids);
      return ["ok", Object.fromEntries(found.map(({ id, firstName }) => [id, firstName]))];
    },

    /**
     * Stores another hash of the same password, unless the password has been replaced meanwhile.
     */
    async rehashPassword(id: number, before: string, passwordHash: string): Promise<Outcome<null>> {
      await table.update({ id, passwordHash: before }, { passwordHash });
      return ["ok", null];
    },
  };
}
