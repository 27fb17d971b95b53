/**
 * A rolling deploy: three nodes behind a balancer, clients that type all the time; each node in turn is told to stop, and replaced by
 * a new process. Every client comes back by itself, and what it typed last is what everybody reads. The longest time that any of
 * them heard nothing is reported.
 *
 * SIMURGH_DEPLOY_CLIENTS=300 takes more clients.
 */

import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { createServer, connect as dial, type Server } from "node:net";
import { afterAll, beforeAll, expect, test } from "vitest";
import { AppCluster, START_MS } from "../support/app-cluster.js";
import { Participant } from "../support/phoenix-client.js";
import { describeWith } from "../support/requirements.js";
import { waitFor } from "../support/wait.js";

const CLIENTS = Number(process.env.SIMURGH_DEPLOY_CLIENTS ?? 60);
/** As many people sit in a room. */
const ROOM = Math.ceil(CLIENTS / 5);
const TYPE_EVERY_MS = 1000;

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

describeWith("NATS", "a rolling deploy", () => {
  let cluster: AppCluster;
  let front: { readonly port: number; close(): void };
  const people: Participant[] = [];
  beforeAll(async () => {
    cluster = await AppCluster.start("NATS", [1, 1, 1]);
    front = await balancer(() => cluster.nodes.map(({ server }) => server.port));
  }, START_MS);
  afterAll(async () => {
    for (const person of people) person.leave();
    front?.close();
    await cluster?.stop();
  });

  test(`${CLIENTS} clients type while all three nodes are replaced: all are back, and read what was typed last`, {
    timeout: 300_000,
  }, async () => {
    const { token } = await cluster.node(0).server.signUp("Typist");
    for (let n = 0; n < CLIENTS; n += 1) people.push(new Participant(front, token, 1 + Math.floor(n / ROOM)));
    await Promise.all(people.map((person) => person.join()));
    const heard = people.map(() => ({ at: performance.now(), longest: 0 }));
    for (const [n, { channel }] of people.entries())
      channel.on("response:updated", () => {
        const mine = heard[n] as { at: number; longest: number };
        const now = performance.now();
        mine.longest = Math.max(mine.longest, now - mine.at);
        mine.at = now;
      });
    let typed = 0;
    const typing = setInterval(() => {
      for (const [n, { channel, socket }] of people.entries())
        if (n % ROOM === typed % ROOM && socket.isConnected())
          channel.push("response:update", { response: `${n} ${typed}` });
      typed += 1;
    }, TYPE_EVERY_MS);
    for (const node of cluster.nodes) {
      const ended = await node.server.end("SIGTERM");
      expect(ended.code).toBe(0);
      await node.server.start();
      await cluster.together();
      await waitFor(
        "everybody is joined",
        () => people.every(({ channel }) => channel.state === "joined"),
        60_000,
      );
    }
    clearInterval(typing);
    for (let room = 0; room * ROOM < CLIENTS; room += 1) {
      const inRoom = people.slice(room * ROOM, (room + 1) * ROOM);
      const text = `the last word in ${room}`;
      // What others typed at the end may still be on its way, and is then put together with it.
      await waitFor(
        text,
        async () => {
          inRoom[0]?.channel.push("response:update", { response: text });
          const all = (): boolean => inRoom.every(({ updates }) => updates.at(-1)?.response === text);
          return waitFor("all read it", all, 3000);
        },
        60_000,
      );
    }
    const everybody = people.map(({ joins }) => joins);
    expect(Math.min(...everybody)).toBeGreaterThan(1);
    const longest = heard.map((mine) => Math.round(mine.longest)).sort((a, b) => b - a);
    console.log(
      `rolling deploy of 3 nodes under ${CLIENTS} clients: longest silence of any client ${longest[0]} ms, median ${longest[longest.length >> 1]} ms; ${typed} s of typing`,
    );
  });
});
