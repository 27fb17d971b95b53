/** Throwaway NATS and Redis servers of our own: a folder each, a free port, gone afterwards. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "./free-port.js";
import { programs } from "./programs.js";
import { waitFor } from "./wait.js";

export interface EngineServer {
  readonly kind: "nats" | "redis";
  readonly port: number;
  readonly url: string;
  /** Of the process that runs now. */
  readonly pid: number | undefined;
  signal(signal: NodeJS.Signals): void;
  /** Ends it with a signal; resolves when it has ended. */
  end(signal?: "SIGTERM" | "SIGKILL"): Promise<void>;
  /** Starts it again on the same port, after it has ended. */
  restart(): Promise<void>;
  /** Puts other lines into its configuration and has it read them again (NATS only). */
  reconfigure(lines: string): Promise<void>;
  stop(): Promise<void>;
}

export interface EngineSettings {
  /** Lines of its configuration file beyond ours; may depend on its port. */
  readonly config?: string | ((port: number) => string);
  /** Instead of `nats://` or `redis://`. */
  readonly scheme?: string;
}

/** What docs/deployment.md asks for. */
const NATS_CONFIG = 'write_deadline: "2s"';
const REDIS_CONFIG = 'save ""\nappendonly no\nclient-output-buffer-limit pubsub 32mb 8mb 10';

const NATS_LINES = (port: number): string => `listen: "127.0.0.1:${port}"\n${NATS_CONFIG}\n`;
const REDIS_LINES = (port: number, folder: string): string =>
  `bind 127.0.0.1\nport ${port}\ndir ${folder}\ndaemonize no\n${REDIS_CONFIG}\n`;

export const startNats = (settings?: EngineSettings): Promise<EngineServer> => start("nats", settings);
export const startRedis = (settings?: EngineSettings): Promise<EngineServer> => start("redis", settings);

async function start(
  kind: "nats" | "redis",
  { config = "", scheme = kind }: EngineSettings = {},
): Promise<EngineServer> {
  const folder = await mkdtemp(join(tmpdir(), `${kind}-`));
  const file = join(folder, "server.conf");
  const port = await freePort();
  const configure = (lines: string): Promise<void> =>
    writeFile(file, `${kind === "nats" ? NATS_LINES(port) : REDIS_LINES(port, folder)}${lines}\n`);
  await configure(typeof config === "string" ? config : config(port));
  let child: ChildProcess;
  let output = "";
  const begin = async (): Promise<void> => {
    const [program, args] =
      kind === "nats" ? [programs.natsServer, ["-c", file]] : [programs.redisServer, [file]];
    child = spawn(program as string, args, { stdio: ["ignore", "pipe", "pipe"] });
    child.stdout?.on("data", (data) => (output = `${output}${data}`.slice(-4000)));
    child.stderr?.on("data", (data) => (output = `${output}${data}`.slice(-4000)));
    await waitFor(`${kind} listens`, async () => {
      if (child.exitCode !== null) throw new Error(output);
      const socket = connect(port, "127.0.0.1");
      try {
        await once(socket, "connect");
      } finally {
        socket.destroy();
      }
      return true;
    });
  };
  await begin();
  const end = async (signal: NodeJS.Signals = "SIGKILL"): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exit = once(child, "exit");
    child.kill("SIGCONT");
    child.kill(signal);
    await exit;
  };
  return {
    kind,
    port,
    url: `${scheme}://127.0.0.1:${port}`,
    get pid() {
      return child.pid;
    },
    signal: (signal) => void child.kill(signal),
    end,
    restart: begin,
    async reconfigure(lines) {
      await configure(lines);
      child.kill("SIGHUP");
    },
    async stop() {
      await end();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
