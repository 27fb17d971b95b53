/**
 * The document loader loads documents in threads of its own, so that none holds up the rooms of a
 * shard however long it takes, and each has a deadline, after which its thread is terminated.
 *
 *   fast ──not done within 2 s──▶ slow ──not done within a minute──▶ "too_slow"
 *                                   └──too many wait──▶ "busy"
 *
 * Most are loaded in milliseconds, one at a time; one that takes long goes over to a second thread,
 * where it keeps no other waiting for more than that.
 */
import { extname } from "node:path";
import { Piscina } from "piscina";
import type { DocumentImage } from "./document-image.js";
import type { LoaderTask } from "./document-loader-thread.js";
import type { StoredDocument } from "./document-loading.js";

export type LoadOutcome<T> =
  | readonly ["ok", T]
  /** `busy`: it is worth trying again soon. */
  | readonly ["error", "damaged" | "too_slow" | "busy"];

export interface DocumentLoader {
  /** Of the first of these that is whole. */
  image(stored: readonly StoredDocument[]): Promise<LoadOutcome<DocumentImage>>;
  /** The text of a snapshot. */
  text(state: Uint8Array, hash: string): Promise<LoadOutcome<string>>;
}

export interface LoaderOptions {
  readonly fastMs?: number;
  readonly slowMs?: number;
}

const FAST_MS = 2_000;
const SLOW_MS = 60_000;
/** Documents that wait for the thread of the slow ones. */
const SLOW_WAITING = 8;
/** How long a thread may take to start. */
const START_MS = 30_000;
/** Without work for so long, a thread ends. */
const IDLE_MS = 30_000;

const THREAD = new URL(`./document-loader-thread${extname(import.meta.url)}`, import.meta.url).href;

async function within<T>(ms: number, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const abort = new AbortController();
  const timer = setTimeout(() => abort.abort(), ms);
  try {
    return await work(abort.signal);
  } finally {
    clearTimeout(timer);
  }
}

/** A thread that does one task after the other, each within a deadline that begins with it. */
class Lane {
  readonly #deadlineMs: number;
  #pool: Piscina | undefined;
  #last: Promise<unknown> = Promise.resolve();
  waiting = 0;

  constructor(deadlineMs: number) {
    this.#deadlineMs = deadlineMs;
  }

  /** Undefined: not done within the deadline, or not with the memory there is. */
  async run<T>(task: LoaderTask): Promise<T | undefined> {
    this.waiting += 1;
    const done = this.#last.then(() => this.#runNow<T>(task)).finally(() => (this.waiting -= 1));
    this.#last = done;
    return done;
  }

  async #runNow<T>(task: LoaderTask): Promise<T | undefined> {
    this.#pool ??= this.#start();
    try {
      // A thread that is being started, on a busy machine, does not use up the time of the task.
      await within(START_MS, (signal) => (this.#pool as Piscina).run(["ready"], { signal }));
      return await within(this.#deadlineMs, (signal) => (this.#pool as Piscina).run(task, { signal }));
    } catch {
      return undefined;
    }
  }

  #start(): Piscina {
    const pool = new Piscina({
      filename: THREAD,
      minThreads: 0,
      maxThreads: 1,
      idleTimeout: IDLE_MS,
      atomics: "disabled",
    });
    // The task's promise says how a thread ended.
    pool.on("error", () => {});
    return pool;
  }

  async stop(): Promise<void> {
    await this.#pool?.destroy();
    this.#pool = undefined;
  }
}

export class ThreadLoader implements DocumentLoader {
  readonly #fast: Lane;
  readonly #slow: Lane;

  constructor({ fastMs = FAST_MS, slowMs = SLOW_MS }: LoaderOptions = {}) {
    this.#fast = new Lane(fastMs);
    this.#slow = new Lane(slowMs);
  }

  image(stored: readonly StoredDocument[]): Promise<LoadOutcome<DocumentImage>> {
    return this.#run(["image", stored]);
  }

  text(state: Uint8Array, hash: string): Promise<LoadOutcome<string>> {
    return this.#run(["text", state, hash]);
  }

  async #run<T>(task: LoaderTask): Promise<LoadOutcome<T>> {
    const fast = await this.#fast.run<LoadOutcome<T>>(task);
    if (fast !== undefined) return fast;
    if (this.#slow.waiting >= SLOW_WAITING) return ["error", "busy"];
    return (await this.#slow.run<LoadOutcome<T>>(task)) ?? ["error", "too_slow"];
  }

  async stop(): Promise<void> {
    await Promise.all([this.#fast.stop(), this.#slow.stop()]);
  }
}
