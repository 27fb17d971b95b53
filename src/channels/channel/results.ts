/**
 * The results that channel and socket callbacks return, a union made by these helpers. Any other
 * value is an error whose text lists the allowed forms.
 */

import type { ExitReason } from "simurgh/runtime";
import { show } from "#runtime";
import type { ChannelSocket } from "./socket.js";

export type JoinedResult<Reply = unknown> = {
  readonly type: "joined";
  readonly socket: ChannelSocket;
  readonly reply: Reply;
  readonly intercept: readonly string[] | undefined;
};
export type RefusedResult = { readonly type: "refused"; readonly reply: unknown };
export type JoinResult<Reply = unknown> = JoinedResult<Reply> | RefusedResult;

export type NoReplyResult = {
  readonly type: "noreply";
  readonly socket: ChannelSocket;
  readonly idle: number | "hibernate" | undefined;
};
export type ReplyResult<Status extends string = string, Response = unknown> = {
  readonly type: "reply";
  readonly socket: ChannelSocket;
  readonly status: Status;
  readonly response: Response;
};
export type StopResult = {
  readonly type: "stop";
  readonly socket: ChannelSocket;
  readonly reason: ExitReason;
  readonly reply: { readonly status: string; readonly response: unknown } | undefined;
};

export type InResult = NoReplyResult | ReplyResult | StopResult;
export type InfoResult = NoReplyResult | StopResult;

export interface JoinOptions {
  /**
   * Events that go through `handleOut` for this client, instead of the channel's `intercept`: for
   * topics whose clients differ.
   */
  readonly intercept?: readonly string[];
}

/** Accepts the join; `reply` is its response, `{}` by default. */
export function joined(socket: ChannelSocket): JoinedResult<Record<string, never>>;
export function joined<const Reply>(
  socket: ChannelSocket,
  reply: Reply,
  options?: JoinOptions,
): JoinedResult<Reply>;
export function joined(
  socket: ChannelSocket,
  reply: unknown = {},
  { intercept }: JoinOptions = {},
): JoinedResult {
  return { type: "joined", socket, reply, intercept };
}

/** Refuses the join; `reply` is the error's response, such as `{ reason: "unauthorized" }`. */
export const refused = (reply: unknown = {}): RefusedResult => ({ type: "refused", reply });

/**
 * Sends no reply. With a number of ms, `handleInfo` receives `"timeout"` when no message arrives
 * within that time; "hibernate" releases what memory an idle channel can.
 */
export const noreply = (socket: ChannelSocket, idle?: number | "hibernate"): NoReplyResult => ({
  type: "noreply",
  socket,
  idle,
});

/** Replies to the push: `reply("ok", socket)` or `reply("ok", { id: 1 }, socket)`. */
export function reply<Status extends string>(
  status: Status,
  socket: ChannelSocket,
): ReplyResult<Status, Record<string, never>>;
export function reply<Status extends string, Response>(
  status: Status,
  response: Response,
  socket: ChannelSocket,
): ReplyResult<Status, Response>;
export function reply(status: string, second: unknown, third?: ChannelSocket): ReplyResult {
  if (third === undefined) return { type: "reply", socket: second as ChannelSocket, status, response: {} };
  return { type: "reply", socket: third, status, response: second };
}

/**
 * Stops the channel, after sending the reply when there is one: `stop("normal", ["ok", {}],
 * socket)`.
 */
export function stop(reason: ExitReason, socket: ChannelSocket): StopResult;
export function stop(
  reason: ExitReason,
  reply: readonly [status: string, response: unknown],
  socket: ChannelSocket,
): StopResult;
export function stop(reason: ExitReason, second: unknown, third?: ChannelSocket): StopResult {
  if (third === undefined) return { type: "stop", reason, reply: undefined, socket: second as ChannelSocket };
  const [status, response] = second as readonly [string, unknown];
  return { type: "stop", reason, reply: { status, response }, socket: third };
}

/** The results a callback may return: their types, and the forms that an error text lists. */
export interface AllowedResults {
  readonly types: readonly string[];
  readonly forms: readonly string[];
}

export const JOIN_RESULTS: AllowedResults = {
  types: ["joined", "refused"],
  forms: ["joined(socket)", "joined(socket, reply)", "joined(socket, reply, options)", "refused(reply)"],
};

/** Of `handleIn` and `handleCall`. */
export const IN_RESULTS: AllowedResults = {
  types: ["noreply", "reply", "stop"],
  forms: [
    "noreply(socket)",
    "noreply(socket, timeout)",
    "reply(status, socket)",
    "reply(status, response, socket)",
    "stop(reason, socket)",
    "stop(reason, [status, response], socket)",
  ],
};

/** Of `handleInfo`, `handleOut` and `handleCast`. */
export const INFO_RESULTS: AllowedResults = {
  types: ["noreply", "stop"],
  forms: ["noreply(socket)", "noreply(socket, timeout)", "stop(reason, socket)"],
};

/** Of `connect`. */
export const CONNECT_RESULTS: AllowedResults = {
  types: ["ok", "error"],
  forms: ["ok(socket)", "error()", "error(reason)"],
};

export const isResult = (value: unknown, { types }: AllowedResults): boolean =>
  typeof value === "object" && value !== null && types.includes((value as { type?: string }).type ?? "");

/** The error for a callback that returned something else. */
export function badReturn(callback: string, value: unknown, { forms }: AllowedResults): TypeError {
  let shown: string | undefined;
  try {
    shown = JSON.stringify(value)?.slice(0, 200);
  } catch {
    shown = undefined;
  }
  return new TypeError(
    `${callback} must return one of ${forms.join(", ")}; it returned ${shown ?? show(value)}`,
  );
}
