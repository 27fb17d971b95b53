/**
 * A channel definition: the topics it serves, and the callbacks for joins, events and messages
 * (Phoenix.Channel). A definition is data and functions; each (connection, topic) runs it in a
 * process of its own, see channel-server.ts.
 */
import type { StandardSchemaV1 } from "@standard-schema/spec";
import type { ExitReason, From } from "simurgh/runtime";
import type { LogLevel } from "./instrumentation.js";
import type { InfoResult, InResult, JoinResult, ReplyResult } from "./results.js";
import type { ChannelSocket } from "./socket.js";
import { checkPattern, type TopicOf } from "./topic.js";

type Async<T> = T | Promise<T>;

/** The type a schema lets through; without a schema, anything. */
// biome-ignore lint/suspicious/noExplicitAny: without a schema a payload is whatever the client sent
type Checked<Schema> = Schema extends StandardSchemaV1 ? StandardSchemaV1.InferOutput<Schema> : any;

export interface IncomingEvent {
  /**
   * Validated before the handler runs; an invalid payload gets the error reply `invalid_payload`.
   */
  readonly payload?: StandardSchemaV1;
}

export type IncomingEvents = Readonly<Record<string, IncomingEvent>>;

type PayloadOf<Incoming, Event> = Event extends keyof Incoming
  ? Incoming[Event] extends { readonly payload: infer Schema }
    ? Checked<Schema>
    : Checked<undefined>
  : Checked<undefined>;

type Handlers<Incoming, Results, PreparedFrame> = {
  readonly [Event in keyof Results]: (
    payload: PayloadOf<Incoming, Event>,
    socket: ChannelSocket<PreparedFrame>,
  ) => Async<Results[Event] & InResult>;
};

declare const payloadType: unique symbol;

/** The payload type of an event that the server pushes. Types only. */
export interface Payload<T> {
  readonly [payloadType]?: T;
}

/**
 * Declares the payload of an event the server pushes: `outgoing: { moved: payload<{ x: number }>()
 * }`.
 */
export const payload = <T extends object>(): Payload<T> => ({});

/** Without a declaration anything may be pushed. */
type PushesOf<PreparedFrame> = [keyof PreparedFrame] extends [never]
  ? Open
  : { readonly [Event in keyof PreparedFrame]: PreparedFrame[Event] extends Payload<infer T> ? T : never };

// biome-ignore lint/suspicious/noExplicitAny: for channels that declare no types
type Open = any;

export interface ChannelCallbacks<
  Pattern extends string,
  Params,
  Incoming,
  Results = Open,
  Reply = Open,
  PreparedFrame = Open,
> {
  /** Validated before `join` runs; invalid params get the error reply `invalid_payload`. */
  readonly params?: Params;
  /** Payload schemas by event. */
  readonly incoming?: Incoming;
  /**
   * Events broadcast on the topic that go through `handleOut` instead of straight to the client.
   */
  readonly intercept?: readonly string[];
  /** Level at which joins are logged. Default "info". */
  readonly logJoin?: LogLevel | false;
  /** Level at which handled events are logged. Default "debug". */
  readonly logHandleIn?: LogLevel | false;
  /** Merged over the connection's assigns when a client joins. */
  readonly assigns?: Readonly<Record<string, unknown>>;
  /** Types of the events it pushes and broadcasts, for `push` and for clients; see `payload`. */
  readonly outgoing?: PreparedFrame;
  join(
    topic: TopicOf<Pattern>,
    params: Checked<Params>,
    socket: ChannelSocket<PushesOf<PreparedFrame>>,
  ): Async<JoinResult<Reply>>;
  readonly handleIn?:
    | Handlers<Incoming, Results, PushesOf<PreparedFrame>>
    // biome-ignore lint/suspicious/noExplicitAny: a function takes every event, whatever its payload
    | ((event: string, payload: any, socket: ChannelSocket) => Async<InResult>);
  // biome-ignore lint/suspicious/noExplicitAny: what was broadcast
  readonly handleOut?: Readonly<Record<string, (payload: any, socket: ChannelSocket) => Async<InfoResult>>>;
  // biome-ignore lint/suspicious/noExplicitAny: any message may be sent to a channel
  handleInfo?(message: any, socket: ChannelSocket): Async<InfoResult>;
  handleCall?(request: unknown, from: From, socket: ChannelSocket): Async<InResult>;
  handleCast?(request: unknown, socket: ChannelSocket): Async<InfoResult>;
  terminate?(reason: ExitReason, socket: ChannelSocket): unknown;
}

declare const channelTypes: unique symbol;

/** The types of a channel's topic, params, reply, events and pushes. */
export interface ChannelTypes {
  readonly topic: string;
  readonly params: unknown;
  readonly reply: unknown;
  readonly events: object;
  readonly pushes: object;
}

/** An event of a client: the payload before validation, and the type of its reply. */
export interface EventTypes<Payload, Result> {
  readonly payload: Payload;
  readonly reply: ReplyOf<Result>;
}

/** The response of an ok reply, or of any other status. */
type ReplyOf<Result> =
  Result extends ReplyResult<infer Status, infer Response> ? (Status extends "ok" ? Response : never) : never;

type Sent<Schema> = Schema extends StandardSchemaV1 ? StandardSchemaV1.InferInput<Schema> : unknown;
type SentPayload<Incoming, Event> = Event extends keyof Incoming
  ? Incoming[Event] extends { readonly payload: infer Schema }
    ? Sent<Schema>
    : unknown
  : unknown;

// biome-ignore lint/suspicious/noExplicitAny: a list of channels has channels of every type
export interface Channel<Types extends ChannelTypes = any> {
  /** Never set: carries the types to clients. */
  readonly [channelTypes]?: Types;
  readonly pattern: string;
  // biome-ignore lint/suspicious/noExplicitAny: the server runs channels of every type
  readonly callbacks: ChannelCallbacks<any, any, any>;
}

/**
 * Defines a channel for the topics that match `pattern`: an exact topic, or a prefix that ends in
 * `*`. Throws for a misplaced `*`, and for a definition that lacks `join`.
 */
export function defineChannel<
  const Pattern extends string,
  Params extends StandardSchemaV1 | undefined = undefined,
  const Incoming extends IncomingEvents = Record<never, never>,
  Results = Record<never, never>,
  Reply = unknown,
  PreparedFrame extends Readonly<Record<string, Payload<object>>> = Record<never, never>,
>(
  pattern: Pattern,
  callbacks: ChannelCallbacks<Pattern, Params, Incoming, Results, Reply, PreparedFrame>,
): Channel<{
  readonly topic: TopicOf<Pattern>;
  readonly params: Sent<Params>;
  readonly reply: Reply;
  readonly events: {
    readonly [Event in keyof Results]: EventTypes<SentPayload<Incoming, Event>, Results[Event]>;
  };
  readonly pushes: PushesOf<PreparedFrame>;
}> {
  checkPattern(pattern);
  if (typeof callbacks?.join !== "function")
    throw new TypeError(`the channel ${pattern} must have a join(topic, params, socket)`);
  checkIntercepts({ pattern, callbacks }, callbacks.intercept ?? []);
  return { pattern, callbacks };
}

/** @internal Returns the events; throws when the channel has no `handleOut` for one. */
export function checkIntercepts(
  { pattern, callbacks }: Channel,
  intercepts: readonly string[],
): readonly string[] {
  for (const event of intercepts) {
    if (callbacks.handleOut?.[event] === undefined)
      throw new TypeError(`the channel ${pattern} intercepts ${event} but has no handleOut for it`);
  }
  return intercepts;
}
