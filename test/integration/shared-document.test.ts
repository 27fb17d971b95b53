/**
 * One room open on two nodes at once, each with a document of its own that it stores edits of: both
 * come to the same text, and the log that they share has each acknowledged edit once of its author,
 * without a gap. Also while the nodes cannot hear each other.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import * as Y from "yjs";
import { SharedDocument } from "../../src/app/document/shared-document.js";
import { createDataSource } from "../../src/app/storage/data-source.js";
import { AppCluster, START_MS } from "../support/app-cluster.js";
import { DocumentClient } from "../support/document-client.js";
import { describeWith } from "../support/requirements.js";
import { waitFor } from "../support/wait.js";

const PATIENCE_MS = 60_000;
/**
 * Words of one client in each phase: of all together fewer than a snapshot waits for, which would
 * shorten the log.
 */
const WORDS = 25;
const PAUSE_MS = 50;

interface Row {
  readonly seq: number;
  /** Whose edit it is; null for what was received from another node. */
  readonly user_id: number | null;
  readonly bytes: Uint8Array;
}

/** What an update of the log inserts. */
const inserted = ({ bytes }: Row): string =>
  Y.decodeUpdate(bytes)
    .structs.map((struct) =>
      struct instanceof Y.Item && struct.content instanceof Y.ContentString ? struct.content.str : "",
    )
    .join("");

describe.each(["NATS", "Redis"] as const)("%s", (kind) => {
  describeWith(kind, "a room on two nodes", () => {
    let cluster: AppCluster;
    beforeAll(async () => {
      cluster = await AppCluster.start(kind, [1, 0]);
    }, START_MS);
    afterAll(() => cluster?.stop());

    test("both nodes converge under concurrent edits and partitions", async () => {
      const { token } = await cluster.node(0).server.signUp("Ann");
      const clients = [0, 0, 1, 1].map((node) => new DocumentClient(cluster.node(node).server, token, 1));
      await Promise.all(clients.map((client) => client.join()));
      const all = (what: string, check: (client: DocumentClient) => boolean): Promise<unknown> =>
        waitFor(what, () => clients.every(check), PATIENCE_MS);
      await all("all have the text", ({ synced }) => synced);
      const typed: string[] = [];
      const acknowledged: string[] = [];
      const allType = async (phase: string): Promise<void> => {
        for (let n = 0; n < WORDS; n += 1) {
          for (const [who, client] of clients.entries()) {
            const word = `‹${phase}.${who}.${n}›`;
            typed.push(word);
            client.edit(
              (text) => text.insert(0, word),
              () => void acknowledged.push(word),
            );
          }
          await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
        }
      };
      const texts = (): string[] => clients.map(({ text }) => text.toString());
      const converged = (): Promise<unknown> =>
        waitFor(
          "all have one text, with all that was typed",
          () => {
            const [first = "", ...others] = texts();
            return others.every((text) => text === first) && typed.every((word) => first.includes(word));
          },
          PATIENCE_MS,
        );

      await allType("together");
      await all("all is stored", ({ saved }) => saved);
      await converged();

      const { link } = cluster.node(1);
      link.refuse(true);
      link.cut();
      await waitFor(
        "the second node is cut off",
        async () => (await cluster.readiness(cluster.node(1))).cluster.status === "down",
      );
      await allType("apart");
      await all("all is stored", ({ saved }) => saved);
      link.refuse(false);
      await cluster.together();
      // Who types while the rooms catch up may build on what its room does not have yet: such an
      // update is refused, and comes again with a sync, under the name of the one that brings it.
      await converged();
      await allType("again");
      await all("all is stored", ({ saved }) => saved);
      await converged();

      expect(new Set(acknowledged).size).toBe(typed.length);
      const [text = ""] = texts();
      const found = text.match(/‹[^›]*›/g) ?? [];
      expect(found.toSorted()).toEqual(typed.toSorted());

      const source = createDataSource({ kind: "sqlite", location: `${cluster.dataDir}/phoenixpair.sqlite` });
      await source.initialize();
      const rows: Row[] = await source.query(
        "SELECT seq, user_id, bytes FROM room_updates WHERE challenge_id = 1 ORDER BY seq",
      );
      const [snapshot]: Row[] = await source.query(
        "SELECT upto_seq AS seq, state AS bytes FROM room_snapshots WHERE challenge_id = 1 ORDER BY upto_seq DESC",
      );
      const [{ last }]: [{ last: number }] = await source.query(
        "SELECT last_seq AS last FROM rooms WHERE challenge_id = 1",
      );
      await source.destroy();
      expect(snapshot?.seq).toBe(0);
      expect(rows.map(({ seq }) => seq)).toEqual(Array.from({ length: last }, (_, n) => n + 1));
      const wordsOf = (some: readonly Row[]): string[] =>
        some.flatMap((row) => inserted(row).match(/‹[^›]*›/g) ?? []).toSorted();
      const copies = wordsOf(rows.filter(({ user_id }) => user_id === null));
      // Of its author it is there once; the other node stores what it received as well, so that
      // nothing builds on what is not there.
      expect(wordsOf(rows.filter(({ user_id }) => user_id !== null))).toEqual(acknowledged.toSorted());
      expect(new Set(copies).size).toBe(copies.length);
      // Who begins again with the log has what all have.
      const again = SharedDocument.load(
        (snapshot as Row).bytes,
        rows.map(({ bytes }) => bytes),
      );
      expect(again.text).toBe(text);
      for (const client of clients) client.leave();
    });
  });
});
