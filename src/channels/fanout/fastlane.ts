/**
 * The fastlane delivers broadcasts to clients without passing through their channel processes.
 *
 * It is PubSub's dispatcher for channels. It groups the subscribers of each topic in lanes and
 * sends a broadcast once per lane to the gateway that owns those connections; the gateway writes
 * the same bytes to each. A channel that intercepts the event receives the broadcast as a message
 * instead, and so does a subscriber that is not a channel.
 */

import { type Dispatcher, registerDispatcher, type Subscription } from "simurgh/pubsub";
import { type Pid, send, thisNode } from "simurgh/runtime";
import { type Broadcast, bytesOf, EncodedPayload, type Frame, isBroadcast } from "../protocol/message.js";
import { serializerFor } from "../protocol/serializers.js";
import { stringifyStrict } from "../protocol/strict-json.js";
import { joinLane, leaveLane, sendLane } from "./writer-messages.js";

/** The metadata of a channel's subscription: its client's connection. */
export interface FastlaneMetadata {
  readonly fastlane: true;
  readonly writer: Pid;
  readonly connection: number;
  readonly serializer: string;
  /** Events that the channel receives itself. */
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
  /** Few: one per gateway, serializer and list of intercepted events. */
  readonly lanes: Lane[];
  /** Subscriptions of processes that are not channels. */
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
      // The node and its creation make the key unique at the gateway, and identify the lanes to
      // remove when a thread ends.
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
    // A newer channel of the same connection may have replaced it already.
    if (lane?.members.get(metadata.connection) !== pid) return;
    lane.members.delete(metadata.connection);
    send(lane.writer, leaveLane(lane.key, metadata.connection));
    if (lane.members.size === 0) state.lanes.splice(state.lanes.indexOf(lane), 1);
  },

  pack: (message) => {
    const json = isBroadcast(message) ? jsonOf(message.payload) : undefined;
    if (json === undefined) return { wire: [PLAIN, message], message };
    const { topic, event, payload } = message as Broadcast;
    return {
      wire: [JSON_PAYLOAD, event, json],
      message: { topic, event, payload: new EncodedPayload(json, payload) } satisfies Broadcast,
    };
  },

  unpack(topic, wire) {
    const [kind, first, json] = wire as readonly unknown[];
    if (kind === PLAIN) return first;
    if (kind !== JSON_PAYLOAD || typeof first !== "string" || typeof json !== "string")
      throw new TypeError("neither a broadcast nor a message");
    return { topic, event: first, payload: new EncodedPayload(json) } satisfies Broadcast;
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
          if (from === undefined || !pid.equals(from)) send(pid, decoded(message));
        continue;
      }
      const frame = encodeOnce(frames, lane.serializer, message);
      if (frame === undefined) continue;
      // Each gateway numbers its own connections.
      const except = sender !== undefined && lane.writer.equals(sender.writer) ? sender.connection : 0;
      send(lane.writer, sendLane(lane.key, frame, except));
    }
    for (const { pid } of state.others)
      if (from === undefined || !pid.equals(from)) send(pid, decoded(message));
  },
};

/** The kinds of a message between nodes. */
const PLAIN = 0;
const JSON_PAYLOAD = 1;

/** Undefined for what JSON cannot represent: bytes, as a payload or in one. */
function jsonOf(payload: unknown): string | undefined {
  if (typeof payload !== "object" || payload === null || bytesOf(payload) !== undefined) return undefined;
  for (const value of Object.values(payload)) if (bytesOf(value) !== undefined) return undefined;
  try {
    return stringifyStrict(payload);
  } catch {
    return undefined;
  }
}

/** The broadcast with a decoded payload, for processes that read it. */
const decoded = (message: Broadcast): Broadcast =>
  message.payload instanceof EncodedPayload ? { ...message, payload: message.payload.value } : message;

registerDispatcher(fastlane);

/**
 * Encodes once per serializer. An error of one serializer must not stop the delivery to the others.
 */
function encodeOnce(
  frames: Map<string, Frame | undefined>,
  serializer: string,
  message: Broadcast,
): Frame | undefined {
  if (!frames.has(serializer)) {
    let frame: Frame | undefined;
    try {
      const chosen = serializerFor(serializer);
      frame = chosen.encodeBroadcast(chosen.takesEncoded === true ? message : decoded(message));
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

/** The client of the channel among the subscriptions of one process. */
function clientOf(subscriptions: readonly Subscription[]): FastlaneMetadata | undefined {
  for (const { metadata } of subscriptions) if (isFastlane(metadata)) return metadata;
  return undefined;
}
