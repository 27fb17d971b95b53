/**
 * What a suite needs of the machine besides Node. A suite whose need is not met is skipped and says
 * so in its title, with what to install; where everything must run (`SIMURGH_REQUIRE_ALL=1`, set by
 * `npm run verify`), it fails instead.
 */
import { describe, test } from "vitest";
import { programs } from "./programs.js";
import { canMountTmpfs } from "./tmpfs.js";

/** `SIMURGH_WITHOUT=Chromium,MariaDB` pretends that the machine lacks them. */
const without = new Set((process.env.SIMURGH_WITHOUT ?? "").split(","));

const needs = {
  MariaDB: {
    met: !without.has("MariaDB") && programs.mariadbd !== undefined && programs.mariadbInstall !== undefined,
    remedy: "install mariadb-server",
  },
  NATS: {
    met: !without.has("NATS") && programs.natsServer !== undefined,
    remedy: "install nats-server",
  },
  Redis: {
    met: !without.has("Redis") && programs.redisServer !== undefined,
    remedy: "install redis-server",
  },
  OpenSSL: {
    met: !without.has("OpenSSL") && programs.openssl !== undefined,
    remedy: "install openssl",
  },
  tmpfs: {
    met: !without.has("tmpfs") && canMountTmpfs,
    remedy: "run it as root on Linux, to mount a small tmpfs",
  },
  Chromium: {
    met: !without.has("Chromium") && programs.chromium !== undefined,
    remedy: "install chromium, or set CHROMIUM_PATH",
  },
} as const;

export type Need = keyof typeof needs;

/** As `describe`, for a suite that needs something of the machine. */
export function describeWith(need: Need | undefined, title: string, body: () => void): void {
  if (need === undefined || needs[need].met) {
    describe(title, body);
  } else if (process.env.SIMURGH_REQUIRE_ALL === "1") {
    describe(title, () => {
      test(`needs ${need}`, () => {
        throw new Error(`${need} is missing: ${needs[need].remedy}`);
      });
    });
  } else {
    console.warn(`skipped: ${title} (needs ${need}: ${needs[need].remedy})`);
    describe.skip(`${title} (needs ${need}: ${needs[need].remedy})`, body);
  }
}
