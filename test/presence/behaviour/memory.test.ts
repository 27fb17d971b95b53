/** What an entry costs beside its meta. */
import { expect, test } from "vitest";
import { decode, encode, type Message } from "../../../src/presence/tracker/message.js";
import { type Settings, settingsOf } from "../../../src/presence/tracker/options.js";
import { TrackerCore } from "../../../src/presence/tracker/tracker-core.js";
import { heapUsed } from "../support/heap.js";

const ENTRIES = 50_000;

function replica(name: string): TrackerCore {
  const core = new TrackerCore({
    ref: { name, incarnation: "1" },
    settings: settingsOf() as Settings,
    owns: () => true,
    ownsSlot: () => true,
  });
  core.start(0, 10);
  core.wake(20);
  return core;
}

test.each([1, 1000])(
  "an entry costs less than 1 KiB locally and 600 B remotely, in %i topics (P-716)",
  (topics) => {
    const [a, b] = [replica("A"), replica("B")];
    const metas = Array.from({ length: ENTRIES }, (_, n) => ({ phx_ref: `ref of entry ${n}` }));
    const before = heapUsed();
    for (let n = 0; n < ENTRIES; n += 1)
      a.join(`room:${n % topics}`, `<0.${n}.0>`, `user ${n}`, metas[n] as (typeof metas)[0], 100, n);
    const said = a.wake(5000);
    const here = heapUsed();
    const wires = said.flatMap((effect) =>
      effect[0] === "broadcast" ? [JSON.stringify(encode("x", effect[1] as Message))] : [],
    );
    const between = heapUsed();
    for (const wire of wires) b.receive(decode("x", JSON.parse(wire)), 5000);
    const there = heapUsed();
    expect([a.stats(0).entries, b.stats(0).remoteEntries]).toEqual([ENTRIES, ENTRIES]);
    expect((here - before) / ENTRIES).toBeLessThan(1024);
    // The meta, which came over the wire, is in it.
    expect((there - between) / ENTRIES).toBeLessThan(600);
    expect(metas).toHaveLength(ENTRIES);
  },
);
