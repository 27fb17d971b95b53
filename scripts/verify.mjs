// npm run verify: everything, with nothing skipped. Sees to what the full suite needs of the
// machine, then builds, checks types and style, and runs all tests. Ends with "N passed, N failed".
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));

const PROGRAMS = [
  { name: "MariaDB", any: ["mariadbd", "mysqld"], packages: ["mariadb-server"] },
  { name: "NATS", any: ["nats-server"], packages: ["nats-server"] },
  { name: "Redis", any: ["redis-server", "valkey-server"], packages: ["redis-server"] },
  { name: "OpenSSL", any: ["openssl"], packages: ["openssl"] },
  {
    name: "Chromium",
    any: ["chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable"],
    packages: ["chromium-headless-shell"],
  },
];

const installed = ({ any }) =>
  any.some((name) =>
    [...(process.env.PATH ?? "").split(delimiter), "/usr/sbin", "/usr/bin"].some((folder) =>
      existsSync(join(folder, name)),
    ),
  ) ||
  (any.includes("chromium") && process.env.CHROMIUM_PATH !== undefined);

function run(command, args, options = {}) {
  const result = spawnSync(command, args, { cwd: root, stdio: "inherit", ...options });
  if (result.error !== undefined) throw result.error;
  return result.status ?? 1;
}

function stage(title, work) {
  const started = performance.now();
  console.log(`\n── ${title}`);
  const value = work();
  console.log(`── ${title}: ${((performance.now() - started) / 1000).toFixed(1)} s`);
  return value;
}

function need(status, what) {
  if (status !== 0) {
    console.error(`\n${what} failed`);
    process.exit(1);
  }
}

/** Installs what is missing where we may; says what to install where we may not. */
function seeToPrograms() {
  const missing = PROGRAMS.filter((program) => !installed(program));
  if (missing.length === 0) return;
  const packages = missing.flatMap((program) => program.packages);
  const canInstall = process.getuid?.() === 0 && existsSync("/usr/bin/apt-get");
  if (!canInstall) {
    console.error(
      `missing: ${missing.map(({ name }) => name).join(", ")}. Install them first, on Debian: apt-get install ${packages.join(" ")}`,
    );
    process.exit(1);
  }
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  need(run("apt-get", ["update", "-q"], { env, stdio: ["ignore", "ignore", "inherit"] }), "apt-get update");
  need(
    run("apt-get", ["install", "-y", "-q", "--no-install-recommends", ...packages], {
      env,
      stdio: ["ignore", "ignore", "inherit"],
    }),
    `installing ${packages.join(", ")}`,
  );
}

const bin = (...path) => join(root, "node_modules", ...path);

stage("what the tests need of this machine", seeToPrograms);
stage("build", () => need(run(process.execPath, ["scripts/build.mjs", "--force"]), "the build"));
stage("types", () => {
  need(run(process.execPath, [bin("typescript", "bin", "tsc"), "-p", "tsconfig.json"]), "the type check");
  need(
    run(process.execPath, [bin("typescript", "bin", "tsc"), "-p", "src/app/web/tsconfig.json"]),
    "the type check of the web client",
  );
});
stage("lint", () =>
  need(
    run(process.execPath, [bin("@biomejs", "biome", "bin", "biome"), "check", "--error-on-warnings", "."]),
    "the linter",
  ),
);

stage("requirements", () =>
  need(run(process.execPath, ["scripts/spec-coverage.mjs"]), "the coverage of docs/spec"),
);

stage("vocabulary", () => need(run(process.execPath, ["scripts/words.mjs"]), "the vocabulary"));

/**
 * On a later Node, from the npm registry: the framework's own tests, those that need several
 * gateway threads, and those of broken rooms; then the app, with several gateways. With MariaDB,
 * since the driver of SQLite is built for the Node that installed it.
 */
const LATER_NODE = 24;
const binary = `node-${process.platform === "win32" ? "win" : process.platform}-${process.arch}@${LATER_NODE}`;
const onLaterNode = (args, options) =>
  run("npm", ["exec", "--yes", `--package=${binary}`, "--", "node", ...args], options);
const testOnLaterNode = (what, ...args) =>
  need(
    onLaterNode([bin("vitest", "vitest.mjs"), "run", "--reporter=dot", ...args], {
      // What is simulated takes the same steps on any Node: all seeds run on the first one, here
      // some. The wire is tested with one gateway there, here with several.
      env: {
        SIMURGH_SEEDS: "200",
        SIMURGH_SEVERAL_GATEWAYS_ONLY: "1",
        ...process.env,
        SIMURGH_REQUIRE_ALL: "1",
      },
      stdio: ["ignore", "inherit", "inherit"],
    }),
    `${what} on Node ${LATER_NODE}`,
  );
stage(`getting Node ${LATER_NODE}`, () =>
  need(
    onLaterNode(["-e", `process.exit(process.versions.node.startsWith("${LATER_NODE}.") ? 0 : 1)`]),
    `getting Node ${LATER_NODE} (${binary})`,
  ),
);
stage(`the framework on Node ${LATER_NODE}`, () => {
  const layers = ["runtime", "pubsub", "presence", "channels", "observer", "client", "testing"];
  testOnLaterNode(
    "the tests of the framework",
    "--project=unit",
    "--project=unit gateways 2",
    ...layers.map((layer) => `test/${layer}/`),
  );
  testOnLaterNode(
    "the tests of broken rooms",
    "--project=integration*",
    "test/integration/isolation.test.ts",
  );
});
stage(`the app on Node ${LATER_NODE}`, () =>
  testOnLaterNode(
    "the tutorial",
    "--project=integration*",
    "--testNamePattern=MariaDB",
    "test/integration/tutorial.test.ts",
  ),
);

const folder = mkdtempSync(join(tmpdir(), "simurgh-verify-"));
const report = join(folder, "report.json");
const status = stage("tests", () =>
  run(
    process.execPath,
    [
      bin("vitest", "vitest.mjs"),
      "run",
      "--reporter=default",
      "--reporter=json",
      `--outputFile.json=${report}`,
    ],
    {
      env: { ...process.env, SIMURGH_REQUIRE_ALL: "1" },
      stdio: ["ignore", "inherit", "inherit"],
    },
  ),
);
const { numPassedTests, numFailedTests, numPendingTests, numTodoTests } = existsSync(report)
  ? JSON.parse(readFileSync(report, "utf8"))
  : { numPassedTests: 0, numFailedTests: 0, numPendingTests: 0, numTodoTests: 0 };
rmSync(folder, { recursive: true, force: true });
const skipped = numPendingTests + numTodoTests;
if (numPassedTests === 0) console.error("no test ran");
if (skipped > 0) console.error("tests were skipped; verify runs everything");
if (status !== 0 && numFailedTests === 0) console.error("the test run failed outside of a test; see above");
console.log(
  `\n${numPassedTests} passed, ${numFailedTests} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`,
);
process.exit(status === 0 && numPassedTests > 0 && skipped === 0 ? 0 : 1);
