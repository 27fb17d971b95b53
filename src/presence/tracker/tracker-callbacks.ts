/**
 * The contract of a tracker: the module that handles its diffs, its options, and the requests that
 * trackers of one node send to each other.
 */
import type { ExitReason, Pid } from "simurgh/runtime";
import type { Meta } from "./delta.js";
import type { PresenceLimits, RateLimit } from "./limits.js";
import type { MessageError } from "./message.js";
import type { ReplicationOptions } from "./options.js";
import type { RemoteEntry } from "./remote-tracking.js";
import type { CoreStats } from "./tracker-core.js";
import type { Diff, ReadView } from "./view.js";

/** The callbacks that handle diffs, with a state like a GenServer's. */
export interface TrackerModule<State = unknown, Arg = unknown> {
  readonly name?: string;
  /** `view` reads the entries, now and later. */
  init(arg: Arg, view: ReadView): readonly ["ok", State] | readonly ["error", ExitReason];
  /** Handles each diff, in order; never an empty one. Runs in the tracker: it must not block. */
  handleDiff(diff: Diff, state: State): readonly ["ok", State];
  /** The entries of a topic were read for another thread. */
  listed?(topic: string, state: State): void;
  /** The tracker has crashed: what the next one gets from `crashStateOf`. */
  crashState?(state: State): unknown;
  /** Handles messages that the tracker itself does not use. Without it they are dropped. */
  handleInfo?(message: unknown, state: State): readonly ["noreply", State];
}

export interface TrackerOptions extends ReplicationOptions {
  /** Registered name, the same in every thread and on every node. */
  readonly name: string;
  /** The PubSub that carries the messages of replicas. */
  readonly pubsub: string;
  readonly limits?: PresenceLimits;
  /** How often one process may track, update and untrack. Default: no limit. */
  readonly rateLimit?: RateLimit;
  /** Whether an update with an equal meta keeps its ref and is not published. Default false. */
  readonly skipEqual?: boolean;
  /** Gets `[event, replica name, own name]` of replicas that come and go. */
  readonly reportEventsTo?: Pid;
}

export type TrackRequest = readonly [
  "track",
  pid: Pid,
  topic: string,
  key: string,
  meta: Meta,
  onTrackerRestart: "exit" | "retrack",
];

export type TrackerRequest =
  | TrackRequest
  | readonly [
      "update",
      pid: Pid,
      topic: string,
      key: string,
      meta: Record<string, unknown>,
      expected: string | undefined,
    ]
  | readonly ["untrack", pid: Pid, topic: string, key: string]
  | readonly ["untrack_all", pid: Pid]
  | readonly ["list", topic: string]
  | readonly ["count", topic: string]
  | readonly ["get", pid: Pid, topic: string, key: string]
  | readonly ["stats"]
  | readonly ["permdown"];

export type TrackerCast =
  /** The caller of `track` has timed out: the entry must not stay. */
  | readonly ["cancel", pid: Pid, topic: string, key: string, phxRef: string]
  /** The topic has moved here with this entry, or the thread that tracked it has died. */
  | TrackRequest
  /**
   * The tracker of another thread tracks this entry of a local process, or does not any more; see
   * remote-tracking.ts.
   */
  | readonly ["tracked_remotely", thread: number, process: RemoteEntry]
  | readonly ["untracked_remotely", thread: number, pid: Pid, topic: string, key: string];

/** The topic has moved to another thread: ask there. */
export const TOPIC_MOVED = "topic_moved";

export type TrackResult = readonly ["ok", phxRef: string] | readonly ["error", unknown];

export interface TrackerStats extends CoreStats {
  readonly replica: string;
  /** Messages of other trackers that were refused, by reason. */
  readonly refused: Readonly<Record<MessageError["code"], number>>;
  /** Diffs whose handler threw. */
  readonly failedDiffs: number;
  /** Messages to and from other trackers. */
  readonly sent: number;
  readonly received: number;
}
