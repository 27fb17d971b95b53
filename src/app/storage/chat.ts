/**
 * What people say in a room. The last messages are kept, older ones go: a chat is no archive.
 *
 * A message carries a key of its sender's making, so that one whose answer was lost can be sent
 * again and is there once.
 */
import { EntitySchema, LessThan, LessThanOrEqual } from "typeorm";
import { columnTypes, type Database, type Dialect, keyType, type Outcome } from "./database.js";
import { type User, usersById } from "./users.js";

interface ChatMessage {
  id: number;
  challengeId: number;
  userId: number;
  clientKey: string;
  text: string;
  createdAt: Date;
}

export const chatEntity = (dialect: Dialect) => {
  const { text, at } = columnTypes(dialect);
  return new EntitySchema<ChatMessage>({
    name: "ChatMessage",
    tableName: "chat_messages",
    columns: {
      id: { type: "integer", primary: true, generated: "increment" },
      challengeId: { name: "challenge_id", type: "integer" },
      userId: { name: "user_id", type: "integer" },
      clientKey: { name: "client_key", ...keyType(dialect, 40) },
      text: { type: text },
      createdAt: { name: "created_at", ...at },
    },
  });
};

export interface ChatView {
  readonly id: number;
  readonly user_id: number;
  readonly first_name: string;
  readonly text: string;
  readonly at: string;
}

export interface NewChatMessage {
  readonly challengeId: number;
  readonly userId: number;
  readonly clientKey: string;
  readonly text: string;
}

/** Messages of a room that are kept. */
export const CHAT_KEPT = 500;
/** Older ones are looked for at each message whose number this divides. */
const TIDY_EVERY = 20;

export function chat({ source, writes }: Database) {
  const table = source.getRepository<ChatMessage>("ChatMessage");
  const users = source.getRepository<User>("User");

  const views = async (messages: readonly ChatMessage[]): Promise<ChatView[]> => {
    const people = await usersById(
      users,
      messages.map(({ userId }) => userId),
    );
    const names = new Map(people.map(({ id, firstName }) => [id, firstName]));
    return messages.map(({ id, userId, text, createdAt }) => ({
      id,
      user_id: userId,
      first_name: names.get(userId) ?? "?",
      text,
      at: createdAt.toISOString(),
    }));
  };

  const tidy = async (challengeId: number): Promise<void> => {
    const [last] = await table.find({
      where: { challengeId },
      order: { id: "DESC" },
      skip: CHAT_KEPT,
      take: 1,
      select: { id: true },
    });
    if (last !== undefined) await table.delete({ challengeId, id: LessThanOrEqual(last.id) });
  };

  return {
    /** Adds a message; `again` when it was there already. */
    addChatMessage(
      message: NewChatMessage,
    ): Promise<Outcome<{ readonly message: ChatView; readonly again: boolean }>> {
      const { challengeId, userId, clientKey } = message;
      return writes.run(challengeId, async () => {
        const before = await table.findOneBy({ challengeId, userId, clientKey });
        if (before !== null)
          return ["ok", { message: (await views([before]))[0] as ChatView, again: true }] as const;
        const row = { ...message, createdAt: new Date() };
        const { identifiers } = await table.insert(row);
        const id = identifiers[0]?.id as number;
        if (id % TIDY_EVERY === 0) await tidy(challengeId);
        return ["ok", { message: (await views([{ ...row, id }]))[0] as ChatView, again: false }] as const;
      });
    },

    /** The last messages, oldest first; those before a certain one when it is given. */
    async chatMessages(
      challengeId: number,
      before: number | undefined,
      limit: number,
    ): Promise<Outcome<readonly ChatView[]>> {
      const found = await table.find({
        where: { challengeId, ...(before === undefined ? {} : { id: LessThan(before) }) },
        order: { id: "DESC" },
        take: limit,
      });
      return ["ok", await views(found.reverse())];
    },
  };
}
