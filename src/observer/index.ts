/** simurgh/observer exports the metrics of a node to Prometheus. */
export type { NodeMetricsOptions } from "./metrics.js";
export { MetricsServer, type MetricsServerOptions } from "./metrics-server.js";
export { counter, gauge, type Sample, type Source } from "./sample.js";
export { ThreadMetrics, type ThreadMetricsOptions } from "./thread-metrics.js";
