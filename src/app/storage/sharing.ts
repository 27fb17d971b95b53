/**
 * Sharing is what the tables say of who may do what in which room; what a role is stands in
 * access/role.ts.
 *
 * A challenge is `open` (all signed-in users may edit) or `restricted` (its owner and those
 * who accepted an invitation). What the owner has made of a person, by an invitation or by hand,
 * holds in both. What was given by hand is changed by hand alone: no link widens it.
 *
 * Invitations are links; the table has the hashes of their tokens. Revoking one removes no user
 * who has accepted it.
 */
import { EntitySchema, In, LessThan, MoreThan } from "typeorm";
import { type AccessAnswer, type AccessQuestion, MOST_QUESTIONS } from "../access/access-ledger.js";
import { type Access, type Given, type Invited, type Role, roleIn } from "../access/role.js";
import { KeyedQueue } from "../keyed-queue.js";
import type { Challenge } from "./challenges.js";
import { columnTypes, type Database, type Dialect, NOT_FOUND, type Outcome } from "./database.js";
import type { Session } from "./sessions.js";
import { type User, usersById } from "./users.js";

interface Membership {
  challengeId: number;
  userId: number;
  role: Given;
  /** The owner has given it by hand; otherwise it is of a link. */
  byOwner: boolean;
  createdAt: Date;
}

interface Invitation {
  id: number;
  challengeId: number;
  tokenHash: string;
  role: Invited;
  createdAt: Date;
  expiresAt: Date;
  uses: number;
}

export const membershipEntity = (dialect: Dialect) =>
  new EntitySchema<Membership>({
    name: "Membership",
    tableName: "memberships",
    columns: {
      challengeId: { name: "challenge_id", type: "integer", primary: true },
      userId: { name: "user_id", type: "integer", primary: true },
      role: { type: "varchar", length: 12 },
      byOwner: { name: "by_owner", type: "boolean", default: false },
      createdAt: { name: "created_at", ...columnTypes(dialect).at },
    },
  });

export const invitationEntity = (dialect: Dialect) => {
  const { at } = columnTypes(dialect);
  return new EntitySchema<Invitation>({
    name: "Invitation",
    tableName: "invitations",
    columns: {
      id: { type: "integer", primary: true, generated: "increment" },
      challengeId: { name: "challenge_id", type: "integer" },
      tokenHash: { name: "token_hash", type: "varchar", length: 64 },
      role: { type: "varchar", length: 12 },
      createdAt: { name: "created_at", ...at },
      expiresAt: { name: "expires_at", ...at },
      uses: { type: "integer", default: 0 },
    },
  });
};

export interface InvitationView {
  readonly id: number;
  readonly role: Invited;
  readonly expires_at: string;
  /** How often it was accepted. */
  readonly uses: number;
}

export interface MemberView {
  readonly user_id: number;
  readonly first_name: string;
  readonly role: Given;
}

export interface SharingView {
  readonly access: Access;
  readonly members: readonly MemberView[];
  readonly invitations: readonly InvitationView[];
}

export interface Accepted {
  readonly challengeId: number;
  readonly role: Role;
}

export interface NewInvitation {
  readonly challengeId: number;
  readonly tokenHash: string;
  readonly role: Invited;
  readonly hours: number;
}

/** Invitations one challenge may have at a time, and people it may have roles for. */
const MOST_INVITATIONS = 50;
const MOST_MEMBERS = 1000;

const distinct = <T>(values: readonly T[]): T[] => [...new Set(values)];

const invitationView = ({ id, role, expiresAt, uses }: Invitation): InvitationView => ({
  id,
  role,
  expires_at: expiresAt.toISOString(),
  uses,
});

export function sharing({ source }: Database) {
  const challenges = source.getRepository<Challenge>("Challenge");
  const memberships = source.getRepository<Membership>("Membership");
  const invitations = source.getRepository<Invitation>("Invitation");
  const users = source.getRepository<User>("User");
  const sessions = source.getRepository<Session>("Session");
  /** What counts towards the limits of a challenge, one after the other. */
  const inTurn = new KeyedQueue<number>();

  const role = async (challengeId: number, userId: number): Promise<Outcome<Role>> => {
    const [challenge, membership] = await Promise.all([
      challenges.findOne({ where: { id: challengeId }, select: { id: true, ownerId: true, access: true } }),
      memberships.findOneBy({ challengeId, userId }),
    ]);
    if (challenge === null) return NOT_FOUND;
    const found = roleIn(challenge, userId, membership?.role);
    return found === undefined ? ["error", "forbidden"] : ["ok", found];
  };

  const setMember = async (challengeId: number, userId: number, given: Membership["role"]): Promise<void> => {
    await memberships.upsert({ challengeId, userId, role: given, byOwner: true, createdAt: new Date() }, [
      "challengeId",
      "userId",
    ]);
  };

  /** Gives a role as long as the person has what was read; false when that has changed. */
  const giveFirst = async (
    challengeId: number,
    userId: number,
    now: Membership | null,
    given: Invited,
  ): Promise<boolean> => {
    if (now !== null) {
      const { role: before, byOwner } = now;
      const { affected } = await memberships.update(
        { challengeId, userId, role: before, byOwner },
        { role: given },
      );
      return affected === 1;
    }
    try {
      await memberships.insert({ challengeId, userId, role: given, byOwner: false, createdAt: new Date() });
      return true;
    } catch (error) {
      if (await memberships.existsBy({ challengeId, userId })) return false;
      throw error;
    }
  };

  /** As `accept`; undefined when what the person has was changed meanwhile. */
  const acceptOnce = async (
    { id, challengeId, role: invited }: Invitation,
    userId: number,
  ): Promise<Outcome<Accepted> | undefined> => {
    const now = await memberships.findOneBy({ challengeId, userId });
    if (now?.role === "removed") return ["error", "forbidden"];
    const before = await role(challengeId, userId);
    const isOwner = before[0] === "ok" && before[1] === "owner";
    if (isOwner || now?.byOwner || now?.role === "edit" || now?.role === invited)
      return before[0] === "ok" ? ["ok", { challengeId, role: before[1] }] : before;
    if (now === null && (await memberships.countBy({ challengeId })) >= MOST_MEMBERS)
      return ["error", "too_many"];
    // A link that has been revoked meanwhile has no row to count in.
    const { affected } = await invitations.increment({ id }, "uses", 1);
    if (affected === 0) return NOT_FOUND;
    if (!(await giveFirst(challengeId, userId, now, invited))) return undefined;
    const after = await role(challengeId, userId);
    return after[0] === "ok" ? ["ok", { challengeId, role: after[1] }] : after;
  };

  return {
    role,

    /** What each of these may do, as of now; at most `MOST_QUESTIONS`. */
    async access(asked: readonly AccessQuestion[]): Promise<Outcome<readonly AccessAnswer[]>> {
      if (asked.length === 0) return ["ok", []];
      if (asked.length > MOST_QUESTIONS) throw new RangeError(`${asked.length} questions of access at once`);
      const pairs = asked.map(({ challengeId, userId }) => ({ challengeId, userId }));
      const [rooms, given, live] = await Promise.all([
        challenges.find({
          where: { id: In(distinct(asked.map(({ challengeId }) => challengeId))) },
          select: { id: true, ownerId: true, access: true },
        }),
        memberships.find({ where: pairs }),
        sessions.find({
          where: { id: In(distinct(asked.map(({ sessionId }) => sessionId))) },
          select: { id: true, userId: true, expiresAt: true },
        }),
      ]);
      const now = Date.now();
      const roomOf = new Map(rooms.map((room) => [room.id, room]));
      const givenOf = new Map(
        given.map((membership) => [`${membership.challengeId}:${membership.userId}`, membership.role]),
      );
      const userOf = new Map(
        live.filter(({ expiresAt }) => expiresAt.getTime() > now).map(({ id, userId }) => [id, userId]),
      );
      return [
        "ok",
        asked.map(({ challengeId, userId, sessionId }): AccessAnswer => {
          if (userOf.get(sessionId) !== userId) return "session_ended";
          const room = roomOf.get(challengeId);
          if (room === undefined) return "not_found";
          return roleIn(room, userId, givenOf.get(`${challengeId}:${userId}`)) ?? "forbidden";
        }),
      ];
    },

    /** All there is to know of who may enter, for the owner's eyes. */
    async sharing(challengeId: number): Promise<Outcome<SharingView>> {
      const challenge = await challenges.findOneBy({ id: challengeId });
      if (challenge === null) return NOT_FOUND;
      const members = await memberships.find({ where: { challengeId }, order: { createdAt: "ASC" } });
      const people = await usersById(
        users,
        members.map(({ userId }) => userId),
      );
      const names = new Map(people.map(({ id, firstName }) => [id, firstName]));
      const open = await invitations.find({
        where: { challengeId, expiresAt: MoreThan(new Date()) },
        order: { id: "ASC" },
      });
      return [
        "ok",
        {
          access: challenge.access,
          members: members.map((member) => ({
            user_id: member.userId,
            first_name: names.get(member.userId) ?? "?",
            role: member.role,
          })),
          invitations: open.map(invitationView),
        },
      ];
    },

    invite({ hours, ...invitation }: NewInvitation): Promise<Outcome<InvitationView>> {
      const { challengeId } = invitation;
      return inTurn.run(challengeId, async (): Promise<Outcome<InvitationView>> => {
        const now = Date.now();
        await invitations.delete({ challengeId, expiresAt: LessThan(new Date(now)) });
        if ((await invitations.countBy({ challengeId })) >= MOST_INVITATIONS) return ["error", "too_many"];
        const row = {
          ...invitation,
          createdAt: new Date(now),
          expiresAt: new Date(now + hours * 3_600_000),
          uses: 0,
        };
        const { identifiers } = await invitations.insert(row);
        return ["ok", invitationView({ ...row, id: identifiers[0]?.id as number })];
      });
    },

    /** Makes the link invalid. */
    async revoke(challengeId: number, id: number): Promise<Outcome<null>> {
      const { affected } = await invitations.delete({ id, challengeId });
      return affected === 0 ? NOT_FOUND : ["ok", null];
    },

    /**
     * Gives the person the invitation's role, unless they have a higher one or the owner has given
     * them one by hand, which no link changes. A person whom the owner has sent away stays so, even
     * if that happens at the same time: what is written depends on what was read.
     */
    async accept(tokenHash: string, userId: number): Promise<Outcome<Accepted>> {
      for (let attempt = 0; attempt < 3; attempt += 1) {
        const invitation = await invitations.findOneBy({ tokenHash, expiresAt: MoreThan(new Date()) });
        if (invitation === null) return NOT_FOUND;
        const accepted = await inTurn.run(invitation.challengeId, () => acceptOnce(invitation, userId));
        if (accepted !== undefined) return accepted;
      }
      return ["error", "unavailable"];
    },

    /** What the owner makes of a person: a role, or sent away. */
    setMember: (challengeId: number, userId: number, given: Membership["role"]): Promise<Outcome<null>> =>
      inTurn.run(challengeId, async (): Promise<Outcome<null>> => {
        const challenge = await challenges.findOneBy({ id: challengeId });
        if (challenge === null || !(await users.existsBy({ id: userId }))) return NOT_FOUND;
        if (challenge.ownerId === userId) return ["error", "forbidden"];
        if (
          !(await memberships.existsBy({ challengeId, userId })) &&
          (await memberships.countBy({ challengeId })) >= MOST_MEMBERS
        )
          return ["error", "too_many"];
        await setMember(challengeId, userId, given);
        return ["ok", null];
      }),
  };
}
