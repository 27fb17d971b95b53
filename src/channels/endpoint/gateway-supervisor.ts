/**
 * Supervises the gateways of an endpoint: one in the endpoint's own thread, or several that share
 * the port, each in a thread of its own.
 *
 *   gateways: 1                  gateways: n
 *   Endpoint                     Endpoint
 *   ├ SocketSupervisor           ├ Gateways   one_for_one: a ThreadServer per gateway
 *   └ Gateway                    │   each thread: PubSub (owns no slots), SocketSupervisor, Gateway
 *                                └ Drainer    drains all of them at once
 *
 * No other part of an endpoint depends on their number. A connection lives in the thread that
 * accepted it; channels send frames to the pid of that thread's writer. When a gateway thread ends,
 * only its own connections end.
 */

import { PubSub, type PubSubOptions, type SlotOwners } from "simurgh/pubsub";
import {
  BadArg,
  type ChildSpec,
  DynamicSupervisor,
  ExitSignal,
  GenServer,
  type GenServerModule,
  type StartResult,
  Supervisor,
  type ThreadTree,
  threadSpec,
  trapExit,
} from "simurgh/runtime";
import { singleNodeAdapter } from "#pubsub";
import { type EndpointConfig, endpointConfig, registerEndpoint } from "../protocol/endpoint-config.js";
import type { GatewayOptions } from "../transports/host.js";
import { claimPort, type ListenOptions } from "../transports/http-server.js";
import {
  type GatewayInfo,
  type GatewayRequest,
  gatewayName,
  REQUEST_GRACE_MS,
  startGateway,
} from "./gateway.js";
import type { ShardLayout } from "./resharder.js";

/**
 * Node index of the first gateway thread: outside the range of shards and of the application's own
 * threads.
 */
const FIRST_GATEWAY = 1001;

/** The maximum number of gateways. */
export const MAX_GATEWAYS = 64;

/** The node indexes of the gateways of an endpoint on the node `here`. */
export const gatewayNodes = (gateways: number, here: number): readonly number[] =>
  gateways === 1 ? [here] : Array.from({ length: gateways }, (_, k) => FIRST_GATEWAY + k);

interface GatewayThreadArgs {
  readonly options: GatewayOptions;
  readonly config: EndpointConfig;
  readonly owners: readonly number[];
}

const THREAD_MODULE = new URL(import.meta.url);

/** The children of a thread with a gateway. */
const ownChildren = (options: GatewayOptions): ChildSpec[] => [
  DynamicSupervisor.childSpec({ id: "sockets", name: options.socketsSupervisor }),
  {
    id: "gateway",
    start: [startGateway, [options]],
    shutdown: options.drainer.shutdownMs + 2 * REQUEST_GRACE_MS,
  },
];

/** The endpoint's children that accept connections. `stallMs` applies to their threads. */
export function gatewayChildren(
  options: GatewayOptions,
  config: EndpointConfig,
  layout: ShardLayout,
  stallMs: number | undefined,
): ChildSpec[] {
  if (config.gateways.length === 1) return ownChildren(options);
  const shutdown = options.drainer.shutdownMs + 3 * REQUEST_GRACE_MS;
  return [
    { id: "gateways", start: [startThreads, [{ options, config }, layout, stallMs]], type: "supervisor" },
    { id: "drainer", start: [GenServer.startLink, [drainer, options.endpoint]], shutdown },
  ];
}

async function startThreads(
  { options, config }: Omit<GatewayThreadArgs, "owners">,
  layout: ShardLayout,
  stallMs: number | undefined,
): Promise<StartResult> {
  const wanted = options.listen as ListenOptions;
  const { port, release } = await claimPort(wanted);
  const args = (): GatewayThreadArgs => ({
    options: { ...options, listen: { ...wanted, port } },
    config,
    owners: layout.owners.current,
  });
  const threads = config.gateways.map((index) =>
    threadSpec({
      index,
      module: THREAD_MODULE,
      args,
      shutdown: options.drainer.shutdownMs + 3 * REQUEST_GRACE_MS,
      ...(stallMs === undefined ? {} : { stallMs }),
    }),
  );
  const name = `${options.endpoint}.gateways`;
  try {
    return await Supervisor.startLink(threads, { strategy: "one_for_one", intensity: 100, period: 10, name });
  } finally {
    release();
  }
}

/** The PubSub of a thread that owns no topics: it forwards to the owners. */
export const forwarding = ({ pubsub, cluster }: EndpointConfig, owners: SlotOwners): PubSubOptions => ({
  name: pubsub,
  owners,
  ...(cluster === undefined ? {} : { adapter: singleNodeAdapter(cluster.nodeName) }),
});

/** The tree of a gateway thread: called there by the runtime. */
export function start({ options, config, owners }: GatewayThreadArgs): ThreadTree {
  registerEndpoint(options.endpoint, config);
  return {
    children: [PubSub.childSpec(forwarding(config, { current: owners })), ...ownChildren(options)],
    strategy: "rest_for_one",
    intensity: 10,
    period: 5,
  };
}

/** Drains all gateways at the same time, before their threads stop one after the other. */
const drainer: GenServerModule<string, string> = {
  name: "Drainer",
  init(endpoint) {
    trapExit(true);
    return ["ok", endpoint];
  },
  async terminate(_reason, endpoint) {
    await askGateways(endpoint, ["stop"]);
  },
};

/**
 * The replies of all running gateways. A gateway that is down is left out: it has no connections.
 */
async function askGateways<T>(endpoint: string, request: GatewayRequest): Promise<readonly T[]> {
  const answers = await Promise.all(
    endpointConfig(endpoint).gateways.map(async (node) => {
      try {
        return [
          await GenServer.call<T>({ name: gatewayName(endpoint), node }, request, Number.POSITIVE_INFINITY),
        ];
      } catch (error) {
        if (error instanceof ExitSignal) return [];
        throw error;
      }
    }),
  );
  return answers.flat();
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, n) => total + n, 0);

export const Gateways = {
  async info(endpoint: string): Promise<GatewayInfo & { readonly gateways: number }> {
    const all = await askGateways<GatewayInfo>(endpoint, ["info"]);
    return {
      gateways: all.length,
      connections: sum(all.map(({ connections }) => connections)),
      lanes: sum(all.map(({ lanes }) => lanes)),
      draining: all.some(({ draining }) => draining),
    };
  },

  async drain(
    endpoint: string,
    options: Extract<GatewayRequest, readonly ["drain", unknown]>[1],
  ): Promise<number> {
    return sum(await askGateways<number>(endpoint, ["drain", options]));
  },

  async address(endpoint: string): Promise<{ readonly host: string; readonly port: number } | null> {
    const [address = null] = await askGateways<{ host: string; port: number } | null>(endpoint, ["address"]);
    return address;
  },
};

/**
 * Throws when options contain a function, which cannot be sent to a thread; the error says where
 * the function belongs instead.
 */
export function assertCloneable(options: object, where: string): void {
  for (const [key, value] of Object.entries(options)) {
    const place = `${where}.${key}`;
    if (typeof value === "function")
      throw new BadArg(
        `badarg: ${place} is a function, and cannot be sent to the threads of several gateways; set it in the options of the socket's definition, which each thread loads: defineSocket({ options: { … } })`,
      );
    if (typeof value === "object" && value !== null && !(value instanceof URL)) assertCloneable(value, place);
  }
}
