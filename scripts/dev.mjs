// npm run dev: PhoenixPair from source. The server restarts and the web client is rebuilt when
// their files change.
import { spawn } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const options = { cwd: root, stdio: "inherit" };
const children = [
  spawn(
    process.execPath,
    [
      join("node_modules", "vite", "bin", "vite.js"),
      "build",
      "--watch",
      "--config",
      "src/app/web/vite.config.ts",
      "--logLevel",
      "warn",
    ],
    options,
  ),
  spawn(
    process.execPath,
    [
      "--watch",
      "--watch-path=src",
      "--import",
      "./scripts/typescript-loader.mjs",
      "--conditions",
      "simurgh-source",
      "src/app/main.ts",
    ],
    options,
  ),
];
const stop = (code) => {
  for (const child of children) child.kill();
  process.exitCode = code;
};
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => stop(0));
for (const child of children) child.on("exit", (code) => stop(code ?? 0));
