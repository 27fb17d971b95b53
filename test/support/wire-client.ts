/**
 * A client of the wire without any client library: frames written and read by hand, as
 * docs/protocol.md and docs/room-protocol.md have them, over a WebSocket or over long-poll. For
 * tests that must not share a misunderstanding with a library.
 */
import { WebSocket } from "ws";
import { waitFor } from "./wait.js";

export interface Frame {
  readonly joinRef: string | null;
  readonly ref: string | null;
  readonly topic: string;
  readonly event: string;
  /** The response, of a reply. */
  readonly payload: unknown;
  /** There when it is a reply. */
  readonly status?: string;
}

/** How frames travel. */
interface Line {
  send(frame: string | Uint8Array): void;
  close(): void;
}

const KINDS = ["push", "reply", "broadcast"] as const;

function decodeText(text: string): Frame {
  const [joinRef, ref, topic, event, payload] = JSON.parse(text) as [
    string | null,
    string | null,
    string,
    string,
    unknown,
  ];
  if (event !== "phx_reply") return { joinRef, ref, topic, event, payload };
  const { status, response } = payload as { status: string; response: unknown };
  return { joinRef, ref, topic, event, payload: response, status };
}

/** Kind, one length byte per field, the fields, the payload. */
function decodeBinary(frame: Buffer): Frame {
  const kind = KINDS[frame[0] as number];
  const count = kind === "reply" ? 4 : kind === "push" ? 3 : 2;
  let at = 1 + count;
  const fields = [...frame.subarray(1, at)].map((length) => {
    at += length;
    return frame.toString("utf8", at - length, at);
  });
  const payload = new Uint8Array(frame.subarray(at));
  const [first = "", second = "", third = "", fourth = ""] = fields;
  if (kind === "reply")
    return { joinRef: first, ref: second, topic: third, event: "phx_reply", payload, status: fourth };
  return kind === "push"
    ? { joinRef: first, ref: null, topic: second, event: third, payload }
    : { joinRef: null, ref: null, topic: first, event: second, payload };
}

function encodeBinary(fields: readonly string[], payload: Uint8Array): Uint8Array {
  const texts = fields.map((field) => Buffer.from(field));
  return Buffer.concat([Buffer.from([0, ...texts.map(({ length }) => length)]), ...texts, payload]);
}

export class WireClient {
  readonly frames: Frame[] = [];
  /** Why the line is closed: a WebSocket's code, or a status of long-poll. */
  closed: number | undefined;
  readonly #line: Line;
  #refs = 0;
  #topic = "";
  #joinRef = "";

  private constructor(line: (client: WireClient) => Line) {
    this.#line = line(this);
  }

  static async overWebSocket(port: number, token: string): Promise<WireClient> {
    const ws = new WebSocket(
      `ws://127.0.0.1:${port}/socket/websocket?vsn=2.0.0&token=${encodeURIComponent(token)}`,
    );
    const client = new WireClient(() => ({ send: (frame) => ws.send(frame), close: () => ws.close() }));
    ws.on("message", (data: Buffer, binary: boolean) => {
      client.frames.push(binary ? decodeBinary(data) : decodeText(data.toString()));
    });
    ws.on("close", (code) => {
      client.closed = code;
    });
    await new Promise((resolve, reject) => ws.once("open", resolve).once("error", reject));
    return client;
  }

  static async overLongPoll(port: number, token: string): Promise<WireClient> {
    const url = `http://127.0.0.1:${port}/socket/longpoll?vsn=2.0.0`;
    const ask = async (init: RequestInit, session?: string) => {
      const header = session === undefined ? {} : { "x-phoenix-longpoll-token": session };
      const headers = { "x-phoenix-authtoken": token, ...header, ...(init.headers as object) };
      const response = await fetch(url, { ...init, headers });
      return (await response.json()) as { status: number; token: string; messages: readonly string[] };
    };
    const begun = await ask({ method: "GET" });
    if (begun.status !== 410) throw new Error(`long-poll was refused with ${begun.status}`);
    const session = begun.token;
    // One POST at a time, as order needs it; what waits meanwhile goes together, up to a hundred
    // frames.
    const waiting: string[] = [];
    let posting = false;
    const client = new WireClient((self) => ({
      send(frame) {
        waiting.push(typeof frame === "string" ? frame : Buffer.from(frame).toString("base64"));
        if (posting) return;
        posting = true;
        setImmediate(async () => {
          while (waiting.length > 0) {
            const body = waiting.splice(0, 100).join("\n");
            const headers = { "content-type": "application/x-ndjson" };
            const { status } = await ask({ method: "POST", body, headers }, session);
            if (status !== 200) self.closed = status;
          }
          posting = false;
        });
      },
      close: () => {
        self.closed ??= 0;
      },
    }));
    const poll = async (): Promise<void> => {
      while (client.closed === undefined) {
        const { status, messages } = await ask({ method: "GET" }, session);
        if (status === 410) client.closed = status;
        for (const message of messages ?? []) client.frames.push(decodeText(message));
      }
    };
    void poll().catch(() => {
      client.closed ??= 0;
    });
    return client;
  }

  /** Sends a message, bytes as a binary frame; gives its ref. */
  push(event: string, payload: object): string {
    this.#refs += 1;
    const ref = String(this.#refs);
    this.#line.send(
      payload instanceof Uint8Array
        ? encodeBinary([this.#joinRef, ref, this.#topic, event], payload)
        : JSON.stringify([this.#joinRef, ref, this.#topic, event, payload]),
    );
    return ref;
  }

  /** Sends something that is no message. */
  raw(frame: string | Uint8Array): void {
    this.#line.send(frame);
  }

  /** The reply with this ref. */
  async reply(ref: string): Promise<Frame> {
    const isReply = (frame: Frame): boolean => frame.event === "phx_reply" && frame.ref === ref;
    await waitFor(`the reply to ${ref}`, () => this.frames.some(isReply));
    return this.frames.find(isReply) as Frame;
  }

  /** Sends a message and gives what is answered, as `[status, response]`. */
  async ask(
    event: string,
    payload: object,
  ): Promise<readonly [status: string | undefined, response: unknown]> {
    const { status, payload: response } = await this.reply(this.push(event, payload));
    return [status, response];
  }

  join(topic: string, params: object): Promise<readonly [status: string | undefined, response: unknown]> {
    this.#topic = topic;
    this.#joinRef = String(this.#refs + 1);
    return this.ask("phx_join", params);
  }

  /** Payloads of an event, in order. */
  received(event: string): readonly unknown[] {
    return this.frames.filter((frame) => frame.event === event).map(({ payload }) => payload);
  }

  close(): void {
    this.#line.close();
  }
}
