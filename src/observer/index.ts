/** simurgh/observer: what is going on in a node, for people and for Prometheus. */
export type { NodeMetricsOptions } from "./metrics.js";
export { MetricsServer, type MetricsServerOptions } from "./metrics-server.js";
export { counter, gauge, type Sample, type Source } from "./sample.js";
export { ThreadMetrics, type ThreadMetricsOptions } from "./thread-metrics.js";
