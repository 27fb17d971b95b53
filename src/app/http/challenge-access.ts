/**
 * Who asks about a challenge, and what they are in it: what every route below `/api/challenges/:id`
 * begins with.
 */
import type { Context } from "hono";
import type { Role } from "../access/role.js";
import { readId } from "../ids.js";
import type { Outcome, Repository } from "../storage/repository-client.js";
import type { Caller } from "./accounts.js";
import { ApiError, orFail } from "./errors.js";

export interface AccessOptions {
  readonly repository: Repository;
  readonly caller: (context: Context) => Promise<Caller>;
}

export interface Entering {
  readonly id: number;
  readonly userId: number;
  readonly role: Role;
}

/** A challenge that a user may not know of is answered as if it did not exist. */
const unknown = (outcome: Outcome<Role>): Outcome<Role> =>
  outcome[0] === "error" && outcome[1] === "forbidden" ? ["error", "not_found"] : outcome;

/** Throws an `ApiError` for a user who may not. */
export function challengeAccess({ repository, caller }: AccessOptions) {
  const entering = async (context: Context): Promise<Entering> => {
    const { userId } = await caller(context);
    const id = numberIn(context, "id");
    return { id, userId, role: orFail(unknown(await repository.role(id, userId))) };
  };
  const only = async (context: Context, roles: readonly Role[], message: string): Promise<Entering> => {
    const found = await entering(context);
    if (!roles.includes(found.role)) throw new ApiError(403, "forbidden", message);
    return found;
  };
  return {
    entering,
    editing: (context: Context) =>
      only(context, ["owner", "edit"], "You may only read here; ask its owner for a link to edit."),
    owning: (context: Context) => only(context, ["owner"], "Only the owner of a challenge may do this."),
  };
}

/** A number in the path. Throws a 404 for anything else. */
export function numberIn(context: Context, name: string): number {
  const id = readId(context.req.param(name));
  if (id === undefined) throw new ApiError(404, "not_found", "There is no such thing.");
  return id;
}
