/**
 * The fastlane: how a broadcast reaches clients without their channel processes (C-126).
 *
 * This is PubSub's dispatcher for channels. It keeps, per topic, the subscribers grouped in lanes, and sends a broadcast
 * once per lane to the gateway that owns those connections; the gateway writes the same bytes to each. A subscriber
 * whose channel intercepts the event gets the broadcast as a message instead, and so does one that is not a channel.
 */

import { type Dispatcher, registerDispatcher, type Subscription } from "simurgh/pubsub";
import { type Pid, send, thisNode } from "simurgh/runtime";
import { type Broadcast, type Frame, isBroadcast } from "./message.js";
import { serializerFor } from "./serializers/index.js";
import { joinLane, leaveLane, sendLane } from "./writer-messages.js";

/** What a channel's subscription says about its client. */
export interface FastlaneMetadata {
  readonly fastlane: true;
  readonly writer: Pid;
  readonly connection: number;
  readonly serializer: string;
  /** Events the channel wants to see itself. */
  readonly intercepts: readonly string[];
}

interface Lane {
  readonly key: string;
  readonly writer: Pid;
  readonly serializer: string;
  readonly intercepts: readonly string[];
  readonly members: Map<number, Pid>;
}

interface Lanes {
  /** Few: one per gateway, serializer and choice of intercepted events. */
  readonly lanes: Lane[];
  /** Subscriptions that are not a client's own channel. */
  readonly others: Set<Subscription>;
}

let nextLane = 1;

const isFastlane = (metadata: unknown): metadata is FastlaneMetadata =>
  typeof metadata === "object" && metadata !== null && (metadata as FastlaneMetadata).fastlane === true;

const laneFor = (
  lanes: readonly Lane[],
  { writer, serializer, intercepts }: FastlaneMetadata,
): Lane | undefined =>
  lanes.find(
    (lane) =>
      lane.serializer === serializer &&
      lane.writer.equals(writer) &&
      lane.intercepts.length === intercepts.length &&
      intercepts.every((event, index) => lane.intercepts[index] === event),
  );

export const fastlane: Dispatcher<Lanes> = {
  name: "fastlane",

  open: () => ({ lanes: [], others: new Set() }),

  added(state, subscription) {
    const { metadata, pid } = subscription;
    if (!isFastlane(metadata)) {
      state.others.add(subscription);
      return;
    }
    let lane = laneFor(state.lanes, metadata);
    if (lane === undefined) {
      const node = thisNode();
      // The node and its creation make the key unique at the gateway and tell whose lanes end when a thread does.
      const key = `${node.index}.${node.creation}.${nextLane}`;
      nextLane += 1;
      lane = {
        key,
        writer: metadata.writer,
        serializer: metadata.serializer,
        intercepts: metadata.intercepts,
        members: new Map(),
      };
      state.lanes.push(lane);
    }
    lane.members.set(metadata.connection, pid);
    send(lane.writer, joinLane(lane.key, metadata.connection));
  },

  removed(state, subscription) {
    const { metadata, pid } = subscription;
    if (!isFastlane(metadata)) {
      state.others.delete(subscription);
      return;
    }
    const lane = laneFor(state.lanes, metadata);
    // A newer channel of the same connection may have taken the place already.
    if (lane?.members.get(metadata.connection) !== pid) return;
    lane.members.delete(metadata.connection);
    send(lane.writer, leaveLane(lane.key, metadata.connection));
    if (lane.members.size === 0) state.lanes.splice(state.lanes.indexOf(lane), 1);
  },

  dispatch(topic, from, message, state) {
    if (!isBroadcast(message) || message.topic !== topic.topic) {
      for (const { pid } of topic.subscriptions())
        if (from === undefined || !pid.equals(from)) send(pid, message);
      return;
    }
    const sender = from === undefined ? undefined : clientOf(topic.subscriptionsOf(from));
    const frames = new Map<string, Frame | undefined>();
    for (const lane of state.lanes) {
      if (lane.intercepts.includes(message.event)) {
        for (const pid of lane.members.values())
          if (from === undefined || !pid.equals(from)) send(pid, message);
        continue;
      }
      const frame = encodeOnce(frames, lane.serializer, message);
      if (frame === undefined) continue;
      // Each gateway numbers its own connections.
      const except = sender !== undefined && lane.writer.equals(sender.writer) ? sender.connection : 0;
      send(lane.writer, sendLane(lane.key, frame, except));
    }
    for (const { pid } of state.others) if (from === undefined || !pid.equals(from)) send(pid, message);
  },
};

registerDispatcher(fastlane);

/** Encodes for one serializer. One that cannot say it must not keep the others from it (C-127). */
function encodeOnce(
  frames: Map<string, Frame | undefined>,
  serializer: string,
  message: Broadcast,
): Frame | undefined {
  if (!frames.has(serializer)) {
    let frame: Frame | undefined;
    try {
      frame = serializerFor(serializer).encodeBroadcast(message);
    } catch (error) {
      thisNode().report({
        kind: "notice",
        level: "error",
        text: `the broadcast ${message.event} on ${message.topic} cannot be encoded by ${serializer}`,
        pid: undefined,
        metadata: { error },
      });
    }
    frames.set(serializer, frame);
  }
  return frames.get(serializer);
}

/** The client that subscriptions of one process stand for. */
function clientOf(subscriptions: readonly Subscription[]): FastlaneMetadata | undefined {
  for (const { metadata } of subscriptions) if (isFastlane(metadata)) return metadata;
  return undefined;
}
