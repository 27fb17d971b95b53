/**
 * Tests of channels, in process and without a network (Phoenix.ChannelTest). The test is the
 * client: what a channel pushes and answers comes to the test's own mailbox, where the assertions
 * look for it.
 *
 *     test("echo answers with what it was sent", channelTest(userSocket, async (t) => {
 *       const { socket } = await t.subscribeAndJoin(t.socket("users:1", { user: 1 }), "room:7");
 *       const ref = t.push(socket, "echo", { a: 1 });
 *       await t.assertReply(ref, "ok", { a: 1 });
 *     }));
 *
 * Each test has a runtime of its own, so tests may run side by side. Works with Vitest, node:test
 * and anything else that takes an async function. A channel that crashes takes the test with it, as
 * it is linked to it; a test that expects that calls `trapExit(true)` and looks for the `["EXIT",
 * pid, reason]`.
 */
import { AssertionError } from "node:assert";
import {
  type Assigns,
  type Channel,
  type ChannelSocket,
  type ConnectInfo,
  type ConnectResult,
  type ConnectSocket,
  Endpoint,
  isBroadcast,
  type SocketDefinition,
} from "simurgh/channels";
import { type PublishResult, PubSub } from "simurgh/pubsub";
import { type ChildSpec, createNode, exit, link, monitor, receive, self } from "simurgh/runtime";
import { ChannelHarness, type HarnessFrame, type JoinOutcome, routeOf } from "#channels";
import { matches, type Pattern } from "./match.js";

export interface ChannelTestOptions {
  /**
   * Processes the channels need, such as a Presence: `({ pubsub }) => [MyPresence.childSpec({
   * pubsub })]`.
   */
  readonly children?: (context: {
    readonly pubsub: string;
    readonly endpoint: string;
  }) => readonly ChildSpec[];
  /** Milliseconds that assertions wait by default. Default 100. */
  readonly timeout?: number;
}

/** How long a join may take before the test fails. */
const JOIN_TIMEOUT_MS = 5000;

export class ChannelTest {
  readonly #definition: SocketDefinition;
  readonly #harness: ChannelHarness;
  readonly #timeout: number;

  /** @internal See `channelTest`. */
  constructor(definition: SocketDefinition, harness: ChannelHarness, timeout: number) {
    this.#definition = definition;
    this.#harness = harness;
    this.#timeout = timeout;
  }

  get endpoint(): string {
    return this.#harness.endpoint;
  }

  get pubsub(): string {
    return this.#harness.pubsub;
  }

  // ---------------------------------------------------------------- connecting and joining

  /** A socket that never went through `connect`. */
  socket(id: string | null = null, assigns: Assigns = {}): ConnectSocket {
    return this.#harness.socket(id, assigns);
  }

  /**
   * Runs the definition's `connect` and `id`. The test is subscribed to the id, so a `disconnect`
   * can be asserted with `assertBroadcast`.
   */
  async connect(
    params: Record<string, unknown> = {},
    options: { readonly connectInfo?: ConnectInfo } = {},
  ): Promise<ConnectResult> {
    const result = await this.#definition.connect(
      params,
      this.#harness.socket(null, {}),
      options.connectInfo ?? {},
    );
    if (result.type === "error") return result;
    const id = this.#definition.id?.(result.socket) ?? null;
    if (id !== null) await PubSub.subscribe(this.pubsub, id);
    return { type: "ok", socket: { ...result.socket, id } };
  }

  /**
   * Joins. Without a channel, the definition's routes tell which; throws when none serves the
   * topic.
   */
  join(socket: ConnectSocket, topic: string, payload?: unknown): Promise<JoinOutcome>;
  join(socket: ConnectSocket, channel: Channel, topic: string, payload?: unknown): Promise<JoinOutcome>;
  async join(socket: ConnectSocket, ...rest: readonly unknown[]): Promise<JoinOutcome> {
    const [channel, topic, payload] = typeof rest[0] === "string" ? [undefined, ...rest] : rest;
    const served = (channel as Channel | undefined) ?? this.#route(topic as string);
    const outcome = await this.#harness.join(served, socket, topic as string, payload ?? {}, {
      notification: (match) => this.#notification(match),
      reply: async (ref) => (await this.#reply(ref, JOIN_TIMEOUT_MS)).payload,
    });
    // Its crash is the test's.
    if (outcome.type === "joined") link(outcome.socket.channelPid);
    return outcome;
  }

  /**
   * As `join`, and subscribes the test to the topic before: for `assertBroadcast`. Throws when the
   * join is refused.
   */
  subscribeAndJoin(
    socket: ConnectSocket,
    topic: string,
    payload?: unknown,
  ): Promise<Extract<JoinOutcome, { type: "joined" }>>;
  subscribeAndJoin(
    socket: ConnectSocket,
    channel: Channel,
    topic: string,
    payload?: unknown,
  ): Promise<Extract<JoinOutcome, { type: "joined" }>>;
  async subscribeAndJoin(
    socket: ConnectSocket,
    ...rest: readonly unknown[]
  ): Promise<Extract<JoinOutcome, { type: "joined" }>> {
    const topic = rest.find((part) => typeof part === "string") as string;
    await PubSub.subscribe(this.pubsub, topic);
    const outcome = await (this.join as (...args: unknown[]) => Promise<JoinOutcome>).call(
      this,
      socket,
      ...rest,
    );
    if (outcome.type === "joined") return outcome;
    throw new AssertionError({
      message: `could not join channel, got error: ${JSON.stringify(outcome.reply)}`,
    });
  }

  #route(topic: string): Channel {
    const index = routeOf(this.#definition, topic);
    const channel = this.#definition.channels[index];
    if (channel === undefined)
      throw new Error(`no channel of the socket serves the topic ${JSON.stringify(topic)}`);
    return channel;
  }

  // ---------------------------------------------------------------- what a client does

  /** Sends an event. Gives the ref its reply will carry. */
  push(socket: ChannelSocket, event: string, payload: unknown = {}): string {
    return this.#harness.push(socket, event, payload);
  }

  /** Leaves. Gives the ref of the reply; the channel ends with `["shutdown", "left"]`. */
  leave(socket: ChannelSocket): string {
    return this.#harness.leave(socket);
  }

  /**
   * Ends the connection, and waits until the channel has ended, with `["shutdown", "closed"]`;
   * after `timeout` ms it is killed. Harmless for a channel that has ended.
   */
  async close(socket: ChannelSocket, timeout = 5000): Promise<void> {
    const ref = monitor(socket.channelPid);
    this.#harness.disconnect(socket);
    const down = (ms: number | undefined): Promise<true | undefined> =>
      receive((message) => (Array.isArray(message) && ref.equals(message[1]) ? true : undefined), {
        after: ms,
        since: ref,
      });
    if ((await down(timeout)) !== undefined) return;
    exit(socket.channelPid, "kill");
    await down(undefined);
  }

  /** Sends an event to all subscribers of the socket's topic except the test. */
  broadcastFrom(socket: ChannelSocket, event: string, payload: unknown): PublishResult {
    return Endpoint.broadcastFrom(this.endpoint, self(), socket.topic, event, payload);
  }

  /** Like `broadcastFrom`; throws when it fails. */
  broadcastFromOrThrow(socket: ChannelSocket, event: string, payload: unknown): "ok" {
    const result = this.broadcastFrom(socket, event, payload);
    if (result !== "ok") throw new Error(`broadcast failed: ${JSON.stringify(result[1])}`);
    return "ok";
  }

  // ---------------------------------------------------------------- assertions

  /** The channel has pushed, or will within `timeout` ms, such an event. Gives its payload. */
  async assertPush(event: string, payload: Pattern = {}, timeout = this.#timeout): Promise<unknown> {
    const found = await this.#take(
      (message) => isPush(message) && message.event === event && matches(payload, message.payload),
      timeout,
    );
    return (found ?? (await this.#missing(`a push of ${event}`, payload, timeout))).payload;
  }

  /** The push with this ref was answered, or will be. Gives the response. */
  async assertReply(
    ref: string,
    status: string,
    payload: Pattern = {},
    timeout = this.#timeout,
  ): Promise<unknown> {
    const found = await this.#take(
      (message) =>
        isReply(message) &&
        message.ref === ref &&
        message.status === status &&
        matches(payload, message.payload),
      timeout,
    );
    return (found ?? (await this.#missing(`the reply ${status} to ${ref}`, payload, timeout))).payload;
  }

  /**
   * Such an event was broadcast on a topic the test is subscribed to, or will be. Gives its
   * payload.
   */
  async assertBroadcast(event: string, payload: Pattern = {}, timeout = this.#timeout): Promise<unknown> {
    const found = await this.#take(
      (message) => isPublished(message) && message.event === event && matches(payload, message.payload),
      timeout,
    );
    return (found ?? (await this.#missing(`a broadcast of ${event}`, payload, timeout))).payload;
  }

  /** No such push comes within `timeout` ms: always waits for as long. */
  async refutePush(event: string, payload: Pattern = {}, timeout = this.#timeout): Promise<void> {
    await this.#refute(
      (message) => isPush(message) && message.event === event && matches(payload, message.payload),
      timeout,
    );
  }

  async refuteReply(
    ref: string,
    status: string,
    payload: Pattern = {},
    timeout = this.#timeout,
  ): Promise<void> {
    await this.#refute(
      (message) =>
        isReply(message) &&
        message.ref === ref &&
        message.status === status &&
        matches(payload, message.payload),
      timeout,
    );
  }

  async refuteBroadcast(event: string, payload: Pattern = {}, timeout = this.#timeout): Promise<void> {
    await this.#refute(
      (message) => isPublished(message) && message.event === event && matches(payload, message.payload),
      timeout,
    );
  }

  // ---------------------------------------------------------------- the mailbox

  async #take(
    match: (message: unknown) => boolean,
    after: number,
  ): Promise<{ payload: unknown } | undefined> {
    return receive((message) => (match(message) ? (message as { payload: unknown }) : undefined), { after });
  }

  async #reply(ref: string, after: number): Promise<{ payload: unknown }> {
    const found = await this.#take((message) => isReply(message) && message.ref === ref, after);
    return found ?? this.#missing(`a reply to ${ref}`, {}, after);
  }

  async #notification<T>(match: (message: unknown) => T | undefined): Promise<T> {
    const found = await receive(match, { after: JOIN_TIMEOUT_MS });
    return found ?? this.#missing("an answer to the join", {}, JOIN_TIMEOUT_MS);
  }

  async #refute(match: (message: unknown) => boolean, timeout: number): Promise<void> {
    const found = await this.#take(match, timeout);
    if (found !== undefined)
      throw new AssertionError({ message: `this came, and should not have: ${show(found)}`, actual: found });
  }

  async #missing(what: string, payload: Pattern, timeout: number): Promise<never> {
    const inbox: unknown[] = [];
    for (;;) {
      const next = await receive((message) => [message], { after: 0 });
      if (next === undefined) break;
      if (isPush(next[0]) || isReply(next[0]) || isPublished(next[0])) inbox.push(next[0]);
    }
    const seen =
      inbox.length === 0 ? "the mailbox is empty" : `in the mailbox:\n${inbox.map(show).join("\n")}`;
    throw new AssertionError({
      message: `${what} with ${show(payload)} did not come within ${timeout} ms; ${seen}`,
      expected: payload,
      actual: inbox,
    });
  }
}

type Framed<T extends HarnessFrame["type"]> = Extract<HarnessFrame, { type: T }>;

const typed = (message: unknown): string | undefined =>
  typeof message === "object" && message !== null ? (message as { type?: string }).type : undefined;
const isPush = (message: unknown): message is Framed<"push"> => typed(message) === "push";
const isReply = (message: unknown): message is Framed<"reply"> => typed(message) === "reply";
const isPublished = (message: unknown): message is { event: string; payload: unknown } =>
  isBroadcast(message) && typed(message) === undefined;

function show(value: unknown): string {
  if (typeof value === "function") return "what the predicate accepts";
  try {
    return JSON.stringify(value) ?? String(value);
  } catch {
    return String(value);
  }
}

let tests = 0;

/**
 * Makes a test function of `fn`, with a runtime of its own for the time of the test. Rejects with
 * what `fn` throws, or when a channel of the test crashes.
 */
export function channelTest(
  definition: SocketDefinition,
  fn: (t: ChannelTest) => unknown,
  options: ChannelTestOptions = {},
): () => Promise<void> {
  return async () => {
    tests += 1;
    const name = `channel-test-${tests}`;
    const node = createNode({ onReport() {} });
    // The test may run longer than its promises keep the program alive.
    const alive = setInterval(() => {}, 60_000);
    try {
      await node.run(async () => {
        const harness = await ChannelHarness.start(name, options.children);
        await fn(new ChannelTest(definition, harness, options.timeout ?? 100));
      });
    } finally {
      clearInterval(alive);
      await node.stop();
    }
  };
}
