/**
 * The figures of a node in Prometheus' text format, over all its threads: what each of them gives
 * at the moment of the scrape, with its number as the label `thread`, and those of the Node process
 * by `prom-client`.
 *
 *     main tree:   MetricsServer.childSpec({ endpoint: "shop", port: 9100 })
 *     shard tree:  ThreadMetrics.childSpec({ endpoint, pubsub, presences: ["shop.presence"] })
 *
 * Nothing is measured between scrapes but the event loop's lag and rare events.
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
  /** Node indexes of further threads that have a `ThreadMetrics`. */
  readonly threads?: readonly number[];
}

const endpointSource =
  (endpoint: string): Source =>
  async () => {
    const { connections, gateways, draining } = await Endpoint.info(endpoint);
    return [
      gauge("simurgh_connections", "Connections of clients.", connections),
      gauge("simurgh_gateways", "Threads that accept connections.", gateways),
      gauge("simurgh_draining", "1 while connections are sent away.", draining ? 1 : 0),
    ];
  };

type Labelled = readonly [thread: number | undefined, Sample];

/**
 * The figures of all threads. `own`: those of the calling thread, where no `ThreadMetrics` gives
 * them.
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
    gauge("simurgh_thread_up", "1 when the thread gave its figures, 0 when it did not.", value),
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

/** A registry that has what Node itself tells of the process; made once. */
export function processRegistry(): Registry {
  const register = new Registry();
  collectDefaultMetrics({ register });
  return register;
}

/** Figures as text, behind those of `process`. */
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
    // A fresh counter begins at 0, so it comes to what its thread has counted.
    (metric as Gauge | Counter).inc(
      { ...labels, ...(thread === undefined ? {} : { thread: String(thread) }) },
      value,
    );
  }
  return `${await process.metrics()}\n${await register.metrics()}`;
}
