/** The official Phoenix client over `ws`, with promises for what it does by callbacks. */
import { type Channel, Presence, Socket } from "phoenix";
import { WebSocket } from "ws";
import { waitFor } from "./wait.js";

export interface Meta {
  readonly typing: boolean;
  readonly first_name: string;
  readonly user_id: number;
  readonly phx_ref: string;
}

export class RefusedError extends Error {
  readonly response: unknown;

  constructor(status: string, response: unknown) {
    super(`${status}: ${JSON.stringify(response)}`);
    this.response = response;
  }
}

/** The response of a push or join: "ok" resolves, anything else rejects. */
export const answer = <T>(push: {
  receive(status: string, callback: (response: T) => void): unknown;
}): Promise<T> =>
  new Promise((resolve, reject) => {
    push.receive("ok", resolve);
    push.receive("error", (response) => reject(new RefusedError("error", response)));
    push.receive("timeout", () => reject(new RefusedError("timeout", null)));
  });

/** The official client, which comes back sooner than it does by default. */
export function openSocket(port: number, params: object = {}, options: object = {}): Socket {
  const socket = new Socket(`ws://127.0.0.1:${port}/socket`, {
    transport: WebSocket as never,
    params,
    reconnectAfterMs: () => 100,
    rejoinAfterMs: () => 100,
    ...options,
  } as never);
  socket.connect();
  return socket;
}

/** One person in one room: keeps what the server sends, as the browser would. */
export class Participant {
  readonly socket: Socket;
  readonly channel: Channel;
  readonly updates: { readonly response: string }[] = [];
  people = new Map<string, Meta[]>();
  joins = 0;

  /** `server` may be a proxy before the server. */
  constructor(
    server: { readonly port: number },
    token: string,
    challenge: number | string,
    options: object = {},
  ) {
    this.socket = openSocket(server.port, { token }, options);
    this.channel = this.socket.channel(`challenges:${challenge}`, {});
    const presence = new Presence(this.channel);
    presence.onSync(() => {
      const people = new Map<string, Meta[]>();
      presence.list((key: string, { metas }: { metas: Meta[] }) => void people.set(key, metas));
      this.people = people;
    });
    this.channel.on(
      "response:updated",
      ({ challenge: updated }: { challenge: { response: string } }) => void this.updates.push(updated),
    );
  }

  join(): Promise<{
    challenge: { id: number; title: string; prompt: string; language: string; response: string };
  }> {
    const push = this.channel.join();
    push.receive("ok", () => {
      this.joins += 1;
    });
    return answer(push);
  }

  /** Sends a text and waits until the server has notified everyone. */
  async type(response: string): Promise<void> {
    this.channel.push("response:update", { response });
    await waitFor(`response:updated with ${JSON.stringify(response.slice(0, 40))}`, () =>
      this.updates.some((update) => update.response === response),
    );
  }

  /** First names of those present, sorted. */
  get names(): string[] {
    return [...this.people.values()].map((metas) => metas[0]?.first_name ?? "?").sort();
  }

  typing(userId: number): boolean | undefined {
    return this.people.get(String(userId))?.some((meta) => meta.typing);
  }

  leave(): void {
    this.socket.disconnect();
  }
}
