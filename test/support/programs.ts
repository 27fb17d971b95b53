/**
 * Programs of the machine that suites and benchmarks start servers of; undefined where there is
 * none.
 */
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";

function findProgram(names: readonly string[]): string | undefined {
  const folders = [...(process.env.PATH ?? "").split(delimiter), "/usr/sbin", "/usr/local/sbin", "/usr/bin"];
  for (const name of names) {
    for (const folder of folders) {
      const path = name.startsWith("/") ? name : join(folder, name);
      try {
        accessSync(path, constants.X_OK);
        return path;
      } catch {
        // Not here.
      }
    }
  }
  return undefined;
}

export const programs = {
  mariadbd: findProgram(["mariadbd", "mysqld"]),
  mariadbInstall: findProgram(["mariadb-install-db", "mysql_install_db"]),
  natsServer: findProgram(["nats-server"]),
  openssl: findProgram(["openssl"]),
  redisServer: findProgram(["redis-server", "valkey-server"]),
  chromium: findProgram([
    // The same engine with no window around its pages: half the work.
    process.env.CHROMIUM_PATH ?? "chromium-headless-shell",
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
  ]),
};
