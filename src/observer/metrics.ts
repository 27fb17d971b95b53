/**
 * The metrics of a node in Prometheus' text format: the samples of each thread at the moment of the
 * scrape, labelled with its index as `thread`, and those of the Node process by `prom-client`.
 *
 *     main tree:   MetricsServer.childSpec({ endpoint: "shop", port: 9100 })
 *     shard tree:  ThreadMetrics.childSpec({ endpoint, pubsub, presences: ["shop.presence"] })
 *
 * Between scrapes only the event loop's lag and rare events are measured.
 */
import { Counter, collectDefaultMetrics, Gauge, type Metric, Registry } from "prom-client";
import { Endpoint } from "simurgh/channels";
import { PubSub } from "simurgh/pubsub";
import { GenServer, thisNode } from "simurgh/runtime";
import { gauge, type Sample, type Source } from "./sample.js";
import { ANSWER_MS, collect, THREAD_METRICS } from "./thread-metrics.js";

export interface NodeMetricsOptions {
  readonly endpoint: string;
  /** The endpoint's PubSub. Default: the endpoint's name with ".pubsub". */
  readonly pubsub?: string;
  /** Node indexes of further threads with a `ThreadMetrics`. */
  readonly threads?: readonly number[];
}

const endpointSource =
  (endpoint: string): Source =>
  async () => {
    const { connections, gateways, draining } = await Endpoint.info(endpoint);
    return [
      gauge("simurgh_connections", "Connections of clients.", connections),
      gauge("simurgh_gateways", "Threads that accept connections.", gateways),
      gauge("simurgh_draining", "1 while the endpoint drains its connections.", draining ? 1 : 0),
    ];
  };

type Labelled = readonly [thread: number | undefined, Sample];

/**
 * The samples of all threads. `own` are those of the calling thread, which has no `ThreadMetrics`.
 */
export async function nodeSamples(
  { endpoint, pubsub = `${endpoint}.pubsub`, threads = [] }: NodeMetricsOptions,
  own: readonly Source[],
): Promise<readonly Labelled[]> {
  const here = thisNode().index;
  const all = [...new Set([...PubSub.threads(pubsub), ...threads])];
  const [mine, ofNode, [answers, silent]] = await Promise.all([
    all.includes(here) ? [] : collect(own),
    collect([endpointSource(endpoint)]),
    GenServer.multiCall(all, THREAD_METRICS, "samples", ANSWER_MS),
  ]);
  const up = (thread: number, value: number): Labelled => [
    thread,
    gauge("simurgh_thread_up", "1 when the thread returned its samples, 0 when it did not.", value),
  ];
  return [
    ...ofNode.map((sample): Labelled => [undefined, sample]),
    ...mine.map((sample): Labelled => [here, sample]),
    ...answers.flatMap(([thread, samples]) => [
      up(thread, 1),
      ...(samples as readonly Sample[]).map((sample): Labelled => [thread, sample]),
    ]),
    ...silent.map((thread) => up(thread, 0)),
  ];
}

/** A registry with the default metrics of the Node process; made once. */
export function processRegistry(): Registry {
  const register = new Registry();
  collectDefaultMetrics({ register });
  return register;
}

/** Formats the samples as text, after those of `process`. */
export async function metricsText(samples: readonly Labelled[], process: Registry): Promise<string> {
  const register = new Registry();
  const metrics = new Map<string, Metric>();
  for (const [thread, { name, help, type, value, labels }] of samples) {
    let metric = metrics.get(name);
    if (metric === undefined) {
      const labelNames = [...Object.keys(labels ?? {}), ...(thread === undefined ? [] : ["thread"])];
      const options = { name, help, labelNames, registers: [register] };
      metric = type === "counter" ? new Counter(options) : new Gauge(options);
      metrics.set(name, metric);
    }
    // A new counter starts at 0, so `inc` sets it to the thread's count.
    (metric as Gauge | Counter).inc(
      { ...labels, ...(thread === undefined ? {} : { thread: String(thread) }) },
      value,
    );
  }
  return `${await process.metrics()}\n${await register.metrics()}`;
}
