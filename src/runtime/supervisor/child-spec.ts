/**
 * A child spec says how a supervisor starts a child, when it restarts it and how it stops it (OTP:
 * supervisor child specification).
 *
 * `start` is a function and its arguments, not a closure over a running thing: it is called again
 * at each restart. It runs as the supervisor process and must start the child linked:
 * `GenServer.startLink` and its like do.
 */
import { GenServer, type GenServerModule, type StartOptions } from "../gen-server/gen-server.js";

/** `permanent`: always restarted. `transient`: after a crash only. `temporary`: never. */
export type Restart = "permanent" | "transient" | "temporary";
/** Milliseconds to stop in before the kill, no limit, or the kill at once. */
export type Shutdown = number | "infinity" | "brutal_kill";
export type ChildType = "worker" | "supervisor";

// biome-ignore lint/suspicious/noExplicitAny: a start function takes whatever arguments stand beside it
export type StartFunction = readonly [start: (...args: any[]) => unknown, args: readonly unknown[]];

/** What a supervisor is given. Everything but `id` and `start` has a default. */
export interface ChildSpec {
  /** Names the child within its supervisor; any term. A DynamicSupervisor ignores it. */
  readonly id?: unknown;
  readonly start: StartFunction;
  /** Default `permanent`. */
  readonly restart?: Restart;
  /** Default 5000 ms for a worker, `infinity` for a supervisor. */
  readonly shutdown?: Shutdown;
  /** Default `worker`. */
  readonly type?: ChildType;
  /** Whether its end can stop the supervisor, see `autoShutdown`. Default false. */
  readonly significant?: boolean;
  /**
   * Names of the modules behind the child, for reports. Default: the name of the start function.
   */
  readonly modules?: readonly unknown[] | "dynamic";
}

/** A child spec with every field filled in. */
export interface FullChildSpec extends Required<ChildSpec> {}

/** When the end of significant children stops the supervisor. */
export type AutoShutdown = "never" | "any_significant" | "all_significant";

export type SpecResult = readonly ["ok", FullChildSpec] | readonly ["error", unknown];

const RESTARTS: readonly unknown[] = ["permanent", "transient", "temporary"];
const TYPES: readonly unknown[] = ["worker", "supervisor"];

/**
 * Checks a spec and fills in the defaults. The first fault wins, in OTP's order: `missing_id`,
 * `missing_start`, `["invalid_mfa", v]`, `["invalid_restart_type", v]`, `["invalid_significant",
 * v]`, `["bad_combination", …]`, `["invalid_child_type", v]`, `["invalid_shutdown", v]`,
 * `["invalid_modules", v]`, `["invalid_child_spec", v]`.
 */
export function checkChildSpec(spec: unknown, autoShutdown: AutoShutdown | "dynamic" = "never"): SpecResult {
  if (typeof spec !== "object" || spec === null || Array.isArray(spec))
    return ["error", ["invalid_child_spec", spec]];
  const given = spec as Record<string, unknown>;
  if (autoShutdown === "dynamic") {
    if (Object.keys(given).length === 0) return ["error", ["invalid_child_spec", spec]];
  } else if (given.id === undefined) return ["error", "missing_id"];
  const { start } = given;
  if (start === undefined) return ["error", "missing_start"];
  if (!isStart(start)) return ["error", ["invalid_mfa", start]];
  const { restart = "permanent", significant = false, type = "worker" } = given;
  if (!RESTARTS.includes(restart)) return ["error", ["invalid_restart_type", restart]];
  if (typeof significant !== "boolean") return ["error", ["invalid_significant", significant]];
  if (significant) {
    if (autoShutdown === "dynamic") return ["error", ["invalid_significant", true]];
    if (autoShutdown === "never") return ["error", ["bad_combination", { autoShutdown, significant }]];
    if (restart === "permanent") return ["error", ["bad_combination", { restart, significant }]];
  }
  if (!TYPES.includes(type)) return ["error", ["invalid_child_type", type]];
  const { shutdown = type === "supervisor" ? "infinity" : 5000 } = given;
  if (!isShutdown(shutdown)) return ["error", ["invalid_shutdown", shutdown]];
  const { modules = [start[0].name || "fn"] } = given;
  if (modules !== "dynamic" && !Array.isArray(modules)) return ["error", ["invalid_modules", modules]];
  return ["ok", { id: given.id, start, restart, significant, type, shutdown, modules } as FullChildSpec];
}

const isStart = (value: unknown): value is StartFunction =>
  Array.isArray(value) && value.length === 2 && typeof value[0] === "function" && Array.isArray(value[1]);

const isShutdown = (value: unknown): boolean =>
  value === "infinity" ||
  value === "brutal_kill" ||
  (typeof value === "number" && Number.isInteger(value) && value >= 0);

/**
 * The child spec of a GenServer: `id` is the module's name unless given. Options of
 * `GenServer.startLink` and of the spec stand side by side.
 */
export function childSpec<Arg>(
  module: GenServerModule<unknown, Arg>,
  arg?: Arg,
  options: StartOptions & Partial<Omit<ChildSpec, "start">> = {},
): ChildSpec {
  const { id, restart, shutdown, type, significant, modules, ...start } = options;
  const name = module.name ?? (typeof start.name === "string" ? start.name : "GenServer");
  return {
    id: id ?? name,
    start: [GenServer.startLink, [module, arg, start]],
    modules: modules ?? [name],
    ...(restart === undefined ? {} : { restart }),
    ...(shutdown === undefined ? {} : { shutdown }),
    ...(type === undefined ? {} : { type }),
    ...(significant === undefined ? {} : { significant }),
  };
}
