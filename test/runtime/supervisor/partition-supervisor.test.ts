import fc from "fast-check";
import {
  exit,
  GenServer,
  monitor,
  PartitionSupervisor,
  type Pid,
  receive,
  self,
  send,
  whereis,
} from "simurgh/runtime";
import { expect, test } from "vitest";
import { partitionOf } from "#runtime";
import { inLab, next } from "../support.js";

const worker = {
  init: (arg: unknown) => ["ok", arg] as const,
  handleCall: (request: unknown, _from: unknown, state: unknown) =>
    ["reply", request === "pid" ? self() : state, state] as const,
  handleInfo(message: readonly [string, Pid], state: unknown) {
    send(message[1], [message[0], self()]);
    return ["noreply", state] as const;
  },
};
const childSpec = { start: [GenServer.startLink, [worker, "arg"]] as const };
const start = (options = {}) =>
  PartitionSupervisor.startLink({ name: "ps", childSpec, partitions: 4, ...options });
const pidOf = (key: unknown): Promise<Pid> => GenServer.call(PartitionSupervisor.via("ps", key), "pid");

test("a whole number maps to its remainder, and other keys alike on all threads (R-265, X-162)", () =>
  inLab(async () => {
    await start();
    expect((await PartitionSupervisor.whichChildren("ps")).map(({ id }) => id).sort()).toEqual([0, 1, 2, 3]);
    expect(await pidOf(5)).toEqual(await pidOf(1));
    expect(await pidOf(-5)).toEqual(await pidOf(1));
    expect([partitionOf("user:7", 4), partitionOf(["a", 1], 4), partitionOf(13n, 4)]).toEqual([
      partitionOf("user:7", 4),
      partitionOf(["a", 1], 4),
      1,
    ]);
    expect(partitionOf("user:7", 4)).toBe(1);
    fc.assert(
      fc.property(
        fc.anything(),
        fc.integer({ min: 1, max: 64 }),
        (key, n) => partitionOf(key, n) >= 0 && partitionOf(key, n) < n,
      ),
    );
    send(PartitionSupervisor.via("ps", 2), ["hello", self()]);
    expect(await next()).toEqual(["hello", await pidOf(2)]);
  }));

test("withArguments gives each partition its own, also after a restart (R-265)", () =>
  inLab(async () => {
    await start({
      withArguments: ([module]: readonly unknown[], partition: number) => [module, `partition ${partition}`],
    });
    expect(await GenServer.call(PartitionSupervisor.via("ps", 3), "state")).toBe("partition 3");
    const before = await pidOf(3);
    const ref = monitor(before);
    exit(before, "kill");
    await receive((message) => (Array.isArray(message) && ref.equals(message[1]) ? true : undefined));
    await expect.poll(() => whereis(PartitionSupervisor.via("ps", 3))).toBeDefined();
    expect((await pidOf(3)).equals(before)).toBe(false);
    await expect(start({ name: "other", withArguments: () => "no list" as never })).rejects.toThrow(
      "withArguments must return a list",
    );
  }));

test("partitions can be fewer for a time, and with none routing throws (R-265, X-163)", () =>
  inLab(async () => {
    await start();
    expect([await PartitionSupervisor.resize("ps", 2), PartitionSupervisor.partitions("ps")]).toEqual([4, 2]);
    expect(await pidOf(5)).toEqual(await pidOf(1));
    expect((await PartitionSupervisor.countChildren("ps")).active).toBe(2);
    expect([await PartitionSupervisor.resize("ps", 4), PartitionSupervisor.partitions("ps")]).toEqual([2, 4]);
    expect((await pidOf(3)).equals(await pidOf(1))).toBe(false);
    await expect(PartitionSupervisor.resize("ps", 5)).rejects.toThrow("a whole number from 0 to 4");
    await PartitionSupervisor.resize("ps", 0);
    expect(() => GenServer.call(PartitionSupervisor.via("ps", 1), "pid")).toThrow("there are no partitions");
  }));

test("an unknown supervisor is noproc, and wrong options are argument errors (R-265, X-164)", () =>
  inLab(async () => {
    await expect(GenServer.call(PartitionSupervisor.via("absent", 1), "x")).rejects.toMatchObject({
      reason: ["noproc", expect.anything()],
    });
    expect(() => PartitionSupervisor.partitions("absent")).toThrow("no PartitionSupervisor named absent");
    await expect(PartitionSupervisor.startLink({ childSpec } as never)).rejects.toThrow("needs a name");
    await expect(PartitionSupervisor.startLink({ name: "x" } as never)).rejects.toThrow("needs a childSpec");
    for (const partitions of [0, -1, 1.5])
      await expect(start({ partitions })).rejects.toThrow("partitions must be a whole number above 0");
  }));
