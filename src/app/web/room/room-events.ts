/**
 * The room's one channel as its panels use it (panels.ts). What cannot be sent now is refused,
 * never kept back: the package's own buffer would send it after an outage, when the person has long
 * given up or tried again.
 */
import type { Channel } from "phoenix";
import type { RoomChannel } from "./panels.js";

export class PushError extends Error {
  override readonly name = "PushError";
  /** The server's reason; "timeout" or "offline" when there was no answer. */
  readonly reason: string;
  readonly reply: unknown;
  constructor(reason: string, reply?: unknown) {
    super(`the server refused it: ${reason}`);
    this.reason = reason;
    this.reply = reply;
  }
}

export class RoomEvents implements RoomChannel {
  readonly #channel: Channel;
  readonly #ready: () => boolean;
  readonly #joins = new Set<() => void>();

  constructor(channel: Channel, ready: () => boolean) {
    this.#channel = channel;
    this.#ready = ready;
  }

  push(event: string, payload: object): Promise<unknown> {
    if (!this.#ready()) return Promise.reject(new PushError("offline"));
    return new Promise((resolve, reject) => {
      this.#channel
        .push(event, payload)
        .receive("ok", resolve)
        .receive("error", (reply: unknown) => reject(new PushError(reasonOf(reply) || "error", reply)))
        .receive("timeout", () => reject(new PushError("timeout")));
    });
  }

  on(event: string, listener: (payload: unknown) => void): () => void {
    const ref = this.#channel.on(event, listener);
    return () => this.#channel.off(event, ref);
  }

  onJoin(listener: () => void): () => void {
    this.#joins.add(listener);
    if (this.#ready()) listener();
    return () => this.#joins.delete(listener);
  }

  /** The room has been joined, again or for the first time. */
  joined(): void {
    for (const listener of [...this.#joins]) listener();
  }
}

/** The reason in an error reply, in the server's words; "" when there is none. */
export function reasonOf(reply: unknown): string {
  if (typeof reply !== "object" || reply === null) return "";
  const { reason, error } = reply as { reason?: unknown; error?: unknown };
  return String(typeof error === "string" ? error : typeof reason === "string" ? reason : "");
}
