/** Challenges: what is to be solved, and the text of the room where it is. */
import { EntitySchema, In } from "typeorm";
import { type Access, type Role, roleIn } from "../access/role.js";
import { KeyedQueue } from "../keyed-queue.js";
import {
  columnTypes,
  type Database,
  DEFAULT_QUOTAS,
  type Dialect,
  NOT_FOUND,
  type Outcome,
} from "./database.js";
import { folded } from "./search.js";

export interface Challenge {
  id: number;
  title: string;
  prompt: string;
  language: string;
  /** The title and the prompt as a search sees them: see search.ts. */
  searchTitle?: string;
  searchPrompt?: string;
  response: string;
  /** The first response; null when it is not known. */
  starter: string | null;
  ownerId: number | null;
  access: Access;
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
      searchTitle: { name: "search_title", type: text, nullable: true, select: false },
      searchPrompt: { name: "search_prompt", type: text, nullable: true, select: false },
      response: { type: text },
      starter: { type: text, nullable: true },
      ownerId: { name: "owner_id", type: "integer", nullable: true },
      access: { type: "varchar", length: 12, default: "open" },
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

/** A challenge in a list: enough to recognise it. */
export interface ChallengeCard {
  readonly id: number;
  readonly title: string;
  readonly excerpt: string;
  readonly language: string;
  readonly updated_at: string;
  readonly access: Access;
  readonly role: Role;
}

/** What users may do with a challenge, which its owner can change. */
export interface ChallengeDetails extends ChallengeView {
  readonly starter: string | null;
  readonly access: Access;
  readonly role: Role;
}

export interface NewChallenge {
  readonly title: string;
  readonly prompt: string;
  readonly language: string;
  readonly response: string;
  readonly ownerId: number;
}

/** What an owner may change; the response is the room's. */
export interface ChallengeChanges {
  readonly title?: string | undefined;
  readonly prompt?: string | undefined;
  readonly language?: string | undefined;
  readonly starter?: string | undefined;
  readonly access?: Access | undefined;
}

export interface ChallengeSearch {
  /** Part of the title or the prompt, in whatever letters. */
  readonly text?: string | undefined;
  readonly language?: string | undefined;
  /** Only those of the person who asks. */
  readonly mine?: boolean;
  readonly offset?: number;
  readonly limit?: number;
}

const EXCERPT = 280;

/**
 * Challenges of one page of the whole list, and bytes of their texts; what is beyond is cut to
 * excerpts.
 */
const LISTED = 100;
const LISTED_BYTES = 1024 * 1024;

/** A challenge in the whole list; `truncated` where its prompt and response are cut. */
export interface ListedChallenge extends ChallengeView {
  readonly truncated?: true;
}

export interface ChallengePage {
  readonly challenges: readonly ListedChallenge[];
  /** The last id of this page when there are more. */
  readonly next: number | undefined;
}

export const challengeView = ({
  id,
  title,
  prompt,
  language,
  response,
  updatedAt,
}: Challenge): ChallengeView => ({
  id,
  title,
  prompt,
  language,
  response,
  updated_at: updatedAt.toISOString(),
});

/** What a search looks through, of what is written. */
const searchTexts = ({
  title,
  prompt,
}: Pick<ChallengeChanges, "title" | "prompt">): Pick<Challenge, "searchTitle" | "searchPrompt"> => ({
  ...(title === undefined ? {} : { searchTitle: folded(title) }),
  ...(prompt === undefined ? {} : { searchPrompt: folded(prompt) }),
});

/** Without what is undefined: only what is named changes. */
const named = (changes: ChallengeChanges): Partial<Challenge> =>
  Object.fromEntries(Object.entries(changes).filter(([, value]) => value !== undefined));

/** Bytes of the texts of a challenge. */
const BYTES = "octet_length(prompt) + octet_length(response) + coalesce(octet_length(starter), 0)";

const marks = (count: number): string => Array.from({ length: count }, () => "?").join(",");

export function challenges({ source, writes, quotas = DEFAULT_QUOTAS }: Database) {
  const table = source.getRepository<Challenge>("Challenge");
  /** What counts towards a person's quota, one after the other. */
  const inTurn = new KeyedQueue<number>();

  /** Whether this person may have so many challenges and bytes more. */
  const mayHave = async (ownerId: number, more: number, moreBytes: number): Promise<boolean> => {
    const [{ count, bytes }] = await source.query(
      `select count(*) as count, coalesce(sum(${BYTES}), 0) as bytes from challenges where owner_id = ?`,
      [ownerId],
    );
    return Number(count) + more <= quotas.challenges && Number(bytes) + moreBytes <= quotas.bytes;
  };

  /**
   * Runs a change of a challenge's texts if its owner may have them, and no other that counts for
   * this owner meanwhile.
   */
  const withinQuota = async <T>(
    id: number,
    { prompt, starter }: ChallengeChanges,
    change: () => Promise<Outcome<T>>,
  ): Promise<Outcome<T>> => {
    if (prompt === undefined && starter === undefined) return change();
    const [row] = await source.query(
      `select owner_id, octet_length(prompt) as prompt, coalesce(octet_length(starter), 0) as starter from challenges where id = ?`,
      [id],
    );
    if (row === undefined || row.owner_id === null) return change();
    const growth = (text: string | undefined, before: unknown): number =>
      text === undefined ? 0 : Buffer.byteLength(text) - Number(before);
    const bytes = growth(prompt, row.prompt) + growth(starter, row.starter);
    return inTurn.run(row.owner_id, async () =>
      bytes <= 0 || (await mayHave(row.owner_id, 0, bytes)) ? change() : ["error", "quota"],
    );
  };

  /** These challenges, as many of them whole as the bytes of a page allow. */
  const listed = async (ids: readonly number[]): Promise<readonly ListedChallenge[]> => {
    if (ids.length === 0) return [];
    const sizes: { readonly id: number; readonly bytes: unknown }[] = await source.query(
      `select id, octet_length(prompt) + octet_length(response) as bytes from challenges where id in (${marks(ids.length)}) order by id`,
      [...ids],
    );
    let bytes = 0;
    const whole = sizes.flatMap(({ id, bytes: size }) => {
      bytes += Number(size);
      return bytes <= LISTED_BYTES ? [id] : [];
    });
    const rest = sizes.map(({ id }) => id).filter((id) => !whole.includes(id));
    const cut = table
      .createQueryBuilder("c")
      .select(["c.id", "c.title", "c.language", "c.updatedAt"])
      .addSelect(`substr(c.prompt, 1, ${EXCERPT})`, "prompt")
      .addSelect(`substr(c.response, 1, ${EXCERPT})`, "response")
      .where({ id: In(rest) })
      .orderBy("c.id", "ASC");
    const columns = { id: true, title: true, prompt: true, language: true, response: true, updatedAt: true };
    const views: ListedChallenge[] = (
      await table.find({ where: { id: In(whole) }, select: columns, order: { id: "ASC" } })
    ).map(challengeView);
    if (rest.length === 0) return views;
    const { entities, raw } = await cut.getRawAndEntities<{ prompt: string; response: string }>();
    return [
      ...views,
      ...entities.map((challenge, n) => {
        const { prompt, response } = raw[n] as { prompt: string; response: string };
        return { ...challengeView({ ...challenge, prompt, response }), truncated: true as const };
      }),
    ];
  };

  const find = async (id: number): Promise<Outcome<ChallengeView>> => {
    const challenge = await table.findOneBy({ id });
    return challenge === null ? NOT_FOUND : ["ok", challengeView(challenge)];
  };

  /** The challenges that this person may enter, with the role that the tables give. */
  const visible = (userId: number) =>
    table
      .createQueryBuilder("c")
      .leftJoin("Membership", "m", "m.challengeId = c.id and m.userId = :userId", { userId })
      .where("(c.ownerId = :userId or m.role in ('edit', 'view') or (c.access = 'open' and m.role is null))")
      .orderBy("c.id", "ASC");

  return {
    /** The challenges after this one that this person may enter, a page of them. */
    async listChallenges(userId: number, after = 0): Promise<Outcome<ChallengePage>> {
      // By the columns of an index alone: reading a row means reading its texts.
      const rows: { readonly id: number }[] = await source.query(
        `select c.id as id from challenges c left join memberships m on m.challenge_id = c.id and m.user_id = ?
         where (c.owner_id = ? or m.role in ('edit', 'view') or (c.access = 'open' and m.role is null)) and c.id > ?
         order by c.id limit ${LISTED + 1}`,
        [userId, userId, after],
      );
      const ids = rows.slice(0, LISTED).map(({ id }) => id);
      return ["ok", { challenges: await listed(ids), next: rows.length > LISTED ? ids.at(-1) : undefined }];
    },

    async searchChallenges(
      userId: number,
      { text = "", language, mine = false, offset = 0, limit = 50 }: ChallengeSearch,
    ): Promise<Outcome<{ readonly cards: readonly ChallengeCard[]; readonly total: number }>> {
      const query = visible(userId);
      if (mine) query.andWhere("c.ownerId = :userId");
      if (language !== undefined) query.andWhere("c.language = :language", { language });
      // Where a program that knows no folded texts has written, the text itself is searched.
      const part = folded(text);
      if (part !== "")
        query.andWhere(
          "(instr(coalesce(c.searchTitle, lower(c.title)), :part) > 0 or instr(coalesce(c.searchPrompt, lower(c.prompt)), :part) > 0)",
          { part },
        );
      const total = await query.getCount();
      const rows = await query
        .select(["c.id", "c.title", "c.language", "c.access", "c.ownerId", "c.updatedAt"])
        .addSelect(`substr(c.prompt, 1, ${EXCERPT})`, "excerpt")
        .addSelect("m.role", "given")
        .offset(offset)
        .limit(limit)
        .getRawAndEntities<{ excerpt: string; given: "edit" | "view" | null }>();
      const cards = rows.entities.map((challenge, n): ChallengeCard => {
        const { excerpt, given } = rows.raw[n] as { excerpt: string; given: "edit" | "view" | null };
        return {
          id: challenge.id,
          title: challenge.title,
          excerpt,
          language: challenge.language,
          updated_at: challenge.updatedAt.toISOString(),
          access: challenge.access,
          role: roleIn(challenge, userId, given ?? undefined) as Role,
        };
      });
      return ["ok", { cards, total }];
    },

    /** With every write that was asked for before. */
    async challenge(id: number): Promise<Outcome<ChallengeView>> {
      await writes.settled(id);
      return find(id);
    },

    /** As `challenge`, without the person's role, which is asked for first. */
    async challengeDetails(id: number): Promise<Outcome<Omit<ChallengeDetails, "role">>> {
      await writes.settled(id);
      const challenge = await table.findOneBy({ id });
      if (challenge === null) return NOT_FOUND;
      return ["ok", { ...challengeView(challenge), starter: challenge.starter, access: challenge.access }];
    },

    createChallenge: (input: NewChallenge): Promise<Outcome<ChallengeView>> =>
      inTurn.run(input.ownerId, async (): Promise<Outcome<ChallengeView>> => {
        const bytes = Buffer.byteLength(input.prompt) + 2 * Buffer.byteLength(input.response);
        if (!(await mayHave(input.ownerId, 1, bytes))) return ["error", "quota"];
        const now = new Date();
        const challenge: Omit<Challenge, "id"> = {
          ...input,
          ...searchTexts(input),
          starter: input.response,
          access: "open",
          createdAt: now,
          updatedAt: now,
        };
        const { identifiers } = await table.insert(challenge);
        return ["ok", challengeView({ ...challenge, id: identifiers[0]?.id as number })];
      }),

    changeChallenge(id: number, changes: ChallengeChanges): Promise<Outcome<ChallengeView>> {
      const change = async (): Promise<Outcome<ChallengeView>> => {
        const { affected } = await table.update(id, {
          ...named(changes),
          ...searchTexts(changes),
          updatedAt: new Date(),
        });
        return affected === 0 ? NOT_FOUND : find(id);
      };
      return writes.run(id, () => withinQuota(id, changes, change));
    },

    deleteChallenge(id: number): Promise<Outcome<null>> {
      return writes.run(id, async () => {
        const { affected } = await table.delete({ id });
        return affected === 0 ? NOT_FOUND : (["ok", null] as const);
      });
    },
  };
}
