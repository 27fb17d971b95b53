/**
 * FetchPool runs the user's `fetch` in separate processes, at most 16 at once and for a limited
 * time, so that a slow or broken one delays only its topic.
 *
 * The result is checked: a key that is missing, or a meta whose ref has changed, is restored,
 * because clients could never remove an entry that leaves without having joined.
 */
import { type Pid, self, send, sleep, spawnMonitor, telemetry, thisNode } from "simurgh/runtime";
import { type PresenceDiff, type PresenceEntry, type Presences, setOwn } from "./payload.js";

export type Fetch = (topic: string, presences: Presences) => Presences | Promise<Presences>;

export interface FetcherOptions {
  readonly presence: string;
  readonly fetch: Fetch;
  /** Ms after which the bare metas go out. Default 5,000. */
  readonly timeout: number;
  /** Default 16. */
  readonly concurrency?: number;
}

/** What a fetcher process sends when it is done. */
export type Fetched = readonly ["presence fetched", id: number, result: PresenceDiff | undefined];

interface Job {
  readonly id: number;
  readonly topic: string;
  readonly bare: PresenceDiff;
  readonly done: (completed: PresenceDiff) => void;
}

const TOO_LATE = Symbol("too late");

export class FetchPool {
  readonly #options: FetcherOptions;
  readonly #waiting: Job[] = [];
  readonly #running = new Map<number, Job & { readonly pid: Pid }>();
  #nextId = 1;
  /** How often it failed or was too late. */
  failures = 0;

  constructor(options: FetcherOptions) {
    this.#options = options;
  }

  get pids(): readonly Pid[] {
    return [...this.#running.values()].map(({ pid }) => pid);
  }

  /**
   * Completes both sides of a diff; `done` is called, once, in the calling process when it hands in
   * what it gets.
   */
  begin(topic: string, bare: PresenceDiff, done: (completed: PresenceDiff) => void): void {
    this.#waiting.push({ id: this.#nextId, topic, bare, done });
    this.#nextId += 1;
    this.#next();
  }

  /** Takes the message of a fetcher process. */
  take([, id, result]: Fetched): void {
    const job = this.#running.get(id);
    if (job === undefined) return;
    this.#running.delete(id);
    if (result === undefined) this.failures += 1;
    this.#next();
    job.done(result ?? job.bare);
  }

  /** A fetcher process has exited, perhaps without a message because it was killed. */
  ended(pid: Pid): void {
    for (const [id, job] of this.#running)
      if (job.pid.equals(pid)) this.take(["presence fetched", id, undefined]);
  }

  #next(): void {
    const { concurrency = 16, fetch, timeout, presence } = this.#options;
    while (this.#running.size < concurrency) {
      const job = this.#waiting.shift();
      if (job === undefined) return;
      const owner = self();
      const { id, topic, bare } = job;
      const [pid] = spawnMonitor(async function presenceFetch() {
        const from = thisNode().clock.now();
        let result: PresenceDiff | undefined;
        try {
          const both = Promise.all([fetch(topic, bare.joins), fetch(topic, bare.leaves)]);
          const fetched = await Promise.race([both, sleep(timeout).then(() => TOO_LATE)]);
          if (Array.isArray(fetched)) {
            const [joins, leaves] = fetched as [Presences, Presences];
            result = {
              joins: checked(presence, topic, bare.joins, joins),
              leaves: checked(presence, topic, bare.leaves, leaves),
            };
          } else complain(`${presence}: fetch for ${topic} has not answered in ${timeout} ms`, {});
        } catch (error) {
          complain(`${presence}: fetch for ${topic} failed`, { error });
        }
        const took = thisNode().clock.now() - from;
        telemetry.emit("presence.fetch", { ms: took, failed: result === undefined ? 1 : 0 }, { presence });
        send(owner, ["presence fetched", id, result] satisfies Fetched);
      });
      this.#running.set(id, { ...job, pid });
    }
  }
}

function complain(text: string, metadata: Record<string, unknown>): void {
  thisNode().report({ kind: "notice", level: "error", text, pid: self(), metadata });
}

/** What `fetch` made of `bare`, with what it must not change as it was. */
export function checked(presence: string, topic: string, bare: Presences, fetched: Presences): Presences {
  const isObject = typeof fetched === "object" && fetched !== null;
  if (!isObject)
    complain(`${presence}: fetch for ${topic} must return an object of presences`, { got: fetched });
  let result = isObject ? fetched : {};
  for (const [key, entry] of Object.entries(bare)) {
    const got = isObject && Object.hasOwn(fetched, key) ? fetched[key] : undefined;
    if (got !== undefined && sameRefs(got, entry)) continue;
    if (isObject)
      complain(
        got === undefined
          ? `${presence}: fetch for ${topic} dropped the key ${key}; it is put back`
          : `${presence}: fetch for ${topic} changed the refs of ${key}; its metas are put back`,
        { key },
      );
    if (result === fetched) result = copyOf(fetched);
    setOwn(result as Record<string, PresenceEntry>, key, { ...got, metas: entry.metas });
  }
  return result;
}

const sameRefs = (a: PresenceEntry, b: PresenceEntry): boolean =>
  Array.isArray(a?.metas) &&
  a.metas.length === b.metas.length &&
  a.metas.every((meta, index) => meta?.phx_ref === b.metas[index]?.phx_ref);

const copyOf = (presences: Presences): Presences =>
  Object.defineProperties({}, Object.getOwnPropertyDescriptors(presences));
