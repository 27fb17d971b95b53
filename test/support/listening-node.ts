/** A node of its own process that listens to one topic, and can be frozen. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { waitFor } from "./wait.js";

const MAIN = fileURLToPath(new URL("./fixtures/listening-node.ts", import.meta.url));

export class ListeningNode {
  /** The numbers it got, in the order in which they came. */
  readonly got: number[] = [];
  readonly gaps: (readonly unknown[])[] = [];
  readonly #child: ChildProcess;
  #ready = false;
  #errors = "";

  private constructor(args: readonly string[]) {
    this.#child = spawn(process.execPath, [...process.execArgv, MAIN, ...args], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#child.stderr?.on("data", (data) => (this.#errors += data));
    createInterface({ input: this.#child.stdout as NodeJS.ReadableStream }).on("line", (line) => {
      const notified = JSON.parse(line) as readonly unknown[];
      if (notified[0] === "ready") this.#ready = true;
      else if (notified[0] === "got") this.got.push(notified[1] as number);
      else this.gaps.push(notified);
    });
  }

  static async start(kind: "nats" | "redis", url: string, topic: string): Promise<ListeningNode> {
    const node = new ListeningNode([kind, url, topic]);
    await waitFor("the listening node is ready", () => {
      if (node.#child.exitCode !== null) throw new Error(node.#errors);
      return node.#ready;
    });
    return node;
  }

  signal(signal: "SIGSTOP" | "SIGCONT"): void {
    this.#child.kill(signal);
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exit = once(this.#child, "exit");
    // A frozen process receives nothing but SIGKILL.
    this.#child.kill("SIGKILL");
    await exit;
  }
}
