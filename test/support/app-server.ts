/**
 * PhoenixPair as a user runs it: the built server as a process of its own, on a free port, with
 * data of its own.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { freePort } from "./free-port.js";
import { waitFor } from "./wait.js";

export const MAIN = fileURLToPath(new URL("../../dist/app/main.js", import.meta.url));

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the server until it ends by itself. */
export async function runToEnd(env: Record<string, string>, ms = 60_000): Promise<Ended> {
  const child = spawn(process.execPath, [MAIN], { env: cleanEnv(env), stdio: ["ignore", "pipe", "pipe"] });
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (data) => (stdout += data));
  child.stderr.on("data", (data) => (stderr += data));
  const timer = setTimeout(() => child.kill("SIGKILL"), ms);
  const [code, signal] = (await once(child, "close")) as [number | null, NodeJS.Signals | null];
  clearTimeout(timer);
  return { code, signal, stdout, stderr };
}

/** Nothing of the test runner's own settings reaches the server. */
function cleanEnv(env: Record<string, string>): NodeJS.ProcessEnv {
  return { PATH: process.env.PATH, HOME: process.env.HOME, ...env };
}

export interface Account {
  readonly token: string;
  readonly user: { readonly id: number; readonly first_name: string; readonly email: string };
}

export class AppServer {
  readonly port: number;
  readonly dataDir: string;
  readonly #env: Record<string, string>;
  #child: ChildProcess | undefined;
  #accounts = 0;
  output = "";
  errors = "";

  private constructor(port: number, dataDir: string, env: Record<string, string>) {
    this.port = port;
    this.dataDir = dataDir;
    this.#env = env;
  }

  static async start(env: Record<string, string> = {}): Promise<AppServer> {
    const server = new AppServer(await freePort(), await mkdtemp(join(tmpdir(), "pp-")), env);
    await server.start();
    return server;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /**
   * Starts it, or starts it again on the same port and data. `patienceMs`: where others keep the
   * machine busy meanwhile.
   */
  async start(patienceMs = 60_000): Promise<void> {
    const child = spawn(process.execPath, [MAIN], {
      env: cleanEnv({ PORT: String(this.port), DATA_DIR: this.dataDir, ...this.#env }),
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#child = child;
    child.stdout.on("data", (data) => (this.output += data));
    child.stderr.on("data", (data) => (this.errors += data));
    await waitFor(
      "the server is ready",
      async () => {
        if (child.exitCode !== null) throw new Error(`it ended with ${child.exitCode}: ${this.errors}`);
        return (await fetch(`${this.url}/healthz`)).status === 200;
      },
      patienceMs,
    );
  }

  /** Sends a signal that does not end it. */
  signal(signal: "SIGSTOP" | "SIGCONT"): void {
    this.#child?.kill(signal);
  }

  /** Sends a signal and waits for the end. */
  async end(signal: NodeJS.Signals): Promise<Ended> {
    const child = this.#child as ChildProcess;
    if (child.exitCode === null && child.signalCode === null) {
      const exit = once(child, "exit");
      // A frozen process receives nothing but SIGKILL.
      child.kill("SIGCONT");
      child.kill(signal);
      await exit;
    }
    return { code: child.exitCode, signal: child.signalCode, stdout: this.output, stderr: this.errors };
  }

  async stop(): Promise<void> {
    await this.end("SIGKILL");
    await rm(this.dataDir, { recursive: true, force: true });
  }

  /** A request; the body is sent as JSON unless it is text already. */
  request(method: string, path: string, body?: unknown, token?: string): Promise<Response> {
    return fetch(`${this.url}${path}`, {
      method,
      headers: {
        ...(body === undefined ? {} : { "content-type": "application/json" }),
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      },
      ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
    });
  }

  async signUp(
    name: string,
    password = "correct horse",
  ): Promise<Account & { readonly email: string; readonly password: string }> {
    this.#accounts += 1;
    const email = `${name.toLowerCase().replaceAll(/[^a-z]/g, "")}${this.#accounts}-${Date.now()}@example.com`;
    const response = await this.request("POST", "/api/users", { email, password, name });
    if (response.status !== 201)
      throw new Error(`sign-up failed: ${response.status} ${await response.text()}`);
    return { ...((await response.json()) as Account), email, password };
  }
}
