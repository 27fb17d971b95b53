/**
 * From the metas of Phoenix Presence (one per open tab) to the people one sees: each once, oneself
 * first, then by name. A user types when any of their tabs says so.
 */
import { COLORS } from "./peers.js";

export interface Meta {
  readonly typing?: unknown;
  readonly first_name?: unknown;
}

export interface Person {
  readonly id: string;
  readonly name: string;
  readonly you: boolean;
  readonly typing: boolean;
  /** Which of the palette's colours. */
  readonly color: number;
}

export type Presences = readonly (readonly [id: string, metas: readonly Meta[]])[];

/**
 * `colors` are those that the server gave to people with a cursor; all others have one that
 * follows from the id.
 */
export function peopleOf(
  presences: Presences,
  yourId: string,
  colors: ReadonlyMap<string, number> = new Map(),
): readonly Person[] {
  return presences
    .filter(([, metas]) => metas.length > 0)
    .map(([id, metas]) => ({
      id,
      name: nameOf(metas),
      you: id === yourId,
      typing: metas.some((meta) => meta.typing === true),
      color: colors.get(id) ?? colorFor(id),
    }))
    .sort((a, b) => Number(b.you) - Number(a.you) || a.name.localeCompare(b.name) || (a.id < b.id ? -1 : 1));
}

function colorFor(id: string): number {
  let sum = 0;
  for (const char of id) sum = (sum * 31 + (char.codePointAt(0) ?? 0)) % 9973;
  return sum % COLORS;
}

function nameOf(metas: readonly Meta[]): string {
  const name = metas
    .map((meta) => meta.first_name)
    .find((value) => typeof value === "string" && value !== "");
  return typeof name === "string" ? name : "Someone";
}

/**
 * What to tell a listener about a change of the company: who came, who went. Typing is not worth a
 * word.
 */
export function comingsAndGoings(before: readonly Person[], after: readonly Person[]): string {
  const missing = (from: readonly Person[], of: readonly Person[]): readonly string[] =>
    of
      .filter((person) => !person.you && !from.some((other) => other.id === person.id))
      .map((person) => person.name);
  const parts: string[] = [];
  const came = missing(before, after);
  const went = missing(after, before);
  if (came.length > 0) parts.push(`${came.join(", ")} joined`);
  if (went.length > 0) parts.push(`${went.join(", ")} left`);
  return parts.join(". ");
}
