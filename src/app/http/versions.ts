/**
 * Former states of a room over HTTP:
 *
 *     GET  /api/challenges/:id/versions               [{seq, at, authors: [name]}], newest first
 *     GET  /api/challenges/:id/versions/:seq            {seq, text}
 *     POST /api/challenges/:id/versions/:seq/restore  restores that text; users who may edit
 *     POST /api/challenges/:id/reset                    makes the text what the room started from
 *
 * Restoring is a new edit like any other: nothing of what came between is lost, and it can be taken
 * back the same way.
 */
import { type Context, Hono } from "hono";
import { readCount } from "../ids.js";
import type { Outcome } from "../storage/repository-client.js";
import { type AccessOptions, challengeAccess } from "./challenge-access.js";
import { ApiError, orFail } from "./errors.js";

export interface RoomHistory {
  preview(id: number, seq: number): Promise<Outcome<{ readonly seq: number; readonly text: string }>>;
  restore(id: number, seq: number, userId: number): Promise<Outcome<unknown>>;
  write(id: number, text: string, userId: number): Promise<Outcome<unknown>>;
}

export interface VersionOptions extends AccessOptions {
  readonly rooms: RoomHistory;
}

export function versionRoutes({ rooms, ...options }: VersionOptions): Hono {
  const { repository } = options;
  const { entering, editing } = challengeAccess(options);
  const app = new Hono();

  app.get("/:id/versions", async (context) => {
    const { id } = await entering(context);
    const versions = orFail(await repository.roomVersions(id));
    const names = orFail(await repository.firstNames(versions.flatMap(({ authors }) => authors)));
    return context.json(
      versions.map(({ seq, at, authors }) => ({ seq, at, authors: authors.map((who) => names[who] ?? "?") })),
    );
  });

  app.get("/:id/versions/:seq", async (context) => {
    const { id } = await entering(context);
    return context.json(orFail(await rooms.preview(id, seqIn(context))));
  });

  app.post("/:id/versions/:seq/restore", async (context) => {
    const { id, userId } = await editing(context);
    orFail(await rooms.restore(id, seqIn(context), userId));
    return context.body(null, 204);
  });

  app.post("/:id/reset", async (context) => {
    const { id, userId } = await editing(context);
    const { starter } = orFail(await repository.challengeDetails(id));
    if (starter === null)
      throw new ApiError(404, "no_starter", "The first text of this room is not known; see its history.");
    orFail(await rooms.write(id, starter, userId));
    return context.body(null, 204);
  });

  return app;
}

/** The number of a version, which begins at 0. */
function seqIn(context: Context): number {
  const seq = readCount(context.req.param("seq"));
  if (seq === undefined) throw new ApiError(404, "not_found", "There is no such version.");
  return seq;
}
