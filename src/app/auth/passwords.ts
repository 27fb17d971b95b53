/**
 * Password hashes: scrypt with OWASP's parameters, run in libuv's thread pool, off every event
 * loop.
 *
 * Each run needs 32 MiB, so only a few run at once and the queue for them is bounded: a flood of
 * log-ins is refused rather than let to eat the memory. Sites (IPv4 addresses, or /48 of IPv6) take
 * turns in it, so that a flood from one delays the others by one run each.
 */
import { randomBytes, type ScryptOptions, scrypt, timingSafeEqual } from "node:crypto";
import { FairQueue } from "../fair-queue.js";

/** N=2^15, r=8, p=3: one of the settings OWASP lists; 32 MiB and about 160 ms a run. */
const LOG_N = 15;
const BLOCK = 8;
const PARALLEL = 3;
const KEY_LENGTH = 32;
const MAX_RUNNING = 2;
const MAX_WAITING = 100;
const MAX_WAITING_PER_SITE = 50;

const queue = new FairQueue({
  concurrency: MAX_RUNNING,
  maxWaiting: MAX_WAITING,
  maxWaitingPerKey: MAX_WAITING_PER_SITE,
  what: "passwords are being checked",
});

function derive(password: string, salt: Buffer, logN: number, r: number, p: number): Promise<Buffer> {
  const N = 2 ** logN;
  // Node refuses to run without being allowed the memory it takes.
  const options: ScryptOptions = { N, r, p, maxmem: 256 * N * r };
  return new Promise((resolve, reject) => {
    scrypt(password.normalize("NFKC"), salt, KEY_LENGTH, options, (error, key) =>
      error === null ? resolve(key) : reject(error),
    );
  });
}

const base64 = (bytes: Buffer): string => bytes.toString("base64").replace(/=+$/, "");

/**
 * A hash with its parameters, `$scrypt$ln=15,r=8,p=3$salt$key`, for a client of this site;
 * undefined where sites tell no clients apart. Throws `Overloaded`.
 */
export async function hashPassword(password: string, site?: string): Promise<string> {
  const salt = randomBytes(16);
  const key = await queue.run(site, () => derive(password, salt, LOG_N, BLOCK, PARALLEL));
  return `$scrypt$ln=${LOG_N},r=${BLOCK},p=${PARALLEL}$${base64(salt)}$${base64(key)}`;
}

/**
 * Whether a hash was made with other parameters than those of today: it is to be made again at the
 * next log-in.
 */
export const isOutdated = (hash: string): boolean =>
  !hash.startsWith(`$scrypt$ln=${LOG_N},r=${BLOCK},p=${PARALLEL}$`);

/** A hash of no password, to spend the same time on an unknown user. */
const DECOY_HASH = `$scrypt$ln=${LOG_N},r=${BLOCK},p=${PARALLEL}$${base64(Buffer.alloc(16))}$${base64(Buffer.alloc(KEY_LENGTH))}`;

/**
 * Whether the password belongs to the hash. Without a hash it takes as long and is false. Throws
 * `Overloaded`.
 */
export async function verifyPassword(
  password: string,
  hash: string | undefined,
  site?: string,
): Promise<boolean> {
  const match = /^\$scrypt\$ln=(\d+),r=(\d+),p=(\d+)\$([^$]+)\$([^$]+)$/.exec(hash ?? DECOY_HASH);
  if (match === null) return false;
  const [, logN, r, p, salt, key] = match as unknown as [string, string, string, string, string, string];
  const expected = Buffer.from(key, "base64");
  const actual = await queue.run(site, () =>
    derive(password, Buffer.from(salt, "base64"), Number(logN), Number(r), Number(p)),
  );
  return expected.length === actual.length && timingSafeEqual(expected, actual) && hash !== undefined;
}
