/** The adapter of a node without a cluster: there are no other nodes. */
import type { AdapterFactory } from "../adapter.js";

/** `name` is this node's name; default `simurgh@local`. */
export function singleNodeAdapter(name = "simurgh@local"): AdapterFactory {
  return (deliver) => ({
    isSingleNode: true,
    nodeName: () => name,
    broadcast: () => "ok",
    directBroadcast(nodeName, topic, message, dispatcher) {
      if (nodeName === name) deliver(topic, message, dispatcher);
      return "ok";
    },
  });
}
