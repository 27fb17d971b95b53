/**
 * What any statement that fails must leave behind, on either database: shared by the suites of
 * both.
 */
import { expect } from "vitest";
import * as Y from "yjs";
import type { DatabaseConfig } from "../../../src/app/config.js";
import { createDataSource } from "../../../src/app/storage/data-source.js";
import type { Outcome, Repository } from "../../../src/app/storage/repository.js";
import { stateOf } from "../../../src/app/storage/repository.js";
import { prepareSchema } from "../../../src/app/storage/schema.js";
import { Transactions } from "../../../src/app/storage/transactions.js";
import { Faults, type Way } from "../../support/faulty-drivers.js";

/**
 * Deadlines: while statements fail, so that what is repeated until then costs little, and when all
 * is well.
 */
const HASTY_MS = 40;
const PATIENT_MS = 10_000;

/** What was acknowledged. */
interface Acknowledged {
  readonly users: string[];
  readonly challenges: number[];
  readonly texts: (readonly [challenge: number, text: string])[];
  readonly edits: (readonly [challenge: number, bytes: Uint8Array])[];
}

async function acknowledged<T>(asked: Promise<Outcome<T>>): Promise<T | undefined> {
  const outcome = await asked.catch(() => undefined);
  return outcome?.[0] === "ok" ? outcome[1] : undefined;
}

function edit(text: string): Uint8Array {
  const doc = new Y.Doc();
  doc.getText("response").insert(0, text);
  return Y.encodeStateAsUpdate(doc);
}

export class Trial {
  readonly faults = new Faults();
  readonly #config: DatabaseConfig;
  #source!: ReturnType<typeof createDataSource>;
  #witness!: ReturnType<typeof createDataSource>;
  #repository!: Repository;
  #users = 0;

  constructor(config: DatabaseConfig) {
    this.#config = config;
  }

  async start(): Promise<void> {
    this.#source = createDataSource(this.#config, this.faults.drivers);
    await this.#source.initialize();
    await prepareSchema(this.#source);
    // Another connection, on which nothing fails.
    this.#witness = createDataSource(this.#config);
    await this.#witness.initialize();
    this.#allow(PATIENT_MS);
  }

  /** Transactions on the same connections, with this deadline. */
  #allow(ms: number): void {
    const { operations } = stateOf(this.#source, new Transactions(this.#source, ms));
    this.#repository = Object.fromEntries(operations) as unknown as Repository;
  }

  async stop(): Promise<void> {
    await this.#witness?.destroy();
    await this.#source?.destroy();
  }

  /**
   * One of everything: a statement alone, a document that is made, a group of edits, a snapshot.
   */
  async work(): Promise<Acknowledged> {
    const repository = this.#repository;
    const done: Acknowledged = { users: [], challenges: [], texts: [], edits: [] };
    this.#users += 1;
    const email = `user${this.#users}@example.com`;
    if (await acknowledged(repository.createUser({ firstName: "Ann", email, passwordHash: "-" })))
      done.users.push(email);
    const made = await acknowledged(
      repository.createChallenge({ title: "t", prompt: "p", language: "python", response: "", ownerId: 1 }),
    );
    if (made === undefined) return done;
    done.challenges.push(made.id);
    const room = await acknowledged(repository.openRoom(made.id));
    if (room === undefined) return done;
    const { epoch } = room;
    const append = (bytes: Uint8Array, text: string | undefined) =>
      acknowledged(repository.appendUpdates({ id: made.id, epoch, entries: [{ userId: 1, bytes }], text }));
    const bytes = [edit("one"), edit("two")] as const;
    const appended = await append(bytes[0], "projected");
    if (appended !== undefined) {
      done.edits.push([made.id, bytes[0]]);
      done.texts.push([made.id, "projected"]);
      const seq = appended.first;
      const snapshot = {
        id: made.id,
        epoch,
        seq,
        state: Y.convertUpdateFormatV1ToV2(bytes[0]),
        text: "one",
        authors: [1],
      };
      if ((await acknowledged(repository.saveSnapshot(snapshot))) === null) done.texts[0] = [made.id, "one"];
    }
    if (await append(bytes[1], undefined)) done.edits.push([made.id, bytes[1]]);
    if (await acknowledged(repository.changeChallenge(made.id, { title: "changed" })))
      done.challenges.push(made.id);
    return done;
  }

  /** Nothing that was acknowledged is missing, or there in part. */
  async check(done: Acknowledged, where: string): Promise<void> {
    const rows = <T>(sql: string, values: unknown[]): Promise<T[]> => this.#witness.query(sql, values);
    for (const email of done.users)
      expect(await rows("SELECT 1 FROM users WHERE email = ?", [email]), where).toHaveLength(1);
    for (const id of done.challenges)
      expect(await rows("SELECT 1 FROM challenges WHERE id = ?", [id]), where).toHaveLength(1);
    for (const [id, bytes] of done.edits) {
      const found = await rows<{ bytes: Uint8Array }>(
        "SELECT bytes FROM room_updates WHERE challenge_id = ? ORDER BY seq",
        [id],
      );
      expect(
        found.some((row) => Buffer.from(bytes).equals(row.bytes)),
        where,
      ).toBe(true);
    }
    for (const id of new Set(done.challenges)) {
      const [room] = await rows<{ last_seq: number }>("SELECT last_seq FROM rooms WHERE challenge_id = ?", [
        id,
      ]);
      if (room === undefined) continue;
      const seqs = await rows<{ seq: number }>(
        "SELECT seq FROM room_updates WHERE challenge_id = ? ORDER BY seq",
        [id],
      );
      expect(
        seqs.map(({ seq }) => Number(seq)),
        `${where}: the log has no gaps`,
      ).toEqual(Array.from({ length: Number(room.last_seq) }, (_, n) => n + 1));
      const snapshots = await rows("SELECT 1 FROM room_snapshots WHERE challenge_id = ?", [id]);
      expect(snapshots.length, `${where}: a document has its first state`).toBeGreaterThan(0);
    }
  }

  /** Has each statement of the work fail in this way, and looks each time at what is left. */
  async failEach(way: Way, repeatedly: boolean): Promise<void> {
    this.faults.start();
    await this.work();
    const { length } = this.faults.seen;
    expect(length).toBeGreaterThan(20);
    for (let n = 0; n < length; n += 1) {
      this.faults.start(way, n, repeatedly);
      if (repeatedly || way === "hangs") this.#allow(HASTY_MS);
      const done = await this.work();
      const failed = this.faults.seen[n];
      this.faults.start();
      this.#allow(PATIENT_MS);
      const where = `statement ${n} of ${length}, ${failed}, ${JSON.stringify(way)}`;
      await this.check(done, where);
      const after = await this.work();
      expect(
        [after.users.length, after.challenges.length, after.edits.length],
        `${where}: everything works again`,
      ).toEqual([1, 2, 2]);
    }
  }
}
