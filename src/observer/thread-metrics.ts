/**
 * ThreadMetrics is the process that collects the samples of its thread, one in each observed
 * thread. It is idle between scrapes.
 */
import { Debug } from "simurgh/channels";
import { Tracker } from "simurgh/presence";
import { type ChildSpec, GenServer, type GenServerModule, onExit, self } from "simurgh/runtime";
import { countEvents } from "./event-counter.js";
import { pubsubSource } from "./pubsub-samples.js";
import { runtimeSource } from "./runtime-samples.js";
import { gauge, type Sample, type Source } from "./sample.js";

export interface ThreadMetricsOptions {
  /** The endpoint whose channels run in this thread. */
  readonly endpoint?: string;
  /** The PubSub that owns topics in this thread. */
  readonly pubsub?: string;
  /** Names of the trackers, or presences, of this thread. */
  readonly presences?: readonly string[];
  /** The application's own metrics. */
  readonly sources?: readonly Source[];
}

/** The registered name of the process, in every thread. */
export const THREAD_METRICS = "simurgh.metrics";

/** Milliseconds a thread has to return its samples. */
export const ANSWER_MS = 2000;

const channelSource =
  (endpoint: string): Source =>
  async () => [gauge("simurgh_channels", "Joined channels.", await Debug.countChannels(endpoint))];

const presenceSource =
  (presence: string): Source =>
  async () => {
    const { entries, remoteEntries, replicasUp, replicasDown, lagMs } = await Tracker.stats(presence);
    const replicas = "Replicas of this tracker on other nodes, by status.";
    const people = "Entries, by the node of their processes.";
    return [
      gauge("simurgh_presence_replicas", replicas, replicasUp, { presence, status: "up" }),
      gauge("simurgh_presence_replicas", replicas, replicasDown, { presence, status: "down" }),
      gauge("simurgh_presence_entries", people, entries, { presence, of: "this node" }),
      gauge("simurgh_presence_entries", people, remoteEntries, { presence, of: "others" }),
      gauge(
        "simurgh_presence_lag_seconds",
        "Age of the oldest change that a replica has not acknowledged.",
        lagMs / 1000,
        {
          presence,
        },
      ),
    ];
  };

/**
 * Milliseconds a source has: less than a thread has, so that a slow source does not delay the
 * others.
 */
const SOURCE_MS = 1000;

/**
 * Collects the samples of all sources. A source that fails or is late is left out: a scrape must
 * not fail when it is needed most.
 */
export async function collect(sources: readonly Source[]): Promise<Sample[]> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<readonly Sample[]>((resolve) => {
    timer = setTimeout(resolve, SOURCE_MS, []);
  });
  const all = await Promise.allSettled(
    sources.map((source) => Promise.race([(async () => source())(), late])),
  );
  clearTimeout(timer);
  return all.flatMap((result) => (result.status === "fulfilled" ? result.value : []));
}

/** The sources of a thread. Their resources are released when the calling process ends. */
export function threadSources({
  endpoint,
  pubsub,
  presences = [],
  sources = [],
}: ThreadMetricsOptions): Source[] {
  const events = countEvents();
  onExit(self(), () => events.stop());
  return [
    runtimeSource(),
    events.source,
    ...(endpoint === undefined ? [] : [channelSource(endpoint)]),
    ...(pubsub === undefined ? [] : [pubsubSource(pubsub)]),
    ...presences.map(presenceSource),
    ...sources,
  ];
}

const server: GenServerModule<readonly Source[], ThreadMetricsOptions, "samples"> = {
  name: "ThreadMetrics",
  init: (options) => ["ok", threadSources(options)],
  handleCall(_request, from, sources) {
    void collect(sources).then((samples) => GenServer.reply(from, samples));
    return ["noreply", sources];
  },
};

export const ThreadMetrics = {
  /** For the tree of a thread (`shardTree`), after the processes that it observes. */
  childSpec: (options: ThreadMetricsOptions): ChildSpec => ({
    id: THREAD_METRICS,
    start: [GenServer.startLink, [server, options, { name: THREAD_METRICS }]] as ChildSpec["start"],
  }),
};
