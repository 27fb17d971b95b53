/**
 * What other layers need of PubSub and users do not. Not exported by the package: imported as
 * `#pubsub`.
 */

export { checkCluster, clusterOf } from "./cluster/cluster.js";
export { type Envelope, Receiver, Sender } from "./cluster/envelope.js";
export { singleNodeAdapter } from "./cluster/single-node.js";
export { bareDispatcher, dispatcherNamed } from "./local/dispatcher.js";
export { SLOTS, slot } from "./local/slot.js";
export { sharedJson } from "./shared-payload.js";
