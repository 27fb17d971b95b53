/**
 * Chaos rounds: writers type into one room while a fault is inflicted on the server, its disk or
 * its database. After each round the room must show every edit that was acknowledged, once.
 *
 * In some rounds the writers are gone before the fault is repaired, so that no client can bring
 * back what the server has lost; in the others they stay, and everything they typed must be stored
 * in the end. In half of the rounds the server is killed and started again before the check, so
 * that only what is in the database counts.
 *
 * All choices follow from the seed and the number of the round.
 */
import { Random } from "simurgh/testing";
import { DocumentClient } from "../support/document-client.js";
import { missing, type Word, Writer } from "../support/recording-writer.js";
import { waitFor } from "../support/wait.js";
import { FAULTS, type Fault } from "./faults.js";
import { type DatabaseName, startWorld, type World } from "./world.js";

export interface ChaosOptions {
  readonly database: DatabaseName;
  readonly rounds: number;
  readonly seed: number;
  /** Called after each round. */
  readonly onRound?: (round: number, fault: string) => void;
}

export interface ChaosResult {
  readonly acknowledged: number;
  /** How often each fault was inflicted, and how long its rounds took together. */
  readonly rounds: ReadonlyMap<string, { readonly count: number; readonly ms: number }>;
}

const WRITERS = 3;
const PATIENCE_MS = 60_000;
/** Rounds in one room, so that its text stays small. */
const ROUNDS_A_ROOM = 20;
/** Milliseconds for which a fault lasts at the most. */
const LONGEST_FAULT_MS = 1200;

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

interface Room {
  readonly challenge: number;
  readonly tokens: readonly string[];
  readonly words: Word[];
}

async function makeRoom(world: World): Promise<Room> {
  const { server } = world;
  const tokens: string[] = [];
  for (let n = 0; n < WRITERS; n += 1) tokens.push((await server.signUp(`Writer ${n}`)).token);
  const body = { title: "Chaos", prompt: "Type.", language: "go", response: "" };
  const made = await server.request("POST", "/api/challenges", body, tokens[0]);
  if (made.status !== 201) throw new Error(`no room: ${made.status} ${await made.text()}`);
  return { challenge: ((await made.json()) as { id: number }).id, tokens, words: [] };
}

/** Joins, however often it takes. */
async function join(client: DocumentClient): Promise<void> {
  await waitFor(
    "the client is in step",
    async () => {
      if (client.reply === undefined) await client.join().catch(() => {});
      return client.synced;
    },
    PATIENCE_MS,
  );
}

async function read({ server }: World, { challenge, tokens }: Room): Promise<string> {
  const reader = new DocumentClient(server, tokens[0] as string, challenge);
  try {
    await join(reader);
    return reader.text.toString();
  } finally {
    reader.leave();
  }
}

/** One round; gives how many edits were acknowledged. */
async function playRound(
  world: World,
  room: Room,
  round: number,
  fault: Fault,
  random: Random,
): Promise<number> {
  const writers = room.tokens.map(
    (token, n) =>
      new Writer(world.server, token, room.challenge, `${round}.${n}`, new Random(random.below(2 ** 31))),
  );
  try {
    await Promise.all(writers.map(({ client }) => join(client)));
    for (const writer of writers) writer.start();
    await waitFor(
      "something is stored",
      () => writers.some(({ words }) => words.some(({ stored }) => stored)),
      PATIENCE_MS,
    );
    await sleep(random.below(150));

    const stay = random.chance(0.5);
    const repair = await fault.begin(world, random);
    await sleep(random.below(fault.endsServer === true ? 50 : LONGEST_FAULT_MS));
    for (const writer of writers) writer.stop();
    if (!stay) for (const { client } of writers) client.leave();
    await repair();

    const words = writers.flatMap((writer) => writer.words);
    if (stay) {
      for (const { client } of writers)
        await waitFor("everything typed is stored", () => client.saved, PATIENCE_MS);
      for (const word of words) {
        word.stored = true;
        if (word.deleted === "asked") word.deleted = "stored";
      }
    }
    room.words.push(...words);
    if (random.chance(0.5)) {
      await world.server.end("SIGKILL");
      await world.server.start();
    }
    const wrong = missing(await read(world, room), room.words);
    if (wrong.length > 0)
      throw new Error(
        `${wrong.length} edits, writers ${stay ? "stayed" : "left"}: ${wrong.slice(0, 5).join(", ")}`,
      );
    return words.filter(({ stored }) => stored).length;
  } finally {
    for (const writer of writers) {
      writer.stop();
      writer.client.leave();
    }
  }
}

/**
 * Plays rounds against a world of its own. Fails with the seed and the round at the first edit that
 * is lost.
 */
export async function playRounds({ database, rounds, seed, onRound }: ChaosOptions): Promise<ChaosResult> {
  const faults = FAULTS.filter(({ databases }) => databases.includes(database));
  const world = await startWorld(database);
  const counts = new Map<string, { count: number; ms: number }>();
  let acknowledged = 0;
  let room: Room | undefined;
  try {
    for (let round = 0; round < rounds; round += 1) {
      // Each fault in turn, so that few rounds have seen all.
      const fault = faults[(seed + round) % faults.length] as Fault;
      const started = performance.now();
      try {
        if (room === undefined || round % ROUNDS_A_ROOM === 0) room = await makeRoom(world);
        acknowledged += await playRound(world, room, round, fault, new Random(seed + round));
      } catch (error) {
        const errors = world.server.errors.split("\n").slice(-10).join("\n");
        throw new Error(
          `${database}, seed ${seed}, round ${round} (${fault.name}): ${(error as Error).message}\n${errors}`,
          { cause: error },
        );
      }
      const { count, ms } = counts.get(fault.name) ?? { count: 0, ms: 0 };
      counts.set(fault.name, { count: count + 1, ms: ms + performance.now() - started });
      onRound?.(round, fault.name);
    }
    return { acknowledged, rounds: counts };
  } finally {
    await world.stop();
  }
}

/** How many kinds of fault a database has: as many rounds see each once. */
export const faultsOf = (database: DatabaseName): number =>
  FAULTS.filter(({ databases }) => databases.includes(database)).length;
