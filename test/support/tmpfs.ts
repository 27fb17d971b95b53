/** A small disk of our own: a tmpfs that can be filled and freed. Mounting needs root on Linux. */
import { execFileSync } from "node:child_process";
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export const canMountTmpfs = process.platform === "linux" && process.getuid?.() === 0;

export class SmallDisk {
  readonly folder: string;
  readonly #filler: string;

  constructor(megabytes: number) {
    this.folder = mkdtempSync(join(tmpdir(), "simurgh-disk-"));
    this.#filler = join(this.folder, "filler");
    execFileSync("mount", ["-t", "tmpfs", "-o", `size=${megabytes}m`, "tmpfs", this.folder]);
  }

  /** Takes all space that is left, and what is freed meanwhile when called again. */
  fill(): void {
    const file = openSync(this.#filler, "a");
    try {
      for (const bytes of [1 << 20, 1 << 16, 1 << 12]) {
        const block = Buffer.alloc(bytes);
        try {
          for (;;) writeSync(file, block);
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
        }
      }
    } finally {
      closeSync(file);
    }
  }

  free(): void {
    rmSync(this.#filler, { force: true });
  }

  remove(): void {
    execFileSync("umount", ["--lazy", this.folder]);
    rmSync(this.folder, { recursive: true, force: true });
  }
}
