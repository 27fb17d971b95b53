/**
 * Roles: what a person is in a room, and what each role allows. Pure; the tables that say who has
 * which role are in storage/sharing.ts.
 *
 *     owner     wrote the challenge        edit   may write
 *     removed   sent away by the owner     view   may read and chat
 */
export type Access = "open" | "restricted";

/** What a person may be in a room. */
export type Role = "owner" | "edit" | "view";

/** What a person can be invited to. */
export type Invited = Exclude<Role, "owner">;

/** What the owner has made of a person. */
export type Given = Invited | "removed";

/**
 * What a person is in a room; undefined for nothing at all. What the owner has given holds, in an
 * open room too; a person who was given nothing may edit where the room is open.
 */
export function roleIn(
  challenge: { readonly ownerId: number | null; readonly access: Access },
  userId: number,
  given: Given | undefined,
): Role | undefined {
  if (challenge.ownerId === userId) return "owner";
  if (given === "removed") return undefined;
  return given ?? (challenge.access === "open" ? "edit" : undefined);
}

export const mayWrite = (role: Role): boolean => role !== "view";
