import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { createServer as createNetServer } from "node:net";
import { Endpoint, type EndpointOptions } from "simurgh/channels";
import { createNode, type RuntimeNode, Supervisor } from "simurgh/runtime";
import { afterEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { checkSharedPort, close, listen as listenOn } from "../../../src/channels/transports/http-server.js";
import { RawHttp } from "../../support/raw-http.js";
import { RawClient, startServer, type TestServer } from "../support.js";

const module = new URL("../fixtures/socket.ts", import.meta.url);
const httpServer = { module: new URL("../fixtures/http.ts", import.meta.url), args: { title: "the shop" } };
const listen = { port: 0, host: "127.0.0.1" };

/** Why an endpoint with these options does not start. */
async function refusal(options: Partial<EndpointOptions>): Promise<string> {
  const node: RuntimeNode = createNode({ onReport() {} });
  try {
    return await node.run(async () => {
      const spec = Endpoint.childSpec({
        name: "refused",
        shards: 0,
        sockets: { "/s": { module } },
        ...options,
      });
      try {
        const started = await Supervisor.startLink([spec], { strategy: "one_for_one" });
        return JSON.stringify(started, (_key, value) => (value instanceof Error ? value.message : value));
      } catch (error) {
        return String(error);
      }
    });
  } catch (error) {
    return String((error as Error & { reason?: unknown }).reason ?? error);
  } finally {
    await node.stop();
  }
}

describe("an endpoint that listens itself", () => {
  let server: TestServer | undefined;
  afterEach(async () => {
    await server?.stop();
    server = undefined;
  });

  test("has a server that a module makes, next to the sockets", async () => {
    server = await startServer({ gateways: 1, server: httpServer, listen });
    const response = await fetch(`http://127.0.0.1:${server.port}/hello`);
    expect([response.status, await response.text()]).toEqual([
      200,
      "the shop of endpoint: /hello, by process",
    ]);
    const client = await RawClient.connect(server.url);
    client.send(null, "1", "phoenix", "heartbeat", {});
    expect(await client.until(1)).toEqual([
      [null, "1", "phoenix", "phx_reply", { status: "ok", response: {} }],
    ]);
  });

  test("has a server of its own without any, which has nothing but sockets", async () => {
    server = await startServer({ gateways: 1, listen });
    expect((await fetch(`http://127.0.0.1:${server.port}/hello`)).status).toBe(404);
    await RawClient.connect(server.url);
  });

  test("gives the port back when it stops, after its clients have been sent away (C-137)", async () => {
    server = await startServer({ gateways: 1, listen });
    const client = await RawClient.connect(server.url);
    await server.stop();
    const { port } = server;
    server = undefined;
    expect((await client.untilClosed()).code).toBe(1012);
    const next = createServer();
    await new Promise<void>((resolve, reject) => {
      next.once("error", reject);
      next.listen(port, "127.0.0.1", resolve);
    });
    await new Promise<void>((resolve) => next.close(() => resolve()));
  });

  test("does not start where it cannot listen", async () => {
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(0, "127.0.0.1", resolve));
    const { port } = other.address() as AddressInfo;
    expect(await refusal({ listen: { port, host: "127.0.0.1" } })).toContain("EADDRINUSE");
    other.close();
  });
});

describe("options that cannot be", () => {
  const versions: [string, boolean][] = [
    ["20.20.2", false],
    ["22.11.0", false],
    ["22.12.0", true],
    ["23.0.0", false],
    ["23.1.0", true],
    ["24.0.0", true],
    ["26.3.1", true],
  ];
  test.each(versions)("several gateways on Node %s: %s", (version, can) => {
    if (can) checkSharedPort(2, version);
    else
      expect(() => checkSharedPort(2, version)).toThrow(
        `gateways: 2 needs Node 22.12 or later, where threads can share a port; this is Node ${version}. Use a later Node, or gateways: 1, or several processes behind node:cluster`,
      );
  });

  const [major = 0] = process.versions.node.split(".").map(Number);

  test.each<[what: string, options: Partial<EndpointOptions>, onNode24: string]>([
    ["an http.Server", { listen, server: createServer() }, "an http.Server belongs to one thread"],
    ["nowhere to listen", {}, "gateways: 2 need listen"],
    [
      "a function in a mount",
      { listen, sockets: { "/s": { module, websocket: { errorHandler: () => ({ status: 400 }) } } } },
      'sockets["/s"].websocket.errorHandler is a function, and cannot be sent to the threads of several gateways; set it in the options of the socket\'s definition',
    ],
    ["a function for origins", { listen, checkOrigin: () => true }, "the endpoint.checkOrigin is a function"],
  ])("several gateways with %s: refused with what to do instead", async (_what, options, onNode24) => {
    // Before anything else is looked at, a Node that cannot share ports says so: it would not if it
    // was just asked to.
    const why = major < 24 ? "needs Node 22.12 or later" : onNode24;
    expect((await refusal({ gateways: 2, ...options })).replaceAll('\\"', '"')).toContain(why);
  });

  test.each<[what: string, options: Partial<EndpointOptions>, why: string]>([
    ["no gateway", { listen, gateways: 0 }, "gateways must be a whole number from 1 to 64, got 0"],
    ["half a gateway", { listen, gateways: 1.5 }, "gateways must be a whole number from 1 to 64, got 1.5"],
    ["neither a server nor where to listen", {}, "an endpoint needs listen"],
    ["a server module and nowhere to listen", { server: httpServer }, "an endpoint needs listen"],
    [
      "a module without that export",
      { listen, server: { ...httpServer, export: "no one" } },
      "has no function named no one",
    ],
    [
      "a module that makes something else",
      { listen, server: { ...httpServer, export: "handler" } },
      "must return an http.Server",
    ],
    [
      "a module whose server listens",
      { listen, server: { ...httpServer, export: "listening" } },
      "must not listen",
    ],
  ])("%s: refused with what to do instead", async (_what, options, why) => {
    expect(await refusal(options)).toContain(why);
  });
});

test("the listen backlog is 1,024 by default", async () => {
  for (const [options, backlog] of [
    [{ port: 0 }, 1024],
    [{ port: 0, backlog: 7 }, 7],
  ] as const) {
    const server = createNetServer();
    onTestFinished(() => void server.close());
    const asked = vi.spyOn(server, "listen");
    await listenOn(server, options, undefined);
    expect(asked.mock.calls[0]?.[0]).toMatchObject({ port: 0, backlog });
    expect(server.listening).toBe(true);
  }
});

test("a server that closes waits for answers that it owes, and for no idle connection", async () => {
  let answer!: () => void;
  const http = createServer((request, response) => {
    if (request.url === "/wait") answer = () => response.end("late");
    else response.end("at once");
  });
  await listenOn(http, listen, undefined);
  const { port } = http.address() as AddressInfo;
  const [waiting, idle, unused] = [
    await RawHttp.open(port),
    await RawHttp.open(port),
    await RawHttp.open(port),
  ];
  idle.send("GET / HTTP/1.1", "Host: a", "");
  await idle.until(/at once/);
  waiting.send("GET /wait HTTP/1.1", "Host: a", "");
  await vi.waitFor(() => expect(answer).toBeDefined());
  let answered!: () => void;
  const finished = close(http)(
    new Promise((resolve) => {
      answered = resolve;
    }),
    1_000_000,
  );
  await idle.untilClosed();
  answer();
  await waiting.until(/late/);
  answered();
  await finished;
  await Promise.all([waiting.untilClosed(), unused.untilClosed()]);
});
