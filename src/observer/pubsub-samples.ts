/** The samples of a thread's PubSub and of its connection to other nodes. */
import { type AdapterHealth, PubSub } from "simurgh/pubsub";
import { thisNode } from "simurgh/runtime";
import { counter, gauge, type Sample, type Source } from "./sample.js";

export const pubsubSource =
  (pubsub: string): Source =>
  async () => {
    const { topics, processes } = PubSub.stats(pubsub);
    const { broadcasts, fromOthers, waiting, waitingBytes } = PubSub.traffic(pubsub);
    const health = await PubSub.health(pubsub, thisNode().index);
    return [
      gauge("simurgh_pubsub_topics", "Topics with subscribers.", topics),
      gauge("simurgh_pubsub_subscribers", "Subscribed processes.", processes),
      counter("simurgh_pubsub_broadcasts_total", "Broadcasts published on this node.", broadcasts),
      counter(
        "simurgh_pubsub_from_others_total",
        "Broadcasts of other nodes that were delivered on this node.",
        fromOthers,
      ),
      gauge("simurgh_pubsub_waiting", "Messages of other nodes that are queued for delivery.", waiting),
      gauge("simurgh_pubsub_waiting_bytes", "The same in bytes.", waitingBytes),
      ...Object.entries(PubSub.dropped(pubsub)).map(([why, count]) =>
        counter(
          "simurgh_pubsub_dropped_total",
          "Messages of other nodes that could not be delivered.",
          count,
          { why },
        ),
      ),
      ...(health === undefined ? [] : engineSamples(health)),
    ];
  };

const flag = (value: boolean): number => (value ? 1 : 0);

function engineSamples(health: AdapterHealth): readonly Sample[] {
  const dropped = "Messages for other nodes that were not sent.";
  return [
    gauge(
      "simurgh_engine_up",
      "1 while the engine is reachable, 0 while this thread is disconnected.",
      flag(health.status !== "down"),
      {
        engine: health.engine,
      },
    ),
    gauge(
      "simurgh_engine_degraded",
      "1 while some messages may be lost.",
      flag(health.status === "degraded"),
    ),
    gauge(
      "simurgh_engine_not_receiving",
      "1 while this thread can send through the engine but does not receive.",
      flag(health.notReceiving),
    ),
    gauge(
      "simurgh_node_name_duplicate",
      "1 while another node has the same name.",
      flag(health.isDuplicateName),
    ),
    gauge("simurgh_engine_slots", "Slots that are subscribed to.", health.slots),
    gauge("simurgh_engine_unsent_bytes", "Bytes not yet sent to the engine.", health.unsentBytes),
    counter("simurgh_engine_reconnects_total", "Reconnects to the engine.", health.reconnects),
    counter("simurgh_engine_sent_total", "Messages sent to other nodes.", health.sent),
    counter("simurgh_engine_sent_bytes_total", "The same in bytes.", health.sentBytes),
    counter("simurgh_engine_received_total", "Messages received from other nodes.", health.received),
    counter("simurgh_engine_dropped_total", dropped, health.droppedDown, { why: "down" }),
    counter("simurgh_engine_dropped_total", dropped, health.droppedUnsent, { why: "unsent" }),
    counter(
      "simurgh_engine_refused_total",
      "Messages that were too large or could not be encoded.",
      health.refused,
    ),
    counter(
      "simurgh_engine_overload_dropped_total",
      "Messages of other nodes dropped because the receive queue was full.",
      health.droppedOverload,
    ),
    counter(
      "simurgh_engine_unreadable_total",
      "Received messages that this version cannot decode.",
      health.unreadable,
    ),
    counter("simurgh_engine_gaps_total", "Gaps in the sequence of another node's messages.", health.gaps),
    counter("simurgh_engine_lost_total", "Messages of other nodes that were lost.", health.lost),
    counter("simurgh_engine_duplicates_total", "Duplicate messages.", health.duplicates),
    // Only the thread that leads its node knows the others.
    ...(health.isLeader ? [gauge("simurgh_nodes", "Other nodes that are up.", health.nodes.length)] : []),
  ];
}
