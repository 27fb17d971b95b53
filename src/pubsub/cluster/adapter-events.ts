/** What an adapter noticed, told to the log, to telemetry and to whoever subscribes. */
import { telemetry } from "simurgh/runtime";
import { bareDispatcher } from "../local/dispatcher.js";
import { publish } from "../local/publish.js";
import { type Instance, notice } from "../local/pubsub-state.js";
import type { AdapterEvent, AdapterStatus } from "./adapter.js";

/**
 * The topic on which each thread tells its adapter's events, as `["adapter", event]`, to processes
 * of this node.
 */
export const EVENTS = "simurgh:adapter";

/** Tells of what the adapter noticed, once per change. */
export function adapterEvent(state: Instance, event: AdapterEvent): void {
  const { name } = state;
  switch (event[0]) {
    case "status":
      // Who is told of the trouble is told of its end as well.
      notice(state.joinedOnce || event[1] !== "up" ? "warning" : "info", STATUS_TEXTS[event[1]](name), {
        status: event[1],
      });
      if (event[1] === "up") state.joinedOnce = true;
      break;
    case "twin":
      notice("error", `another node is named ${event[1]} as well: node names must be unique`, {
        node: event[1],
      });
      break;
    case "node":
      notice(event[2] === "lost" ? "warning" : "info", `node ${event[1]} ${NODE_TEXTS[event[2]]}`, {
        node: event[1],
      });
      break;
    case "trouble":
      notice("error", `${name}: ${event[1]}`, {});
      break;
  }
  telemetry.emit(`pubsub.${event[0]}`, { count: 1 }, { pubsub: name, event });
  publish(name, EVENTS, undefined, ["adapter", event], bareDispatcher, true);
}

const STATUS_TEXTS: Record<AdapterStatus, (name: string) => string> = {
  up: (name) => `${name} is joined to the other nodes`,
  degraded: (name) => `${name} loses some messages to or from other nodes`,
  down: (name) => `${name} is cut off from the other nodes; delivery on this node goes on`,
};

const NODE_TEXTS = { joined: "has joined", left: "has left", lost: "is not heard any more" } as const;
