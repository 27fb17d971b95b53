/**
 * Answers `GET /metrics` on a port of its own, which is nobody's business but Prometheus': what it
 * tells is not for clients, and a public listener that is overrun must not take it along. In the
 * endpoint's own thread.
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
  /** 0 takes a free one. */
  readonly port: number;
  /** Default: this machine alone, 127.0.0.1. */
  readonly host?: string;
  /** The application's own figures of the endpoint's thread. */
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
    // As a process: it asks the threads.
    node
      .run(async () => metricsText(await nodeSamples(options, own), ofProcess))
      .then(
        (text) => response.writeHead(200, { "content-type": ofProcess.contentType }).end(text),
        // The endpoint is being restarted.
        () => response.writeHead(503).end(),
      );
  });
  const listening = once(server, "listening");
  // What connections cause must not run as the process that began to listen.
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
