/**
 * WriteBatcher flushes the WebSocket connections of a gateway at the end of a turn of the event
 * loop, so that the frames of one turn leave each connection in one write.
 *
 * A flush to many connections is delayed by further turns, so that broadcasts that follow closely
 * share its writes. The delay per connection adapts: up to a tenth of the cost of a write while
 * delaying pays off, halved each time no frame arrives, and tried again at full length now and
 * then. So a single broadcast is delayed by one turn only.
 */

export interface BatchedConnection {
  flush(): void;
}

/** Connections from which on a flush may be delayed. */
const MANY = 32;
const MAX_DELAY_PER_CONNECTION_MS = 0.0004;
/** Delays without a frame after which the full length is tried again. */
const TRY_AGAIN_AFTER = 16;
/** Upper bound of the delay. */
const MAX_DELAY_MS = 1;

export class WriteBatcher {
  /** Frames since the last flush. A connection counts each of its frames here. */
  frames = 0;
  #connections: BatchedConnection[] = [];
  #delayPerConnection = MAX_DELAY_PER_CONNECTION_MS;
  /** Of the current delay: when it began and ends, and the frames counted when it was extended. */
  #startedAt = 0;
  #until = 0;
  #framesSeen = 0;
  /** Whether frames have arrived during the current delay. */
  #hasPaidOff = false;
  #inVain = 0;

  /** Flushes the connection at the end of this turn. Call it once per flush. */
  add(connection: BatchedConnection): void {
    if (this.#connections.push(connection) === 1) setImmediate(this.#flushAll);
  }

  readonly #flushAll = (): void => {
    if (this.#shouldDelay()) {
      setImmediate(this.#flushAll);
      return;
    }
    const connections = this.#connections;
    this.#connections = [];
    this.frames = 0;
    this.#framesSeen = 0;
    this.#hasPaidOff = false;
    for (const connection of connections) connection.flush();
  };

  #shouldDelay(): boolean {
    const count = this.#connections.length;
    if (count < MANY) return false;
    const now = performance.now();
    if (this.frames > this.#framesSeen) {
      if (this.#framesSeen === 0) this.#startedAt = now;
      else this.#hasPaidOff = true;
      this.#framesSeen = this.frames;
      this.#until = now + count * this.#delayPerConnection;
      return now - this.#startedAt < MAX_DELAY_MS;
    }
    if (now < this.#until) return true;
    this.#inVain = this.#hasPaidOff ? 0 : (this.#inVain + 1) % TRY_AGAIN_AFTER;
    this.#delayPerConnection = MAX_DELAY_PER_CONNECTION_MS / 2 ** this.#inVain;
    return false;
  }
}
