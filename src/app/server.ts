/**
 * The running application: its tree, what it logs, and an orderly end.
 */
import pino, { type Logger } from "pino";
import { Endpoint } from "simurgh/channels";
import { ClusterError } from "simurgh/pubsub";
import {
  createNode,
  type Pid,
  type Report,
  type RuntimeNode,
  reportLevel,
  Supervisor,
  trapExit,
} from "simurgh/runtime";
import { ENDPOINT } from "./app-context.js";
import { mainTree } from "./application.js";
import { type Config, StartupError } from "./config.js";
import { Rooms } from "./rooms/rooms.js";

export interface RunningServer {
  readonly url: string;
  readonly node: RuntimeNode;
  /** Stops accepting, sends sockets away with 1012, lets handlers finish, flushes. */
  stop(): Promise<void>;
  /** Settles when the tree has given up by itself. */
  readonly failed: Promise<Error>;
}

export async function startServer(config: Config): Promise<RunningServer> {
  const logger = pino({ level: config.logLevel }, pino.destination(2));
  // When the start fails for a reason that can be said in one line, that line is enough.
  let held: Report[] | undefined = [];
  const releaseReports = (): void => {
    for (const report of held ?? []) logReport(logger, report);
    held = undefined;
  };
  const node = createNode({
    onReport: (report) => (held === undefined ? logReport(logger, report) : void held.push(report)),
  });
  const tree = superviseTree(node, config);
  try {
    await tree.started;
  } catch (error) {
    if (!(error instanceof StartupError)) releaseReports();
    await tree.stop().catch(() => {});
    await node.stop();
    throw error;
  }
  releaseReports();
  const address = await node.run(() => Endpoint.address(ENDPOINT));
  const host = config.host.includes(":") ? `[${config.host}]` : config.host;
  return {
    url: `http://${host}:${address?.port}`,
    node,
    failed: tree.failed,
    async stop() {
      // While all clients are still connected, so that what is stored is also acknowledged.
      await node.run(() => Rooms.drain()).catch(() => {});
      await tree.stop();
      await node.stop();
      logger.flush();
    },
  };
}

interface Tree {
  readonly started: Promise<void>;
  readonly failed: Promise<Error>;
  stop(): Promise<void>;
}

/** Runs the application's supervisor under a process that waits for a stop request. */
function superviseTree(node: RuntimeNode, config: Config): Tree {
  let supervisor: Pid | undefined;
  let fail!: (error: Error) => void;
  const failed = new Promise<Error>((resolve) => {
    fail = resolve;
  });
  let release!: () => void;
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  let begun!: () => void;
  let notBegun!: (error: Error) => void;
  const started = new Promise<void>((resolve, reject) => {
    begun = resolve;
    notBegun = reject;
  });
  let stopping = false;
  const ended = node
    .run(async () => {
      trapExit(true);
      const result = await Supervisor.startLink(mainTree(config), {
        strategy: "one_for_one",
        name: "phoenixpair.supervisor",
      });
      if (result[0] !== "ok" || result === "ignore") {
        notBegun(startFailure(result === "ignore" ? "ignore" : result[1], config));
        return;
      }
      supervisor = result[1] as Pid;
      node.process(supervisor)?.onExit(() => {
        if (!stopping) fail(new Error("the supervision tree has given up; see the log"));
      });
      begun();
      await released;
      stopping = true;
      await Supervisor.stop(supervisor, "shutdown").catch(() => {});
    })
    .catch((error: Error) => notBegun(error));
  return {
    started,
    failed,
    async stop() {
      release();
      await ended;
    },
  };
}

/** Why the start has failed, for an operator who can do something about it. */
function startFailure(reason: unknown, config: Config): Error {
  const database = findTagged(reason, "database_unavailable");
  if (database !== undefined) {
    const [, message] = database as [string, string];
    return new StartupError(message);
  }
  const cause = findError(reason) as NodeJS.ErrnoException | undefined;
  if (cause instanceof ClusterError)
    return new StartupError(`this node cannot join the others: ${cause.message} (${settingsOf(cause)})`);
  if (cause?.syscall === "listen" || cause?.syscall === "getaddrinfo") return listenFailure(cause, config);
  return cause ?? new Error(`the application did not start: ${JSON.stringify(reason)}`);
}

const settingsOf = ({ message }: ClusterError): string => {
  if (message.includes("tls.ca")) return "CLUSTER_URL, CLUSTER_CA_FILE";
  return message.includes("tls.cert") ? "CLUSTER_URL, CLUSTER_CERT_FILE, CLUSTER_KEY_FILE" : "CLUSTER_URL";
};

function findTagged(term: unknown, tag: string): readonly unknown[] | undefined {
  if (term instanceof Error) {
    // From a thread comes a text.
    const text = /database_unavailable",("(?:[^"\\]|\\.)*")/.exec(term.message);
    return text === null ? findTagged(term.cause, tag) : [tag, JSON.parse(text[1] as string)];
  }
  if (!Array.isArray(term)) return undefined;
  if (term[0] === tag) return term;
  for (const part of term) {
    const found = findTagged(part, tag);
    if (found !== undefined) return found;
  }
  return undefined;
}

function findError(term: unknown): Error | undefined {
  if (term instanceof Error) return term;
  return Array.isArray(term) ? term.map(findError).find((error) => error !== undefined) : undefined;
}

function listenFailure(error: NodeJS.ErrnoException, { host, port }: Config): StartupError {
  const why: Record<string, string> = {
    EADDRINUSE: `PORT ${port} on ${host} is in use; stop what uses it or set PORT to another`,
    EACCES: `PORT ${port} may not be used by this user; set PORT to one above 1023`,
    EADDRNOTAVAIL: `HOST ${host} is not an address of this machine; set HOST to one that is`,
  };
  return new StartupError(why[error.code ?? ""] ?? `cannot listen on ${host}:${port}: ${error.message}`);
}

const PINO_LEVELS = { debug: "debug", info: "info", warning: "warn", error: "error" } as const;

function logReport(logger: Logger, report: Report): void {
  const level = PINO_LEVELS[reportLevel(report)];
  if (!logger.isLevelEnabled(level)) return;
  const text = report.kind === "notice" ? report.text : report.kind.replace("_", " ");
  logger[level]({ report: printable(report) }, text);
}

/** Reports may hold anything; a log line holds text. */
function printable(value: unknown, depth = 0): unknown {
  if (value instanceof Error) return { name: value.name, message: value.message, stack: value.stack };
  if (typeof value !== "object" || value === null) return typeof value === "function" ? "[function]" : value;
  if (depth > 5) return "…";
  if (Array.isArray(value)) return value.slice(0, 50).map((item) => printable(item, depth + 1));
  if (typeof (value as { toJSON?: unknown }).toJSON === "function")
    return (value as { toJSON(): unknown }).toJSON();
  const secret = /password|token|secret/i;
  return Object.fromEntries(
    Object.entries(value)
      .slice(0, 50)
      .map(([key, item]) => [key, secret.test(key) ? "[FILTERED]" : printable(item, depth + 1)]),
  );
}
