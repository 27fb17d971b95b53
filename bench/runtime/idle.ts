/**
 * How much memory does a process need that waits for a message? Run apart, with a heap of 4 GiB.
 */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

const count = 1_000_000;
if (process.argv.includes("--inside")) {
  const { createNode, GenServer, processes } = await import("simurgh/runtime");
  const gc = (globalThis as { gc?: () => void }).gc as () => void;
  const used = (): number => {
    gc();
    gc();
    return process.memoryUsage().heapUsed;
  };
  const node = createNode({ isolation: "none", onReport() {} });
  await node.run(async () => {
    const before = used();
    for (let n = 0; n < count; n += 1) node.spawn(() => new Promise(() => {}));
    await new Promise((resolve) => setTimeout(resolve, 1000));
    const plain = used();
    console.log(
      `memory of ${processes().length - 1} idle processes\n  a process that awaits               ${((plain - before) / count).toFixed(0)} bytes (goal 1024: ${(plain - before) / count <= 1024 ? "reached" : "missed"})`,
    );
    const server = { init: () => ["ok", 0] as const };
    for (let n = 0; n < count / 10; n += 1) await GenServer.start(server);
    console.log(
      `  a GenServer                         ${((used() - plain) / (count / 10)).toFixed(0)} bytes`,
    );
  });
  await node.stop();
  process.exit(0);
}
const self = fileURLToPath(import.meta.url);
const { status } = spawnSync(
  process.execPath,
  [
    "--expose-gc",
    "--max-old-space-size=4096",
    "--import",
    new URL("../../scripts/typescript-loader.mjs", import.meta.url).href,
    self,
    "--inside",
  ],
  { stdio: "inherit" },
);
process.exit(status ?? 1);
