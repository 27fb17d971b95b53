/**
 * The repository as its callers see it, on whatever thread: every operation is a call to the
 * Repository's process. It imports no database, so that threads without one start without loading
 * one.
 */
import { GenServer } from "simurgh/runtime";
import type { Outcome } from "./database.js";
import type { Repository } from "./repository.js";

export type { ChallengeView, Failure, Outcome, Repository, UserView } from "./repository.js";

export const REPOSITORY = "repository";

/** What the process is asked: an operation by its name. */
export type Request = readonly [operation: string, ...args: unknown[]];

/** Milliseconds one request may take; a caller waits a little longer at the most. */
export const DEADLINE_MS = 4000;

/** A Repository whose operations go through `ask`, each as its name and arguments. */
export function repositoryBy(ask: (request: Request) => Promise<Outcome<unknown>>): Repository {
  return new Proxy({} as Repository, {
    // It must not look like a promise.
    get: (_target, name) =>
      typeof name === "string" && name !== "then"
        ? (...args: readonly unknown[]) => ask([name, ...args])
        : undefined,
  });
}

/** A client of the repository on the thread with this node index. For use inside processes. */
export const repositoryOn = (node: number): Repository =>
  repositoryBy((request) => askRepository(node, request));

/** Asks from inside a process. */
export async function askRepository(node: number, request: Request): Promise<Outcome<unknown>> {
  try {
    return await GenServer.call<Outcome<unknown>>({ name: REPOSITORY, node }, request, DEADLINE_MS + 1000);
  } catch {
    // Its thread is being restarted, or it is too busy to answer.
    return ["error", "unavailable"];
  }
}
