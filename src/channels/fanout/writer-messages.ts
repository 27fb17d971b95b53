/**
 * What the gateway's writer understands. Small arrays, because each of them may cross a thread.
 *
 * A *lane* is all subscribers on one gateway that want the same bytes: same topic, same serializer,
 * same intercepted events. The thread of the topic names its lanes and says who is in them, in
 * order with what it sends over them.
 */
import type { Pid } from "simurgh/runtime";
import type { Frame } from "../protocol/message.js";

export type WriterMessage =
  | readonly ["send", connection: number, frame: Frame]
  | readonly ["report", connection: number, frames: readonly Frame[], to: Pid, news: object]
  | readonly ["lane", lane: string, frame: Frame, except: number]
  | readonly ["lane+", lane: string, connection: number]
  | readonly ["lane-", lane: string, connection: number];

export const sendFrame = (connection: number, frame: Frame): WriterMessage => ["send", connection, frame];
/**
 * Frames about a channel, and news of them for the connection's process. They are one message, so
 * that it knows what its client has been sent even when the channel's thread dies right after.
 */
export const reportFrames = (
  connection: number,
  frames: readonly Frame[],
  to: Pid,
  news: object,
): WriterMessage => ["report", connection, frames, to, news];
/** `except` is the connection to leave out; 0 for none. */
export const sendLane = (lane: string, frame: Frame, except: number): WriterMessage => [
  "lane",
  lane,
  frame,
  except,
];
export const joinLane = (lane: string, connection: number): WriterMessage => ["lane+", lane, connection];
export const leaveLane = (lane: string, connection: number): WriterMessage => ["lane-", lane, connection];
