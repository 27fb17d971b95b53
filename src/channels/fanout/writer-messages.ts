/**
 * The messages of the gateway's writer. Small arrays, because each may cross threads.
 *
 * A *lane* is the set of subscribers on one gateway that receive the same bytes: same topic, same
 * serializer, same intercepted events. The thread that owns the topic names the lanes and sends
 * their members, in order with the frames it sends over them.
 */
import type { Pid } from "simurgh/runtime";
import type { Frame } from "../protocol/message.js";

export type WriterMessage =
  | readonly ["send", connection: number, frame: Frame]
  | readonly ["report", connection: number, frames: readonly Frame[], to: Pid, notification: object]
  | readonly ["lane", lane: string, frame: Frame, except: number]
  | readonly ["lane+", lane: string, connection: number]
  | readonly ["lane-", lane: string, connection: number];

export const sendFrame = (connection: number, frame: Frame): WriterMessage => ["send", connection, frame];
/**
 * Frames about a channel together with the notification of them to the connection's process. They
 * are one message, so that the process knows what its client has been sent even when the channel's
 * thread dies right after.
 */
export const reportFrames = (
  connection: number,
  frames: readonly Frame[],
  to: Pid,
  notification: object,
): WriterMessage => ["report", connection, frames, to, notification];
/** `except` is the connection to leave out; 0 for none. */
export const sendLane = (lane: string, frame: Frame, except: number): WriterMessage => [
  "lane",
  lane,
  frame,
  except,
];
export const joinLane = (lane: string, connection: number): WriterMessage => ["lane+", lane, connection];
export const leaveLane = (lane: string, connection: number): WriterMessage => ["lane-", lane, connection];
