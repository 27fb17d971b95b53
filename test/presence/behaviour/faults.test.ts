/**
 * The fault scenarios of presence, on the simulated network. Each ends with everyone listing the
 * same.
 */
import { describe, expect, test } from "vitest";
import { refText } from "../../../src/presence/tracker/clock.js";
import type { Heartbeat, Message, TransferAck } from "../../../src/presence/tracker/message.js";
import { Cluster, type ClusterOptions, type Notified } from "../support/cluster.js";
import { heapUsed } from "../support/heap.js";

/** A cluster whose replicas have met. */
function met(options: ClusterOptions = {}): Cluster {
  const cluster = new Cluster(options);
  cluster.run(5000);
  for (const { events } of cluster.living) events.length = 0;
  return cluster;
}

const since = (notified: readonly Notified[], at: number): Notified[] =>
  notified.filter((diff) => diff.at >= at);
const joined = (notified: readonly Notified[]): string[] => notified.flatMap(({ joins }) => joins).sort();
const left = (notified: readonly Notified[]): string[] => notified.flatMap(({ leaves }) => leaves).sort();
const names = (prefix: string, count: number): string[] =>
  Array.from({ length: count }, (_, n) => `${prefix}${n}`);
const eventsOf = (cluster: Cluster, name: string): string[] =>
  cluster.life(name).events.map(([, what]) => what);
const isKind =
  (...kinds: Message["kind"][]) =>
  ({ kind }: Message): boolean =>
    kinds.includes(kind);
const SAMPLE = 3000;

describe("messages that are lost, doubled and overtaken", () => {
  test("two replicas that meet list each other's entries within two samples (P-600, P-120)", () => {
    const cluster = new Cluster({ replicas: ["A"] });
    for (const name of names("a", 60)) cluster.join("A", "room", name);
    cluster.run(20_000);
    cluster.start("B");
    for (const name of names("b", 60)) cluster.join("B", "room", name);
    cluster.run(2 * SAMPLE);
    expect(cluster.keys("A")).toHaveLength(120);
    cluster.checkAgreement();
  });

  test("a lost delta comes by a transfer within two samples (P-601, P-108)", () => {
    const cluster = met();
    const at = cluster.now;
    cluster.drop = ({ kind }) => kind === "heartbeat";
    cluster.join("A", "room", "lost");
    cluster.run(100);
    cluster.drop = () => false;
    cluster.join("A", "room", "next");
    cluster.run(40);
    expect(cluster.keys("B")).toEqual(["next"]);
    cluster.run(2 * SAMPLE);
    expect(joined(since(cluster.life("B").notified, at))).toEqual(["lost", "next"]);
    expect(cluster.messages("transfer_req", at)).toHaveLength(1);
    cluster.checkAgreement();
  });

  test("a gap is asked about within 100 ms, and a change is seen elsewhere within 100 ms (P-113, P-104)", () => {
    const cluster = met();
    cluster.join("A", "room", "first");
    cluster.run(40);
    expect(cluster.keys("B")).toEqual(["first"]);
    cluster.drop = ({ kind }) => kind === "heartbeat";
    cluster.join("A", "room", "lost");
    cluster.run(30);
    cluster.drop = () => false;
    cluster.join("A", "room", "next");
    const at = cluster.now;
    cluster.run(150);
    const [request] = cluster.messages("transfer_req", at);
    expect((request?.at ?? Number.NaN) - at).toBeLessThan(130);
    expect(cluster.keys("B")).toEqual(["first", "lost", "next"]);
  });

  test("duplicates and echoes are shown once (P-602, P-637)", () => {
    const cluster = met();
    cluster.twice = 1;
    cluster.join("A", "room", "ann");
    cluster.run(100);
    const [{ message } = { message: undefined }] = cluster
      .messages("heartbeat")
      .filter(({ message: sent }) => (sent as Heartbeat).delta !== undefined);
    for (let n = 0; n < 3; n += 1) cluster.inject("B", message as Message);
    cluster.inject("A", message as Message);
    expect(joined(cluster.life("B").notified)).toEqual(["ann"]);
    expect(joined(cluster.life("A").notified)).toEqual(["ann"]);
    cluster.quiet();
    cluster.checkAgreement();
  });

  test("reordered deltas: each entry joins once, short-lived ones never show (P-603)", () => {
    const cluster = met();
    let first = true;
    cluster.delay = (message) => {
      if (message.kind !== "heartbeat" || message.delta === undefined || !first) return 0;
      first = false;
      return 45;
    };
    const at = cluster.now;
    cluster.join("A", "room", "stays");
    cluster.join("A", "room", "gone");
    cluster.run(21);
    cluster.die("A", "gone");
    cluster.join("A", "room", "new");
    cluster.run(200);
    expect(joined(since(cluster.life("B").notified, at))).toEqual(["new", "stays"]);
    expect(left(since(cluster.life("B").notified, at))).toEqual([]);
    expect(cluster.messages("transfer_req", at)).toEqual([]);
    cluster.checkAgreement();
  });

  test("5,000 changes during a pause of 10 s need one transfer and one diff (P-604, P-110)", () => {
    const cluster = met({ replicas: ["A", "B", "C"] });
    cluster.drop = (_message, _from, to) => to === "C";
    for (let n = 0; n < 5000; n += 1) {
      cluster.join("A", n % 2 ? "room" : "lobby", `p${n}`);
      if (n % 500 === 0) cluster.run(1000);
    }
    const at = cluster.now;
    cluster.drop = () => false;
    cluster.run(2 * SAMPLE);
    const toC = cluster.messages("transfer_ack", at).filter(({ to }) => to === "C");
    expect(cluster.messages("transfer_req", at)).toHaveLength(1);
    expect(toC.every(({ message }) => (message as { since?: number }).since !== undefined)).toBe(true);
    const notified = since(cluster.life("C").notified, at);
    expect(notified.filter(({ topic }) => topic === "room").length).toBeLessThanOrEqual(2);
    expect(joined(notified)).toHaveLength(5000);
    cluster.checkAgreement();
  });

  test("a gap larger than the log needs a full transfer, with minimal diffs (P-605, P-716)", () => {
    const cluster = met({ maxDeltaSizes: [10] });
    for (const name of names("old", 20)) cluster.join("A", "room", name);
    cluster.run(200);
    cluster.cut("A", "B");
    for (const name of names("old", 10)) cluster.die("A", name);
    cluster.run(1000);
    for (const name of names("new", 30)) {
      cluster.join("A", "room", name);
      cluster.run(30);
    }
    expect(cluster.stats("A").keptChanges).toBeLessThanOrEqual(10);
    const at = cluster.now;
    cluster.heal();
    cluster.run(2 * SAMPLE);
    const notified = since(cluster.life("B").notified, at);
    expect(left(notified)).toEqual(names("old", 10).sort());
    expect(joined(notified)).toEqual(names("new", 30).sort());
    expect(
      cluster.messages("transfer_ack", at).map(({ message }) => (message as { since?: number }).since),
    ).toEqual([undefined]);
    cluster.checkAgreement();
  });

  test("gaps of any length get exactly the missing joins (P-737, P-082)", () => {
    for (const gap of [1, 40, 60, 400, 4000, 6000]) {
      const cluster = met();
      cluster.join("A", "room", "before");
      cluster.run(100);
      cluster.cut("A", "B");
      for (const name of names("p", gap)) cluster.join("A", "room", name);
      cluster.run(100);
      const at = cluster.now;
      cluster.heal();
      cluster.run(2 * SAMPLE);
      expect(joined(since(cluster.life("B").notified, at))).toHaveLength(gap);
      expect(left(since(cluster.life("B").notified, at))).toEqual([]);
      cluster.checkAgreement();
      cluster.core("B").gap(({ name }) => name === "A", cluster.now);
      const before = cluster.now;
      cluster.run(200);
      const [answer, ...others] = cluster
        .messages("transfer_ack", before)
        .map(({ message }) => message as unknown as { changes: unknown[] });
      expect([answer?.changes, others]).toEqual([[], []]);
    }
  });

  test("a stale full state after a newer delta changes nothing (P-623, P-083)", () => {
    for (const leaves of [false, true]) {
      const cluster = met();
      const first = cluster.join("A", "room", "alice");
      cluster.run(100);
      let stale: Message | undefined;
      cluster.delay = (message) => {
        if (message.kind === "transfer_ack") {
          stale = message;
          return 1e9;
        }
        return 0;
      };
      cluster.core("B").gap(() => true, cluster.now);
      cluster.run(100);
      expect(stale).toBeDefined();
      const second = cluster.update("A", "room", "alice");
      if (leaves) cluster.die("A", "alice");
      cluster.run(100);
      const at = cluster.now;
      cluster.inject("B", { ...(stale as Message & { kind: "transfer_ack" }), since: undefined });
      expect(since(cluster.life("B").notified, at)).toEqual([]);
      expect(cluster.list("B")).toEqual(leaves ? [] : [`alice ${second}`]);
      expect(first).not.toBe(second);
      cluster.quiet();
      cluster.checkAgreement();
    }
  });

  test("a replica that dies before a flush never showed its last entries (P-629, P-630, P-079)", () => {
    const cluster = met();
    cluster.join("A", "room", "short");
    cluster.die("A", "short");
    expect(cluster.life("A").notified.map(({ joins, leaves }) => [joins, leaves])).toEqual([
      [["short"], []],
      [[], ["short"]],
    ]);
    cluster.join("A", "room", "ann");
    cluster.run(100);
    const at = cluster.now;
    cluster.update("A", "room", "ann");
    cluster.die("A", "ann");
    cluster.run(100);
    expect(since(cluster.life("B").notified, at).map(({ joins, leaves }) => [joins, leaves])).toEqual([
      [[], ["ann"]],
    ]);
    expect(joined(cluster.life("B").notified)).toEqual(["ann"]);
    cluster.quiet();
    cluster.checkAgreement();
  });

  test("tracked, untracked and tracked again around losses: the last state is everywhere (P-632)", () => {
    for (const lost of [0, 1, 2]) {
      const cluster = met();
      let last = "";
      for (let n = 0; n < 3; n += 1) {
        cluster.drop = n === lost ? isKind("heartbeat") : () => false;
        if (n === 1) cluster.leave("A", "room", "ann");
        else last = cluster.join("A", "room", "ann");
        cluster.run(30);
      }
      cluster.quiet();
      expect(cluster.list("B")).toEqual([`ann ${last}`]);
      cluster.checkAgreement();
    }
  });

  test("ten thousand updates of an entry make one delta per flush (P-739)", () => {
    const cluster = met();
    cluster.join("A", "room", "busy");
    cluster.run(100);
    const at = cluster.now;
    let last = "";
    for (let n = 0; n < 10_000; n += 1) {
      last = cluster.update("A", "room", "busy");
      if (n % 10 === 9) cluster.run(1);
    }
    cluster.run(100);
    const deltas = cluster
      .messages("heartbeat", at)
      .filter(({ from, message }) => from === "A" && (message as Heartbeat).delta);
    expect(deltas.length).toBeLessThanOrEqual(52);
    expect(cluster.list("B")).toEqual([`busy ${last}`]);
    cluster.checkAgreement();
  });

  test("a large state goes in parts, and a lost part is requested again (P-638, P-110)", () => {
    const cluster = new Cluster({ replicas: ["A"] });
    const text = "x".repeat(3000);
    const core = cluster.core("A");
    for (let n = 0; n < 1000; n += 1)
      core.join("room", `p${n}`, `k${n}`, { phx_ref: `m${n}`, text }, cluster.now, cluster.now);
    cluster.run(10_000);
    cluster.drop = (message) => message.kind === "transfer_ack" && message.part === 3;
    cluster.start("B");
    cluster.run(3000);
    const parts = cluster.messages("transfer_ack");
    expect(parts.length).toBeGreaterThan(10);
    for (const { message } of parts) expect(JSON.stringify(message).length).toBeLessThan(256 * 1024);
    expect(cluster.keys("B")).toEqual([]);
    cluster.drop = () => false;
    cluster.run(4 * SAMPLE);
    expect(cluster.keys("B")).toHaveLength(1000);
    expect(since(cluster.life("B").notified, 0)).toHaveLength(1);
    expect(cluster.messages("transfer_req").length).toBeGreaterThan(1);
    // 4 MiB a second at most: of one answer no more is sent in any time than that and a part.
    const [{ id }] = parts.map(({ message }) => message as TransferAck) as [TransferAck];
    const answer = parts.filter(({ message }) => (message as TransferAck).id === id);
    let sent = 0;
    for (const { at, message } of answer) {
      sent += JSON.stringify((message as TransferAck).changes).length;
      const most = ((at - (answer[0]?.at as number)) * 4 * 1024 * 1024) / 1000 + 256 * 1024;
      expect(sent).toBeLessThanOrEqual(most);
    }
    expect(sent).toBeGreaterThan(2 * 1024 * 1024);
  });

  test("a replica with 25 s delay stays up, with one request at a time (P-622, P-732)", () => {
    const cluster = met({ replicas: ["A", "B", "C"] });
    cluster.delay = (_message, _from, to) => (to === "C" ? 25_000 : 0);
    const at = cluster.now;
    for (let n = 0; n < 40; n += 1) {
      cluster.join("A", "room", `p${n}`);
      if (n % 3 === 0)
        cluster.drop = (message, _from, to) =>
          to === "C" && message.kind === "heartbeat" && message.delta !== undefined;
      cluster.run(500);
      cluster.drop = () => false;
    }
    cluster.run(60_000);
    const asked = cluster.messages("transfer_req", at).filter(({ from, to }) => from === "C" && to === "A");
    for (const [index, { at: time }] of asked.entries())
      if (index > 0) expect(time - (asked[index - 1]?.at ?? 0)).toBeGreaterThanOrEqual(2 * SAMPLE - 1);
    expect(asked.length).toBeGreaterThan(0);
    expect(["A", "B", "C"].flatMap((name) => eventsOf(cluster, name))).toEqual([]);
    cluster.quiet();
    cluster.run(30_000);
    cluster.checkAgreement();
  });

  test("a dead link one way for ten minutes: few requests, one transfer (P-732)", () => {
    const cluster = met();
    cluster.join("A", "room", "ann");
    cluster.run(1000);
    cluster.cut("A", "B", true);
    for (let n = 0; n < 600; n += 1) {
      if (cluster.join("A", "room", `p${n % 50}`) === "already") cluster.die("A", `p${n % 50}`);
      cluster.run(1000);
    }
    expect(cluster.messages("transfer_req").length).toBeLessThanOrEqual(2 + 600 / 3);
    expect(cluster.stats("A").keptChanges).toBeLessThanOrEqual(10_000);
    const at = cluster.now;
    cluster.heal();
    cluster.quiet();
    expect(cluster.messages("transfer_req", at)).toHaveLength(1);
    cluster.checkAgreement();
  });
});

describe("partitions", () => {
  const filled = (options?: ClusterOptions): Cluster => {
    const cluster = met({ replicas: ["A", "B", "C"], ...options });
    for (const name of ["A", "B", "C"]) cluster.join(name, "room", name.toLowerCase());
    cluster.run(SAMPLE);
    return cluster;
  };

  test("a partition shorter than the down period: no one leaves (P-606)", () => {
    const cluster = filled();
    const at = cluster.now;
    cluster.partition(["A"], ["B", "C"]);
    cluster.run(5000);
    cluster.join("A", "room", "a2");
    cluster.join("B", "room", "b2");
    cluster.run(15_000);
    cluster.quiet();
    for (const name of ["A", "B", "C"]) expect(left(since(cluster.life(name).notified, at))).toEqual([]);
    expect(cluster.keys("A")).toEqual(["a", "a2", "b", "b2", "c"]);
    cluster.checkAgreement();
  });

  test("a partition of a minute: each side leaves and joins once (P-607, P-123, P-124, P-128)", () => {
    const cluster = filled();
    const before = cluster.list("B").find((entry) => entry.startsWith("a "));
    const at = cluster.now;
    cluster.partition(["A"], ["B", "C"]);
    cluster.run(20_000);
    cluster.join("A", "room", "a2");
    cluster.run(11_500);
    expect(left(since(cluster.life("B").notified, at))).toEqual(["a"]);
    expect(left(since(cluster.life("A").notified, at))).toEqual(["b", "c"]);
    expect(cluster.keys("B")).toEqual(["b", "c"]);
    cluster.run(28_500);
    const healed = cluster.now;
    cluster.quiet();
    expect(left(since(cluster.life("B").notified, healed))).toEqual([]);
    expect(joined(since(cluster.life("B").notified, healed))).toEqual(["a", "a2"]);
    expect(joined(since(cluster.life("A").notified, healed))).toEqual(["b", "c"]);
    expect(cluster.list("B")).toContain(before);
    expect(eventsOf(cluster, "B")).toEqual(["replica_down", "replica_up"]);
    cluster.checkAgreement();
  });

  test("a partition beyond the permdown period: forgotten without a diff (P-608, P-125)", () => {
    const cluster = filled();
    cluster.partition(["A"], ["B", "C"]);
    cluster.run(60_000);
    const down = cluster.now;
    cluster.join("A", "room", "a2");
    cluster.join("B", "room", "b2");
    cluster.run(20 * 60_000);
    expect(eventsOf(cluster, "B")).toEqual(["replica_down", "replica_permdown"]);
    expect(cluster.stats("B")).toMatchObject({ remoteEntries: 1, replicasUp: 1, replicasDown: 0 });
    expect(since(cluster.life("B").notified, down).map(({ joins }) => joins)).toEqual([["b2"]]);
    cluster.quiet();
    cluster.checkAgreement();
  });

  test("a one-way partition hides only the side that is not received (P-609)", () => {
    const cluster = filled();
    const at = cluster.now;
    cluster.cut("A", "B", true);
    cluster.run(40_000);
    expect(cluster.keys("C")).toContain("a");
    expect(cluster.keys("B")).not.toContain("a");
    expect(since(cluster.life("A").notified, at)).toEqual([]);
    cluster.quiet();
    expect(since(cluster.life("A").notified, at)).toEqual([]);
    expect(joined(since(cluster.life("B").notified, at))).toEqual(["a"]);
    cluster.checkAgreement();
  });

  test("hidden entries of a partition change unseen, and join once afterwards (P-610, P-140)", () => {
    const cluster = filled();
    cluster.cut("A", "C");
    cluster.run(40_000);
    expect(cluster.keys("C")).toEqual(["b", "c"]);
    const at = cluster.now;
    cluster.join("A", "room", "a2");
    cluster.update("A", "room", "a");
    cluster.run(20_000);
    expect(since(cluster.life("C").notified, at)).toEqual([]);
    expect(cluster.keys("B")).toEqual(["a", "a2", "b", "c"]);
    cluster.quiet();
    const notified = since(cluster.life("C").notified, at);
    expect(joined(notified).filter((key) => key === "a2")).toEqual(["a2"]);
    cluster.checkAgreement();
  });

  test("entries of a replica that is down change unseen until it returns (P-140, P-123)", () => {
    const cluster = filled();
    cluster.delay = ({ kind }) => (kind === "transfer_ack" ? 45_000 : 0);
    cluster.core("C").gap(({ name }) => name === "A", cluster.now);
    cluster.drop = ({ kind }, from, to) => from === "A" && to === "C" && kind === "heartbeat";
    const at = cluster.now;
    cluster.join("A", "room", "a2");
    cluster.update("A", "room", "a");
    cluster.run(40_000);
    expect(left(since(cluster.life("C").notified, at))).toEqual(["a"]);
    cluster.run(20_000);
    expect(cluster.stats("C").remoteEntries).toBe(3);
    expect(cluster.keys("C")).toEqual(["b", "c"]);
    expect(joined(since(cluster.life("C").notified, at))).toEqual([]);
    cluster.quiet();
    expect(joined(since(cluster.life("C").notified, at))).toEqual(["a", "a2"]);
    cluster.checkAgreement();
  });

  test("entries of a silent replica that others know do not count (P-626, P-627, P-735, P-073)", () => {
    const cluster = filled();
    cluster.cut("A", "B");
    cluster.run(25 * 60_000);
    expect(eventsOf(cluster, "B")).toEqual(["replica_down", "replica_permdown"]);
    cluster.join("C", "room", "c2");
    cluster.run(10_000);
    expect(cluster.keys("B")).toEqual(["b", "c", "c2"]);
    expect(cluster.keys("C")).toEqual(["a", "b", "c", "c2"]);
    const at = cluster.now;
    cluster.quiet();
    expect(joined(since(cluster.life("B").notified, at))).toEqual(["a"]);
    cluster.checkAgreement();
  });

  test("five minutes without an engine: others leave once and join once (P-635, P-109)", () => {
    const cluster = filled();
    const at = cluster.now;
    cluster.partition(["A"], ["B", "C"]);
    cluster.cut("B", "C");
    cluster.run(150_000);
    cluster.join("A", "room", "a2");
    cluster.run(150_000);
    expect([cluster.keys("A"), cluster.keys("B")]).toEqual([["a", "a2"], ["b"]]);
    expect(left(since(cluster.life("B").notified, at))).toEqual(["a", "c"]);
    const healed = cluster.now;
    cluster.heal();
    for (const name of ["A", "B", "C"]) cluster.connected(name);
    cluster.quiet();
    const pairs = cluster.messages("transfer_req", healed).map(({ from, to }) => `${from} ${to}`);
    expect(new Set(pairs).size).toBe(pairs.length);
    expect(joined(since(cluster.life("B").notified, healed))).toEqual(["a", "a2", "c"]);
    cluster.checkAgreement();
  });

  test("an engine that flaps for two minutes takes no replica down (P-636, P-036)", () => {
    const cluster = filled();
    const at = cluster.now;
    for (let n = 0; n < 20; n += 1) {
      cluster.partition(["A"], ["B", "C"]);
      cluster.cut("B", "C");
      cluster.join("A", "room", `p${n}`);
      cluster.run(3000);
      cluster.heal();
      for (const name of ["A", "B", "C"]) {
        const before = cluster.sent.length;
        cluster.connected(name);
        expect(cluster.sent.slice(before).some(({ message }) => message.kind === "heartbeat")).toBe(true);
      }
      cluster.run(3000);
    }
    expect(["A", "B", "C"].flatMap((name) => eventsOf(cluster, name))).toEqual([]);
    expect(left(since(cluster.life("B").notified, at))).toEqual([]);
    cluster.quiet();
    cluster.checkAgreement();
  });
});

describe("lives", () => {
  test("killed: its entries leave once, after the down period (P-611, P-121, P-129)", () => {
    const cluster = met();
    cluster.join("A", "room", "ann");
    cluster.run(SAMPLE);
    const at = cluster.now;
    cluster.crash("A");
    cluster.run(29_000 - 7500);
    expect(cluster.keys("B")).toEqual(["ann"]);
    cluster.run(2500 + 7500);
    expect(left(since(cluster.life("B").notified, at))).toEqual(["ann"]);
    cluster.run(20 * 60_000);
    expect(since(cluster.life("B").notified, at)).toHaveLength(1);
    expect(eventsOf(cluster, "B")).toEqual(["replica_down", "replica_permdown"]);
    cluster.checkAgreement();
  });

  test("a permdown removes entries at once, and a late delta restores none (P-612, P-703, P-128, P-060, P-718)", () => {
    const cluster = met();
    cluster.join("A", "room", "ann");
    cluster.run(100);
    cluster.join("A", "room", "late");
    cluster.delay = (message) => (message.kind === "heartbeat" ? 500 : 0);
    const at = cluster.now;
    cluster.permdown("A");
    cluster.run(20);
    expect(left(since(cluster.life("B").notified, at))).toEqual(["ann"]);
    cluster.run(2000);
    expect(joined(since(cluster.life("B").notified, at))).toEqual([]);
    expect(cluster.stats("B")).toMatchObject({ replicasUp: 0, replicasDown: 0, remoteEntries: 0 });
    expect(eventsOf(cluster, "B")).toEqual(["replica_down", "replica_permdown"]);
    cluster.checkAgreement();
  });

  test("a lost permdown is a crash, and one after the down only erases (P-613, P-731, P-702)", () => {
    const cluster = met();
    cluster.join("A", "room", "ann");
    cluster.run(SAMPLE);
    let permdown: Message | undefined;
    cluster.drop = (message) => {
      if (message.kind !== "permdown") return false;
      permdown = message;
      return true;
    };
    const at = cluster.now;
    cluster.permdown("A");
    cluster.run(31_500);
    expect(left(since(cluster.life("B").notified, at))).toEqual(["ann"]);
    cluster.inject("B", permdown as Message);
    expect(since(cluster.life("B").notified, at)).toHaveLength(1);
    expect(cluster.stats("B").replicasDown).toBe(0);
  });

  test("a permdown of the old incarnation after the restart is ignored (P-614)", () => {
    const cluster = met();
    cluster.delay = (message) => (message.kind === "permdown" ? 5000 : 0);
    cluster.permdown("A");
    cluster.restart("A");
    cluster.join("A", "room", "ann");
    cluster.run(10_000);
    expect(cluster.keys("B")).toEqual(["ann"]);
    cluster.checkAgreement();
  });

  const replaced = (pause: number, wall: number): void => {
    const cluster = met();
    cluster.join("A", "room", "old");
    cluster.run(1000);
    cluster.crash("A");
    cluster.run(pause);
    const at = cluster.now;
    cluster.life("B").events.length = 0;
    cluster.restart("A", { wall });
    cluster.join("A", "room", "new");
    cluster.run(2 * SAMPLE);
    const wasDown = pause > 30_000;
    expect(left(since(cluster.life("B").notified, at))).toEqual(wasDown ? [] : ["old"]);
    expect(joined(since(cluster.life("B").notified, at))).toEqual(["new"]);
    expect(eventsOf(cluster, "B")).toEqual([
      ...(wasDown ? [] : ["replica_down"]),
      "replica_permdown",
      "replica_up",
    ]);
    cluster.checkAgreement();
  };

  test("a restart under the same name replaces the old entries (P-615)", () => replaced(500, 0));
  test("so does one with the wall clock an hour back (P-618)", () => replaced(500, -3_600_000));
  test("one after it was marked down forgets the old ones without a word (P-616)", () => replaced(40_000, 0));

  test("a late heartbeat of the old incarnation changes nothing (P-617, P-127)", () => {
    const cluster = met();
    cluster.join("A", "room", "old");
    cluster.run(100);
    const late = cluster
      .messages("heartbeat")
      .findLast(({ from, message }) => from === "A" && (message as Heartbeat).delta);
    cluster.restart("A");
    cluster.join("A", "room", "new");
    cluster.run(2000);
    const at = cluster.now;
    for (let n = 0; n < 3; n += 1) {
      cluster.inject("B", late?.message as Message);
      cluster.run(500);
    }
    expect(since(cluster.life("B").notified, at)).toEqual([]);
    expect(cluster.keys("B")).toEqual(["new"]);
    cluster.checkAgreement();
  });

  test("of two quick restarts with reordered heartbeats the present one wins (P-127)", () => {
    const cluster = met();
    cluster.join("A", "room", "ann");
    cluster.run(1000);
    const last = cluster.messages("heartbeat").findLast(({ from }) => from === "A")?.message as Heartbeat;
    // B receives only now of a life of A before this one.
    cluster.inject("B", { ...last, ref: { name: "A", incarnation: "in between" }, delta: undefined });
    expect(cluster.keys("B")).toEqual([]);
    cluster.run(10_000);
    expect(cluster.keys("B")).toEqual(["ann"]);
    cluster.checkAgreement();
  });

  test("a wall clock that jumps by an hour has no effect, and lists keep their order (P-619)", () => {
    const cluster = met();
    cluster.join("A", "room", "first");
    cluster.life("A").wallOffset = -3_600_000;
    cluster.join("A", "room", "second");
    cluster.life("A").wallOffset = 3_600_000;
    cluster.join("A", "room", "third");
    cluster.run(60_000);
    expect(cluster.list("B").map((entry) => entry.split(" ")[0])).toEqual(["first", "second", "third"]);
    expect(eventsOf(cluster, "B")).toEqual([]);
    cluster.checkAgreement();
  });

  test("frozen for 40 s: it leaves and joins once, and considers none down (P-620, P-122)", () => {
    const cluster = met({ replicas: ["A", "B", "C"] });
    for (const name of ["A", "B", "C"]) cluster.join(name, "room", name.toLowerCase());
    cluster.run(SAMPLE);
    const at = cluster.now;
    cluster.freeze("A");
    // What is sent to it in the meantime is lost, as it is by an engine that cuts it off.
    cluster.drop = (_message, _from, to) => to === "A";
    cluster.run(40_000);
    cluster.drop = () => false;
    cluster.thaw("A");
    cluster.quiet();
    expect(eventsOf(cluster, "A")).toEqual([]);
    expect(since(cluster.life("A").notified, at)).toEqual([]);
    expect([
      left(since(cluster.life("B").notified, at)),
      joined(since(cluster.life("B").notified, at)),
    ]).toEqual([["a"], ["a"]]);
    cluster.checkAgreement();
  });

  test("an event loop blocked for 10 s changes nothing (P-621, P-713)", () => {
    const cluster = met();
    cluster.join("A", "room", "ann");
    cluster.run(SAMPLE);
    cluster.drop = (message, from) => from === "A" && message.kind === "heartbeat";
    cluster.run(25_000 - 7500);
    cluster.freeze("B");
    cluster.run(10_000);
    cluster.drop = () => false;
    cluster.thaw("B");
    cluster.run(20_000);
    expect([eventsOf(cluster, "A"), eventsOf(cluster, "B")]).toEqual([[], []]);
    cluster.checkAgreement();
  });

  test("a replaced node asks one other replica once (P-624, P-109, P-106)", () => {
    const cluster = met();
    for (const name of names("a", 30)) cluster.join("A", "room", name);
    for (const name of names("b", 30)) cluster.join("B", "room", name);
    cluster.run(SAMPLE);
    cluster.crash("B");
    const at = cluster.now;
    cluster.start("C");
    cluster.run(10 * SAMPLE);
    expect(cluster.messages("transfer_req", at).map(({ from, to }) => [from, to])).toEqual([["C", "A"]]);
    expect(cluster.keys("C")).toHaveLength(30);
  });

  test("a rolling deploy of five nodes ends with one meta per user (P-625)", () => {
    const fleet = ["A", "B", "C", "D", "E"];
    const cluster = met({ replicas: fleet });
    const homes = new Map<string, string>();
    for (const [n, user] of names("u", 1000).entries()) {
      const home = fleet[n % 5] as string;
      homes.set(user, home);
      cluster.join(home, "room", user);
    }
    cluster.run(SAMPLE);
    for (const name of fleet) {
      const at = cluster.now;
      cluster.permdown(name);
      cluster.restart(name);
      cluster.run(1000);
      for (const [user, home] of homes) {
        if (home !== name) continue;
        const next = cluster.random.pick(fleet);
        homes.set(user, next);
        cluster.join(next, "room", user);
      }
      cluster.run(2 * SAMPLE);
      const asked = cluster.messages("transfer_req", at).filter(({ from }) => from === name);
      expect(new Set(asked.map(({ to }) => to)).size).toBe(asked.length);
    }
    cluster.quiet();
    expect(cluster.core("A").view.entries("room")).toHaveLength(1000);
    cluster.checkAgreement();
  });

  test("ten thousand restarts of a peer leave memory and list time unchanged (P-628, P-087)", () => {
    const cluster = new Cluster({ replicas: ["A"] });
    cluster.forgetSent();
    cluster.run(2000);
    const { core } = cluster.life("A");
    const restart = (n: number): void => {
      const ref = { name: "B", incarnation: `life${n}` };
      const entry = {
        topic: "room",
        pid: "p",
        key: "k",
        meta: { phx_ref: `m${n}` },
        version: 1,
        joined: n,
        first: `m${n}`,
      };
      core.receive(
        {
          kind: "heartbeat",
          ref,
          clock: 1,
          delta: { from: 0, to: 1, changes: [entry] },
          seen: [],
          digest: undefined,
        },
        cluster.now + n,
      );
    };
    const listMs = (): number => {
      const times = Array.from({ length: 200 }, () => {
        const from = performance.now();
        for (let n = 0; n < 1000; n += 1) core.view.entries("room");
        return performance.now() - from;
      });
      return Math.min(...times);
    };
    for (let n = 0; n < 2000; n += 1) restart(n);
    const [before, time] = [heapUsed(), listMs()];
    for (let n = 2000; n < 10_000; n += 1) restart(n);
    expect(heapUsed() - before).toBeLessThan(256 * 1024);
    expect(listMs()).toBeLessThan(time * 3 + 0.05);
    expect(core.view.entries("room")).toHaveLength(1);
    expect(core.stats(cluster.now)).toMatchObject({
      replicasUp: 1,
      replicasDown: 0,
      remoteEntries: 1,
      residue: 0,
    });
    expect(core.stats(cluster.now).over).toBeLessThanOrEqual(1024);
  });

  test("one key from three tabs on three nodes: the end of one takes one meta (P-631)", () => {
    const cluster = met({ replicas: ["A", "B", "C"] });
    for (const name of ["A", "B", "C"]) cluster.join(name, "room", `tab-${name}`, "ann");
    cluster.run(SAMPLE);
    expect(cluster.list("B")).toHaveLength(3);
    const at = cluster.now;
    cluster.permdown("C");
    cluster.run(100);
    expect(since(cluster.life("B").notified, at).map(({ leaves }) => leaves)).toEqual([["ann"]]);
    expect([cluster.keys("B"), cluster.list("B").length]).toEqual([["ann"], 2]);
    cluster.checkAgreement();
  });

  test("down and up of 10,000 entries: one diff each, and browsers agree (P-640, P-307, P-642)", () => {
    const cluster = met();
    cluster.browse("B", "room");
    for (const name of names("p", 10_000)) cluster.join("A", "room", name);
    cluster.run(SAMPLE);
    const at = cluster.now;
    cluster.cut("A", "B");
    cluster.run(40_000);
    expect(since(cluster.life("B").notified, at)).toHaveLength(1);
    cluster.browse("B", "room");
    cluster.heal();
    cluster.run(8000);
    expect(
      since(cluster.life("B").notified, at).map(({ joins, leaves }) => [joins.length, leaves.length]),
    ).toEqual([
      [0, 10_000],
      [10_000, 0],
    ]);
    cluster.browse("B", "room");
    cluster.checkAgreement();
  });

  test("of two nodes with one name the younger is fenced (P-645, P-034)", () => {
    const cluster = met({ replicas: ["A", "B"] });
    cluster.join("A", "room", "ann");
    cluster.run(SAMPLE);
    const [first, at] = [cluster.life("A"), cluster.now];
    cluster.life("B").events.length = 0;
    cluster.startDuplicate("A");
    cluster.run(60_000);
    expect(cluster.duplicate?.events.map(([, what]) => what)).toContain("conflict");
    expect([cluster.duplicate?.core.fenced, first.core.fenced]).toEqual([true, false]);
    expect(since(cluster.life("B").notified, at)).toEqual([]);
    expect(eventsOf(cluster, "B")).toEqual([]);
    // Its own processes are still listed where they are.
    cluster.duplicate?.core.join("room", "p", "own", { phx_ref: "own" }, cluster.now, 0);
    expect(cluster.duplicate?.core.view.entries("room").map(({ key }) => key)).toContain("own");
  });

  test("all restart at once: lists begin empty and end with what is there (P-647)", () => {
    const cluster = met({ replicas: ["A", "B", "C"] });
    for (const name of ["A", "B", "C"]) cluster.join(name, "room", `old-${name}`);
    cluster.run(SAMPLE);
    for (const name of ["A", "B", "C"]) cluster.crash(name);
    for (const name of ["A", "B", "C"]) cluster.restart(name);
    for (const name of ["A", "B", "C"]) expect(cluster.keys(name)).toEqual([]);
    cluster.join("A", "room", "new");
    cluster.run(2 * SAMPLE);
    for (const name of ["A", "B", "C"]) expect(cluster.keys(name)).toEqual(["new"]);
    cluster.checkAgreement();
  });

  test("near 2^53 changes a new incarnation begins, with all its entries (P-648)", () => {
    const cluster = new Cluster({ replicas: ["B"] });
    cluster.start("A", { version: Number.MAX_SAFE_INTEGER - 1_000_003 });
    cluster.run(3000);
    const before = cluster.core("A").ref;
    for (const name of names("p", 10)) {
      cluster.join("A", "room", name);
      cluster.run(500);
    }
    expect(cluster.core("A").ref.incarnation).not.toBe(before.incarnation);
    expect(cluster.core("A").own.version).toBeLessThan(100);
    expect(cluster.keys("B")).toHaveLength(10);
    cluster.quiet();
    cluster.checkAgreement();
  });

  test("one, two, three idle heartbeats lost in a row: no replica goes down (P-651, P-103, P-700)", () => {
    for (const lost of [1, 2, 3]) {
      const cluster = met();
      cluster.join("A", "room", "ann");
      cluster.run(20_000);
      const at = cluster.now;
      let dropped = 0;
      cluster.drop = ({ kind }, from) => from === "A" && kind === "heartbeat" && dropped++ < lost;
      cluster.run(60_000);
      expect(dropped).toBeGreaterThanOrEqual(lost);
      expect(eventsOf(cluster, "B")).toEqual([]);
      expect(since(cluster.life("B").notified, at)).toEqual([]);
    }
  });

  test("an idle replica speaks once per idle interval, and at its first tick (P-102, P-111)", () => {
    const cluster = new Cluster();
    cluster.run(1500);
    expect(cluster.messages("heartbeat").some(({ from }) => from === "A")).toBe(true);
    cluster.run(60_000);
    const at = cluster.now;
    cluster.run(75_000);
    const beats = cluster.messages("heartbeat", at).filter(({ from }) => from === "A");
    expect(beats).toHaveLength(10);
    expect(cluster.sent.filter((sent) => sent.at >= at && sent.message.kind !== "heartbeat")).toEqual([]);
  });

  test("a change is published once, by its replica (P-088)", () => {
    const cluster = met({ replicas: ["A", "B", "C", "D"] });
    cluster.join("A", "room", "ann");
    cluster.run(SAMPLE);
    const at = cluster.now;
    cluster.die("A", "ann");
    cluster.run(1000);
    const deltas = cluster
      .messages("heartbeat", at)
      .filter(({ message }) => (message as Heartbeat).delta !== undefined);
    expect(deltas.map(({ from }) => from)).toEqual(["A", "A", "A"]);
  });

  test("a heartbeat marks a replica up before its changes are shown (P-105)", () => {
    const cluster = new Cluster({ replicas: ["A"] });
    cluster.run(SAMPLE);
    const stranger = { name: "S", incarnation: "s1" };
    const entry = {
      topic: "room",
      pid: "<1>",
      key: "new",
      meta: { phx_ref: "r1" },
      version: 1,
      joined: 1,
      first: "r1",
    };
    const effects = cluster.core("A").receive(
      {
        kind: "heartbeat",
        ref: stranger,
        clock: 1,
        delta: { from: 0, to: 1, changes: [entry] },
        seen: [],
        digest: undefined,
      },
      cluster.now,
    );
    expect(effects.map(([what]) => what).filter((what) => what === "replica" || what === "diff")).toEqual([
      "replica",
      "diff",
    ]);
    expect(cluster.core("A").clock.get(refText(stranger))).toBe(1);
  });

  test("a replica changes only its own entries (P-076, P-085, P-736)", () => {
    const cluster = met({ replicas: ["A", "B", "C"] });
    cluster.join("A", "room", "same");
    cluster.join("B", "room", "same");
    cluster.run(SAMPLE);
    expect(cluster.list("C")).toHaveLength(2);
    const at = cluster.now;
    cluster.leave("B", "room", "same");
    cluster.run(SAMPLE);
    for (const name of ["A", "B", "C"]) expect(cluster.keys(name)).toEqual(["same"]);
    // The tracker of A begins again and tracks the same again; what its past life said arrives once
    // more.
    const old = cluster
      .messages("heartbeat")
      .findLast(({ from, message }) => from === "A" && (message as Heartbeat).delta)?.message as Message;
    cluster.restart("A");
    const ref = cluster.join("A", "room", "same");
    cluster.run(SAMPLE);
    cluster.inject("C", old);
    cluster.inject("B", old);
    cluster.run(2 * SAMPLE);
    for (const name of ["A", "B", "C"]) expect(cluster.list(name)).toEqual([`same ${ref}`]);
    expect(since(cluster.life("C").notified, at).length).toBeGreaterThan(0);
    cluster.checkAgreement();
  });

  test("entries that differ although the clocks agree are noticed and sent again (P-717)", () => {
    const cluster = met();
    cluster.join("A", "room", "ann");
    cluster.run(SAMPLE);
    // A replica that was notified a lie in A's name.
    const ref = cluster.core("A").ref;
    const clock = cluster.core("A").own.published;
    cluster.inject("B", {
      kind: "heartbeat",
      ref,
      clock: clock + 1,
      delta: {
        from: clock,
        to: clock + 1,
        changes: [{ topic: "room", pid: "ann", key: "ann", version: clock + 1 }],
      },
      seen: [],
      digest: undefined,
    });
    expect(cluster.keys("B")).toEqual([]);
    cluster.join("A", "elsewhere", "x");
    cluster.run(60_000);
    expect(eventsOf(cluster, "B")).toContain("diverged");
    cluster.checkAgreement();
  });
});
