/** The tests that `npm run mutate` runs. */
import { defineConfig } from "vitest/config";

const loader = new URL("./typescript-loader.mjs", import.meta.url).href;

export default defineConfig({
  resolve: { conditions: ["simurgh-source"] },
  ssr: { resolve: { conditions: ["simurgh-source", "node"] } },
  test: {
    pool: "forks",
    execArgv: ["--import", loader, "--conditions", "simurgh-source"],
    include: JSON.parse(process.env.SIMURGH_MUTATE_TESTS ?? "[]") as string[],
    testTimeout: 20_000,
    hookTimeout: 60_000,
  },
});
