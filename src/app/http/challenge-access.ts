/** Who asks about a challenge, and what they are in it: what every route below `/api/challenges/:id` begins with. */
import type { Context } from "hono";
import type { Repository } from "../storage/repository-client.js";
import type { Role } from "../storage/sharing.js";
import type { Caller } from "./accounts.js";
import { ApiError, orFail } from "./errors.js";
import { challengeId } from "./input.js";

export interface AccessOptions {
  readonly repository: Repository;
  readonly caller: (context: Context) => Promise<Caller>;
}

export interface Entering {
  readonly id: number;
  readonly userId: number;
  readonly role: Role;
}

/** Throws an `ApiError` for whoever may not. */
export function challengeAccess({ repository, caller }: AccessOptions) {
  const entering = async (context: Context): Promise<Entering> => {
    const { userId } = await caller(context);
    const id = numberIn(context, "id");
    return { id, userId, role: orFail(await repository.role(id, userId)) };
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
  const id = challengeId(context.req.param(name) ?? "");
  if (id === undefined) throw new ApiError(404, "not_found", "There is no such thing.");
  return id;
}
