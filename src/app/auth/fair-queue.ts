/**
 * FairQueue runs jobs, so many at a time, and takes turns between the keys they were handed in for (fair queuing, RFC 970):
 * however many jobs one key has waiting, a job of another key waits for one of each key at most.
 *
 * Bounded, in all and for each key. When it is full, a key with few jobs takes the place of the newest job of the key with
 * the most, so that no key fills the queue for the others. Keeps no order between jobs of different keys.
 */
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
  /** Makes the error of a job that is refused. */
  readonly refusal: () => Error;
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

  /** Rejects with the refusal when there is no room, also later on when another key takes its place. */
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
    const { maxWaiting, maxWaitingPerKey, refusal } = this.#options;
    const own = this.#waiting.get(key) ?? [];
    const tooMany = key !== undefined && own.length >= maxWaitingPerKey;
    if (tooMany || (this.#count >= maxWaiting && !this.#makeRoom(own.length + 1)))
      return Promise.reject(refusal());
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
    longest.pop()?.refuse(this.#options.refusal());
    this.#count -= 1;
    return true;
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
