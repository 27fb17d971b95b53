/**
 * The Resharder changes the number of an endpoint's shard threads, and the slots that they own,
 * while it runs.
 *
 * Clients of a topic that moves get `phx_error`, as for a crash, and join again on the new thread.
 * No socket closes, and topics that stay are not affected. Threads are started before slots move to
 * them, and stopped once their channels have ended.
 *
 * Changes run one after the other. A thread that restarts or is added later starts with the owners
 * of that moment.
 */

import { PubSub, type ReassignResult, type SlotOwners } from "simurgh/pubsub";
import {
  BadArg,
  type ChildSpec,
  DynamicSupervisor,
  GenServer,
  type GenServerModule,
  Supervisor,
  sleep,
  thisNode,
} from "simurgh/runtime";
import { SLOTS } from "#pubsub";
import { threadName } from "#runtime";
import { channelsName } from "./shard.js";
import { rebalance, roundRobin } from "./slot-assignment.js";

/** The current shard threads and slot owners of an endpoint, read by children that start later. */
export interface ShardLayout {
  readonly owners: SlotOwners;
  /** Node indexes of the shard threads. */
  shards: readonly number[];
}

export const initialLayout = (shards: number, here: number): ShardLayout => {
  const threads = Array.from({ length: shards }, (_, k) => k + 1);
  return { owners: { current: roundRobin(shards === 0 ? [here] : threads) }, shards: threads };
};

export const MAX_SHARDS = 64;

/** A number of threads, or the owner of each of the 256 slots. */
export type ReshardTarget = number | readonly number[];

export interface ResharderOptions {
  readonly endpoint: string;
  readonly pubsub: string;
  readonly layout: ShardLayout;
  /** Whether there is a cluster: then the first shard is the node's leader and must stay. */
  readonly clustered: boolean;
  /** Other threads in which the PubSub runs. */
  readonly others: readonly number[];
  readonly shardSpec: (index: number) => ChildSpec;
}

const resharderName = (endpoint: string): string => `${endpoint}.resharder`;

export const shardsName = (endpoint: string): string => `${endpoint}.shards`;

/** How long a thread that is no longer needed waits for its channels to end. */
const MAX_WAIT_MS = 10_000;

const server: GenServerModule<ResharderOptions, ResharderOptions, readonly ["reshard", ReshardTarget]> = {
  name: "Resharder",

  init: (options) => ["ok", options],

  async handleCall([, target], _from, options) {
    return ["reply", await reshard(target, options), options];
  },
};

async function reshard(target: ReshardTarget, options: ResharderOptions): Promise<ReassignResult> {
  const { endpoint, pubsub, layout, others, shardSpec } = options;
  const before = layout.shards;
  const threads = typeof target === "number" ? selectThreads(target, before) : distinct(target);
  const owners = typeof target === "number" ? rebalance(layout.owners.current, threads) : target;
  if (options.clustered && !threads.includes(Math.min(...before)))
    return ["error", ["first_shard_must_stay", Math.min(...before)]];
  const added = threads.filter((thread) => !before.includes(thread));
  for (const [done, thread] of added.entries()) {
    const started = await Supervisor.startChild(shardsName(endpoint), shardSpec(thread));
    if (started[0] === "ok") continue;
    await stop(endpoint, added.slice(0, done));
    return ["error", ["thread_failed", thread, started[1]]];
  }
  const all = [...new Set([...before, ...threads])];
  const moved = await PubSub.reassign(pubsub, owners, [...others, ...all], () => {
    layout.owners.current = owners;
    layout.shards = threads;
  });
  if (moved !== "ok") {
    await stop(endpoint, added);
    return moved;
  }
  await stop(
    endpoint,
    before.filter((thread) => !threads.includes(thread)),
  );
  return "ok";
}

const distinct = (target: readonly number[]): readonly number[] => [...new Set(target)].sort((a, b) => a - b);

/** The first `target` of the present threads, and new ones up to that number. */
function selectThreads(target: number, present: readonly number[]): readonly number[] {
  const threads = present.slice(0, target);
  for (let index = 1; threads.length < target; index += 1)
    if (!threads.includes(index) && isFree(index)) threads.push(index);
  return threads;
}

/** Whether the application uses the index for a thread of its own. */
const isFree = (index: number): boolean => {
  const node = thisNode();
  return (
    index !== node.index &&
    node.connection(index) === undefined &&
    node.whereis(threadName(index)) === undefined
  );
};

async function stop(endpoint: string, threads: readonly number[]): Promise<void> {
  await Promise.all(
    threads.map(async (thread) => {
      await waitUntilEmpty(endpoint, thread);
      await Supervisor.terminateChild(shardsName(endpoint), threadName(thread));
      await Supervisor.deleteChild(shardsName(endpoint), threadName(thread));
    }),
  );
}

/**
 * Waits for the channels of a thread to end: they have been notified that their topics have moved.
 */
async function waitUntilEmpty(endpoint: string, node: number): Promise<void> {
  const until = performance.now() + MAX_WAIT_MS;
  try {
    while (performance.now() < until) {
      const { active } = await DynamicSupervisor.countChildren({ name: channelsName(endpoint), node });
      if (active === 0) return;
      await sleep(20);
    }
  } catch {
    // The thread is down already.
  }
}

function check(target: unknown): void {
  const isCount = Number.isInteger(target) && (target as number) >= 1 && (target as number) <= MAX_SHARDS;
  const isMap =
    Array.isArray(target) &&
    target.length === SLOTS &&
    target.every((index) => Number.isInteger(index) && index > 0);
  if (!isCount && !isMap)
    throw new BadArg(
      `badarg: reshard takes a number of threads from 1 to ${MAX_SHARDS}, or the node index of the owner of each of the ${SLOTS} slots`,
    );
}

export const Resharder = {
  childSpec: (options: ResharderOptions): ChildSpec => ({
    id: "resharder",
    start: [GenServer.startLink, [server, options, { name: resharderName(options.endpoint) }]],
  }),

  /** Must be called in the thread of the endpoint. */
  async reshard(endpoint: string, target: ReshardTarget): Promise<ReassignResult> {
    check(target);
    return GenServer.call(resharderName(endpoint), ["reshard", target], Number.POSITIVE_INFINITY);
  },
};
