/**
 * Faults that a chaos round inflicts on a world while writers type. A fault begins, lasts for a
 * while, and is then repaired: the world must be able to continue as if nothing had been.
 */
import type { Random } from "simurgh/testing";
import type { DatabaseName, World } from "./world.js";

export interface Fault {
  readonly name: string;
  readonly databases: readonly DatabaseName[];
  /** Whether the server's process ends by it. */
  readonly endsServer?: true;
  /** Inflicts the fault; the function it gives repairs it. */
  begin(world: World, random: Random): Promise<() => Promise<void>>;
}

const BOTH = ["SQLite", "MariaDB"] as const;
const SQLITE = ["SQLite"] as const;
const MARIADB = ["MariaDB"] as const;

/** The statements that store an edit, a snapshot and a projection. */
const WRITES = [
  "INSERT ON room_updates",
  "UPDATE ON rooms",
  "INSERT ON room_snapshots",
  "UPDATE ON challenges",
] as const;

/** Does something to the server's connections again and again, until it is repaired. */
function repeatedly(world: World, kill: "CONNECTION" | "QUERY", everyMs: number): () => Promise<void> {
  let over = false;
  const done = (async () => {
    const connection = await world.openMariaDb();
    while (!over) {
      const [rows] = await connection.query(
        "SELECT id FROM information_schema.processlist WHERE user = 'pp'",
      );
      for (const { id } of rows as { id: number }[])
        await connection.query(`KILL ${kill} ${id}`).catch(() => {});
      await new Promise((resolve) => setTimeout(resolve, everyMs));
    }
    await connection.end();
  })();
  return () => {
    over = true;
    return done;
  };
}

/** Holds locks by statements of a connection of its own, until it is repaired. */
async function holding(
  world: World,
  statements: readonly string[],
  release: string,
): Promise<() => Promise<void>> {
  const connection = await world.openMariaDb();
  for (const statement of statements) await connection.query(statement);
  return async () => {
    await connection.query(release);
    await connection.end();
  };
}

export const FAULTS: readonly Fault[] = [
  {
    name: "the server is killed",
    databases: BOTH,
    endsServer: true,
    async begin({ server }) {
      await server.end("SIGKILL");
      return () => server.start();
    },
  },
  {
    name: "the server is stopped in order",
    databases: BOTH,
    endsServer: true,
    async begin({ server }) {
      await server.end("SIGTERM");
      return () => server.start();
    },
  },
  {
    name: "the server is frozen",
    databases: BOTH,
    async begin({ server }) {
      server.signal("SIGSTOP");
      return async () => server.signal("SIGCONT");
    },
  },
  {
    name: "statements fail",
    databases: BOTH,
    async begin(world, random) {
      const write = random.pick(WRITES);
      const error =
        world.disk === undefined
          ? "SIGNAL SQLSTATE '45000'"
          : `BEGIN SELECT RAISE(${random.pick(["ABORT", "FAIL", "ROLLBACK"])}, 'chaos'); END`;
      await world.execute(`CREATE TRIGGER chaos BEFORE ${write} FOR EACH ROW ${error}`);
      return () => world.execute("DROP TRIGGER chaos");
    },
  },
  {
    name: "the disk is full",
    databases: SQLITE,
    async begin({ disk }) {
      disk?.fill();
      // What a checkpoint frees is taken, too.
      const again = setInterval(() => disk?.fill(), 50);
      return async () => {
        clearInterval(again);
        disk?.free();
      };
    },
  },
  {
    name: "the disk is full and the server killed",
    databases: SQLITE,
    endsServer: true,
    async begin({ disk, server }, random) {
      disk?.fill();
      await new Promise((resolve) => setTimeout(resolve, random.below(300)));
      await server.end("SIGKILL");
      return async () => {
        disk?.free();
        await server.start();
      };
    },
  },
  {
    name: "the database file is locked",
    databases: SQLITE,
    async begin(world, random) {
      const connection = world.openSqlite();
      connection.exec(random.pick(["BEGIN IMMEDIATE", "BEGIN EXCLUSIVE"]));
      return async () => {
        connection.exec("ROLLBACK");
        connection.close();
      };
    },
  },
  {
    name: "the database is killed",
    databases: MARIADB,
    async begin({ mariadb }) {
      await mariadb?.end("SIGKILL");
      return async () => mariadb?.restart();
    },
  },
  {
    name: "the database is restarted in order",
    databases: MARIADB,
    async begin({ mariadb }) {
      await mariadb?.end("SIGTERM");
      return async () => mariadb?.restart();
    },
  },
  {
    name: "the database is frozen",
    databases: MARIADB,
    async begin({ mariadb }) {
      mariadb?.signal("SIGSTOP");
      return async () => mariadb?.signal("SIGCONT");
    },
  },
  {
    name: "server and database are killed",
    databases: MARIADB,
    endsServer: true,
    async begin({ mariadb, server }) {
      await Promise.all([mariadb?.end("SIGKILL"), server.end("SIGKILL")]);
      return async () => {
        await mariadb?.restart();
        await server.start();
      };
    },
  },
  {
    name: "connections are killed",
    databases: MARIADB,
    begin: async (world) => repeatedly(world, "CONNECTION", 30),
  },
  {
    name: "statements are killed",
    databases: MARIADB,
    begin: async (world) => repeatedly(world, "QUERY", 3),
  },
  {
    name: "a table is locked",
    databases: MARIADB,
    begin: (world, random) =>
      holding(
        world,
        [
          random.pick([
            "LOCK TABLES room_updates WRITE",
            "LOCK TABLES rooms READ",
            "FLUSH TABLES WITH READ LOCK",
          ]),
        ],
        "UNLOCK TABLES",
      ),
  },
  {
    name: "rows are locked",
    databases: MARIADB,
    begin: (world, random) =>
      holding(
        world,
        ["BEGIN", `SELECT * FROM ${random.pick(["rooms", "challenges", "room_updates"])} FOR UPDATE`],
        "ROLLBACK",
      ),
  },
  {
    name: "the database is read-only",
    databases: MARIADB,
    async begin(world) {
      await world.execute("SET GLOBAL read_only = 1");
      return () => world.execute("SET GLOBAL read_only = 0");
    },
  },
];
