/**
 * A slot is one of 256 groups of topics. A topic has the same slot on every node and in every
 * version.
 *
 * Slots, not topics, are assigned to threads and replicated between nodes, so nodes may have
 * different numbers of threads. The hash is FNV-1a (32 bits) over the UTF-8 bytes of the topic; a
 * test holds golden values.
 */
import { fnv1a } from "#runtime";

export const SLOTS = 256;

/** The slot of a topic, 0 to 255. */
export const slot = (topic: string): number => fnv1a(topic) % SLOTS;
