/** Groups of processes over several nodes, on a network that can be cut. */
import { defineClusterGroups, type Member } from "simurgh/presence";
import { MemoryNetwork, PubSub } from "simurgh/pubsub";
import { createNode, exit, type Pid, type RuntimeNode, receive, Supervisor, send } from "simurgh/runtime";
import { afterEach, describe, expect, test } from "vitest";

const Workers = defineClusterGroups({ name: "Workers" });
const PERIODS = { broadcastPeriod: 50, downPeriod: 600, permdownPeriod: 60_000 };

const nodes: RuntimeNode[] = [];
afterEach(async () => {
  for (const node of nodes.splice(0)) await node.stop();
});

async function start(network: MemoryNetwork, name: string): Promise<RuntimeNode> {
  const node = createNode({ onReport() {} });
  nodes.push(node);
  await new Promise<void>((ready, failed) => {
    node.spawn(async () => {
      const started = await Supervisor.startLink(
        [
          PubSub.childSpec({ name: "p", adapter: network.adapter(name) }),
          Workers.childSpec({ pubsub: "p", ...PERIODS }),
        ],
        { strategy: "rest_for_one" },
      );
      if (started[0] !== "ok") failed(new Error(JSON.stringify(started)));
      ready();
      await new Promise(() => {});
    });
  });
  return node;
}

interface Process {
  readonly node: RuntimeNode;
  readonly pid: Pid;
  readonly got: unknown[];
}

/** A process that does something first and then keeps what it gets. */
async function run(node: RuntimeNode, first: () => Promise<unknown>): Promise<Process> {
  const got: unknown[] = [];
  let pid!: Pid;
  await new Promise<void>((ready) => {
    pid = node.spawn(async () => {
      await first();
      ready();
      for (;;) {
        const { message } = await receive((any) => ({ message: any }));
        if (Array.isArray(message) && message[0] === "leave") await Workers.leave(message[1]);
        else got.push(message);
      }
    });
  });
  return { node, pid, got };
}

const member = (node: RuntimeNode, group = "g"): Promise<Process> => run(node, () => Workers.join(group));
const membersAt = (node: RuntimeNode, group = "g"): Promise<readonly Member[]> =>
  node.run(() => Workers.members(group));

describe("groups across nodes", () => {
  test("members are known on all nodes in one order, and leave when they say so, or end", async () => {
    const network = new MemoryNetwork();
    const [a, b] = [await start(network, "a"), await start(network, "b")];
    const first = await member(a);
    // Who joins in the same millisecond is as old.
    await expect.poll(() => membersAt(b)).toHaveLength(1);
    const second = await member(b);
    await expect.poll(() => membersAt(a)).toHaveLength(2);
    const third = await member(a);
    const all = [
      { node: "a", pid: String(first.pid) },
      { node: "b", pid: String(second.pid) },
      { node: "a", pid: String(third.pid) },
    ];
    for (const node of [a, b]) await expect.poll(() => membersAt(node)).toEqual(all);
    expect(await membersAt(a, "another")).toEqual([]);
    await a.run(() => send(third.pid, ["leave", "g"]));
    for (const node of [a, b]) await expect.poll(() => membersAt(node)).toEqual(all.slice(0, 2));
    await a.run(() => exit(first.pid, "kill"));
    for (const node of [a, b]) await expect.poll(() => membersAt(node)).toEqual(all.slice(1, 2));
  });

  test("a message reaches one member on any node, a broadcast all, in order", async () => {
    const network = new MemoryNetwork();
    const [a, b] = [await start(network, "a"), await start(network, "b")];
    const near = await member(a);
    const sibling = await member(a);
    const far = await member(b);
    // Joining again makes no one a member twice.
    const twice = await run(b, async () => {
      await Workers.join("g");
      await Workers.join("g");
    });
    for (const node of [a, b]) await expect.poll(() => membersAt(node)).toHaveLength(4);
    const to = ({ node, pid }: Process): Member => ({ node: node === a ? "a" : "b", pid: String(pid) });
    for (const node of [a, b])
      await node.run(() => {
        const from = node === a ? "a" : "b";
        for (const process of [near, far]) Workers.send("g", to(process), `${from} to one`);
        Workers.broadcast("g", `${from} to all`);
        Workers.send("g", { node: "b", pid: "<0.999.0>" }, "to no one");
        Workers.send("g", { node: "nowhere", pid: "<0.1.0>" }, "to no one");
      });
    const sorted = ({ got }: Process): unknown[] => got.toSorted();
    for (const process of [near, far])
      await expect.poll(() => sorted(process)).toEqual(["a to all", "a to one", "b to all", "b to one"]);
    for (const process of [sibling, twice])
      await expect.poll(() => sorted(process)).toEqual(["a to all", "b to all"]);
    for (const { got } of [near, far])
      for (const from of ["a", "b"])
        expect(got.indexOf(`${from} to one`)).toBeLessThan(got.indexOf(`${from} to all`));
  });

  test("a watcher gets each change, also when a node is cut off and back", async () => {
    const network = new MemoryNetwork();
    const [a, b] = [await start(network, "a"), await start(network, "b")];
    let known: readonly Member[] = [];
    const watcher = await run(a, async () => {
      known = await Workers.watch("g");
    });
    expect(known).toEqual([]);
    const near = await member(a);
    await expect.poll(() => membersAt(b)).toHaveLength(1);
    const far = await member(b);
    const [here, there] = [
      { node: "a", pid: String(near.pid) },
      { node: "b", pid: String(far.pid) },
    ];
    const last = (): unknown => watcher.got.at(-1);
    await expect.poll(last).toEqual(["members", "Workers", "g", [here, there]]);
    network.cut("a", "b");
    await expect.poll(last).toEqual(["members", "Workers", "g", [here]]);
    await expect.poll(() => membersAt(b)).toEqual([there]);
    network.heal();
    await expect.poll(last).toEqual(["members", "Workers", "g", [here, there]]);
    await expect.poll(() => membersAt(b)).toEqual([here, there]);
  });
});
