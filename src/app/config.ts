/**
 * The environment as a typed object, read once. Every fault is one line that names the variable and
 * the remedy.
 */
import { randomBytes } from "node:crypto";
import { accessSync, constants, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join, resolve } from "node:path";
import { sharesPorts } from "simurgh/channels";
import { isGuessable } from "./auth/secret-strength.js";
import type { SigningKeys } from "./auth/tokens.js";
import { DEFAULT_QUOTAS, type Quotas } from "./storage/database.js";

export interface DatabaseConfig {
  readonly kind: "sqlite" | "mysql";
  /** The file of a SQLite database, or the URL of the server. */
  readonly location: string;
  /** What one person may have; undefined: as by default. */
  readonly quotas?: Quotas;
}

export interface Config {
  readonly host: string;
  readonly port: number;
  readonly dataDir: string;
  readonly database: DatabaseConfig;
  readonly keys: SigningKeys;
  /** Seconds for which an access token is valid. */
  readonly accessSeconds: number;
  /** Milliseconds an idle connection stays open between two requests. */
  readonly keepAliveMs: number;
  readonly shards: number;
  readonly gateways: number;
  readonly logLevel: string;
  /** Undefined: pages of this very server may connect. */
  readonly allowedOrigins: readonly string[] | undefined;
  /** Proxies before this server, whose word on addresses and https is taken. */
  readonly trustedProxies: number;
  /** Requests a second of one network to the API that show no valid access token. */
  readonly anonymousPerSecond: number;
  /** Requests a second of one person, in the long run. */
  readonly personPerSecond: number;
  /** Undefined: there are no other nodes. */
  readonly cluster: ClusterConfig | undefined;
  /** Where Prometheus may ask; undefined: nowhere. */
  readonly metrics: { readonly host: string; readonly port: number } | undefined;
  /**
   * Milliseconds after which a silent node counts as down, with all users on
   * it.
   */
  readonly presenceDownMs: number;
  /**
   * Milliseconds without a sign of life of the main thread after which the program is ended; 0 for
   * never.
   */
  readonly watchdogMs: number;
  /**
   * The same of a thread that rooms or connections live in, after which it is replaced; 0 for
   * never.
   */
  readonly threadStallMs: number;
  /** Milliseconds after which what those in rooms may do is looked up again in any case. */
  readonly accessRecheckMs: number;
}

export interface ClusterConfig {
  readonly engine: "nats" | "redis";
  readonly url: string;
  /** Undefined: made of the host's name. */
  readonly nodeName: string | undefined;
  /**
   * In place of the authorities that Node trusts, and what this node shows; PEM. Undefined:
   * neither.
   */
  readonly tls: { readonly ca?: string; readonly cert?: string; readonly key?: string } | undefined;
}

/** A fault of the environment or the machine, reported in one line: no stack trace helps here. */
export class StartupError extends Error {
  override readonly name = "StartupError";
}

type Environment = Readonly<Record<string, string | undefined>>;

const LOG_LEVELS = ["trace", "debug", "info", "warn", "error", "fatal", "silent"];
const MIN_SECRET_LENGTH = 32;
const MIB = 1024 * 1024;

export function readConfig(env: Environment): Config {
  const dataDir = resolve(env.DATA_DIR ?? "./data");
  prepareDataDir(dataDir);
  return {
    host: env.HOST ?? "127.0.0.1",
    port: wholeNumber("PORT", env.PORT ?? "4000", 0, 65_535),
    dataDir,
    database: { ...readDatabase(env.DATABASE_URL, dataDir), quotas: readQuotas(env) },
    keys: {
      secret: readSecret(env, dataDir),
      previous: readPrevious(env.JWT_PREVIOUS_SECRETS, env.NODE_ENV === "production"),
    },
    accessSeconds: wholeNumber("ACCESS_TOKEN_SECONDS", env.ACCESS_TOKEN_SECONDS ?? "900", 2, 3600),
    cluster: readCluster(env),
    metrics: readMetrics(env),
    watchdogMs: stallMs("WATCHDOG_MS", env.WATCHDOG_MS ?? "30000"),
    threadStallMs: stallMs("THREAD_STALL_MS", env.THREAD_STALL_MS ?? "4000"),
    presenceDownMs: wholeNumber("PRESENCE_DOWN_MS", env.PRESENCE_DOWN_MS ?? "30000", 1000, 3_600_000),
    accessRecheckMs:
      1000 * wholeNumber("ACCESS_RECHECK_SECONDS", env.ACCESS_RECHECK_SECONDS ?? "120", 1, 3600),
    shards: wholeNumber("SHARDS", env.SHARDS ?? String(Math.max(1, availableParallelism() - 1)), 0, 64),
    gateways: readGateways(env.GATEWAYS),
    keepAliveMs: 1000 * wholeNumber("KEEP_ALIVE_SECONDS", env.KEEP_ALIVE_SECONDS ?? "75", 1, 3600),
    logLevel: oneOf("LOG_LEVEL", env.LOG_LEVEL ?? "warn", LOG_LEVELS),
    allowedOrigins: readOrigins(env.ALLOWED_ORIGINS),
    anonymousPerSecond: wholeNumber(
      "ANONYMOUS_REQUESTS_PER_SECOND",
      env.ANONYMOUS_REQUESTS_PER_SECOND ?? "50",
      1,
      100_000,
    ),
    personPerSecond: wholeNumber(
      "PERSON_REQUESTS_PER_SECOND",
      env.PERSON_REQUESTS_PER_SECOND ?? "50",
      1,
      100_000,
    ),
    trustedProxies: wholeNumber("TRUST_PROXY", env.TRUST_PROXY ?? "0", 0, 10),
  };
}

/** Off, or long enough that a slow disk is no reason. */
const stallMs = (name: string, text: string): number =>
  text === "0" ? 0 : wholeNumber(name, text, 1000, 3_600_000);

function wholeNumber(name: string, text: string, least: number, most: number): number {
  const value = Number(text);
  if (text.trim() === "" || !Number.isInteger(value) || value < least || value > most) {
    throw new StartupError(
      `${name} must be a whole number from ${least} to ${most}, not ${JSON.stringify(text)}`,
    );
  }
  return value;
}

function readGateways(text = "1"): number {
  const gateways = wholeNumber("GATEWAYS", text, 1, 64);
  if (gateways > 1 && !sharesPorts())
    throw new StartupError(
      `GATEWAYS ${gateways} needs Node 22.12 or later, where threads can share a port; this is Node ${process.versions.node}. Leave GATEWAYS out, or use a later Node`,
    );
  return gateways;
}

function oneOf(name: string, value: string, allowed: readonly string[]): string {
  if (!allowed.includes(value))
    throw new StartupError(`${name} must be one of ${allowed.join(", ")}, not ${JSON.stringify(value)}`);
  return value;
}

function prepareDataDir(dataDir: string): void {
  try {
    mkdirSync(dataDir, { recursive: true, mode: 0o700 });
    accessSync(dataDir, constants.W_OK | constants.X_OK);
  } catch (error) {
    throw new StartupError(
      `DATA_DIR ${dataDir} cannot be written to (${(error as NodeJS.ErrnoException).code}); set DATA_DIR to a folder that can`,
    );
  }
}

/** Database settings for tools that need nothing else, such as the TypeORM command line. */
export function readDatabase(url: string | undefined, dataDir: string): DatabaseConfig {
  if (url === undefined || url === "")
    return { kind: "sqlite", location: join(dataDir, "phoenixpair.sqlite") };
  let parsed: URL;
  try {
    parsed = new URL(url);
  } catch {
    throw new StartupError("DATABASE_URL is not a URL; write mysql://user:password@host:3306/database");
  }
  if (parsed.protocol !== "mysql:" && parsed.protocol !== "mariadb:") {
    throw new StartupError(
      `DATABASE_URL must start with mysql:// or mariadb://, not ${parsed.protocol}//; leave it out to use SQLite`,
    );
  }
  if (parsed.pathname.length < 2)
    throw new StartupError("DATABASE_URL names no database; write mysql://user:password@host:3306/database");
  return { kind: "mysql", location: url };
}

function readQuotas(env: Environment): Quotas {
  const { challenges, bytes, sessions } = DEFAULT_QUOTAS;
  const quota = (name: string, fallback: number, most: number): number =>
    wholeNumber(name, env[name] ?? String(fallback), 1, most);
  return {
    challenges: quota("MAX_CHALLENGES_PER_PERSON", challenges, 1_000_000),
    bytes: quota("MAX_MIB_PER_PERSON", bytes / MIB, 1_000_000) * MIB,
    sessions: quota("MAX_SESSIONS_PER_PERSON", sessions, 10_000),
  };
}

function readMetrics({ METRICS_PORT: port = "", METRICS_HOST: host }: Environment): Config["metrics"] {
  if (port === "") return undefined;
  return { port: wholeNumber("METRICS_PORT", port, 0, 65_535), host: host || "127.0.0.1" };
}

function readCluster(env: Environment): ClusterConfig | undefined {
  const { CLUSTER_URL: url, NODE_NAME: nodeName, JWT_SECRET: secret } = env;
  if (url === undefined || url === "") return undefined;
  const engine = /^(nats|tls):\/\//.test(url) ? "nats" : /^rediss?:\/\//.test(url) ? "redis" : undefined;
  if (engine === undefined)
    throw new StartupError(
      "CLUSTER_URL must start with nats://, tls://, redis:// or rediss://; write nats://host:4222",
    );
  if (secret === undefined || secret === "")
    throw new StartupError(
      "CLUSTER_URL needs JWT_SECRET, the same on all nodes: a user of one must be known to all",
    );
  return { engine, url, nodeName: nodeName === "" ? undefined : nodeName, tls: readClusterTls(env, url) };
}

function readClusterTls(env: Environment, url: string): ClusterConfig["tls"] {
  const read = (name: string): string | undefined => {
    const file = env[name];
    if (file === undefined || file === "") return undefined;
    try {
      return readFileSync(file, "utf8");
    } catch (error) {
      throw new StartupError(
        `${name} ${file} cannot be read (${(error as NodeJS.ErrnoException).code}); write the path of a PEM file`,
      );
    }
  };
  const [ca, cert, key] = [read("CLUSTER_CA_FILE"), read("CLUSTER_CERT_FILE"), read("CLUSTER_KEY_FILE")];
  if ((cert === undefined) !== (key === undefined))
    throw new StartupError("CLUSTER_CERT_FILE and CLUSTER_KEY_FILE go together: set both or none");
  if (ca === undefined && cert === undefined) return undefined;
  if (!/^(tls|rediss):/.test(url))
    throw new StartupError(
      "CLUSTER_CA_FILE and CLUSTER_CERT_FILE are for TLS: write CLUSTER_URL with tls:// or rediss://",
    );
  return {
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined || key === undefined ? {} : { cert, key }),
  };
}

function readSecret(env: Environment, dataDir: string): string {
  const given = env.JWT_SECRET;
  if (given !== undefined && given !== "") {
    if (env.NODE_ENV === "production") checkSecret("JWT_SECRET", given);
    return given;
  }
  if (env.NODE_ENV === "production") {
    throw new StartupError(
      "JWT_SECRET is required when NODE_ENV=production; set it to the output of: openssl rand -base64 32",
    );
  }
  const file = join(dataDir, "jwt-secret");
  try {
    // Fails when the file is there: of two servers that start at once, one makes it and both read
    // it.
    writeFileSync(file, randomBytes(32).toString("base64url"), { flag: "wx", mode: 0o600 });
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code !== "EEXIST") {
      // Made, but not written.
      rmSync(file, { force: true });
      throw new StartupError(
        code === "ENOSPC"
          ? `the disk of DATA_DIR ${dataDir} is full; make room there, or set DATA_DIR to a folder elsewhere`
          : `the secret ${file} cannot be written: ${message}`,
      );
    }
  }
  const secret = readFileSync(file, "utf8").trim();
  if (secret.length < MIN_SECRET_LENGTH)
    throw new StartupError(`the secret in ${file} is too short; delete the file to have a new one made`);
  return secret;
}

/**
 * Throws for a secret that might be guessed: a single token is enough to try secrets on, at any
 * speed.
 */
function checkSecret(name: string, secret: string): void {
  const remedy = "such as the output of: openssl rand -base64 32";
  if (secret.length < MIN_SECRET_LENGTH)
    throw new StartupError(
      `${name} is too short: use at least ${MIN_SECRET_LENGTH} random characters, ${remedy}`,
    );
  if (isGuessable(secret))
    throw new StartupError(
      `${name} is too guessable (words, repetitions or runs of keys): use random characters, ${remedy}`,
    );
}

function readPrevious(text: string | undefined, production: boolean): readonly string[] {
  const secrets = (text ?? "")
    .split(",")
    .map((secret) => secret.trim())
    .filter(Boolean);
  if (secrets.some((secret) => secret.length < MIN_SECRET_LENGTH)) {
    throw new StartupError(
      `JWT_PREVIOUS_SECRETS has one under ${MIN_SECRET_LENGTH} characters; write the former values of JWT_SECRET, separated by commas`,
    );
  }
  if (production)
    for (const [n, secret] of secrets.entries()) checkSecret(`JWT_PREVIOUS_SECRETS number ${n + 1}`, secret);
  return secrets;
}

function readOrigins(text: string | undefined): readonly string[] | undefined {
  if (text === undefined || text.trim() === "") return undefined;
  const origins = text
    .split(",")
    .map((origin) => origin.trim())
    .filter(Boolean);
  for (const origin of origins) {
    if (!/^([a-z][a-z0-9+.-]*:)?\/\/[^/]+$/i.test(origin)) {
      throw new StartupError(
        `ALLOWED_ORIGINS has ${JSON.stringify(origin)}; write origins such as https://example.com, separated by commas`,
      );
    }
  }
  return origins;
}
