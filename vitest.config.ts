import { defineConfig } from "vitest/config";

/**
 * `unit` needs nothing but Node. `integration` starts real servers, databases and browsers; the suites that the
 * machine cannot run say so by name (see test/support/requirements.ts).
 *
 * Tests run from the TypeScript sources: the `simurgh-source` condition points `simurgh/...` at `src/`, and the loader
 * lets the worker threads that the tests start load the same sources.
 */
const loader = new URL("./scripts/typescript-loader.mjs", import.meta.url).href;
const execArgv = ["--import", loader, "--conditions", "simurgh-source"];

export default defineConfig({
  resolve: { conditions: ["simurgh-source"] },
  ssr: { resolve: { conditions: ["simurgh-source", "node"] } },
  test: {
    pool: "forks",
    execArgv,
    projects: [
      {
        extends: true,
        test: {
          name: "unit",
          include: ["test/**/*.test.ts"],
          exclude: ["test/integration/**", "test/e2e/**"],
          testTimeout: 20_000,
        },
      },
      // The runtime's suite once more under each of the other isolations; the default in tests is freeze.
      ...["clone", "none"].map((isolation) => ({
        extends: true as const,
        test: {
          name: `unit isolation ${isolation}`,
          include: ["test/runtime/*.test.ts"],
          exclude: [
            "test/runtime/speed.test.ts",
            "test/runtime/models.test.ts",
            "test/runtime/types.test.ts",
          ],
          testTimeout: 20_000,
          env: { SIMURGH_TEST_ISOLATION: isolation },
        },
      })),
      {
        extends: true,
        test: {
          name: "integration",
          globalSetup: ["test/integration/setup.ts"],
          include: ["test/integration/**/*.test.ts", "test/e2e/**/*.test.ts"],
          testTimeout: 120_000,
          hookTimeout: 120_000,
          fileParallelism: false,
        },
      },
    ],
  },
});
