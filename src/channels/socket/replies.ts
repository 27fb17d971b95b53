/**
 * The replies that the process of a connection sends itself, because no channel can: to frames
 * above a rate, for topics that are not joined, of an earlier join, and to malformed frames.
 */
import { limitHit } from "../channel/instrumentation.js";
import { CLOSE, PHOENIX_TOPIC, PHX_CLOSE, PHX_JOIN, PHX_LEAVE } from "../protocol/constants.js";
import { CLIENT_ERRORS, rateLimited } from "../protocol/errors.js";
import { decodePayload, type ScannedFrame } from "../protocol/frame-scanner.js";
import type { Frame, WireRef } from "../protocol/message.js";
import { type Next, noreply, noticeOnce, type SocketState, write } from "./socket-state.js";

/** Refuses a frame over a rate, with the time to retry. */
export function replyRateLimited(
  { joinRef, ref, topic, event }: ScannedFrame,
  wait: number,
  state: SocketState,
): Next {
  limitHit(state.socket.endpoint, event === PHX_JOIN ? "joins" : "messages");
  noticeOnce(
    state,
    "rate",
    "warning",
    "a client exceeds the rate of its mount; its frames above the rate are refused",
  );
  write(state, state.serializer.encodeReply(joinRef, ref, topic, "error", rateLimited(wait)));
  return noreply(state);
}

export const dropStale = (frame: ScannedFrame, state: SocketState): Next =>
  isValidPayload(frame) ? noreply(state) : invalidFrame(frame, state);

/** Whether a payload that no channel reads is valid. */
export function isValidPayload({ payload }: ScannedFrame): boolean {
  try {
    decodePayload(payload);
    return true;
  } catch {
    return false;
  }
}

/** A message for a topic that this connection has not joined. */
export function replyUnmatched(frame: ScannedFrame, state: SocketState): Next {
  if (!isValidPayload(frame)) return invalidFrame(frame, state);
  const { joinRef, ref, event, wireTopic } = frame;
  const topic = wireTopic === undefined ? frame.topic : (wireTopic as string);
  write(
    state,
    event === PHX_LEAVE
      ? state.serializer.encodeReply(joinRef, ref, topic, "ok", {})
      : state.serializer.encodeReply(null, ref, topic, "error", CLIENT_ERRORS.unmatchedTopic),
  );
  return noreply(state);
}

/**
 * Handles a malformed frame, of which what could be read is given: closes the connection, or what
 * the mount's `invalidFrames` says instead.
 */
export function invalidFrame(
  frame: { readonly ref: WireRef; readonly topic: string } | undefined,
  state: SocketState,
): Next {
  noticeOnce(state, "invalid frame", "info", `a client sent a malformed frame (${state.serializer.name})`);
  switch (state.kind.invalidFrames) {
    case "close":
      state.transport.close(CLOSE.internalError, "invalid frame");
      return ["stop", ["shutdown", "invalid_frame"], state];
    case "reply": {
      const { ref, topic } = frame ?? { ref: null, topic: PHOENIX_TOPIC };
      write(state, state.serializer.encodeReply(null, ref, topic, "error", CLIENT_ERRORS.invalidFrame));
      return noreply(state);
    }
    case "ignore":
      return noreply(state);
  }
}

export const closeFrame = (topic: string, joinRef: WireRef, state: SocketState): Frame =>
  state.serializer.encodeControl(joinRef, topic, PHX_CLOSE, {});
