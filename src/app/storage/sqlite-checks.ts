/**
 * What can be known of a SQLite database before it is used. Its newest changes stand in a second
 * file, the log (`-wal`), and SQLite passes over a log that is missing or unreadable without a
 * word: the database is then as it was long ago, or empty. Where the files show that, the start is
 * refused.
 *
 * What they do not show: a log that was deleted along with its index (`-shm`), or damaged in its
 * middle. See docs/deployment.md.
 */
import { closeSync, existsSync, openSync, readSync, statSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import type { QueryRunner } from "typeorm";
import { UnfitDatabase } from "./database.js";

/** The whole file is read up to this size, which takes about a second. */
const MOST_CHECKED = 256 * 1024 * 1024;

const BACKUP = "put a backup in place of all its files (docs/deployment.md)";

/** Before SQLite opens the files, and maybe deletes one. */
export async function checkFiles(file: string): Promise<void> {
  if (file === ":memory:") return;
  const [log, index] = [`${file}-wal`, `${file}-shm`];
  const missing = () => existsSync(index) && !existsSync(log);
  if (missing()) {
    // Another process that ends in order deletes first the one, then the other.
    await sleep(500);
    if (missing())
      throw new UnfitDatabase(
        `${log} is missing though the database was not closed, and with it the newest changes; ${BACKUP}, or delete ${index} to continue without them`,
      );
  }
  const head = headOf(log);
  if (head.length === 0) return;
  if (sizeOf(file) === 0)
    throw new UnfitDatabase(
      `${file} is missing or empty though its log ${log} is there; ${BACKUP}, or delete the log to begin with an empty database`,
    );
  if (!isLogHead(head))
    throw new UnfitDatabase(
      `${log} is damaged, and with it the newest changes; ${BACKUP}, or delete it to continue without them`,
    );
}

/** Looks through the file, unless it is so large that the start would take long. */
export async function checkContents(runner: QueryRunner, file: string): Promise<void> {
  if (file === ":memory:" || sizeOf(file) > MOST_CHECKED) return;
  const [{ quick_check: found }] = await runner.query("pragma quick_check(1)");
  if (found !== "ok")
    throw new UnfitDatabase(`${file} is damaged (${String(found).replace(/\s+/g, " ")}); ${BACKUP}`);
}

const sizeOf = (file: string): number => statSync(file, { throwIfNoEntry: false })?.size ?? 0;

/** Its first 32 bytes. Empty: it is not there, or nothing was written to it. */
function headOf(log: string): Buffer {
  if (!existsSync(log)) return Buffer.alloc(0);
  const descriptor = openSync(log, "r");
  try {
    const head = Buffer.alloc(32);
    const length = readSync(descriptor, head, 0, head.length, 0);
    // A power cut may leave zeros where nothing was written yet.
    return head.every((byte) => byte === 0) ? Buffer.alloc(0) : head.subarray(0, length);
  } finally {
    closeSync(descriptor);
  }
}

/** https://www.sqlite.org/fileformat2.html#walformat */
function isLogHead(head: Buffer): boolean {
  if (head.length < 32) return false;
  const magic = head.readUInt32BE(0);
  if (magic !== 0x377f0682 && magic !== 0x377f0683) return false;
  if (head.readUInt32BE(4) !== 3007000) return false;
  const word = (at: number) => (magic === 0x377f0683 ? head.readUInt32BE(at) : head.readUInt32LE(at));
  let [a, b] = [0, 0];
  for (let at = 0; at < 24; at += 8) {
    a = (a + word(at) + b) >>> 0;
    b = (b + word(at + 4) + a) >>> 0;
  }
  return a === head.readUInt32BE(24) && b === head.readUInt32BE(28);
}
