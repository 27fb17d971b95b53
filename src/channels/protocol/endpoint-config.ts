/** What every thread that has a part of an endpoint knows of it. */

import type { Cluster } from "simurgh/pubsub";
import { inProcess, NamedTable } from "#runtime";
import type { ParamFilter } from "./param-filter.js";

/** Plain data: it crosses to the threads. */
export interface EndpointConfig {
  readonly pubsub: string;
  /** Node indexes of the threads with a gateway. */
  readonly gateways: readonly number[];
  /** Signs tokens and long-poll sessions. */
  readonly secret: string;
  readonly filterParameters: ParamFilter;
  /** Undefined when there are no other nodes. */
  readonly cluster: Cluster | undefined;
}

const endpoints = new NamedTable<EndpointConfig>(
  (name) => `badarg: no endpoint named ${name} runs in this thread`,
);

export const registerEndpoint = (name: string, config: EndpointConfig): void => endpoints.put(name, config);

export const endpointConfig = (name: string): EndpointConfig => endpoints.require(name);

/**
 * The secret of an endpoint of this thread; undefined when there is none of that name, or outside
 * of any process.
 */
export const endpointSecret = (name: string): string | undefined =>
  inProcess() ? endpoints.get(name)?.secret : undefined;
