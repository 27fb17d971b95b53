/** simurgh/presence: who is on a topic (Phoenix.Presence, Phoenix.Tracker). */

export type { CoalesceOptions } from "./broadcast/coalescing.js";
export type { MetasHandler, PushState } from "./broadcast/diff-broadcaster.js";
export type { Fetch } from "./broadcast/fetch-pool.js";
export type { PresenceDiff, PresenceEntry, Presences } from "./broadcast/payload.js";
export { type ClusterGroups, defineClusterGroups, type Member } from "./cluster-groups.js";
export {
  definePresence,
  type Presence,
  type PresenceOptions,
  type PresenceResult,
  type PresenceStats,
  type Tracked,
} from "./presence.js";
export type { Meta } from "./tracker/delta.js";
export type { PresenceLimits, RateLimit } from "./tracker/limits.js";
export type { ReplicationOptions } from "./tracker/options.js";
export { type MetaChange, type MetaInput, Tracker, type TrackOptions } from "./tracker/tracker.js";
export type {
  TrackerModule,
  TrackerOptions,
  TrackerStats,
  TrackResult,
} from "./tracker/tracker-callbacks.js";
export type { Diff, TopicDiff } from "./tracker/view.js";
