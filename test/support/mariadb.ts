/** A throwaway MariaDB of our own: private data folder, free port, gone afterwards. */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import mysql from "mysql2/promise";
import { freePort } from "./free-port.js";
import { programs } from "./programs.js";
import { waitFor } from "./wait.js";

const run = promisify(execFile);

export interface DatabaseOptions {
  /** What stands after its name. */
  readonly characterSet?: string;
}

export interface MariaDb {
  /** URL of a fresh, empty database. */
  createDatabase(options?: DatabaseOptions): Promise<string>;
  /** What the server answers to its administrator, in this database if one is named. */
  query<Row = Record<string, unknown>>(sql: string, database?: string): Promise<Row[]>;
  readonly port: number;
  /** A connection with all rights. Its user ends it. */
  connectAsRoot(): Promise<mysql.Connection>;
  signal(signal: NodeJS.Signals): void;
  /** Ends it with a signal; resolves when it has ended. */
  end(signal: "SIGTERM" | "SIGKILL"): Promise<void>;
  /**
   * Starts it again, on the same port and data, after it has ended; with other settings if some are
   * given.
   */
  restart(settings?: readonly string[]): Promise<void>;
  stop(): Promise<void>;
}

/** `settings`: options of the server besides ours, which they go before. */
export async function startMariaDb(settings: readonly string[] = []): Promise<MariaDb> {
  const folder = await mkdtemp(join(tmpdir(), "sm-"));
  const data = join(folder, "data");
  const socket = join(folder, "s.sock");
  const user = userInfo().username;
  const port = await freePort();
  await run(programs.mariadbInstall as string, [
    "--no-defaults",
    `--user=${user}`,
    `--datadir=${data}`,
    "--auth-root-authentication-method=normal",
    "--skip-test-db",
    "--skip-name-resolve",
  ]);
  let child: ChildProcess;
  const connect = async () => {
    const connection = await mysql.createConnection({ socketPath: socket, user: "root" });
    // Whatever settings the server has.
    await connection.query("set session transaction read write");
    await connection.query("set session autocommit = 1, session completion_type = 0");
    return connection;
  };
  const start = async (own: readonly string[] = settings): Promise<void> => {
    child = spawn(
      programs.mariadbd as string,
      [
        "--no-defaults",
        `--user=${user}`,
        `--datadir=${data}`,
        `--socket=${socket}`,
        // Another server that starts deletes what looks like a temporary table in the folder of
        // them all.
        `--tmpdir=${folder}`,
        `--pid-file=${join(folder, "pid")}`,
        `--port=${port}`,
        "--bind-address=127.0.0.1",
        "--skip-name-resolve",
        "--character-set-server=utf8mb4",
        "--collation-server=utf8mb4_unicode_ci",
        "--innodb-buffer-pool-size=32M",
        "--innodb-log-file-size=8M",
        "--innodb-flush-log-at-trx-commit=1",
        ...own,
      ],
      { stdio: "ignore" },
    );
    await waitFor("MariaDB answers", async () => {
      const connection = await connect();
      await connection.ping();
      await connection.end();
      return true;
    });
  };
  await start();
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exit = once(child, "exit");
    // A frozen process receives nothing but SIGKILL.
    child.kill("SIGCONT");
    child.kill(signal);
    await exit;
  };
  let databases = 0;
  return {
    port,
    connectAsRoot: connect,
    async query<Row>(sql: string, database?: string) {
      const connection = await connect();
      try {
        if (database !== undefined) await connection.query(`use ${database}`);
        return (await connection.query(sql))[0] as Row[];
      } finally {
        await connection.end();
      }
    },
    async createDatabase({ characterSet = "character set utf8mb4" } = {}) {
      databases += 1;
      const name = `pp${databases}`;
      const connection = await connect();
      await connection.query(`create database ${name} ${characterSet}`);
      await connection.query(`create user if not exists pp@'127.0.0.1' identified by 'pw'`);
      await connection.query(`grant all on ${name}.* to pp@'127.0.0.1'`);
      await connection.end();
      return `mysql://pp:pw@127.0.0.1:${port}/${name}`;
    },
    signal: (signal) => void child.kill(signal),
    end,
    restart: start,
    async stop() {
      await end("SIGKILL");
      await rm(folder, { recursive: true, force: true });
    },
  };
}
