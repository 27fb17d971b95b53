/** The adapter of a node that is alone: there are no others. */
import type { AdapterFactory } from "./adapter.js";

/** `name` is this node's name; default `simurgh@local`. */
export function localAdapter(name = "simurgh@local"): AdapterFactory {
  return (deliver) => ({
    alone: true,
    nodeName: () => name,
    broadcast: () => "ok",
    directBroadcast(nodeName, topic, message, dispatcher) {
      if (nodeName === name) deliver(topic, message, dispatcher);
      return "ok";
    },
  });
}
