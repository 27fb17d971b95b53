/**
 * The serializers by name, and the negotiation that selects one for the `vsn` of a client.
 *
 * A socket's own serializers are registered when its module is loaded, so in every thread that runs
 * its channels.
 */
import { show } from "#runtime";
import type { Serializer } from "./serializer.js";
import { supabaseJson } from "./supabase-json.js";
import { v1Json } from "./v1-json.js";
import { v2Json } from "./v2-json.js";

export type { Serializer };

/**
 * A serializer's name and the protocol versions that it serves: `"~> 2.0.0"` means 2.0 with any
 * patch version.
 */
export type SerializerEntry = readonly [name: string, requirement: string];

const known = new Map<string, Serializer>(
  [v1Json, v2Json, supabaseJson].map((serializer) => [serializer.name, serializer]),
);

export const DEFAULT_SERIALIZERS: readonly SerializerEntry[] = [
  [v1Json.name, "~> 1.0.0"],
  [v2Json.name, "~> 2.0.0"],
];

/** @internal Registers a serializer in this thread. */
export function registerSerializer(serializer: Serializer): void {
  for (const operation of [
    "scan",
    "encodePush",
    "encodeReply",
    "encodeBroadcast",
    "encodeControl",
  ] as const) {
    if (typeof serializer?.[operation] !== "function")
      throw new TypeError(`a serializer needs ${operation}(); ${show(serializer?.name)} has none`);
  }
  known.set(serializer.name, serializer);
}

export function serializerFor(name: string): Serializer {
  const found = known.get(name);
  if (found === undefined)
    throw new Error(`no serializer is named ${name}; the known ones are ${[...known.keys()].join(", ")}`);
  return found;
}

interface Requirement {
  readonly tilde: boolean;
  readonly major: number;
  readonly minor: number;
  readonly patch: number | undefined;
}

/** Parsed requirements: few, and matched for every connection. */
const requirements = new Map<string, Requirement>();

function parseRequirement(text: string): Requirement {
  let found = requirements.get(text);
  if (found === undefined) {
    const match = /^(~>\s*)?(\d+)\.(\d+)(?:\.(\d+))?$/.exec(text);
    if (match === null)
      throw new TypeError(`the version requirement ${JSON.stringify(text)} is not one such as "~> 2.0.0"`);
    const patch = match[4] === undefined ? undefined : Number(match[4]);
    found = { tilde: match[1] !== undefined, major: Number(match[2]), minor: Number(match[3]), patch };
    requirements.set(text, found);
  }
  return found;
}

/** Whether a client's `vsn` is a complete version such as `"2.0.0"`. */
export const isVersion = (vsn: unknown): boolean =>
  typeof vsn === "string" &&
  /^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$/.test(vsn);

/**
 * Whether `version` meets `requirement`: `"~> 2.0.0"`, `"~> 2.0"` or a version itself (Elixir:
 * Version.match?).
 */
export function meets(version: string, requirement: string): boolean {
  const wanted = parseRequirement(requirement);
  const asked = /^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)$/.exec(version);
  if (asked === null || Number(asked[1]) !== wanted.major) return false;
  const [minor, patch] = [Number(asked[2]), Number(asked[3])];
  if (!wanted.tilde) return minor === wanted.minor && patch === (wanted.patch ?? 0);
  return wanted.patch === undefined ? minor >= wanted.minor : minor === wanted.minor && patch >= wanted.patch;
}

/**
 * The first serializer of the list that serves the requested version. Undefined when none does.
 */
export function negotiate(entries: readonly SerializerEntry[], vsn: unknown): Serializer | undefined {
  if (typeof vsn !== "string") return undefined;
  const entry = entries.find(([, requirement]) => meets(vsn, requirement));
  return entry === undefined ? undefined : serializerFor(entry[0]);
}
