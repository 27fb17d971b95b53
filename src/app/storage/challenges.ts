/** Challenges: what is to be solved, and the text of the room where it is. */
import { EntitySchema } from "typeorm";
import { columnTypes, type Database, type Dialect, NOT_FOUND, type Outcome } from "./database.js";

interface Challenge {
  id: number;
  title: string;
  prompt: string;
  language: string;
  response: string;
  ownerId: number | null;
  createdAt: Date;
  updatedAt: Date;
}

export const challengeEntity = (dialect: Dialect) => {
  const { text, at } = columnTypes(dialect);
  return new EntitySchema<Challenge>({
    name: "Challenge",
    tableName: "challenges",
    columns: {
      id: { type: "integer", primary: true, generated: "increment" },
      title: { type: "varchar", length: 200 },
      prompt: { type: text },
      language: { type: "varchar", length: 40 },
      response: { type: text },
      ownerId: { name: "owner_id", type: "integer", nullable: true },
      createdAt: { name: "created_at", ...at },
      updatedAt: { name: "updated_at", ...at },
    },
  });
};

/** What the API shows of a challenge. */
export interface ChallengeView {
  readonly id: number;
  readonly title: string;
  readonly prompt: string;
  readonly language: string;
  readonly response: string;
  readonly updated_at: string;
}

export interface NewChallenge {
  readonly title: string;
  readonly prompt: string;
  readonly language: string;
  readonly response: string;
  readonly ownerId: number;
}

const challengeView = ({ id, title, prompt, language, response, updatedAt }: Challenge): ChallengeView => ({
  id,
  title,
  prompt,
  language,
  response,
  updated_at: updatedAt.toISOString(),
});

export function challenges({ source, writes }: Database) {
  const table = source.getRepository<Challenge>("Challenge");
  const find = async (id: number): Promise<Outcome<ChallengeView>> => {
    const challenge = await table.findOneBy({ id });
    return challenge === null ? NOT_FOUND : ["ok", challengeView(challenge)];
  };
  return {
    async listChallenges(): Promise<Outcome<readonly ChallengeView[]>> {
      return ["ok", (await table.find({ order: { id: "ASC" } })).map(challengeView)];
    },

    /** With every write that was asked for before. */
    async challenge(id: number): Promise<Outcome<ChallengeView>> {
      await writes.settled(id);
      return find(id);
    },

    async createChallenge(input: NewChallenge): Promise<Outcome<ChallengeView>> {
      const now = new Date();
      const challenge = { ...input, createdAt: now, updatedAt: now };
      const { identifiers } = await table.insert(challenge);
      return ["ok", challengeView({ ...challenge, id: identifiers[0]?.id as number })];
    },

    updateResponse(id: number, response: string): Promise<Outcome<ChallengeView>> {
      return writes.run(id, async () => {
        const { affected } = await table.update({ id }, { response, updatedAt: new Date() });
        return affected === 0 ? NOT_FOUND : find(id);
      });
    },
  };
}
