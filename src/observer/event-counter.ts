/** Counts telemetry events of its thread. None of these events is emitted per message. */
import { telemetry } from "simurgh/runtime";
import { counter, type Source } from "./sample.js";

interface Counted {
  readonly name: string;
  readonly help: string;
  /** The metadata key that becomes a label. */
  readonly by?: string;
  /**
   * Label values that are exported from the start, so that Prometheus sees their first increase.
   */
  readonly values?: readonly string[];
}

const COUNTED: Readonly<Record<string, Counted>> = {
  "phoenix.socket_connected": {
    name: "simurgh_sockets_connected_total",
    help: "Connections, by the result of connect.",
    by: "result",
    values: ["ok", "error"],
  },
  "phoenix.channel_joined": {
    name: "simurgh_channels_joined_total",
    help: "Joins, by result.",
    by: "result",
    values: ["ok", "error"],
  },
  "phoenix.channel_ended": { name: "simurgh_channels_ended_total", help: "Channels that have ended." },
  "phoenix.limit": {
    name: "simurgh_limits_total",
    help: "How often clients exceeded a limit.",
    by: "limit",
    values: ["messages", "joins", "outbound_bytes"],
  },
  "presence.replica": {
    name: "simurgh_presence_replica_changes_total",
    help: "How often replicas of other nodes went up and down.",
    by: "event",
    values: ["replica_up", "replica_down"],
  },
  "presence.refused": {
    name: "simurgh_presence_refused_total",
    help: "Messages of replicas that were refused as incompatible.",
  },
  "presence.transfer": {
    name: "simurgh_presence_transfers_total",
    help: "Full or partial states sent to replicas that were behind.",
  },
};

/** `stop` ends the counting. */
export function countEvents(): { readonly source: Source; stop(): void } {
  const counts = new Map<string, Map<string, number>>();
  const stops = Object.entries(COUNTED).map(([event, { by, values = [""] }]) => {
    const ofEvent = new Map(values.map((value) => [value, 0]));
    counts.set(event, ofEvent);
    return telemetry.attach(event, ({ metadata }) => {
      const value = by === undefined ? "" : String(metadata[by]);
      ofEvent.set(value, (ofEvent.get(value) ?? 0) + 1);
    });
  });
  return {
    source: () =>
      Object.entries(COUNTED).flatMap(([event, { name, help, by }]) =>
        [...(counts.get(event) ?? [])].map(([value, count]) =>
          counter(name, help, count, by === undefined ? undefined : { [by]: value }),
        ),
      ),
    stop() {
      for (const stop of stops) stop();
    },
  };
}
