/** What every thread that has a part of an endpoint knows of it. */

import type { Cluster } from "simurgh/pubsub";
import { BadArg, inProcess, type RuntimeNode, thisNode } from "simurgh/runtime";
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

const endpoints = new WeakMap<RuntimeNode, Map<string, EndpointConfig>>();

export function registerEndpoint(name: string, facts: EndpointConfig): void {
  const node = thisNode();
  let known = endpoints.get(node);
  if (known === undefined) {
    known = new Map();
    endpoints.set(node, known);
  }
  known.set(name, facts);
}

export function endpointConfig(name: string): EndpointConfig {
  const facts = endpoints.get(thisNode())?.get(name);
  if (facts === undefined) throw new BadArg(`badarg: no endpoint named ${name} runs in this thread`);
  return facts;
}

/**
 * The secret of an endpoint of this thread; undefined when there is none of that name, or outside
 * of any process.
 */
export const endpointSecret = (name: string): string | undefined =>
  inProcess() ? endpoints.get(thisNode())?.get(name)?.secret : undefined;
