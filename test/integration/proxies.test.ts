/** Requests as proxies and clients of every kind write them, to the built server, byte by byte. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { AppServer } from "../support/app-server.js";
import { RawHttp } from "../support/raw-http.js";

const PASSWORD = "correct horse";
let server: AppServer;
let count = 0;

interface Answer {
  readonly status: number;
  readonly head: string;
  readonly body: string;
}

/** One request on a connection of its own. */
async function send(
  line: string,
  headers: readonly string[],
  body?: object,
  port = server.port,
): Promise<Answer> {
  const client = await RawHttp.open(port);
  const text = body === undefined ? "" : JSON.stringify(body);
  client.send(
    `${line} HTTP/1.1`,
    ...headers,
    "Connection: close",
    `Content-Length: ${Buffer.byteLength(text)}`,
    "",
  );
  client.socket.write(text);
  const [head = "", ...rest] = (await client.untilClosed()).split("\r\n\r\n");
  return { status: Number(head.slice(9, 12)), head, body: rest.join("\r\n\r\n") };
}

const newUser = () => {
  count += 1;
  return { email: `p${count}@example.com`, password: PASSWORD, name: "P" };
};
const handshake = async (...headers: readonly string[]): Promise<string> => {
  const client = await RawHttp.open(server.port);
  client.send(
    "GET /socket/websocket?vsn=2.0.0 HTTP/1.1",
    ...headers,
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "",
  );
  await client.until(/\r\n\r\n/);
  client.close();
  return client.received;
};

/**
 * Whether the check of the origin passes at the API, and at the socket, which refuses for want of a
 * token alone.
 */
async function passes(...headers: readonly string[]): Promise<boolean> {
  const api = await send("POST /api/sessions", headers, {});
  expect(api.body).toMatch(/forbidden_origin|"invalid"/);
  const log = server.errors.length;
  await handshake(...headers);
  const atApi = !api.body.includes("forbidden_origin");
  expect(server.errors.slice(log).includes("its origin")).toBe(!atApi);
  return atApi;
}

describe("behind a proxy that is declared", () => {
  beforeAll(async () => {
    server = await AppServer.start({ SHARDS: "0", TRUST_PROXY: "1", LOG_LEVEL: "error" });
  });
  afterAll(() => server.stop());

  test.each([
    ["Host: example.com:443", "X-Forwarded-Proto: https"],
    ["Host: EXAMPLE.com.", "X-Forwarded-Proto: HTTPS"],
    [
      "Host: 10.0.0.2:4000",
      "X-Forwarded-Proto: http, https",
      "X-Forwarded-Host: evil.example, example.com:443",
    ],
    [
      "Host: 10.0.0.2:4000",
      "X-Forwarded-Proto: https",
      "X-Forwarded-Host: example.com",
      "X-Forwarded-Port: 443",
    ],
    ["Host: 10.0.0.2:4000", 'Forwarded: for="[2001:db8::7]:4711";proto=https;host="example.com:443"'],
  ])("a page of the address that the proxy tells may change something: %s %s %s %s", async (...lines) => {
    const headers = lines.filter((line): line is string => typeof line === "string");
    expect(await passes(...headers, "Origin: https://example.com")).toBe(true);
    expect(await passes(...headers, "Origin: https://evil.example")).toBe(false);
    expect(await passes(...headers, "Origin: http://example.com")).toBe(false);
    expect(await passes(...headers, "Origin: https://example.com:8443")).toBe(false);
  });

  test.each([
    ["a port and words of its own", (n: number) => `10.0.0.${n}, 203.0.113.1:${4000 + n}`],
    ["IPv6 addresses of one network", (n: number) => `[2001:db8:1:2:${n}::${n}]:${4000 + n}`],
    ["an IPv4 address in IPv6", (n: number) => (n % 2 === 0 ? "203.0.113.4" : "::ffff:203.0.113.4")],
  ] as const)("a client that changes %s stays one for the limit of log-ins", async (_, address) => {
    const logIn = async (n: number): Promise<number> => {
      const headers = ["Host: a", `X-Forwarded-For: ${address(n)}`];
      return (await send("POST /api/sessions", headers, { email: "who@example.com", password: "x" })).status;
    };
    const statuses = await Promise.all(Array.from({ length: 6 }, (_, n) => logIn(n)));
    expect(statuses.sort()).toEqual([401, 401, 401, 401, 401, 429]);
  });

  test("a flood of log-ins from one network holds up no log-in from another", async () => {
    const mine = newUser();
    expect((await send("POST /api/users", ["Host: a", "X-Forwarded-For: 198.51.100.1"], mine)).status).toBe(
      201,
    );
    const statuses: number[] = [];
    const clients: RawHttp[] = [];
    for (let n = 0; n < 60; n += 1) {
      const client = await RawHttp.open(server.port);
      const body = JSON.stringify({ email: `unknown${n}@example.com`, password: "x" });
      client.send("POST /api/sessions HTTP/1.1", "Host: a", `X-Forwarded-For: 2001:db8:9:9::${n}`);
      client.send(`Content-Length: ${body.length}`, "");
      client.socket.write(body);
      client.socket.once("data", () => statuses.push(Number(client.received.slice(9, 12))));
      clients.push(client);
    }
    // What is beyond the share of the network is refused: the rest waits.
    await expect.poll(() => statuses).toContain(503);
    const before = statuses.length;
    const { status } = await send("POST /api/sessions", ["Host: a", "X-Forwarded-For: 198.51.100.2"], {
      email: mine.email,
      password: PASSWORD,
    });
    expect(status).toBe(200);
    // Two were being checked, and few of the flood came before it in turn; the others still wait.
    expect(statuses.length - before).toBeLessThan(20);
    for (const client of clients) client.close();
  });

  test("too many requests of one network without a token are 429, with when to come back", async () => {
    const from = (address: string) => ["Host: a", `X-Forwarded-For: ${address}`];
    const client = await RawHttp.open(server.port);
    const request = ["GET /api/challenges HTTP/1.1", ...from("192.0.2.200"), ""];
    for (let n = 0; n < 900; n += 1) client.send(...request);
    await client.until(/HTTP\/1\.1 429 [\s\S]*?retry-after: \d+[\s\S]*?too_many_requests/);
    client.close();
    expect((await send("GET /api/challenges", from("192.0.2.201"))).status).toBe(401);
    // Who is signed in is not counted with the others of the network.
    const { body } = await send("POST /api/users", from("192.0.2.201"), newUser());
    const { token } = JSON.parse(body) as { token: string };
    const signed = await send("GET /api/challenges", [
      ...from("192.0.2.200"),
      `Authorization: Bearer ${token}`,
    ]);
    expect(signed.status).toBe(200);
  });
});

describe("without a proxy", () => {
  beforeAll(async () => {
    server = await AppServer.start({ SHARDS: "0", KEEP_ALIVE_SECONDS: "100" });
  });
  afterAll(() => server.stop());

  test("no header but Host tells the address", async () => {
    const forwarded = ["X-Forwarded-Proto: https", "X-Forwarded-Host: example.com"];
    expect(await passes("Host: example.com", "Origin: http://example.com", ...forwarded)).toBe(true);
    const { body } = await send(
      "POST /api/sessions",
      ["Host: a", "Origin: https://example.com", ...forwarded],
      {},
    );
    expect(body).toContain("forbidden_origin");
  });

  test("an offer of HTTP/2 is ignored on every route", async () => {
    const offer = [
      "Host: a",
      "Connection: Upgrade, HTTP2-Settings",
      "Upgrade: h2c",
      "HTTP2-Settings: AAMAAABk",
    ];
    const client = await RawHttp.open(server.port);
    const text = JSON.stringify(newUser());
    client.send("POST /api/users HTTP/1.1", ...offer, `Content-Length: ${text.length}`, "");
    client.socket.write(text);
    await client.until(/^HTTP\/1\.1 201 [\s\S]*"token"/);
    for (const [path, pattern] of [
      ["/healthz", /"status":"ok"/],
      ["/", /<!doctype html>/i],
      ["/socket/websocket?vsn=2.0.0", /^HTTP\/1\.1 403 /],
    ] as const) {
      const other = await RawHttp.open(server.port);
      other.send(`GET ${path} HTTP/1.1`, ...offer, "");
      expect(await other.until(pattern)).not.toContain("404");
      other.close();
    }
    client.send("GET /readyz HTTP/1.1", "Host: a", "");
    expect(await client.until(/200 OK[\s\S]*"status":"ok"/)).toContain("timeout=100");
    client.close();
  });

  test("a request needs one valid Host, except HTTP/1.0 health checks", async () => {
    expect((await send("GET /healthz", ["Host: a", "Host: b"])).status).toBe(400);
    expect((await send("GET /healthz", ["Host: a b"])).status).toBe(400);
    expect((await send("GET /healthz", [])).status).toBe(400);
    const old = await RawHttp.open(server.port);
    old.send("GET /healthz HTTP/1.0", "");
    expect(await old.until(/"status"/)).toMatch(/^HTTP\/1\.1 200 /);
    old.close();
  });
});
