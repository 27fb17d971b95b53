/**
 * The gateways of an endpoint: one beside it in its own thread, or several, each in a thread of its
 * own, that share the port.
 *
 *   gateways: 1                  gateways: n
 *   Endpoint                     Endpoint
 *   ├ SocketSupervisor           ├ Gateways   one_for_one: a ThreadServer per gateway
 *   └ Gateway                    │   each thread: PubSub (owns no slots), SocketSupervisor, Gateway
 *                                └ Drainer    asks all of them at once to send everybody away
 *
 * Nothing else of an endpoint knows how many there are. A connection lives in the thread that
 * accepted it; what channels send it goes there by the pid of that thread's writer. A thread that
 * ends takes its own connections along, and no others.
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
import { localAdapter } from "#pubsub";
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
import type { Layout } from "./resharder.js";

/**
 * Node index of the first gateway thread: far from those of shards, and of the application's own
 * threads.
 */
const FIRST_GATEWAY = 1001;

/** The most there may be. */
export const MAX_GATEWAYS = 64;

/** The node indexes of the gateways of an endpoint on the node `here`. */
export const gatewayNodes = (gateways: number, here: number): readonly number[] =>
  gateways === 1 ? [here] : Array.from({ length: gateways }, (_, k) => FIRST_GATEWAY + k);

interface GatewayThreadArgs {
  readonly options: GatewayOptions;
  readonly facts: EndpointConfig;
  readonly owners: readonly number[];
}

const THREAD_MODULE = new URL(import.meta.url);

/** The children of whichever thread has a gateway. */
const ownChildren = (options: GatewayOptions): ChildSpec[] => [
  DynamicSupervisor.childSpec({ id: "sockets", name: options.socketsSupervisor }),
  {
    id: "gateway",
    start: [startGateway, [options]],
    shutdown: options.drainer.shutdownMs + 2 * REQUEST_GRACE_MS,
  },
];

/** The endpoint's children that accept connections. `stallMs` is for their threads. */
export function gatewayChildren(
  options: GatewayOptions,
  facts: EndpointConfig,
  layout: Layout,
  stallMs: number | undefined,
): ChildSpec[] {
  if (facts.gateways.length === 1) return ownChildren(options);
  const shutdown = options.drainer.shutdownMs + 3 * REQUEST_GRACE_MS;
  return [
    { id: "gateways", start: [startThreads, [{ options, facts }, layout, stallMs]], type: "supervisor" },
    { id: "drainer", start: [GenServer.startLink, [drainer, options.endpoint]], shutdown },
  ];
}

async function startThreads(
  { options, facts }: Omit<GatewayThreadArgs, "owners">,
  layout: Layout,
  stallMs: number | undefined,
): Promise<StartResult> {
  const wanted = options.listen as ListenOptions;
  const { port, release } = await claimPort(wanted);
  const args = (): GatewayThreadArgs => ({
    options: { ...options, listen: { ...wanted, port } },
    facts,
    owners: layout.owners.current,
  });
  const threads = facts.gateways.map((index) =>
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

/** The PubSub of a thread that owns no topics: it knows the node's name, and forwards. */
export const forwarding = ({ pubsub, cluster }: EndpointConfig, owners: SlotOwners): PubSubOptions => ({
  name: pubsub,
  owners,
  ...(cluster === undefined ? {} : { adapter: localAdapter(cluster.nodeName) }),
});

/** The tree of a gateway thread: called there by the runtime. */
export function start({ options, facts, owners }: GatewayThreadArgs): ThreadTree {
  registerEndpoint(options.endpoint, facts);
  return {
    children: [PubSub.childSpec(forwarding(facts, { current: owners })), ...ownChildren(options)],
    strategy: "rest_for_one",
    intensity: 10,
    period: 5,
  };
}

/** Threads stop one after the other; what takes long, all gateways do at the same time before. */
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
 * What the gateways answer that are there. One that has just ended has no connections to speak of.
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
 * What crosses to a thread is plain data. Throws for a function, and says where it is and where it
 * could be.
 */
export function checkCrosses(options: object, where: string): void {
  for (const [key, value] of Object.entries(options)) {
    const place = `${where}.${key}`;
    if (typeof value === "function")
      throw new BadArg(
        `badarg: ${place} is a function, and cannot reach the threads of several gateways; say it in the options of the socket's definition, which each thread loads: defineSocket({ options: { … } })`,
      );
    if (typeof value === "object" && value !== null && !(value instanceof URL)) checkCrosses(value, place);
  }
}
