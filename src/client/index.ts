/**
 * simurgh/client is the official `phoenix` client with the types of the server's channels. No code
 * is generated and the wire does not change; at run time it is a thin layer of promises over the
 * package.
 *
 *     import type { roomChannel } from "../server/room-channel.js";
 *
 *     const client = connect("/socket", { params: { token } });
 *     const room = client.channel<typeof roomChannel>("room:1", { name: "Ann" });
 *     const welcome = await room.join();
 *     room.on("moved", ({ x }) => …);
 *     const { id } = await room.push("add", { text: "hello" });
 */
import { type Channel as PhoenixChannel, Socket, type SocketConnectOption } from "phoenix";
import type { Channel, ChannelTypes, EventTypes } from "simurgh/channels";

/** A push or join got a reply other than ok, or none in time. */
export class ReplyError extends Error {
  override readonly name = "ReplyError";
  /** "error", "timeout", or a custom status of the server. */
  readonly status: string;
  readonly response: unknown;

  constructor(what: string, status: string, response: unknown) {
    super(status === "timeout" ? `${what} was not answered in time` : `${what} was answered with ${status}`);
    this.status = status;
    this.response = response;
  }
}

type TypesOf<C> = C extends Channel<infer Types> ? Types : ChannelTypes;
type PayloadOf<Event> = Event extends EventTypes<infer Payload, infer _Result> ? Payload : unknown;
type ReplyTo<Event> = Event extends { readonly reply: infer Reply } ? Reply : unknown;

interface Receiver {
  receive(status: string, callback: (response?: unknown) => void): Receiver;
}

function settled<T>(what: string, push: unknown): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    (push as Receiver)
      .receive("ok", (response) => resolve(response as T))
      .receive("error", (response) => reject(new ReplyError(what, "error", response)))
      .receive("timeout", () => reject(new ReplyError(what, "timeout", undefined)));
  });
}

/** A channel of one topic, typed by the server's definition. */
export class TypedChannel<Types extends ChannelTypes> {
  /** The channel of the `phoenix` package, for features without a wrapper here. */
  readonly phoenix: PhoenixChannel;

  constructor(channel: PhoenixChannel) {
    this.phoenix = channel;
  }

  /** Joins. Rejects with `ReplyError` when refused; afterwards the client rejoins by itself. */
  join(timeoutMs?: number): Promise<Types["reply"]> {
    return settled(`the join of ${this.phoenix.topic}`, this.phoenix.join(timeoutMs));
  }

  /** Sends an event and resolves with the response of an ok reply. Rejects with `ReplyError`. */
  push<Event extends keyof Types["events"] & string>(
    event: Event,
    payload: PayloadOf<Types["events"][Event]>,
    timeoutMs?: number,
  ): Promise<ReplyTo<Types["events"][Event]>> {
    return settled(
      `${event} on ${this.phoenix.topic}`,
      this.phoenix.push(event, payload as object, timeoutMs),
    );
  }

  /** Sends an event and ignores its reply. */
  send<Event extends keyof Types["events"] & string>(
    event: Event,
    payload: PayloadOf<Types["events"][Event]>,
  ): void {
    this.phoenix.push(event, payload as object);
  }

  /**
   * Calls `listener` with each event the server pushes or broadcasts. Returns a function that
   * removes the listener.
   */
  on<Event extends keyof Types["pushes"] & string>(
    event: Event,
    listener: (payload: Types["pushes"][Event]) => void,
  ): () => void {
    const ref = this.phoenix.on(event, listener as (payload: unknown) => void);
    return () => this.phoenix.off(event, ref);
  }

  leave(timeoutMs?: number): Promise<unknown> {
    return settled(`the leave of ${this.phoenix.topic}`, this.phoenix.leave(timeoutMs));
  }
}

export class Client {
  /** The socket of the `phoenix` package. */
  readonly phoenix: Socket;

  constructor(socket: Socket) {
    this.phoenix = socket;
  }

  /**
   * A channel of the topic. `C` is the type of the server's definition: `client.channel<typeof
   * roomChannel>("room:1")`.
   */
  channel<C>(
    topic: TypesOf<C>["topic"],
    ...params: unknown extends TypesOf<C>["params"]
      ? [params?: object | (() => object)]
      : [params: TypesOf<C>["params"] | (() => TypesOf<C>["params"])]
  ): TypedChannel<TypesOf<C>> {
    return new TypedChannel(this.phoenix.channel(topic, (params[0] ?? {}) as object));
  }

  disconnect(): void {
    this.phoenix.disconnect();
  }
}

/** Connects to a socket; options are those of the `phoenix` package's `Socket`. */
export function connect(endpoint: string, options: Partial<SocketConnectOption> = {}): Client {
  const socket = new Socket(endpoint, options);
  socket.connect();
  return new Client(socket);
}
