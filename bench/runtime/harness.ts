/**
 * Measures alternatives side by side: rounds are interleaved, so that a busy moment of the machine
 * hits all of them, and the median is shown. Each file of this folder answers one question.
 *
 * Rates are per second of the process's CPU time, as the operating system counts it, the
 * collector's and the compiler's threads included: on a machine that does other things as well,
 * seconds that pass say more of those.
 */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { createNode, type RuntimeNode } from "simurgh/runtime";

export interface Contender {
  readonly name: string;
  /** Does `count` operations; resolves when the last is done. */
  run(count: number): Promise<void>;
  /** Does only this share of the operations, because it is slow. Default 1. */
  readonly share?: number;
}

export interface BenchOptions {
  readonly question: string;
  readonly count: number;
  readonly rounds?: number;
  /** Operations per second to reach, for the first contender. */
  readonly goal?: number;
  /** Seconds that pass count, where several threads work at once. Default: seconds of CPU. */
  readonly byClock?: boolean;
}

const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;

const perSecond = (value: number): string =>
  value >= 1e6 ? `${(value / 1e6).toFixed(2)} M/s` : `${(value / 1e3).toFixed(0)} k/s`;

/** Seconds, of CPU or of the clock. */
function seconds(byClock: boolean): number {
  if (byClock) return performance.now() / 1000;
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

/** Runs all contenders in turn and prints the median rate of each. */
export async function compare(options: BenchOptions, contenders: readonly Contender[]): Promise<void> {
  const { count, rounds = 9, question, goal, byClock = false } = options;
  const rates = contenders.map((): number[] => []);
  for (let round = -2; round < rounds; round += 1) {
    for (const [index, contender] of contenders.entries()) {
      const operations = Math.ceil(count * (contender.share ?? 1));
      // What the one before has left behind is not this one's to clear away.
      collect();
      const from = seconds(byClock);
      await contender.run(operations);
      const rate = operations / (seconds(byClock) - from);
      // The first two rounds let the optimizer do its work.
      if (round >= 0) rates[index]?.push(rate);
    }
  }
  console.log(question);
  for (const [index, { name }] of contenders.entries()) {
    const all = rates[index] ?? [];
    const value = median(all);
    const range = `${perSecond(Math.min(...all))} to ${perSecond(Math.max(...all))}`;
    const verdict =
      index === 0 && goal !== undefined
        ? ` (goal ${perSecond(goal)}: ${value >= goal ? "reached" : "missed"})`
        : "";
    console.log(`  ${name.padEnd(34)} ${perSecond(value).padStart(12)}   ${range}${verdict}`);
  }
}

/** A node as production has it: messages are trusted, nothing is logged. */
export const benchNode = (): RuntimeNode => createNode({ isolation: "none", onReport() {} });

/** What every runtime is measured against: an array as a queue and a synchronous handler. */
export function bareQueue(count: number): number {
  const queue: number[] = [];
  let sum = 0;
  const handle = (message: number): void => {
    sum += message;
  };
  for (let i = 0; i < count; i += 1) queue.push(i);
  for (let head = 0; head < queue.length; head += 1) handle(queue[head] as number);
  return sum;
}
