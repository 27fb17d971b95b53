/** A cluster inside one process: endpoints without shards that name the same network meet on it. */
import { type AdapterFactory, MemoryNetwork, type Place } from "simurgh/pubsub";

export const networks = new Map<string, MemoryNetwork>();

export function adapter(name: string, place: Place): AdapterFactory {
  let network = networks.get(name);
  if (network === undefined) {
    network = new MemoryNetwork();
    networks.set(name, network);
  }
  return network.adapter(place.nodeName, { ...place, pulseMs: 200 });
}
