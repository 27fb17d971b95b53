/** simurgh/presence: who is on a topic (Phoenix.Presence, Phoenix.Tracker). */
export { type ClusterGroups, defineClusterGroups, type Member } from "./cluster-groups.js";
export type { Meta } from "./delta.js";
export type { MetasHandler, PushState } from "./feed.js";
export type { Fetch } from "./fetcher.js";
export type { PresenceLimits, RateLimit } from "./limits.js";
export type { ReplicationOptions } from "./options.js";
export type { CoalesceOptions } from "./pace.js";
export type { PresenceDiff, PresenceEntry, Presences } from "./payload.js";
export {
  definePresence,
  type Presence,
  type PresenceOptions,
  type PresenceResult,
  type PresenceStats,
  type Tracked,
} from "./presence.js";
export { type MetaChange, type MetaInput, Tracker, type TrackOptions } from "./tracker.js";
export type { TrackerModule, TrackerOptions, TrackerStats, TrackResult } from "./tracker-server.js";
export type { Diff, TopicDiff } from "./view.js";
