/** A real endpoint on a free port, clients that speak raw frames, and the official client. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { BroadcastChannel } from "node:worker_threads";
import { Socket as PhoenixSocket } from "phoenix";
import { Endpoint, type EndpointOptions } from "simurgh/channels";
import {
  createNode,
  type NodeOptions,
  type Pid,
  type Report,
  type RuntimeNode,
  Supervisor,
  trapExit,
} from "simurgh/runtime";
import { WebSocket } from "ws";
import type { ClientNews } from "./fixtures/server.js";

/**
 * The whole suite runs with one gateway, and once more with several, where Node lets them share a
 * port.
 */
const GATEWAYS = Number(process.env.SIMURGH_TEST_GATEWAYS ?? 1);

export interface TestServer {
  readonly node: RuntimeNode;
  readonly port: number;
  readonly reports: Report[];
  readonly url: string;
  /** Ports of the clients whose connections the server holds to be open. */
  clientPorts(): number[];
  /** Runs `fn` as a process of the server's main thread. */
  run<T>(fn: () => T | Promise<T>): Promise<T>;
  stop(): Promise<void>;
}

export async function startServer(
  options: Partial<EndpointOptions> = {},
  nodeOptions: NodeOptions = {},
): Promise<TestServer> {
  const reports: Report[] = [];
  const node = createNode({ onReport: (report) => void reports.push(report), ...nodeOptions });
  const open = new Set<number>();
  const { how, listening, close } = listeningAs(options, open);
  let stopTree!: () => void;
  const stopped = new Promise<void>((resolve) => {
    stopTree = resolve;
  });
  const ready = new Promise<void>((resolve, reject) => {
    node
      .run(async () => {
        trapExit(true);
        const spec = Endpoint.childSpec({
          name: "endpoint",
          ...how,
          sockets: { "/socket": { module: new URL("./fixtures/socket.ts", import.meta.url) } },
          shards: 0,
          ...options,
        });
        const started = await Supervisor.startLink([spec], { strategy: "one_for_one" });
        if (started[0] !== "ok") throw new Error(`the endpoint did not start: ${JSON.stringify(started)}`);
        resolve();
        await stopped;
        await Supervisor.stop(started[1] as Pid, "shutdown");
      })
      .catch(reject)
      .finally(() => ended());
  });
  let ended!: () => void;
  const done = new Promise<void>((resolve) => {
    ended = resolve;
  });
  await ready;
  const port = (await listening()) ?? ((await node.run(() => Endpoint.address("endpoint")))?.port as number);
  return {
    node,
    port,
    reports,
    url: `ws://127.0.0.1:${port}/socket/websocket?vsn=2.0.0`,
    clientPorts: () => [...open],
    run: (fn) => node.run(fn),
    async stop() {
      stopTree();
      await done;
      await node.stop();
      await close();
    },
  };
}

function listeningAs(options: Partial<EndpointOptions>, open: Set<number>): Listening {
  if (options.listen !== undefined)
    return { how: {}, listening: async () => undefined, close: async () => {} };
  return (options.gateways ?? GATEWAYS) === 1 ? oneGateway(open) : severalGateways(open);
}

interface Listening {
  readonly how: Partial<EndpointOptions>;
  /** The port, if the endpoint does not listen itself. */
  listening(): Promise<number | undefined>;
  close(): Promise<void>;
}

/** A server in this thread, made to listen once the endpoint is there, as an application may do. */
function oneGateway(open: Set<number>): Listening {
  const server = createServer((_request, response) => response.writeHead(404).end());
  server.on("connection", (socket) => {
    const client = socket.remotePort as number;
    open.add(client);
    socket.once("close", () => open.delete(client));
  });
  return {
    how: { server },
    async listening() {
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
      return (server.address() as AddressInfo).port;
    },
    async close() {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

let channels = 0;

function severalGateways(open: Set<number>): Listening {
  channels += 1;
  const name = `connections ${process.pid} ${channels}`;
  const channel = new BroadcastChannel(name);
  channel.onmessage = ({ data }: { data: ClientNews }) => {
    if (data[0] === "open") open.add(data[1]);
    else open.delete(data[1]);
  };
  return {
    how: {
      gateways: Math.max(2, GATEWAYS),
      server: { module: new URL("./fixtures/server.ts", import.meta.url), args: name },
      listen: { port: 0, host: "127.0.0.1" },
    },
    listening: async () => undefined,
    close: async () => channel.close(),
  };
}

/** A client that sends and sees frames as they are. */
export class RawClient {
  readonly frames: unknown[] = [];
  closed: { code: number; reason: string } | undefined;
  readonly #ws: WebSocket;
  #wake: () => void = () => {};

  constructor(ws: WebSocket) {
    this.#ws = ws;
    ws.on("message", (data: Buffer, isBinary) => {
      this.frames.push(isBinary ? data : JSON.parse(data.toString()));
      this.#wake();
    });
    ws.on("close", (code, reason) => {
      this.closed = { code, reason: reason.toString() };
      this.#wake();
    });
  }

  static connect(
    url: string,
    headers: Record<string, string> = {},
    protocols: string[] = [],
  ): Promise<RawClient> {
    return new Promise((resolve, reject) => {
      const ws = new WebSocket(url, protocols, { headers });
      const client = new RawClient(ws);
      ws.once("open", () => resolve(client));
      ws.once("error", reject);
    });
  }

  get ws(): WebSocket {
    return this.#ws;
  }

  send(...frame: unknown[]): void {
    this.#ws.send(JSON.stringify(frame));
  }

  sendRaw(data: string | Buffer): void {
    this.#ws.send(data);
  }

  /** Waits until `count` frames have come in all; fails with those that have. */
  async until(count: number, ms = 10_000): Promise<unknown[]> {
    await this.#waitFor(() => this.frames.length >= count, `${count} frames`, ms);
    return this.frames.slice(0, count);
  }

  async frame(match: (frame: never) => boolean, ms = 10_000): Promise<unknown[]> {
    await this.#waitFor(() => this.frames.some((frame) => match(frame as never)), "a matching frame", ms);
    return this.frames.find((frame) => match(frame as never)) as unknown[];
  }

  async untilClosed(ms = 10_000): Promise<{ code: number; reason: string }> {
    await this.#waitFor(() => this.closed !== undefined, "the close", ms);
    return this.closed as { code: number; reason: string };
  }

  async #waitFor(condition: () => boolean, what: string, ms: number): Promise<void> {
    const deadline = performance.now() + ms;
    while (!condition()) {
      const left = deadline - performance.now();
      if (left <= 0)
        throw new Error(
          `${what} did not come within ${ms} ms; seen: ${JSON.stringify(this.frames)}, closed: ${JSON.stringify(this.closed)}`,
        );
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  /** All that is under way has arrived once a heartbeat is answered. */
  async settle(): Promise<unknown[]> {
    const ref = `settle${Math.random()}`;
    this.send(null, ref, "phoenix", "heartbeat", {});
    await this.frame((frame: unknown[]) => frame[1] === ref);
    return this.frames.filter((frame) => !(Array.isArray(frame) && frame[2] === "phoenix"));
  }

  close(): void {
    this.#ws.close();
  }
}

/** The official client, connected to a test server. */
export function phoenixSocket(server: TestServer, params: Record<string, unknown> = {}): PhoenixSocket {
  const socket = new PhoenixSocket(`ws://127.0.0.1:${server.port}/socket`, {
    transport: WebSocket as never,
    params,
    reconnectAfterMs: () => 50,
    rejoinAfterMs: () => 50,
  } as never);
  socket.connect();
  return socket;
}

/** Resolves with the response of a push, rejects with `[status, response]`. */
export const outcome = (push: {
  receive(status: string, callback: (response: unknown) => void): unknown;
}): Promise<unknown> =>
  new Promise((resolve, reject) => {
    push.receive("ok", resolve);
    push.receive("error", (response) => reject(Object.assign(new Error("error reply"), { response })));
    push.receive("timeout", () => reject(new Error("timeout")));
  });
