/** The tables, as TypeORM knows them. EntitySchema needs no decorators, so any compiler will do. */
import { EntitySchema } from "typeorm";

export interface User {
  id: number;
  firstName: string;
  email: string;
  /** The e-mail in the one form that must be unique. */
  emailNormal: string;
  passwordHash: string;
  createdAt: Date;
}

export interface Challenge {
  id: number;
  title: string;
  prompt: string;
  language: string;
  response: string;
  ownerId: number | null;
  createdAt: Date;
  updatedAt: Date;
}

/** `mysql` stores texts over 64 KiB and times below the second only when told to. */
export type Dialect = "sqlite" | "mysql";

export const columnTypes = (dialect: Dialect) => ({
  text: dialect === "mysql" ? ("longtext" as const) : ("text" as const),
  time: "datetime" as const,
  timePrecision: dialect === "mysql" ? 3 : undefined,
});

export function entities(dialect: Dialect): { user: EntitySchema<User>; challenge: EntitySchema<Challenge> } {
  const { text, time, timePrecision } = columnTypes(dialect);
  const precision = timePrecision === undefined ? {} : { precision: timePrecision };
  return {
    user: new EntitySchema<User>({
      name: "User",
      tableName: "users",
      columns: {
        id: { type: "integer", primary: true, generated: "increment" },
        firstName: { name: "first_name", type: "varchar", length: 100 },
        email: { type: "varchar", length: 254 },
        emailNormal: { name: "email_normal", type: "varchar", length: 254 },
        passwordHash: { name: "password_hash", type: "varchar", length: 255 },
        createdAt: { name: "created_at", type: time, ...precision },
      },
      uniques: [{ name: "users_email_normal", columns: ["emailNormal"] }],
    }),
    challenge: new EntitySchema<Challenge>({
      name: "Challenge",
      tableName: "challenges",
      columns: {
        id: { type: "integer", primary: true, generated: "increment" },
        title: { type: "varchar", length: 200 },
        prompt: { type: text },
        language: { type: "varchar", length: 40 },
        response: { type: text },
        ownerId: { name: "owner_id", type: "integer", nullable: true },
        createdAt: { name: "created_at", type: time, ...precision },
        updatedAt: { name: "updated_at", type: time, ...precision },
      },
    }),
  };
}
