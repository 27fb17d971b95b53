/**
 * A server of its own around the fragile socket, with the runtime's handles a test needs to break
 * it from outside.
 */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { Endpoint } from "simurgh/channels";
import { PubSub } from "simurgh/pubsub";
import { createNode, exit, type Pid, type Report, Supervisor, trapExit, whereis } from "simurgh/runtime";
import { threadName } from "#runtime";

const ENDPOINT = "fragile";

/** Milliseconds without a sign of life that a thread may take. */
export const STALL_MS = 2000;

export interface FragileServer {
  readonly port: number;
  readonly reports: readonly Report[];
  /** Index of the thread that owns a topic; 0 is the main thread. */
  ownerOf(topic: string): Promise<number>;
  /** Runs `fn` as a process of the server's main thread. */
  run<T>(fn: () => T | Promise<T>): Promise<T>;
  /** Ends a shard's thread from outside, by force. */
  killShard(index: number): Promise<void>;
  stop(): Promise<void>;
}

export async function startFragileServer(shards: number): Promise<FragileServer> {
  const reports: Report[] = [];
  const node = createNode({ onReport: (report) => void reports.push(report) });
  const server = createServer((_request, response) => response.writeHead(404).end());
  let release!: () => void;
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  let ended!: Promise<void>;
  await new Promise<void>((resolve, reject) => {
    ended = node
      .run(async () => {
        trapExit(true);
        const endpoint = Endpoint.childSpec({
          name: ENDPOINT,
          server,
          // Without a limit of messages: the undisturbed client asks again as soon as it is
          // answered.
          sockets: {
            "/socket": {
              module: new URL("./fixtures/fragile-socket.ts", import.meta.url),
              messageRate: false,
            },
          },
          shards,
          shardHeapMb: 64,
          stallMs: STALL_MS,
        });
        const started = await Supervisor.startLink([endpoint], { strategy: "one_for_one" });
        if (started[0] !== "ok") throw new Error(`the endpoint did not start: ${JSON.stringify(started)}`);
        resolve();
        await released;
        await Supervisor.stop(started[1] as Pid, "shutdown");
      })
      .catch(reject);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    reports,
    ownerOf: (topic) => node.run(() => PubSub.ownerOf(`${ENDPOINT}.pubsub`, topic)),
    run: (fn) => node.run(fn),
    killShard: (index) =>
      node.run(() => {
        const thread = whereis(threadName(index));
        if (thread === undefined) throw new Error(`there is no shard ${index}`);
        exit(thread, "kill");
      }),
    async stop() {
      release();
      await ended;
      await node.stop();
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
