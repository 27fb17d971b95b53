/**
 * What a GenServer module is: its callbacks, what they may return, and how a server is started.
 * Types only.
 */

import type { GlobalName, ViaName } from "../kernel/bifs.js";
import type { ExitReason } from "../kernel/exit-reason.js";
import type { Pid } from "../kernel/pid.js";
import type { MaxQueue } from "../kernel/process.js";
import type { From } from "../kernel/request.js";
import type { ReplyOf, RequestOf, Understands } from "../kernel/typed-messages.js";

/** What may follow a state: a timeout in ms, hibernation, or work to do before the next message. */
export type Extra = number | "hibernate" | readonly ["continue", unknown];

export type InitResult<S> =
  | readonly ["ok", S]
  | readonly ["ok", S, Extra]
  | "ignore"
  | readonly ["stop", ExitReason]
  | readonly ["error", ExitReason];

export type NoReply<S> =
  | readonly ["noreply", S]
  | readonly ["noreply", S, Extra]
  | readonly ["stop", ExitReason, S];

export type CallResult<S, R = unknown> =
  | readonly ["reply", R, S]
  | readonly ["reply", R, S, Extra]
  | readonly ["stop", ExitReason, R, S]
  | NoReply<S>;

type Async<T> = T | Promise<T>;

// biome-ignore lint/suspicious/noExplicitAny: the defaults let a module leave its request types open
export interface GenServerModule<S = any, Arg = any, Calls = any, Cast = any, Info = any>
  extends Understands<Calls, Cast> {
  /** For reports. Default "GenServer". */
  readonly name?: string;
  init(arg: Arg): Async<InitResult<S>>;
  handleCall?(request: RequestOf<Calls>, from: From, state: S): Async<CallResult<S, ReplyOf<Calls>>>;
  handleCast?(request: Cast, state: S): Async<NoReply<S>>;
  /**
   * Every other message, `["EXIT", …]` and `["DOWN", …]` included; `"timeout"` after a returned
   * timeout.
   */
  handleInfo?(message: Info, state: S): Async<NoReply<S>>;
  handleContinue?(arg: unknown, state: S): Async<NoReply<S>>;
  terminate?(reason: ExitReason, state: S): unknown;
  /** What reports and `sys.getStatus` show instead of the state. */
  formatStatus?(status: {
    readonly state: S;
    readonly reason?: ExitReason;
    readonly message?: unknown;
  }): unknown;
  /** Called when a callback returns `hibernate`: drop caches here. */
  onHibernate?(state: S): void;
}

export interface StartOptions {
  /**
   * Registered before init runs: a local, global or via name. `undefined` and null start it
   * unnamed.
   */
  readonly name?: string | ViaName | GlobalName | null | undefined;
  /** Milliseconds init may take. Default Infinity. */
  readonly timeout?: number;
  /** Idle ms after which the server hibernates. Default Infinity. */
  readonly hibernateAfter?: number;
  /** A description for reports and tree views. */
  readonly label?: unknown;
  /** Bound of the mailbox. Default none. */
  readonly maxQueue?: MaxQueue;
}

export type StartResult<P extends Pid = Pid> = readonly ["ok", P] | "ignore" | readonly ["error", ExitReason];
