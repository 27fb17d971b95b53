/**
 * How late are timers and sockets while processes never rest: two ping-ponging forever and one
 * flooding itself?
 */
import { createServer, request } from "node:http";
import type { AddressInfo } from "node:net";
import { type Pid, receive, self, send, spawn } from "simurgh/runtime";
import { benchNode } from "./harness.js";

const SECONDS = 5;
const at = (values: readonly number[], share: number): string =>
  `${([...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * share))] ?? Number.NaN).toFixed(1)} ms`;

/** Timers of 10 ms and HTTP requests to ourselves, for some seconds: how late, how long. */
async function observe(): Promise<{ lags: number[]; requests: number[] }> {
  const server = createServer((_request, response) => response.end("ok"));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const lags: number[] = [];
  const requests: number[] = [];
  let due = performance.now() + 10;
  const beat = setInterval(() => {
    lags.push(Math.max(0, performance.now() - due));
    due = performance.now() + 10;
  }, 10);
  const end = performance.now() + SECONDS * 1000;
  while (performance.now() < end) {
    const from = performance.now();
    await new Promise<void>((resolve, reject) => {
      request({ port, host: "127.0.0.1" }, (response) => {
        response.resume();
        response.on("end", resolve);
      })
        .on("error", reject)
        .end();
    });
    requests.push(performance.now() - from);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  clearInterval(beat);
  server.close();
  return { lags, requests };
}

const show = (name: string, { lags, requests }: { lags: number[]; requests: number[] }): void =>
  console.log(
    `  ${name.padEnd(22)} 10 ms timer late: median ${at(lags, 0.5)}, max ${at(lags, 1)}   HTTP echo: median ${at(requests, 0.5)}, p99 ${at(requests, 0.99)}`,
  );

console.log("lag of the event loop (goal: a timer at most 30 ms late, p99 of an echo below 30 ms)");
const node = benchNode();
show("no processes", await observe());
let turns = 0;
await node.run(async () => {
  const bounce = async (): Promise<void> => {
    for (;;) {
      const to = await receive((message) => message as Pid);
      turns += 1;
      send(to, self());
    }
  };
  const [one, two] = [spawn(bounce), spawn(bounce)];
  send(one, two);
  spawn(async () => {
    send(self(), 0);
    for (;;) send(self(), await receive((message) => [message]));
  });
});
show("never resting", await observe());
console.log(`  ${Math.round(turns / SECONDS / 1000)} k ping-pongs a second meanwhile`);
await node.stop();
