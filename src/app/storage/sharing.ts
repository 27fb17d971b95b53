/**
 * Who may do what in which room.
 *
 * A challenge is `open` (everybody who is signed in may edit) or `restricted` (its owner and those who accepted an
 * invitation). A person's role is the first of these that holds:
 *
 *     owner     wrote the challenge          removed   sent away by the owner, whatever else holds
 *     edit      was invited to, or open      view      was invited to read
 *
 * Invitations are links; the table has the hashes of their tokens. Revoking one sends nobody away who has accepted it.
 */
import { EntitySchema, LessThan, MoreThan } from "typeorm";
import type { Challenge } from "./challenges.js";
import { columnTypes, type Database, type Dialect, NOT_FOUND, type Outcome } from "./database.js";
import { type User, usersById } from "./users.js";

export type Access = "open" | "restricted";
/** What somebody may be in a room. */
export type Role = "owner" | "edit" | "view";
/** What somebody can be invited to. */
export type Invited = Exclude<Role, "owner">;

interface Membership {
  challengeId: number;
  userId: number;
  role: Invited | "removed";
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
  readonly role: Invited | "removed";
}

export interface SharingView {
  readonly access: Access;
  readonly members: readonly MemberView[];
  readonly invitations: readonly InvitationView[];
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

/** What somebody may do, from what the tables say; undefined for nothing at all. */
export function roleIn(
  challenge: Pick<Challenge, "ownerId" | "access">,
  userId: number,
  given: Membership["role"] | undefined,
): Role | undefined {
  if (challenge.ownerId === userId) return "owner";
  if (given === "removed") return undefined;
  if (given === "edit" || challenge.access === "open") return "edit";
  return given;
}

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
    await memberships.upsert({ challengeId, userId, role: given, createdAt: new Date() }, [
      "challengeId",
      "userId",
    ]);
  };

  return {
    role,

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

    async invite({ hours, ...invitation }: NewInvitation): Promise<Outcome<InvitationView>> {
      const { challengeId } = invitation;
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
    },

    /** The link is good for nobody from now on. */
    async revoke(challengeId: number, id: number): Promise<Outcome<null>> {
      const { affected } = await invitations.delete({ id, challengeId });
      return affected === 0 ? NOT_FOUND : ["ok", null];
    },

    /** Gives the person the invitation's role, unless theirs is higher. The owner's word holds: who was removed stays so. */
    async accept(
      tokenHash: string,
      userId: number,
    ): Promise<Outcome<{ readonly challengeId: number; readonly role: Role }>> {
      const invitation = await invitations.findOneBy({ tokenHash, expiresAt: MoreThan(new Date()) });
      if (invitation === null) return NOT_FOUND;
      const { challengeId } = invitation;
      const now = await memberships.findOneBy({ challengeId, userId });
      if (now?.role === "removed") return ["error", "forbidden"];
      const before = await role(challengeId, userId);
      const higher = before[0] === "ok" && before[1] !== "view";
      if (!higher && now?.role !== invitation.role) {
        if (now === null && (await memberships.countBy({ challengeId })) >= MOST_MEMBERS)
          return ["error", "too_many"];
        await setMember(challengeId, userId, invitation.role);
        await invitations.increment({ id: invitation.id }, "uses", 1);
      }
      const after = await role(challengeId, userId);
      return after[0] === "ok" ? ["ok", { challengeId, role: after[1] }] : after;
    },

    /** What the owner makes of a person: a role, or sent away. */
    async setMember(challengeId: number, userId: number, given: Membership["role"]): Promise<Outcome<null>> {
      const challenge = await challenges.findOneBy({ id: challengeId });
      if (challenge === null || !(await users.existsBy({ id: userId }))) return NOT_FOUND;
      if (challenge.ownerId === userId) return ["error", "forbidden"];
      await setMember(challengeId, userId, given);
      return ["ok", null];
    },
  };
}
