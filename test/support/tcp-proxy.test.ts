import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { afterEach, beforeEach, expect, test } from "vitest";
import { TcpProxy } from "./tcp-proxy.js";
import { waitFor } from "./wait.js";

let echo: Server;
let proxy: TcpProxy;
beforeEach(async () => {
  echo = createServer((socket) => socket.on("error", () => {}).pipe(socket)).listen(0, "127.0.0.1");
  await once(echo, "listening");
  proxy = await TcpProxy.start((echo.address() as AddressInfo).port);
});
afterEach(async () => {
  await proxy.stop();
  await new Promise((resolve) => echo.close(resolve));
});

interface Client {
  readonly socket: Socket;
  received: string;
  error: string | undefined;
}

async function client(): Promise<Client> {
  const socket = connect(proxy.port, "127.0.0.1");
  const one: Client = { socket, received: "", error: undefined };
  socket.on("data", (data) => {
    one.received += data;
  });
  socket.on("error", (error: NodeJS.ErrnoException) => {
    one.error = error.code;
  });
  await once(socket, "connect");
  return one;
}

test("what is sent passes both ways, and an end passes as an end", async () => {
  const one = await client();
  one.socket.end("hello");
  await once(one.socket, "close");
  expect([one.received, one.error]).toEqual(["hello", undefined]);
  await waitFor("the link is gone", () => proxy.links === 0);
});

test("a stalled link loses nothing once it resumes", async () => {
  const old = await client();
  old.socket.write("a");
  await waitFor("the echo", () => old.received === "a");
  proxy.stall();
  const fresh = await client();
  old.socket.write("b");
  fresh.socket.write("c");
  // An untouched connection to the server itself shows that there was time for the echoes to come.
  const direct = connect((echo.address() as AddressInfo).port, "127.0.0.1");
  direct.write("x");
  await once(direct, "data");
  direct.destroy();
  expect([old.received, fresh.received, old.error, fresh.error]).toEqual(["a", "", undefined, undefined]);
  proxy.resume();
  await waitFor("what was held back", () => old.received === "ab" && fresh.received === "c");
});

test("a cut resets open links, and a new one works", async () => {
  const one = await client();
  one.socket.write("a");
  await waitFor("the echo", () => one.received === "a");
  proxy.cut();
  await waitFor("the reset", () => one.error === "ECONNRESET");
  const two = await client();
  two.socket.write("b");
  await waitFor("the echo", () => two.received === "b");
});

test("a refused connection is reset and counted", async () => {
  proxy.refuse(true);
  const socket = connect(proxy.port, "127.0.0.1");
  await expect(once(socket, "close")).rejects.toMatchObject({ code: "ECONNRESET" });
  expect([proxy.accepted, proxy.links]).toEqual([1, 0]);
});

test("a late link keeps its order", async () => {
  proxy.delay(50);
  const one = await client();
  const from = performance.now();
  for (const letter of "abcdef") one.socket.write(letter);
  await waitFor("all of it", () => one.received === "abcdef");
  expect(performance.now() - from).toBeGreaterThanOrEqual(98);
});

test("a muted link accepts data and returns none", async () => {
  const [first, second] = [await client(), await client()];
  await waitFor("both are there", () => proxy.links === 2);
  proxy.mute(2);
  second.socket.write("unanswered");
  first.socket.write("answered");
  await waitFor("the answer", () => first.received === "answered");
  first.socket.write("!");
  await waitFor("the next", () => first.received === "answered!");
  expect([second.received, second.error]).toEqual(["", undefined]);
});
