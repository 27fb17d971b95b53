/**
 * A hub joins processes of one machine, with no engine: a socket file to which each thread of each
 * process connects. It passes on what is published to whoever listens, at most once, in order, and
 * keeps nothing. For several processes behind `node:cluster`:
 *
 *     if (cluster.isPrimary) {
 *       const { path } = await startHub();
 *       for (let n = 0; n < 4; n += 1) cluster.fork({ HUB: path });
 *     } else {
 *       Endpoint.childSpec({ …, cluster: { adapter: "hub", path: process.env.HUB } });
 *     }
 *
 * For more than one machine, use NATS or Redis. The file is in a folder that only its user can
 * enter: who can reach it is trusted as the nodes trust each other.
 */
import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type HubFrame, HubFrames, hubFrame, Kind } from "./hub-frames.js";

export interface Hub {
  /** Where links connect to. */
  readonly path: string;
  close(): Promise<void>;
}

export interface HubOptions {
  /** For one that takes the place of another. Default: a file of its own. */
  readonly path?: string;
  /**
   * Bytes that may wait for a link that does not read; with more it is cut off, and connects anew.
   * Default 64 MiB.
   */
  readonly maxBehindBytes?: number;
}

/** Channels one link may listen to: two for each slot, and some. */
const MOST_CHANNELS = 1024;

export async function startHub({ path, maxBehindBytes = 64 * 1024 * 1024 }: HubOptions = {}): Promise<Hub> {
  const folder = path === undefined && process.platform !== "win32" ? await ownFolder() : undefined;
  const where = path ?? (folder === undefined ? pipeName() : join(folder, "hub"));
  const links = new Set<HubSide>();
  const channels = new Map<string, Set<HubSide>>();
  const server = createServer((socket) => {
    const link: HubSide = new HubSide(socket, channels, maxBehindBytes, () => links.delete(link));
    links.add(link);
  });
  // What a hub that was killed has left behind.
  if (path !== undefined && process.platform !== "win32") await rm(path, { force: true });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(where, resolve);
  });
  return {
    path: where,
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const link of links) link.end();
      await closed;
      if (folder !== undefined) await rm(folder, { recursive: true, force: true });
    },
  };
}

const ownFolder = (): Promise<string> => mkdtemp(join(tmpdir(), "simurgh-"));
const pipeName = (): string => `\\\\.\\pipe\\simurgh-${randomBytes(8).toString("hex")}`;

/** A link as the hub has it. */
class HubSide {
  readonly #socket: Socket;
  readonly #channels: Map<string, Set<HubSide>>;
  readonly #maxBehindBytes: number;
  readonly #listening = new Set<string>();

  constructor(socket: Socket, channels: Map<string, Set<HubSide>>, maxBehindBytes: number, gone: () => void) {
    this.#socket = socket;
    this.#maxBehindBytes = maxBehindBytes;
    this.#channels = channels;
    const frames = new HubFrames();
    socket.on("data", (chunk) => {
      if (!frames.read(chunk, (frame) => this.#handle(frame))) socket.destroy();
    });
    socket.on("error", () => socket.destroy());
    socket.on("close", () => {
      for (const channel of this.#listening) this.#unlisten(channel);
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
        if (this.#listening.size >= MOST_CHANNELS) this.end();
        else this.#listen(channel);
        break;
      }
      case Kind.unlisten:
        this.#unlisten(channel);
        break;
      case Kind.flush:
        this.#write(hubFrame(Kind.flushed, "", bytes));
        break;
      default:
        this.end();
    }
  }

  #listen(channel: string): void {
    this.#listening.add(channel);
    const listeners = this.#channels.get(channel);
    if (listeners === undefined) this.#channels.set(channel, new Set([this]));
    else listeners.add(this);
  }

  #unlisten(channel: string): void {
    this.#listening.delete(channel);
    const listeners = this.#channels.get(channel);
    if (listeners?.delete(this) && listeners.size === 0) this.#channels.delete(channel);
  }

  /** What one loop run has for a link leaves together. */
  #write(frame: Buffer): void {
    const socket = this.#socket;
    if (socket.destroyed) return;
    if (socket.writableLength > this.#maxBehindBytes) {
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
