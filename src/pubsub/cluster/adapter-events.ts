/** Publishes what an adapter reports: to the log, to telemetry, and to subscribers of EVENTS. */
import { telemetry } from "simurgh/runtime";
import type { AdapterEvent, AdapterStatus } from "../adapter.js";
import { publish } from "../local/broadcast.js";
import { bareDispatcher } from "../local/dispatcher.js";
import { notice, type PubSubState } from "../local/pubsub-state.js";

/**
 * The topic on which each thread publishes its adapter's events, as `["adapter", event]`, to
 * processes of this node.
 */
export const EVENTS = "simurgh:adapter";

export function adapterEvent(state: PubSubState, event: AdapterEvent): void {
  const { name } = state;
  switch (event[0]) {
    case "status":
      // The end of a fault is logged at the level of the fault.
      notice(state.wasUp || event[1] !== "up" ? "warning" : "info", STATUS_TEXTS[event[1]](name), {
        status: event[1],
      });
      if (event[1] === "up") state.wasUp = true;
      break;
    case "duplicate_name":
      notice("error", `another node is named ${event[1]} as well: node names must be unique`, {
        node: event[1],
      });
      break;
    case "node":
      notice(event[2] === "lost" ? "warning" : "info", `node ${event[1]} ${NODE_TEXTS[event[2]]}`, {
        node: event[1],
      });
      break;
    case "warning":
      notice("error", `${name}: ${event[1]}`, {});
      break;
  }
  telemetry.emit(`pubsub.${event[0]}`, { count: 1 }, { pubsub: name, event });
  publish(name, EVENTS, undefined, ["adapter", event], bareDispatcher, true);
}

const STATUS_TEXTS: Record<AdapterStatus, (name: string) => string> = {
  up: (name) => `${name} is connected to the other nodes`,
  degraded: (name) => `${name} loses some messages to or from other nodes`,
  down: (name) => `${name} is disconnected from the other nodes; delivery on this node continues`,
};

const NODE_TEXTS = { joined: "has joined", left: "has left", lost: "is down: it misses heartbeats" } as const;
