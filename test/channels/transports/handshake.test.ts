/**
 * Requests as bytes: which of them are WebSocket handshakes, and what becomes of those that are
 * not.
 */
import { spawnSync } from "node:child_process";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { Endpoint, type EndpointOptions } from "simurgh/channels";
import { afterEach, describe, expect, test } from "vitest";
import { RawHttp, statusOf } from "../../support/raw-http.js";
import { RawClient, startServer, type TestServer } from "../support.js";

const module = new URL("../fixtures/inspect-socket.ts", import.meta.url);
let server: TestServer;
let http: Server | undefined;
afterEach(async () => {
  await server?.stop();
  http?.closeAllConnections();
  http?.close();
  http = undefined;
});

const KEY = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
const VERSION = "Sec-WebSocket-Version: 13";
const UPGRADE = ["Connection: Upgrade", "Upgrade: websocket"];
const PATH = "/socket/websocket?vsn=2.0.0";

/** An endpoint of sockets alone. */
const sockets = async (options: Partial<EndpointOptions> = {}): Promise<void> => {
  server = await startServer({ sockets: { "/socket": { module, authToken: true } }, ...options });
};

/**
 * An endpoint beside a server that shows what it was asked; `/wait` is answered when `answer` is
 * called.
 */
async function besideOthers(): Promise<{ port: number; answer: () => void }> {
  let answer = (): void => {};
  http = createServer((request, response) => {
    let body = "";
    request.setEncoding("utf8").on("data", (data) => {
      body += data;
    });
    request.on("end", () => {
      const { method, url, headers } = request;
      const reply = (): unknown => response.end(JSON.stringify({ method, url, headers, body }));
      if (url === "/wait") answer = reply;
      else reply();
    });
  });
  await new Promise<void>((resolve) => http?.listen(0, "127.0.0.1", resolve));
  await sockets({ server: http, gateways: 1 });
  return { port: (http.address() as AddressInfo).port, answer: () => answer() };
}

/** The bodies of all answers so far. */
const bodies = (received: string): { method: string; url: string; headers: object; body: string }[] =>
  [...received.matchAll(/\r\n\r\n(\{.*?\})(?=HTTP|$)/gs)].map(([, json]) => JSON.parse(json as string));

describe("a handshake", () => {
  const status = (...lines: readonly string[]): Promise<number> => statusOf(server.port, ...lines, "");
  const of = (head: readonly string[], path = PATH, version = "1.1"): Promise<number> =>
    status(`GET ${path} HTTP/${version}`, ...head);

  test("needs one valid Host, HTTP/1.1 and version 13 of the protocol", async () => {
    await sockets();
    expect(await of(["Host: a", ...UPGRADE, KEY, VERSION])).toBe(101);
    expect(
      await of(["Host: a", "Connection: keep-alive, UPGRADE", "Upgrade: h2c, WebSocket", KEY, VERSION]),
    ).toBe(101);
    expect(await of([...UPGRADE, KEY, VERSION])).toBe(400);
    expect(await of(["Host: a", "Host: a", ...UPGRADE, KEY, VERSION])).toBe(400);
    expect(await of(["Host: a b", ...UPGRADE, KEY, VERSION])).toBe(400);
    expect(await of(["Host: a", ...UPGRADE, KEY, VERSION], PATH, "1.0")).toBe(400);
    expect(await of(["Host: a", ...UPGRADE, KEY, VERSION, VERSION])).toBe(400);
    expect(await of(["Host: a", ...UPGRADE, KEY, KEY, VERSION])).toBe(400);
    expect(await of(["Host: a", ...UPGRADE, KEY])).toBe(400);
    const client = await RawHttp.open(server.port);
    client.send(`GET ${PATH} HTTP/1.1`, "Host: a", ...UPGRADE, KEY, "Sec-WebSocket-Version: 8", "");
    expect(await client.untilClosed()).toMatch(/^HTTP\/1\.1 400 [\s\S]*\r\nSec-WebSocket-Version: 13\r\n/);
    expect((await server.run(() => Endpoint.info("endpoint"))).connections).toBe(0);
  });

  test("is for a version without leading zeros", async () => {
    await sockets();
    for (const vsn of ["02.0.0", "2.00.0", "2.0.00", "2.0", "2.0.0.0", "2.0.0%20", "v2.0.0", "2.0.0%00"])
      expect([vsn, await of(["Host: a", ...UPGRADE, KEY, VERSION], `/socket/websocket?vsn=${vsn}`)]).toEqual([
        vsn,
        403,
      ]);
  });

  test("is for the path as it was sent: dots and encodings lead nowhere else", async () => {
    await sockets();
    for (const path of [
      "/x/../socket/websocket",
      "/./socket/websocket",
      "/x/%2e%2e/socket/websocket",
      "/x/.%2E/socket/websocket",
      "/socket%2fwebsocket",
      "/socket/websocket/..",
      "/socket\\websocket",
      "/socket/websocket;a=1",
      "/socket/websocket%3fvsn=2.0.0",
    ])
      expect([path, await of(["Host: a", ...UPGRADE, KEY, VERSION], `${path}?vsn=2.0.0`)]).toEqual([
        path,
        404,
      ]);
    // As with Phoenix, which knows segments alone.
    expect(await of(["Host: a", ...UPGRADE, KEY, VERSION], "//socket//websocket/?vsn=2.0.0")).toBe(101);
  });

  test("with a query that is not UTF-8 is refused", async () => {
    await sockets();
    expect(await of(["Host: a", ...UPGRADE, KEY, VERSION], `${PATH}&a=%ff`)).toBe(400);
  });
});

describe("a token in the sub-protocol", () => {
  const offer = (token: string): Promise<string> =>
    RawHttp.open(server.port).then(async (client) => {
      client.send(
        `GET ${PATH} HTTP/1.1`,
        "Host: a",
        ...UPGRADE,
        KEY,
        VERSION,
        `Sec-WebSocket-Protocol: phoenix, base64url.bearer.phx.${token}`,
        "",
      );
      const answer = await client.until(/^HTTP\/1\.1 \d{3} [\s\S]*\r\n\r\n/);
      client.close();
      return answer;
    });

  test("may be in either alphabet of Base64, with its padding or without", async () => {
    await sockets();
    const token = "?>>~\u00ff\u00fe t\u00f6ken/+";
    for (const encoding of ["base64", "base64url"] as const) {
      const encoded = Buffer.from(token).toString(encoding);
      for (const given of [encoded, encoded.replace(/=+$/, "")]) {
        expect(await offer(given)).toMatch(/^HTTP\/1\.1 101 [\s\S]*\r\nSec-WebSocket-Protocol: phoenix\r\n/);
      }
    }
    const encoded = Buffer.from(token).toString("base64url");
    const client = await RawClient.connect(`ws://127.0.0.1:${server.port}${PATH}`, {}, [
      "phoenix",
      `base64url.bearer.phx.${encoded}`,
    ]);
    client.send("1", "1", "room:1", "phx_join", {});
    client.send("1", "2", "room:1", "show", {});
    const [, shown] = (await client.until(2)) as [unknown, [0, 0, 0, 0, { response: { info: object } }]];
    expect(shown[4].response.info).toEqual({ authToken: token });
  });

  test("that cannot be read is refused, never taken for an empty one", async () => {
    await sockets();
    for (const token of ["a", "abcde", "ab=", "abc==", "ab===", "a=bc", "ab!d", "%61bc", "", "===="])
      expect([token, (await offer(token)).slice(9, 12)]).toEqual([token, "403"]);
  });
});

describe("an offer to upgrade to anything else", () => {
  const H2C = ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"];

  test("is ignored: the request is answered, its body read, and the connection kept", async () => {
    const { port } = await besideOthers();
    const client = await RawHttp.open(port);
    client.send(
      "POST /one HTTP/1.1",
      "Host: a",
      "X-Kept: \u00e9",
      ...H2C,
      "Content-Length: 10",
      "",
      "01234567",
    );
    await client.until(/"url":"\/one"/);
    client.send("POST /two HTTP/1.1", "Host: a", ...H2C, "Transfer-Encoding: chunked", "", "3", "abc");
    client.send("2", "de", "0", "", "GET /three HTTP/1.1", "Host: a", "");
    const [one, two, three] = bodies(await client.until(/"url":"\/three"[\s\S]*\}$/));
    expect(one).toMatchObject({ method: "POST", body: "01234567\r\n" });
    expect(one?.headers).toEqual({ host: "a", "x-kept": "\u00c3\u00a9", "content-length": "10" });
    expect(two).toMatchObject({ body: "abcde", url: "/two" });
    expect(three).toMatchObject({ method: "GET", url: "/three" });
    client.close();
  });

  test("waits for the answers to what was sent before it on the connection", async () => {
    const { port, answer } = await besideOthers();
    const client = await RawHttp.open(port);
    client.send("GET /wait HTTP/1.1", "Host: a", "", "GET /next HTTP/1.1", "Host: a", ...H2C, "");
    const other = await RawHttp.open(port);
    other.send("GET /other HTTP/1.1", "Host: a", "Upgrade: foo/2", "Connection: upgrade", "");
    await other.until(/"url":"\/other"/);
    answer();
    const answers = bodies(await client.until(/"url":"\/next"[\s\S]*\}$/));
    expect(answers.map(({ url }) => url)).toEqual(["/wait", "/next"]);
    client.close();
    other.close();
  });

  test("of a client that goes away disturbs no other", async () => {
    const { port, answer } = await besideOthers();
    const [gone, reset, other] = [
      await RawHttp.open(port),
      await RawHttp.open(port),
      await RawHttp.open(port),
    ];
    gone.send("GET /gone HTTP/1.1", "Host: a", ...H2C, "");
    gone.socket.end();
    reset.send("GET /wait HTTP/1.1", "Host: a", "", "GET /next HTTP/1.1", "Host: a", ...H2C, "");
    reset.socket.resetAndDestroy();
    await gone.untilClosed();
    answer();
    other.send("GET /other HTTP/1.1", "Host: a", ...H2C, "");
    await other.until(/"url":"\/other"/);
    other.close();
  });

  test("keeps what else the connection header says", async () => {
    const { port } = await besideOthers();
    const client = await RawHttp.open(port);
    client.send("GET / HTTP/1.1", "Host: a", "Connection: close, Upgrade", "Upgrade: h2c", "");
    expect(await client.untilClosed()).toMatch(/\r\nConnection: close\r\n/);
  });

  test("is answered on a socket's own paths as any plain request", async () => {
    await sockets({ sockets: { "/socket": { module, longpoll: true } } });
    const status = (line: string): Promise<number> => statusOf(server.port, line, "Host: a", ...H2C, "");
    expect(await status(`GET ${PATH} HTTP/1.1`)).toBe(400);
    expect(await status("GET /socket/longpoll?vsn=2.0.0 HTTP/1.1")).toBe(200);
    expect(await status("GET /elsewhere HTTP/1.1")).toBe(404);
    const post = await statusOf(
      server.port,
      "POST / HTTP/1.1",
      "Host: a",
      ...UPGRADE,
      "Content-Length: 0",
      "",
    );
    expect(post).toBe(404);
  });

  const curl = spawnSync("curl", ["--version"], { encoding: "utf8" });
  test.skipIf(!curl.stdout?.includes("HTTP2"))("is what curl --http2 sends, which is answered", async () => {
    const { port } = await besideOthers();
    const { spawn } = await import("node:child_process");
    const child = spawn("curl", ["-s", "--http2", "-d", "x=1", `http://127.0.0.1:${port}/curl`]);
    let out = "";
    child.stdout.on("data", (data) => {
      out += data;
    });
    await new Promise((resolve) => child.on("close", resolve));
    expect(JSON.parse(out)).toMatchObject({ method: "POST", url: "/curl", body: "x=1" });
  });
});

describe("connections that stay open between requests", () => {
  test("outlive the minute of most balancers, or as long as the endpoint says", async () => {
    const kept = async (listen: object): Promise<string | undefined> => {
      server = await startServer({
        sockets: { "/socket": { module } },
        listen: { port: 0, host: "127.0.0.1", ...listen },
        server: undefined,
      } as never);
      const response = await fetch(`http://127.0.0.1:${server.port}/`);
      await response.arrayBuffer();
      await server.stop();
      return response.headers.get("keep-alive") ?? undefined;
    };
    expect(await kept({})).toBe("timeout=75");
    expect(await kept({ keepAliveMs: 100_000 })).toBe("timeout=100");
  });

  test("end with the answer they wait for when the endpoint drains", async () => {
    const { port, answer } = await besideOthers();
    const [early, late] = [await RawHttp.open(port), await RawHttp.open(port)];
    early.send("GET /wait HTTP/1.1", "Host: a", "");
    late.send("GET /now HTTP/1.1", "Host: a", "");
    await late.until(/"url":"\/now"/);
    expect(late.received).toMatch(/Connection: keep-alive/);
    await server.run(() => Endpoint.drain("endpoint"));
    answer();
    late.send("GET /later HTTP/1.1", "Host: a", "");
    expect(await early.untilClosed()).toMatch(/Connection: close[\s\S]*"url":"\/wait"/i);
    expect(await late.untilClosed()).toMatch(/Connection: close[\s\S]*"url":"\/later"/i);
  });
});
