/**
 * A hub connects processes of one machine without a broker: a socket file to which each thread of
 * each process connects. It forwards messages to subscribers, at most once, in order, and stores
 * nothing. For several processes behind `node:cluster`:
 *
 *     if (cluster.isPrimary) {
 *       const { path } = await startHub();
 *       for (let n = 0; n < 4; n += 1) cluster.fork({ HUB: path });
 *     } else {
 *       Endpoint.childSpec({ …, cluster: { adapter: "hub", path: process.env.HUB } });
 *     }
 *
 * For more than one machine, use NATS or Redis. The file is in a folder that only its user can
 * enter: every program that can open it is trusted like a node.
 */
import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type HubFrame, HubFrames, hubFrame, Kind } from "./hub-frames.js";

export interface Hub {
  /** The path that clients connect to. */
  readonly path: string;
  close(): Promise<void>;
}

export interface HubOptions {
  /** For a hub that replaces another one. Default: a new file. */
  readonly path?: string;
  /**
   * Bytes that may wait for a client that does not read. With more the client is disconnected, and
   * connects again. Default 64 MiB.
   */
  readonly maxUnreadBytes?: number;
}

/** Channels that a client may subscribe to: two for each slot, and some more. */
const MOST_CHANNELS = 1024;

export async function startHub({ path, maxUnreadBytes = 64 * 1024 * 1024 }: HubOptions = {}): Promise<Hub> {
  const folder = path === undefined && process.platform !== "win32" ? await ownFolder() : undefined;
  const where = path ?? (folder === undefined ? pipeName() : join(folder, "hub"));
  const clients = new Set<HubConnection>();
  const channels = new Map<string, Set<HubConnection>>();
  const server = createServer((socket) => {
    const client: HubConnection = new HubConnection(socket, channels, maxUnreadBytes, () =>
      clients.delete(client),
    );
    clients.add(client);
  });
  // The file of a hub that was killed.
  if (path !== undefined && process.platform !== "win32") await rm(path, { force: true });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(where, resolve);
  });
  return {
    path: where,
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const client of clients) client.end();
      await closed;
      if (folder !== undefined) await rm(folder, { recursive: true, force: true });
    },
  };
}

const ownFolder = (): Promise<string> => mkdtemp(join(tmpdir(), "simurgh-"));
const pipeName = (): string => `\\\\.\\pipe\\simurgh-${randomBytes(8).toString("hex")}`;

/** The hub's side of one client. */
class HubConnection {
  readonly #socket: Socket;
  readonly #channels: Map<string, Set<HubConnection>>;
  readonly #maxUnreadBytes: number;
  readonly #subscriptions = new Set<string>();

  constructor(
    socket: Socket,
    channels: Map<string, Set<HubConnection>>,
    maxUnreadBytes: number,
    gone: () => void,
  ) {
    this.#socket = socket;
    this.#maxUnreadBytes = maxUnreadBytes;
    this.#channels = channels;
    const frames = new HubFrames();
    socket.on("data", (chunk) => {
      if (!frames.read(chunk, (frame) => this.#handle(frame))) socket.destroy();
    });
    socket.on("error", () => socket.destroy());
    socket.on("close", () => {
      for (const channel of this.#subscriptions) this.#unsubscribe(channel);
      gone();
    });
  }

  end(): void {
    this.#socket.destroy();
  }

  #handle({ kind, channel, bytes }: HubFrame): void {
    switch (kind) {
      case Kind.publish:
      case Kind.probe: {
        const listeners = this.#channels.get(channel);
        if (listeners === undefined) return;
        const frame = hubFrame(Kind.message, channel, bytes);
        for (const other of listeners) if (other !== this || kind === Kind.probe) other.#write(frame);
        break;
      }
      case Kind.listen: {
        if (this.#subscriptions.size >= MOST_CHANNELS) this.end();
        else this.#listen(channel);
        break;
      }
      case Kind.unsubscribe:
        this.#unsubscribe(channel);
        break;
      case Kind.flush:
        this.#write(hubFrame(Kind.flushed, "", bytes));
        break;
      default:
        this.end();
    }
  }

  #listen(channel: string): void {
    this.#subscriptions.add(channel);
    const listeners = this.#channels.get(channel);
    if (listeners === undefined) this.#channels.set(channel, new Set([this]));
    else listeners.add(this);
  }

  #unsubscribe(channel: string): void {
    this.#subscriptions.delete(channel);
    const listeners = this.#channels.get(channel);
    if (listeners?.delete(this) && listeners.size === 0) this.#channels.delete(channel);
  }

  /** Everything written in one turn of the event loop is sent together. */
  #write(frame: Buffer): void {
    const socket = this.#socket;
    if (socket.destroyed) return;
    if (socket.writableLength > this.#maxUnreadBytes) {
      socket.destroy();
      return;
    }
    if (socket.writableCorked === 0) {
      socket.cork();
      setImmediate(() => socket.uncork());
    }
    socket.write(frame);
  }
}
