/**
 * FairQueue runs jobs, so many at a time, and takes turns between the keys they were handed in for
 * (fair queuing, RFC 970): however many jobs one key has waiting, a job of another key waits for
 * one of each key at most.
 *
 * Bounded, in all and for each key. When it is full, a key with few jobs takes the place of the
 * newest job of the key with the most, so that no key fills the queue for the others. Keeps no
 * order between jobs of different keys.
 */

/** Too much of something is being done at once; the client should try again in a moment. */
export class Overloaded extends Error {
  override readonly name = "Overloaded";
}

interface Job {
  start(): void;
  refuse(error: Error): void;
}

export interface FairQueueOptions {
  /** Jobs that run at a time. */
  readonly concurrency: number;
  /** Jobs that wait, of all keys. */
  readonly maxWaiting: number;
  /** Jobs that wait of one key. Jobs without a key are bounded by the whole alone. */
  readonly maxWaitingPerKey: number;
  /** What the jobs are, for the message of `Overloaded`: "passwords are being checked". */
  readonly what: string;
}

export class FairQueue {
  readonly #options: FairQueueOptions;
  /** Jobs that wait, by key; the key whose turn is next is the first. */
  readonly #waiting = new Map<string | undefined, Job[]>();
  #count = 0;
  #running = 0;

  constructor(options: FairQueueOptions) {
    this.#options = options;
  }

  /**
   * Rejects with `Overloaded` when there is no room, also later on when another key takes its
   * place.
   */
  async run<T>(key: string | undefined, job: () => Promise<T>): Promise<T> {
    if (this.#running >= this.#options.concurrency) await this.#turn(key);
    else this.#running += 1;
    try {
      return await job();
    } finally {
      const next = this.#next();
      // The place is handed on, not given back and fought for.
      if (next === undefined) this.#running -= 1;
      else next.start();
    }
  }

  #turn(key: string | undefined): Promise<void> {
    const { maxWaiting, maxWaitingPerKey } = this.#options;
    const own = this.#waiting.get(key) ?? [];
    const tooMany = key !== undefined && own.length >= maxWaitingPerKey;
    if (tooMany || (this.#count >= maxWaiting && !this.#makeRoom(own.length + 1)))
      return Promise.reject(this.#refusal());
    return new Promise((start, refuse) => {
      own.push({ start, refuse });
      this.#waiting.set(key, own);
      this.#count += 1;
    });
  }

  /** Refuses the newest job of the key that has the most, where those are more than `mine`. */
  #makeRoom(mine: number): boolean {
    let longest: Job[] = [];
    for (const jobs of this.#waiting.values()) if (jobs.length > longest.length) longest = jobs;
    if (longest.length <= mine) return false;
    longest.pop()?.refuse(this.#refusal());
    this.#count -= 1;
    return true;
  }

  #refusal(): Overloaded {
    return new Overloaded(`too many ${this.#options.what}`);
  }

  #next(): Job | undefined {
    const [first] = this.#waiting;
    if (first === undefined) return undefined;
    const [key, jobs] = first;
    const job = jobs.shift();
    this.#count -= 1;
    this.#waiting.delete(key);
    // Its next turn comes after those of all others.
    if (jobs.length > 0) this.#waiting.set(key, jobs);
    return job;
  }
}
