/**
 * Three nodes with different numbers of threads, each a process of its own, on one engine: what
 * happens on one is seen on all, and whatever breaks, delivery on a node continues and everything
 * comes together again without a restart.
 */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { AppCluster, type ClusterNode, DOWN_MS, START_MS } from "../support/app-cluster.js";
import type { Account } from "../support/app-server.js";
import { Participant } from "../support/phoenix-client.js";
import { describeWith } from "../support/requirements.js";
import { waitFor } from "../support/wait.js";

/** Long enough for the down period and for a machine with other things to do. */
const PATIENCE = DOWN_MS + 40_000;

describe.each(["NATS", "Redis"] as const)("%s", (kind) => {
  describeWith(kind, "three nodes", () => {
    let cluster: AppCluster;
    let accounts: Account[];
    let everyone: Participant[];
    /** Two on the first node, one on each of the others. */
    let [ann, abe, bob, cid]: Participant[] = [];
    let room = 0;
    beforeAll(async () => {
      cluster = await AppCluster.start(kind, [1, 0, 2]);
      accounts = [];
      for (const name of ["Ann", "Abe", "Bob", "Cid"])
        accounts.push(await cluster.node(0).server.signUp(name));
    }, START_MS);
    afterAll(() => cluster?.stop());
    beforeEach(async () => {
      // Five challenges are there from the start.
      room = (room % 5) + 1;
      everyone = accounts.map(
        ({ token }, index) => new Participant(cluster.node(Math.max(0, index - 1)).server, token, room),
      );
      [ann, abe, bob, cid] = everyone;
      await Promise.all(everyone.map((person) => person.join()));
      await seen(everyone, "Abe,Ann,Bob,Cid");
    });
    afterEach(() => {
      for (const person of everyone) person.leave();
    });

    const seen = async (by: readonly (Participant | undefined)[], names: string): Promise<void> => {
      for (const person of by)
        await waitFor(
          `${names} are there`,
          () => {
            if (person?.names.join() === names) return true;
            throw new Error(person?.names.join());
          },
          PATIENCE,
        );
    };

    const reads = (by: readonly (Participant | undefined)[], text: string): Promise<unknown> =>
      Promise.all(
        by.map((person) =>
          waitFor(
            `someone reads ${text}`,
            () => person?.updates.some(({ response }) => response === text),
            PATIENCE,
          ),
        ),
      );

    /** One after the other, each on another node, types; all read it. */
    const allHearAll = async (): Promise<void> => {
      for (const [index, person] of [ann, bob, cid].entries()) {
        const text = `received by all ${room} ${index}`;
        await waitFor(
          `all read ${text}`,
          async () => {
            person?.channel.push("response:update", { response: text });
            await waitFor(
              "it",
              () => everyone.every(({ updates }) => updates.some(({ response }) => response === text)),
              2000,
            );
            return true;
          },
          PATIENCE,
        );
      }
    };

    const status = async (node: ClusterNode): Promise<string> =>
      (await cluster.readiness(node)).cluster.status;

    test("text typed on one node is read on all, once (P-021, P-071)", async () => {
      await ann?.type("from the first");
      await reads(everyone, "from the first");
      await cid?.type("from the third");
      await reads(everyone, "from the third");
      for (const { updates } of everyone)
        expect(updates.map(({ response }) => response)).toEqual(["from the first", "from the third"]);
      bob?.leave();
      await seen([ann, abe, cid], "Abe,Ann,Cid");
    });

    test("the engine restarts: each node continues, then all receive all (P-635, P-650)", async () => {
      await cluster.engine.end("SIGKILL");
      for (const node of cluster.nodes)
        await waitFor(`${node.name} knows`, async () => (await status(node)) === "down", PATIENCE);
      await ann?.type("among ourselves");
      await reads([abe], "among ourselves");
      expect((await cluster.readiness(cluster.node(0))).code).toBe(200);
      await seen([ann, abe], "Abe,Ann");
      await seen([bob], "Bob");
      await cluster.engine.restart();
      await cluster.together();
      await seen(everyone, "Abe,Ann,Bob,Cid");
      await allHearAll();
      expect(everyone.map(({ joins }) => joins)).toEqual([1, 1, 1, 1]);
      for (const { updates } of [bob, cid] as Participant[])
        expect(updates.map(({ response }) => response)).not.toContain("among ourselves");
      const lines = cluster
        .node(0)
        .server.errors.split("\n")
        .filter((line) => /disconnected from/.test(line));
      expect(lines).toHaveLength(1);
    });

    // What follows is the same whatever the engine.
    if (kind !== "NATS") return;

    test("a node cut off beyond the down period is dropped and found again (P-607)", async () => {
      const third = cluster.node(2);
      third.link.refuse(true);
      third.link.cut();
      await seen([ann, abe, bob], "Abe,Ann,Bob");
      await seen([cid], "Cid");
      // One side alone: texts that both sides write meanwhile are merged, since the rooms share the
      // database.
      await ann?.type("together on the others");
      await reads([abe, bob], "together on the others");
      third.link.refuse(false);
      await cluster.together();
      await seen(everyone, "Abe,Ann,Bob,Cid");
      await allHearAll();
      expect(everyone.map(({ joins }) => joins)).toEqual([1, 1, 1, 1]);
    });

    test("a killed node's clients leave, and come back once through it (P-611)", async () => {
      const second = cluster.node(1);
      await second.server.end("SIGKILL");
      await seen([ann, abe, cid], "Abe,Ann,Cid");
      await ann?.type("without the second");
      await reads([abe, cid], "without the second");
      await second.server.start();
      await cluster.together();
      await seen(everyone, "Abe,Ann,Bob,Cid");
      await allHearAll();
      for (const person of everyone)
        expect([...person.people.values()].map((metas) => metas.length)).toEqual([1, 1, 1, 1]);
    });

    test("a node frozen beyond the down period delays no other (P-620)", async () => {
      const second = cluster.node(1);
      second.server.signal("SIGSTOP");
      const from = performance.now();
      let slowest = 0;
      for (let n = 0; performance.now() - from < DOWN_MS; n += 1) {
        const began = performance.now();
        await ann?.type(`while one is frozen ${n}`);
        await reads([cid], `while one is frozen ${n}`);
        slowest = Math.max(slowest, performance.now() - began);
      }
      await seen([ann, abe, cid], "Abe,Ann,Cid");
      second.server.signal("SIGCONT");
      await cluster.together();
      await seen(everyone, "Abe,Ann,Bob,Cid");
      await allHearAll();
      expect(slowest).toBeLessThan(2500);
    });

    test("with a slow engine edits come late and in order, and no user is dropped", async () => {
      for (const { link } of cluster.nodes) link.delay(150);
      for (let n = 0; n < 10; n += 1) ann?.channel.push("response:update", { response: `slow ${n}` });
      await reads(everyone, "slow 9");
      const typed = Array.from({ length: 10 }, (_, n) => `slow ${n}`);
      const read = ({ updates }: Participant): string[] => updates.map(({ response }) => response);
      // On the node itself each text; on the others what came within 50 ms as its last state, none
      // out of order.
      for (const person of [ann, abe] as Participant[]) expect(read(person)).toEqual(typed);
      for (const person of [bob, cid] as Participant[])
        expect(read(person)).toEqual(typed.filter((text) => read(person).includes(text)));
      for (const { link } of cluster.nodes) link.delay(0);
      expect(everyone.map(({ names }) => names.join())).toEqual(Array(4).fill("Abe,Ann,Bob,Cid"));
    });
  });
});

describe("a node that cannot join", () => {
  test("says why in one line, without the password, and does not start", async () => {
    const { runToEnd } = await import("../support/app-server.js");
    const env = {
      DATA_DIR: "/tmp/pp-never",
      JWT_SECRET: "the same on every node of the cluster",
      PORT: "0",
    };
    const refused = await runToEnd({ ...env, CLUSTER_URL: "nats://me:secret@127.0.0.1:1" });
    expect(refused.code).toBe(1);
    expect(refused.stderr).toMatch(
      /^this node cannot join the others: NATS at nats:\/\/127.0.0.1:1 cannot be reached .*\(CLUSTER_URL\)\n$/,
    );
    const wrong = await runToEnd({ ...env, CLUSTER_URL: "http://127.0.0.1" });
    expect(wrong.stderr).toMatch(/^CLUSTER_URL must start with nats:\/\//);
    const { JWT_SECRET: _secret, ...without } = env;
    expect((await runToEnd({ ...without, CLUSTER_URL: "nats://127.0.0.1" })).stderr).toMatch(
      /needs JWT_SECRET/,
    );
  });
});
