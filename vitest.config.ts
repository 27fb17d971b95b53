import { existsSync } from "node:fs";
import { availableParallelism } from "node:os";
import { defineConfig } from "vitest/config";

/**
 * `unit` needs nothing but Node. The projects of `integration` start real servers, databases and
 * browsers; the suites that the machine cannot run say so by name (see
 * test/support/requirements.ts).
 *
 * Tests run from the TypeScript sources: the `simurgh-source` condition points `simurgh/...` at
 * `src/`, and the loader lets the worker threads that the tests start load the same sources.
 */
const loader = new URL("./scripts/typescript-loader.mjs", import.meta.url).href;
const execArgv = ["--import", loader, "--conditions", "simurgh-source"];

const [major = 0] = process.versions.node.split(".").map(Number);
const sharesPorts = major >= 24;
/** Names that a move has left behind would leave tests out without a word. */
function existing<Names extends string | readonly string[]>(names: Names): Names {
  for (const name of [names].flat())
    if (!existsSync(new URL(name, import.meta.url)))
      throw new Error(`vitest.config.ts names ${name}, which does not exist; change it to the new place`);
  return names;
}
const testsIn = (folders: readonly string[]): string[] =>
  existing(folders).map((folder) => `${folder}/**/*.test.ts`);

/** Needs several gateway threads. */
const GATEWAYS = existing("test/channels/endpoint/gateway-supervisor.test.ts");
/**
 * What goes over the wire. The other tests of the channels look into the one thread they run in.
 */
const WIRE = existing([
  "test/channels/behaviour/fuzz.test.ts",
  "test/channels/behaviour/interop.test.ts",
  "test/channels/behaviour/long-poll-clients.test.ts",
  "test/channels/behaviour/presence.test.ts",
  "test/channels/behaviour/reshard-faults.test.ts",
  "test/channels/behaviour/wire.test.ts",
  "test/channels/endpoint/endpoint.test.ts",
  "test/channels/endpoint/resharder.test.ts",
  "test/channels/transports/long-poll/listener.test.ts",
  "test/channels/transports/long-poll/query.test.ts",
  "test/channels/transports/long-poll/session-limits.test.ts",
  "test/channels/transports/websocket/listener.test.ts",
]);
/** Where one gateway has been tested, on another Node: the wire is tested with several only. */
const severalOnly = sharesPorts && process.env.SIMURGH_SEVERAL_GATEWAYS_ONLY === "1";

/**
 * They load the machine or watch how long something takes; the other suites mostly wait, and share
 * it.
 */
const ALONE = existing([
  "test/e2e/crowd.test.ts",
  ...["endless-loop", "isolation", "rolling-deploy", "shard-lost", "shard-storm"].map(
    (name) => `test/integration/${name}.test.ts`,
  ),
]);
const integration = {
  globalSetup: ["test/integration/setup.ts"],
  testTimeout: 120_000,
  hookTimeout: 120_000,
};

export default defineConfig({
  resolve: { conditions: ["simurgh-source"] },
  ssr: { resolve: { conditions: ["simurgh-source", "node"] } },
  test: {
    pool: "forks",
    execArgv,
    // What is waited for comes when the machine gets round to it.
    expect: { poll: { timeout: 10_000 } },
    // Vitest leaves a core free, which on two is half of them.
    maxWorkers: availableParallelism(),
    projects: [
      {
        extends: true,
        test: {
          name: "unit",
          include: ["test/**/*.test.ts"],
          exclude: ["test/integration/**", "test/e2e/**", GATEWAYS, ...(severalOnly ? WIRE : [])],
          testTimeout: 20_000,
          // Starting threads takes long on a busy machine.
          hookTimeout: 60_000,
        },
      },
      // The runtime's suite once more under each of the other isolations; the default in
      // tests is freeze.
      ...["clone", "none"].map((isolation) => ({
        extends: true as const,
        test: {
          name: `unit isolation ${isolation}`,
          include: testsIn(
            ["behaviour", "gen-server", "kernel", "registry", "supervisor", "task"].map(
              (folder) => `test/runtime/${folder}`,
            ),
          ),
          exclude: existing([
            "test/runtime/behaviour/speed.test.ts",
            "test/runtime/behaviour/models.test.ts",
            "test/runtime/kernel/typed-messages.test.ts",
          ]),
          testTimeout: 20_000,
          env: { SIMURGH_TEST_ISOLATION: isolation },
        },
      })),
      // The wire once more with several gateway threads, where Node lets them share a port.
      ...(sharesPorts
        ? [
            {
              extends: true as const,
              test: {
                name: "unit gateways 2",
                include: [...WIRE, GATEWAYS],
                testTimeout: 60_000,
                hookTimeout: 60_000,
                env: { SIMURGH_TEST_GATEWAYS: "2" },
              },
            },
          ]
        : []),
      {
        extends: true,
        test: {
          ...integration,
          name: "integration",
          include: ["test/{integration,e2e}/**/*.test.ts"],
          exclude: ALONE,
          sequence: { groupOrder: 1 },
        },
      },
      {
        extends: true,
        test: {
          ...integration,
          name: "integration alone",
          include: ALONE,
          fileParallelism: false,
          sequence: { groupOrder: 2 },
        },
      },
    ],
  },
});
