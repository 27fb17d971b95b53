/**
 * Challenges over HTTP, for signed-in users who may enter them.
 *
 *     GET    /api/challenges                 the first 100, their texts up to 1 MiB, then cut and
 *                                            `truncated`; header Link: the next page (?after=id)
 *     GET    /api/challenges?view=cards      {cards, total} for q, language, mine=1, offset, limit
 *     GET    /api/challenges/:id             ?include=details: also starter, access and own role
 *     POST   /api/challenges
 *     PATCH  /api/challenges/:id             owner: title, prompt, access …; writers: language
 *     DELETE /api/challenges/:id             owner
 *
 * Sharing, for the owner:
 *
 *     GET    /api/challenges/:id/sharing
 *     POST   /api/challenges/:id/invitations            {role, hours}  → 201 {invitation, token}
 *     DELETE /api/challenges/:id/invitations/:number
 *     PUT    /api/challenges/:id/members/:number        {role: edit, view or removed}
 *
 * and for users with a link: POST /api/invitations/accept {token} → {challenge_id, role}.
 */
import { Hono } from "hono";
import { ACCESS_CHANGED, type AccessChanged } from "../access/access-watch.js";
import { invitationHash, isInvitationToken, newInvitationToken } from "../auth/invitation-tokens.js";
import { FairQueue } from "../fair-queue.js";
import {
  AcceptBody,
  ChallengeChangesBody,
  ListQuery,
  MemberBody,
  NewChallengeBody,
  NewInvitationBody,
  SearchQuery,
} from "../input.js";
import type { Outcome } from "../storage/repository-client.js";
import { type AccessOptions, challengeAccess, numberIn } from "./challenge-access.js";
import { ApiError, orFail } from "./errors.js";
import { readBody, readQuery } from "./request.js";

/**
 * Lists and searches that are made at a time, that wait, and that wait of one person: on each
 * gateway.
 */
const MAX_LISTS = 2;
const MAX_LISTS_WAITING = 200;
const MAX_LISTS_WAITING_PER_PERSON = 50;

export interface ChallengeOptions extends AccessOptions {
  /** Broadcasts to all clients of a room. */
  readonly tellRoom: (challengeId: number, event: string, payload: object) => void;
}

export function challengeRoutes({ repository, caller, tellRoom }: ChallengeOptions): Hono {
  const app = new Hono();

  const { entering, owning } = challengeAccess({ repository, caller });

  /**
   * Gives what became of a change of access, and tells the room: also without an answer, for it may
   * have been stored.
   */
  const notified = <T>(id: number, whose: AccessChanged, outcome: Outcome<T>): Outcome<T> => {
    if (outcome[0] === "ok") tellRoom(id, ACCESS_CHANGED, whose);
    else if (outcome[1] === "unavailable") tellRoom(id, ACCESS_CHANGED, { ...whose, unsure: true });
    return outcome;
  };

  // Each takes the storage some 10 ms, in which it stores no edits: few are sent to it at a
  // time.
  const lists = new FairQueue({
    concurrency: MAX_LISTS,
    maxWaiting: MAX_LISTS_WAITING,
    maxWaitingPerKey: MAX_LISTS_WAITING_PER_PERSON,
    what: "lists are being made",
  });

  app.get("/", async (context) => {
    const { userId } = await caller(context);
    const inTurn = <T>(list: () => Promise<T>): Promise<T> => lists.run(String(userId), list);
    if (context.req.query("view") !== "cards") {
      const { after } = readQuery(context, ListQuery);
      const { challenges, next } = orFail(await inTurn(() => repository.listChallenges(userId, after)));
      if (next !== undefined) context.header("link", `</api/challenges?after=${next}>; rel="next"`);
      return context.json(challenges);
    }
    const { q, mine, ...search } = readQuery(context, SearchQuery);
    return context.json(
      orFail(
        await inTurn(() =>
          repository.searchChallenges(userId, { ...search, text: q, mine: mine !== undefined }),
        ),
      ),
    );
  });

  app.get("/:id", async (context) => {
    const { id, role } = await entering(context);
    if (context.req.query("include") !== "details")
      return context.json(orFail(await repository.challenge(id)));
    return context.json({ ...orFail(await repository.challengeDetails(id)), role });
  });

  app.post("/", async (context) => {
    const { userId } = await caller(context);
    const challenge = await readBody(context, NewChallengeBody);
    return context.json(orFail(await repository.createChallenge({ ...challenge, ownerId: userId })), 201);
  });

  app.patch("/:id", async (context) => {
    const { id, role } = await entering(context);
    const changes = await readBody(context, ChallengeChangesBody);
    // Users who may write choose the language. The rest is the owner's.
    const language = Object.keys(changes).every((key) => key === "language");
    if (!(role === "edit" && language)) await owning(context);
    const changed = await repository.changeChallenge(id, changes);
    const challenge = orFail(changes.access === undefined ? changed : notified(id, {}, changed));
    const { response: _response, ...shown } = challenge;
    tellRoom(id, "challenge:changed", { challenge: shown });
    return context.json(challenge);
  });

  app.delete("/:id", async (context) => {
    const { id } = await owning(context);
    orFail(notified(id, {}, await repository.deleteChallenge(id)));
    return context.body(null, 204);
  });

  app.get("/:id/sharing", async (context) => {
    const { id } = await owning(context);
    return context.json(orFail(await repository.sharing(id)));
  });

  app.post("/:id/invitations", async (context) => {
    const { id: challenge } = await owning(context);
    const { role, hours } = await readBody(context, NewInvitationBody);
    const token = newInvitationToken();
    const invitation = orFail(
      await repository.invite({ challengeId: challenge, tokenHash: invitationHash(token), role, hours }),
    );
    return context.json({ invitation, token }, 201);
  });

  app.delete("/:id/invitations/:number", async (context) => {
    const { id } = await owning(context);
    orFail(await repository.revoke(id, numberIn(context, "number")));
    return context.body(null, 204);
  });

  app.put("/:id/members/:number", async (context) => {
    const { id } = await owning(context);
    const userId = numberIn(context, "number");
    const { role } = await readBody(context, MemberBody);
    orFail(notified(id, { user_id: userId }, await repository.setMember(id, userId, role)));
    return context.body(null, 204);
  });

  return app;
}

export function invitationRoutes({ repository, caller, tellRoom }: ChallengeOptions): Hono {
  const app = new Hono();
  app.post("/accept", async (context) => {
    const { userId } = await caller(context);
    const { token } = await readBody(context, AcceptBody);
    const outcome = isInvitationToken(token)
      ? await repository.accept(invitationHash(token), userId)
      : (["error", "not_found"] as const);
    if (outcome[0] === "error" && outcome[1] === "not_found") {
      throw new ApiError(
        404,
        "no_invitation",
        "This link is no longer valid; ask the sender for another one.",
      );
    }
    const { challengeId: id, role } = orFail(outcome);
    tellRoom(id, ACCESS_CHANGED, { user_id: userId });
    return context.json({ challenge_id: id, role });
  });
  return app;
}
