/**
 * MetricsServer answers `GET /metrics` on a port of its own: metrics are not for clients, and must
 * stay available when the public listener is overloaded. It runs in the endpoint's own thread.
 */
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import {
  type ChildSpec,
  GenServer,
  type GenServerModule,
  onExit,
  outside,
  self,
  thisNode,
} from "simurgh/runtime";
import { metricsText, type NodeMetricsOptions, nodeSamples, processRegistry } from "./metrics.js";
import type { Source } from "./sample.js";
import { threadSources } from "./thread-metrics.js";

export interface MetricsServerOptions extends NodeMetricsOptions {
  /** 0 selects a free port. */
  readonly port: number;
  /** Default: 127.0.0.1, this machine only. */
  readonly host?: string;
  /** The application's own metrics of the endpoint's thread. */
  readonly sources?: readonly Source[];
}

export const METRICS_SERVER = "simurgh.metrics_server";

async function listen(options: MetricsServerOptions): Promise<Server> {
  const node = thisNode();
  const own = threadSources({ sources: options.sources ?? [] });
  const ofProcess = processRegistry();
  const server = createServer((request, response) => {
    if (request.method !== "GET" || request.url?.split("?")[0] !== "/metrics") {
      response.writeHead(404).end();
      return;
    }
    // In a process, because it calls the threads.
    node
      .run(async () => metricsText(await nodeSamples(options, own), ofProcess))
      .then(
        (text) => response.writeHead(200, { "content-type": ofProcess.contentType }).end(text),
        // The endpoint is restarting.
        () => response.writeHead(503).end(),
      );
  });
  const listening = once(server, "listening");
  // Listeners must not run in the context of the process that called `listen`.
  outside(() => server.listen(options.port, options.host ?? "127.0.0.1"));
  await listening;
  return server;
}

const module: GenServerModule<Server, MetricsServerOptions, "address"> = {
  name: "MetricsServer",
  async init(options) {
    const server = await listen(options);
    onExit(self(), () => {
      server.close();
      server.closeAllConnections();
    });
    return ["ok", server];
  },
  handleCall: (_request, _from, server) => ["reply", server.address(), server],
};

export const MetricsServer = {
  childSpec: (options: MetricsServerOptions): ChildSpec => ({
    id: METRICS_SERVER,
    start: [GenServer.startLink, [module, options, { name: METRICS_SERVER }]] as ChildSpec["start"],
  }),

  /** Where it listens. */
  address: (): Promise<AddressInfo> => GenServer.call(METRICS_SERVER, "address"),
};
