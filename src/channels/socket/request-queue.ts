/**
 * RequestQueue is the immutable queue of requests for a topic's channel. It knows its length and
 * bytes; `add` and `take` are O(1) amortised.
 */
import { PHX_JOIN, PHX_LEAVE } from "../protocol/constants.js";
import type { ScannedFrame } from "../protocol/frame-scanner.js";

/** A frame of the client for a topic. */
export interface Request {
  readonly frame: ScannedFrame;
  /** Bytes, or characters of a text frame. */
  readonly size: number;
  /** Of a join: the index of the channel that serves the topic. */
  readonly channel: number;
}

interface Cell {
  readonly request: Request;
  readonly next: Cell | undefined;
}

export class RequestQueue {
  static readonly EMPTY = new RequestQueue(undefined, undefined, 0, 0, 0, 0);

  /** Oldest first. */
  readonly #out: Cell | undefined;
  /** Newest first; after `#out`. */
  readonly #in: Cell | undefined;
  readonly length: number;
  readonly bytes: number;
  readonly joins: number;
  readonly leaves: number;

  private constructor(
    out: Cell | undefined,
    incoming: Cell | undefined,
    length: number,
    bytes: number,
    joins: number,
    leaves: number,
  ) {
    this.#out = out;
    this.#in = incoming;
    this.length = length;
    this.bytes = bytes;
    this.joins = joins;
    this.leaves = leaves;
  }

  add(request: Request): RequestQueue {
    const { length, bytes, joins, leaves } = this;
    const newest = { request, next: this.#in };
    return new RequestQueue(
      this.#out,
      newest,
      length + 1,
      bytes + request.size,
      joins + countOf(request, PHX_JOIN),
      leaves + countOf(request, PHX_LEAVE),
    );
  }

  /** The oldest request and the rest; undefined when the queue is empty. */
  take(): readonly [Request, RequestQueue] | undefined {
    let out = this.#out;
    let incoming = this.#in;
    if (out === undefined) {
      for (let cell = incoming; cell !== undefined; cell = cell.next)
        out = { request: cell.request, next: out };
      incoming = undefined;
    }
    if (out === undefined) return undefined;
    const { request, next } = out;
    const rest = new RequestQueue(
      next,
      incoming,
      this.length - 1,
      this.bytes - request.size,
      this.joins - countOf(request, PHX_JOIN),
      this.leaves - countOf(request, PHX_LEAVE),
    );
    return [request, rest];
  }
}

const countOf = ({ frame }: Request, event: string): number => (frame.event === event ? 1 : 0);
