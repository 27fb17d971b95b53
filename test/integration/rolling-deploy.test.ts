/**
 * A rolling deploy: three nodes behind a balancer, clients that type all the time; each node in
 * turn is notified to stop, and replaced by a new process. Every client comes back by itself, and
 * everything that was acknowledged is there, also of those who went away for good as soon as they
 * knew. The longest time that any of them received nothing is reported, and what it consisted of.
 *
 * SIMURGH_DEPLOY_CLIENTS=60 takes fewer clients.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { createServer, connect as dial, type Server } from "node:net";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { AppCluster, START_MS } from "../support/app-cluster.js";
import { DocumentClient } from "../support/document-client.js";
import { describeWith } from "../support/requirements.js";
import { waitFor } from "../support/wait.js";
import type { Outage, Outcome } from "./rolling-deploy-clients.js";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const CLIENTS = Number(process.env.SIMURGH_DEPLOY_CLIENTS ?? 300);
/** The challenges that are there from the start. */
const ROOMS = 5;

/** Gives each new connection to the next node that takes it, as a balancer without memory does. */
async function balancer(ports: () => readonly number[]): Promise<{ readonly port: number; close(): void }> {
  let turn = 0;
  const server: Server = createServer((client) => {
    client.on("error", () => {});
    const all = ports();
    turn += 1;
    const attempt = (tries: number): void => {
      const upstream = dial(all[(turn + tries) % all.length] as number, "127.0.0.1");
      upstream.once("connect", () => {
        client.pipe(upstream).pipe(client);
        upstream.on("close", () => client.destroy());
        client.on("close", () => upstream.destroy());
      });
      upstream.on("error", () => {
        if (upstream.connecting || upstream.pending) {
          if (tries + 1 < all.length) attempt(tries + 1);
          else client.destroy();
        } else client.destroy();
      });
    };
    attempt(0);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return { port: (server.address() as AddressInfo).port, close: () => void server.close() };
}

/** The clients, and the conversation with them. */
class Crowd {
  readonly #child: ChildProcess;
  readonly #answers: AsyncIterator<string>;
  #errors = "";

  constructor(port: number, token: string) {
    this.#child = spawn(
      process.execPath,
      [
        ...["--import", "./scripts/typescript-loader.mjs", "--conditions", "simurgh-source"],
        fileURLToPath(new URL("./rolling-deploy-clients.ts", import.meta.url)),
        ...[String(port), token, String(CLIENTS), String(ROOMS)],
      ],
      { cwd: ROOT, stdio: ["pipe", "pipe", "pipe"] },
    );
    this.#child.stderr?.on("data", (data) => (this.#errors += data));
    this.#answers = createInterface(this.#child.stdout as NonNullable<ChildProcess["stdout"]>)[
      Symbol.asyncIterator
    ]();
  }

  async answer<T>(): Promise<T> {
    const { value, done } = await this.#answers.next();
    if (done) throw new Error(`the clients have ended: ${this.#errors}`);
    return JSON.parse(value) as T;
  }

  ask<T>(question: "settled" | "leave" | "finish"): Promise<T> {
    this.#child.stdin?.write(`${question}\n`);
    return this.answer<T>();
  }

  kill(): void {
    this.#child.kill("SIGKILL");
  }
}

const median = (values: readonly number[]): number =>
  Math.round(values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0);

/** Of the stages of all outages, the median and the longest. */
function stages(outages: readonly Outage[]): string {
  const between = (from: keyof Outage, to: keyof Outage): string => {
    const times = outages.flatMap((outage) => {
      const [begin, end] = [outage[from], outage[to]];
      return begin === undefined || end === undefined ? [] : [end - begin];
    });
    return `${median(times)} (${Math.round(Math.max(0, ...times))})`;
  };
  return `closed to open ${between("closedAt", "openedAt")}, open to joined ${between("openedAt", "joinedAt")}, joined to the text ${between("joinedAt", "syncedAt")}, the text to others received ${between("syncedAt", "receivedAt")}; connections tried in vain ${outages.reduce((sum, { failures }) => sum + failures, 0)}`;
}

describeWith("NATS", "a rolling deploy", () => {
  let cluster: AppCluster;
  let front: { readonly port: number; close(): void };
  let crowd: Crowd | undefined;
  beforeAll(async () => {
    cluster = await AppCluster.start("NATS", [1, 1, 1]);
    front = await balancer(() => cluster.nodes.map(({ server }) => server.port));
  }, START_MS);
  afterAll(async () => {
    crowd?.kill();
    front?.close();
    await cluster?.stop();
  });

  test(`${CLIENTS} clients type through a rolling deploy and lose no edit`, {
    timeout: START_MS,
  }, async () => {
    const { token } = await cluster.node(0).server.signUp("Typist");
    crowd = new Crowd(front.port, token);
    expect(await crowd.answer()).toEqual({ ready: CLIENTS });
    let there = CLIENTS;
    const took: string[] = [];
    for (const node of cluster.nodes) {
      // They leave while it is being replaced.
      const leaving = crowd.ask<{ left: number }>("leave");
      leaving.catch(() => {});
      const from = performance.now();
      const ended = await node.server.end("SIGTERM");
      expect(ended.code).toBe(0);
      const drained = performance.now();
      // Beside 300 clients that connect again.
      await node.server.start(180_000);
      await cluster.together();
      took.push(`${Math.round(drained - from)} + ${Math.round(performance.now() - drained)}`);
      there -= (await leaving).left;
      expect(await crowd.ask("settled")).toEqual({ settled: there });
    }
    const { acknowledged, typed, outages, silences } = await crowd.ask<Outcome>("finish");
    for (const [room, words] of acknowledged.entries()) {
      const reader = new DocumentClient(cluster.node(0).server, token, 1 + room);
      await reader.join();
      await waitFor("the text", () => reader.synced);
      const found = reader.text.toString().match(/‹[^›]*›/g) ?? ([] as string[]);
      reader.leave();
      expect(new Set(found).size).toBe(found.length);
      expect(words.filter((word) => !found.includes(word))).toEqual([]);
    }
    const words = acknowledged.flat().length;
    expect(words).toBeGreaterThan(CLIENTS / 2);
    // Every client was on some node, and each was replaced.
    expect(outages.length).toBeGreaterThanOrEqual(there);
    console.log(
      `rolling deploy of 3 nodes under ${CLIENTS} clients: longest silence of any client ${Math.round(Math.max(...silences))} ms, median ${median(silences)} ms; ${words} of ${typed} words acknowledged, none lost; nodes took ${took.join(", ")} ms to end and to be back\nof ${outages.length} outages, median (longest) ms: ${stages(outages)}`,
    );
  });
});
