/**
 * The runtime's samples of a thread: processes, mailboxes, bytes in flight to other threads, and
 * the event loop's lag.
 */
import { monitorEventLoopDelay, performance } from "node:perf_hooks";
import { type ConnectionStats, mailboxStatistics, nodeStatistics, onExit, self } from "simurgh/runtime";
import { counter, gauge, type Source } from "./sample.js";

/** The sampling interval of the event loop's lag, in ms. */
const RESOLUTION_MS = 20;

/**
 * The source of the calling thread; it measures the event loop until the calling process ends. The
 * event loop's samples cover the time since the previous scrape.
 */
export function runtimeSource(): Source {
  const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  delay.enable();
  onExit(self(), () => void delay.disable());
  let before = performance.eventLoopUtilization();
  return () => {
    const { processes, timers, runQueue, droppedSends, suppressedReports, connections } = nodeStatistics();
    const { messages, longest } = mailboxStatistics();
    const now = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(now, before);
    before = now;
    // The histogram has the time between two samples, which in an idle loop is the resolution.
    const lag = (ns: number): number => Math.max(0, ns / 1e9 - RESOLUTION_MS / 1000);
    const [p50, p99, max] = [delay.percentile(50), delay.percentile(99), delay.max].map(lag);
    delay.reset();
    const lagHelp = "Lag of the event loop since the previous scrape.";
    return [
      gauge("simurgh_processes", "Live processes.", processes),
      gauge("simurgh_timers", "Running timers.", timers),
      gauge("simurgh_run_queue", "Processes that are ready to run.", runQueue),
      gauge("simurgh_mailbox_messages", "Messages in all mailboxes.", messages),
      gauge("simurgh_mailbox_longest", "Messages in the longest mailbox.", longest),
      counter("simurgh_dropped_sends_total", "Messages to processes that had ended.", droppedSends),
      counter(
        "simurgh_suppressed_reports_total",
        "Reports suppressed by the log's rate limit.",
        suppressedReports,
      ),
      gauge("simurgh_event_loop_utilization", "Share of the time the event loop was busy.", utilization),
      gauge("simurgh_event_loop_lag_seconds", lagHelp, p50 as number, { quantile: "0.5" }),
      gauge("simurgh_event_loop_lag_seconds", lagHelp, p99 as number, { quantile: "0.99" }),
      gauge("simurgh_event_loop_lag_seconds", lagHelp, max as number, { quantile: "1" }),
      ...(connections as readonly ConnectionStats[]).map((connection) =>
        gauge(
          "simurgh_thread_connection_bytes",
          "Bytes sent to another thread and not handled there yet.",
          connection.outstandingBytes,
          {
            to: String(connection.node),
          },
        ),
      ),
    ];
  };
}
