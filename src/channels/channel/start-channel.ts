/**
 * Starting a channel is asked of the shard of its topic, by the name it has on its thread. The channel itself reports; the shard
 * reports only what it did not start.
 */
import type { ChannelStart } from "./channel-server.js";

export type StartChannel = readonly ["start channel", mount: string, channel: number, start: ChannelStart];

export const shardName = (endpoint: string): string => `${endpoint}.shard`;
