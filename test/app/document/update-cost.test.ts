/**
 * What the dearest update that is accepted costs. The limit is 50 ms of this process's CPU time; a
 * figure above it is measured again, as other processes disturb caches, and the least of several
 * measurements counts.
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import * as Y from "yjs";
import { SharedDocument, seedState } from "../../../src/app/document/shared-document.js";
import {
  MAX_DOCUMENT_CLIENTS,
  MAX_DOCUMENT_STRUCTS,
  MAX_STEPS,
} from "../../../src/app/document/update-validation.js";
import {
  type ForgedRange,
  type ForgedStruct,
  forgedRun,
  forgeUpdate,
  type Ref,
} from "../../support/forged-update.js";

const LIMIT_MS = 50;
const anybody = (): boolean => true;
const documentOf = (text: string): SharedDocument => SharedDocument.load(seedState(text), []);

function cpuMs(work: () => void): number {
  const before = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

const siblings = (client: number, count: number, origin: Ref = null, from = 0): readonly ForgedStruct[] =>
  forgedRun(count, (n) => ({ client, clock: from + n, origin, right: null, text: "x" }));

describe("an update that would take long to apply is refused", () => {
  test("siblings of a low client id, then as many of a higher one", () => {
    for (const count of [1000, 4000, 7000]) {
      const document = documentOf("");
      expect(document.apply(forgeUpdate(siblings(5, count)), anybody).type).toBe("changed");
      const higher = document.apply(forgeUpdate(siblings(9, count)), anybody);
      expect(higher).toMatchObject({
        type: "refused",
        reason: "bad_update",
        why: "it takes too long to apply",
      });
      // Finding that out takes no longer than what is accepted.
      expect(higher.steps).toBeLessThan(1.1 * MAX_STEPS);
    }
  });

  test("both in one update, the lower needed by the higher", () => {
    const document = documentOf("");
    const update = forgeUpdate([
      ...siblings(5, 4000),
      ...forgedRun(4000, (n) => ({
        client: 9,
        clock: n,
        origin: null,
        right: n === 0 ? [5, 3999] : null,
        text: "x",
      })),
    ]);
    expect(document.apply(update, anybody)).toMatchObject({ type: "refused", reason: "bad_update" });
    expect(document.text).toBe("");
  });

  test("deletions that each cut the front of a long array of structs", () => {
    const document = documentOf("x".repeat(200_000));
    const [client] = Y.decodeStateVector(document.stateVector()).keys() as MapIterator<number>;
    const every = (count: number, from: number, step: number): ForgedRange[] =>
      Array.from({ length: count }, (_, n) => [client as number, from + step * n, 2]);
    for (let part = 0; part < 9; part += 1)
      expect(document.apply(forgeUpdate([], every(2000, 100_000 + part * 8_000, 4)), anybody).type).toBe(
        "changed",
      );
    expect(document.apply(forgeUpdate([], every(5000, 50_000, -4)), anybody)).toMatchObject({
      reason: "bad_update",
    });
  });

  test("deletions of the same again and again", () => {
    const document = documentOf("x".repeat(100_000));
    const [client = 0] = Y.decodeStateVector(document.stateVector()).keys();
    const scattered = Array.from({ length: 2000 }, (_, n): ForgedRange => [client, 4 * n, 2]);
    expect(document.apply(forgeUpdate([], scattered), anybody).type).toBe("changed");
    const all = Array.from({ length: 1000 }, (_, n): ForgedRange => [client, 0, 100_000 - n]);
    expect(document.apply(forgeUpdate([], all), anybody)).toMatchObject({ reason: "bad_update" });
  });

  test("content other than text before it is built", () => {
    // A document within the document costs a hundred times the bytes that ask for it.
    const doc = new Y.Doc();
    const array = doc.getArray("a");
    array.insert(
      0,
      Array.from({ length: 500 }, () => new Y.Doc()),
    );
    const update = Y.encodeStateAsUpdate(doc);
    const document = documentOf("");
    const built = cpuMs(() => void Y.decodeUpdate(update));
    const refused = cpuMs(() => {
      expect(document.apply(update, anybody)).toMatchObject({ reason: "bad_update" });
    });
    expect(refused).toBeLessThan(built / 2);
  });
});

describe("what many small edits leave behind", () => {
  test("ten thousand siblings at one place leave another user's edit there cheap", () => {
    const document = documentOf("ab");
    for (let n = 0; n < 10_000; n += 50) document.apply(forgeUpdate(siblings(5, 50, null, n)), anybody);
    const applied = document.apply(forgeUpdate(siblings(9, 1)), anybody);
    expect(applied).toMatchObject({ type: "changed" });
    expect(applied.steps).toBeLessThan(MAX_STEPS / 5);
  });

  test("a document accepts a bounded number of client ids, and edits of known ones", () => {
    const document = documentOf("ab");
    const [seed = 0] = Y.decodeStateVector(document.stateVector()).keys();
    const edit = (client: number, clock = 0) =>
      document.apply(
        forgeUpdate([{ client, clock, origin: [seed, 0], right: [seed, 1], text: "x" }]),
        anybody,
      );
    for (let client = 1; client < MAX_DOCUMENT_CLIENTS; client += 1)
      expect(edit(client).type).toBe("changed");
    expect(edit(MAX_DOCUMENT_CLIENTS)).toMatchObject({ type: "refused", reason: "too_large" });
    expect(edit(7, 1)).toMatchObject({ type: "changed" });
  });

  test("a document takes so many structs, and can be shortened all the same", () => {
    const document = documentOf("ab");
    const [seed = 0] = Y.decodeStateVector(document.stateVector()).keys();
    // Each client puts its structs before those of the one before it.
    const part = (client: number) =>
      document.apply(
        forgeUpdate(
          forgedRun(1000, (n) => ({ client, clock: n, origin: [seed, 0], right: [seed, 1], text: "x" })),
        ),
        anybody,
      );
    for (let n = 0; n < MAX_DOCUMENT_STRUCTS / 1000 - 1; n += 1) expect(part(100 - n).type).toBe("changed");
    expect(part(1)).toMatchObject({ reason: "too_large" });
    expect(document.apply(forgeUpdate([], [[100, 0, 1000]]), anybody).type).toBe("changed");
  });
});

// ------------------------------------------------------------------ the search

/**
 * More of them search longer, each time from another seed: UPDATE_COST_RUNS=20000. A failure prints
 * the seed (UPDATE_COST_SEED) and the updates.
 */
const { UPDATE_COST_RUNS, UPDATE_COST_SEED } = process.env;
const RUNS = Number(UPDATE_COST_RUNS ?? 90);
const SEED = Number(UPDATE_COST_SEED ?? (UPDATE_COST_RUNS === undefined ? 1 : Date.now() % 1_000_000));

const CLIENTS = [3, 40, 500, 6000, 70_000, 2 ** 31];
/** A place: nothing, or a character of a client; for the n-th struct so much further. */
const place = fc.option(
  fc.record({
    client: fc.nat(CLIENTS.length),
    at: fc.double({ min: 0, max: 1, noNaN: true }),
    step: fc.integer({ min: -3, max: 3 }),
  }),
  { nil: null, freq: 2 },
);
const count = fc.oneof(fc.nat(20), fc.nat(400), fc.nat(9000));
const gene = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant("run" as const),
      client: fc.nat(CLIENTS.length - 1),
      count,
      origin: place,
      right: place,
      chained: fc.constantFrom("no", "left", "right", "first"),
      text: fc.constantFrom("x", "xyz", undefined),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("delete" as const),
      client: fc.nat(CLIENTS.length),
      at: fc.double({ min: 0, max: 1, noNaN: true }),
      count,
      step: fc.integer({ min: -4, max: 4 }),
      length: fc.oneof(fc.nat(3), fc.nat(5000)),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant("clients" as const),
      count: fc.nat(128),
      origin: place,
      right: place,
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("again" as const) }) },
);
type Gene = typeof gene extends fc.Arbitrary<infer T> ? T : never;
const edit = fc.array(gene, { minLength: 1, maxLength: 4 });
const attack = fc.array(edit, { minLength: 1, maxLength: 8 });
type Attack = readonly (readonly Gene[])[];

/** An attack on a document: what the dearest update cost that was accepted. */
class Trial {
  readonly document = documentOf("y".repeat(20_000));
  readonly #seed = [...Y.decodeStateVector(this.document.stateVector()).keys()][0] as number;
  readonly #ends = new Map<number, number>([[this.#seed, 20_000]]);
  #nextClient = 1_000_000;
  #last: Uint8Array | undefined;
  readonly costs: number[] = [];

  run(attack: Attack): this {
    for (const genes of attack) this.#apply(genes);
    return this;
  }

  get dearest(): number {
    return Math.max(0, ...this.costs);
  }

  #ref(
    given: { client: number; at: number; step: number } | null,
    n: number,
    ends: ReadonlyMap<number, number>,
  ): Ref {
    if (given === null) return null;
    const client = CLIENTS[given.client] ?? this.#seed;
    const end = ends.get(client) ?? 0;
    if (end === 0) return null;
    return [client, Math.min(end - 1, Math.max(0, Math.floor(given.at * end) + given.step * n))];
  }

  #apply(genes: readonly Gene[]): void {
    const ends = new Map(this.#ends);
    const structs: ForgedStruct[] = [];
    const deletions: ForgedRange[] = [];
    let update: Uint8Array | undefined;
    for (const gene of genes) {
      if (gene.kind === "again") update = this.#last;
      else if (gene.kind === "delete") {
        const client = CLIENTS[gene.client] ?? this.#seed;
        const end = ends.get(client) ?? 0;
        for (let n = 0; n < gene.count; n += 1) {
          const at = Math.floor(gene.at * end) + gene.step * n;
          if (at >= 0 && at + gene.length + 1 <= end) deletions.push([client, at, gene.length + 1]);
        }
      } else {
        const count = gene.count;
        for (let n = 0; n < count; n += 1) {
          const client = gene.kind === "run" ? (CLIENTS[gene.client] as number) : this.#nextClient++;
          const clock = ends.get(client) ?? 0;
          let [origin, right] = [this.#ref(gene.origin, n, ends), this.#ref(gene.right, n, ends)];
          const chained = gene.kind === "run" ? gene.chained : "no";
          if (chained === "left" && clock > 0) origin = [client, clock - 1];
          if (chained === "right" && clock > 0) right = [client, clock - 1];
          if (chained === "first" && n > 0) right = null;
          const text = gene.kind === "run" ? gene.text : "x";
          structs.push({ client, clock, origin, right, text });
          ends.set(client, clock + (text?.length ?? 1));
        }
      }
    }
    update ??= forgeUpdate(structs, deletions);
    const bytes = update;
    let type = "";
    const ms = cpuMs(() => {
      type = this.document.apply(bytes, anybody).type;
    });
    if (type !== "changed") return;
    this.costs.push(ms);
    this.#last = bytes;
    for (const [client, end] of ends) this.#ends.set(client, end);
  }
}

/** The least of several measurements of each update. */
function cost(attack: Attack): number {
  const { costs } = new Trial().run(attack);
  let least = costs;
  for (let n = 0; n < 12 && Math.max(0, ...least) > LIMIT_MS; n += 1) {
    const again = new Trial().run(attack).costs;
    least = least.map((ms, index) => Math.min(ms, again[index] ?? 0));
  }
  return Math.max(0, ...least);
}

test("no accepted update takes above 50 ms of CPU, as far as a search finds", {
  timeout: 24 * 3_600_000,
}, () => {
  const random = fc.sample(fc.infiniteStream(fc.nat(2 ** 30)), {
    seed: SEED,
    numRuns: 1,
  })[0] as Iterator<number>;
  const below = (n: number): number => (random.next().value as number) % n;
  const attacks = fc.sample(attack, { seed: SEED, numRuns: Math.ceil(RUNS / 2) });
  const edits = fc.sample(edit, { seed: SEED + 1, numRuns: RUNS }).concat();
  // The known shapes take part from the beginning.
  attacks.unshift([
    [{ kind: "run", client: 0, count: 450, origin: null, right: null, chained: "no", text: "x" }],
    [{ kind: "run", client: 1, count: 400, origin: null, right: null, chained: "no", text: "x" }],
  ]);
  const best: { ms: number; attack: Attack }[] = [];
  const consider = (candidate: Attack): void => {
    const ms = cost(candidate);
    if (ms > LIMIT_MS)
      throw new Error(
        `an accepted update took ${ms.toFixed(1)} ms of CPU (UPDATE_COST_SEED=${SEED} UPDATE_COST_RUNS=${RUNS}): ${JSON.stringify(candidate)}`,
      );
    best.push({ ms, attack: candidate });
    best.sort((a, b) => b.ms - a.ms);
    best.splice(12);
  };
  for (const candidate of attacks) consider(candidate);
  for (const replacement of edits.slice(0, RUNS - attacks.length)) {
    const parent = (best[below(best.length)] as { attack: Attack }).attack;
    const at = below(parent.length + 1);
    const mutated = [...parent.slice(0, at), replacement, ...parent.slice(at + below(2))];
    consider(mutated.slice(0, 12));
  }
  expect(best[0]?.ms).toBeGreaterThan(0);
  if (UPDATE_COST_RUNS !== undefined)
    console.log(`dearest: ${best[0]?.ms} ms`, JSON.stringify(best[0]?.attack));
});
