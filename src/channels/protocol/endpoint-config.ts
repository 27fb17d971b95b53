/** EndpointConfig is the configuration of an endpoint that each of its threads has. */

import type { Cluster } from "simurgh/pubsub";
import { inProcess, NamedTable } from "#runtime";
import type { ParamFilter } from "./param-filter.js";

/** Plain data: it is sent to the threads. */
export interface EndpointConfig {
  readonly pubsub: string;
  /** Node indexes of the threads with a gateway. */
  readonly gateways: readonly number[];
  /** Signs tokens and long-poll sessions. */
  readonly secret: string;
  readonly filterParameters: ParamFilter;
  /** Undefined without a cluster. */
  readonly cluster: Cluster | undefined;
}

const endpoints = new NamedTable<EndpointConfig>(
  (name) => `badarg: no endpoint named ${name} runs in this thread`,
);

export const registerEndpoint = (name: string, config: EndpointConfig): void => endpoints.put(name, config);

export const endpointConfig = (name: string): EndpointConfig => endpoints.require(name);

/**
 * The secret of an endpoint. Undefined when this thread has no endpoint of that name, or outside of
 * a process.
 */
export const endpointSecret = (name: string): string | undefined =>
  inProcess() ? endpoints.get(name)?.secret : undefined;
