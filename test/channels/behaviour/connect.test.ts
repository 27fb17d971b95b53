/** From the URL to a socket: paths, options, connect info, sub-protocols, origins. */
import { request } from "node:http";
import { connect as netConnect } from "node:net";
import { Endpoint, type Mount, Token } from "simurgh/channels";
import { afterEach, describe, expect, test } from "vitest";
import { WebSocket } from "ws";
import { RawClient, startServer, type TestServer } from "../support.js";

const module = new URL("../fixtures/inspect-socket.ts", import.meta.url);
let server: TestServer;
afterEach(() => server?.stop());

const start = async (mounts: Record<string, Mount>, options: object = {}): Promise<TestServer> => {
  server = await startServer({ sockets: mounts, ...options });
  return server;
};
const one = (mount: Partial<Mount> = {}, options: object = {}): Promise<TestServer> =>
  start({ "/socket": { module, ...mount } }, options);
const at = (path: string): string => `ws://127.0.0.1:${server.port}${path}`;
const V2 = "/socket/websocket?vsn=2.0.0";

/** What `connect` was given on a connection. */
async function shown(
  client: RawClient,
): Promise<{ params: Record<string, unknown>; info: Record<string, never> }> {
  client.send("1", "1", "room:1", "phx_join", {});
  await client.until(1);
  client.send("1", "2", "room:1", "show", {});
  const [, reply] = (await client.until(2)) as [
    unknown,
    [unknown, unknown, unknown, unknown, { response: never }],
  ];
  return reply[4].response;
}

const connected = async (path = V2, headers: Record<string, string> = {}, protocols: string[] = []) =>
  shown(await RawClient.connect(at(path), headers, protocols));

/** The HTTP answer to a handshake, refused or not. */
function answer(
  path: string,
  headers: Record<string, string> = {},
  protocols: string[] = [],
): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(at(path), protocols, { headers });
    socket.on("open", () => {
      resolve({ status: 101, body: "" });
      socket.terminate();
    });
    socket.on("unexpected-response", (_request, response) => {
      let body = "";
      response.on("data", (chunk) => {
        body += chunk;
      });
      response.on("end", () => resolve({ status: response.statusCode ?? 0, body }));
    });
    socket.on("error", (error) => reject(error));
  });
}

function plain(
  method: string,
  path: string,
  headers: Record<string, string> = {},
): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const sent = request({ port: server.port, host: "127.0.0.1", method, path, headers }, (response) => {
      let body = "";
      response.on("data", (chunk) => {
        body += chunk;
      });
      response.on("end", () => resolve({ status: response.statusCode ?? 0, body }));
    });
    sent.on("error", reject);
    sent.end();
  });
}

describe("paths", () => {
  test("a mount has its WebSocket at /websocket, and no long-poll unless asked (C-047)", async () => {
    await one();
    expect((await answer(V2)).status).toBe(101);
    expect((await plain("GET", "/socket/longpoll?vsn=2.0.0")).status).toBe(404);
  });

  test("paths may be nested and have named segments, which are connect params (C-048)", async () => {
    await start({
      "/custom/:socket_var/": { module, websocket: { path: "//:path_var/nested/:_hidden" } },
    });
    const { params } = await connected("/custom/first/second%20one/nested/secret?vsn=2.0.0&key=value");
    expect(params).toEqual({ vsn: "2.0.0", key: "value", socket_var: "first", path_var: "second one" });
    expect(
      (await answer("/custom/first/second/other/x?vsn=2.0.0").catch(() => ({ status: 404 }))).status,
    ).toBe(404);
  });

  test("one socket may be mounted often, nested too, each mount with its own origins (C-049, C-087)", async () => {
    await start({
      "/ws": { module, checkOrigin: ["//one.example"] },
      "/ws/admin": { module, checkOrigin: ["//two.example"] },
    });
    const status = async (path: string, origin: string): Promise<number> =>
      (await answer(path, { origin })).status;
    expect(await status("/ws/websocket?vsn=2.0.0", "https://one.example")).toBe(101);
    expect(await status("/ws/websocket?vsn=2.0.0", "https://two.example")).toBe(403);
    expect(await status("/ws/admin/websocket?vsn=2.0.0", "https://two.example")).toBe(101);
    expect(await status("/ws/admin/websocket?vsn=2.0.0", "https://one.example")).toBe(403);
  });

  test("anything but an upgrading GET is 400, after the other checks (C-053)", async () => {
    await one({ checkOrigin: ["//ok.example"] });
    expect(await plain("POST", V2)).toEqual({ status: 400, body: "" });
    expect(await plain("GET", V2)).toEqual({
      status: 400,
      body: "'connection' header must contain 'upgrade', got \"keep-alive\"",
    });
    expect(await plain("GET", V2, { connection: "upgrade" })).toMatchObject({ status: 400 });
    expect(await plain("GET", V2, { origin: "https://bad.example" })).toEqual({ status: 403, body: "" });
    expect(await plain("GET", "/socket/websocket?vsn=9.0.0")).toEqual({ status: 403, body: "" });
  });

  test("an upgrade with a wrong key or version is 400 with a text (C-053)", async () => {
    await one();
    const raw = (lines: string[]): Promise<string> =>
      new Promise((resolve) => {
        const socket = netConnect(server.port, "127.0.0.1", () => {
          socket.write(
            `GET ${V2} HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: websocket\r\n${lines.join("\r\n")}\r\n\r\n`,
          );
        });
        let seen = "";
        socket.on("data", (data) => {
          seen += data;
        });
        socket.on("close", () => resolve(seen));
      });
    expect(await raw(["sec-websocket-version: 13"])).toMatch(
      /^HTTP\/1.1 400 Bad Request[\s\S]*Sec-WebSocket-Key/,
    );
    expect(await raw(["sec-websocket-version: 7", "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ=="])).toMatch(
      /^HTTP\/1.1 400 Bad Request[\s\S]*Sec-WebSocket-Version/,
    );
  });
});

describe("options", () => {
  test("unknown options are refused at the start, with the known ones (C-050)", async () => {
    const message = async (mount: object): Promise<string> => {
      try {
        await startServer({ sockets: { "/s": { module, ...mount } as Mount } });
      } catch (error) {
        return (error as Error).message;
      }
      return "started";
    };
    expect(await message({ invalid: 1 })).toMatch(
      /unknown keys \[\\*"invalid\\*"\] in the socket \/s; the allowed ones are serializers, /,
    );
    expect(await message({ websocket: { windowMs: 1, invalid: 2 } })).toMatch(
      /unknown keys \[\\*"windowMs\\*",\\*"invalid\\*"\] in the websocket options of the socket \/s/,
    );
    expect(await message({ longpoll: { timeout: 1 } })).toMatch(
      /unknown keys \[\\*"timeout\\*"\] in the longpoll options/,
    );
    expect(await message({ log: "loud" })).toMatch(/log must be \\*"debug/);
  });

  test("what the mount says wins over the definition, what the transport says over both (C-051)", async () => {
    await start({
      "/mount": { module: new URL("../fixtures/optional-socket.ts", import.meta.url), longpoll: true },
      "/over": {
        module: new URL("../fixtures/optional-socket.ts", import.meta.url),
        connectInfo: [{ from: "mount" }],
        websocket: { connectInfo: [{ from: "transport" }] },
        longpoll: true,
      },
    });
    expect((await connected("/mount/websocket?vsn=2.0.0")).info).toEqual({ from: "definition" });
    expect((await connected("/over/websocket?vsn=2.0.0")).info).toEqual({ from: "transport" });
  });

  test("the defaults: /websocket, 403 without a body, no compression, no log (C-052)", async () => {
    await one();
    expect(await answer("/socket/websocket?vsn=7.0.0")).toEqual({ status: 403, body: "" });
    const client = await RawClient.connect(at(V2));
    expect(client.ws.extensions).toBe("");
    expect(
      server.reports
        .filter(({ kind }) => kind === "notice")
        .map((report) => (report as { text: string }).text),
    ).not.toContainEqual(expect.stringContaining("HTTP/1.1"));
  });

  test("serializers are names and versions, by mount and by transport (C-004, C-005)", async () => {
    const own = new URL("../fixtures/optional-socket.ts", import.meta.url);
    await start({
      "/own": {
        module: own,
        serializers: [
          ["shouting", "~> 3.1.0"],
          ["v2_json", "~> 2.0"],
        ],
      },
      "/old": {
        module: own,
        serializers: [["v2_json", "~> 2.0.0"]],
        websocket: { serializers: [["v1_json", "~> 1.0.0"]] },
      },
    });
    expect((await answer("/own/websocket?vsn=1.0.0")).status).toBe(403);
    expect((await answer("/own/websocket?vsn=2.7.1")).status).toBe(101);
    expect((await answer("/old/websocket?vsn=2.0.0")).status).toBe(403);
    expect((await answer("/old/websocket?vsn=1.0.0")).status).toBe(101);
    const client = await RawClient.connect(at("/own/websocket?vsn=3.1.4"));
    client.send("1", "1", "room:1", "phx_join", {});
    expect(await client.until(1)).toEqual([
      ["1", "1", "room:1", "PHX_REPLY", { status: "ok", response: {} }],
    ]);
    server.run(() => Endpoint.broadcast("endpoint", "room:1", "quiet", { a: 1 }));
    expect((await client.until(2))[1]).toEqual([null, null, "room:1", "QUIET", { a: 1 }]);
    await expect(
      startServer({ sockets: { "/s": { module, serializers: [["no one", "~> 2.0.0"]] } } }),
    ).rejects.toThrow("no serializer is named no one");
  });

  test("compression is negotiated only on request, and compressed frames are read (C-091)", async () => {
    await one();
    const offered = new WebSocket(at(V2), { perMessageDeflate: true });
    await new Promise((resolve) => offered.once("open", resolve));
    expect(offered.extensions).toBe("");
    offered.terminate();
    await server.stop();
    await one({ websocket: { compress: true, maxFrameSize: 100_000 } });
    const client = await RawClient.connect(at(V2));
    expect(client.ws.extensions).toContain("permessage-deflate");
    client.send("1", "1", "room:1", "phx_join", { long: "x".repeat(5000) });
    await client.until(1);
    // Bounded by what it inflates to, not by what crosses the wire.
    client.send("1", "2", "room:1", "show", { bomb: "x".repeat(200_000) });
    expect((await client.untilClosed()).code).toBe(1009);
  });
});

describe("connect info", () => {
  test("params are the query decoded, nested objects and lists included (C-055)", async () => {
    await one();
    const { params } = await connected(`${V2}&a[b][c]=1&list[]=x&list[]=y&text=%C3%BC+z`);
    expect(params).toEqual({ vsn: "2.0.0", a: { b: { c: "1" } }, list: ["x", "y"], text: "ü z" });
  });

  test("only listed connect info is passed, and an unknown key is an error (C-063)", async () => {
    await one();
    expect((await connected()).info).toEqual({});
    await server.stop();
    await one({ connectInfo: ["userAgent"] });
    expect((await connected(V2, { "user-agent": "me", "x-other": "1" })).info).toEqual({ userAgent: "me" });
    await expect(one({ connectInfo: ["cookies" as never] })).rejects.toThrow(
      /the allowed ones are peerData, xHeaders, userAgent/,
    );
  });

  test("the peer, x-headers, user agent, URI, trace and sec-websocket headers (C-064, C-065, C-066)", async () => {
    await one({
      connectInfo: ["peerData", "xHeaders", "userAgent", "uri", "traceContextHeaders", "secWebsocketHeaders"],
    });
    const { info } = await connected(`${V2}&q=1`, {
      "X-One": "1",
      "x-two": "2",
      traceparent: "00-a",
      tracestate: "b",
      authorization: "secret",
      cookie: "c=1",
    });
    const known = info as unknown as Record<string, never>;
    expect(known.peerData).toEqual({ address: "127.0.0.1", port: expect.any(Number), sslCert: null });
    expect(known.xHeaders).toEqual([
      ["x-one", "1"],
      ["x-two", "2"],
    ]);
    expect(known.userAgent).toBeNull();
    expect(known.uri).toEqual({
      scheme: "http",
      host: "127.0.0.1",
      port: server.port,
      path: "/socket/websocket",
      query: "vsn=2.0.0&q=1",
      authority: "127.0.0.1",
    });
    expect(known.traceContextHeaders).toEqual([
      ["traceparent", "00-a"],
      ["tracestate", "b"],
    ]);
    expect((known.secWebsocketHeaders as unknown as [string, string][]).map(([name]) => name)).toContain(
      "sec-websocket-key",
    );
    // C-067: a cookie or an authorization header is in none of them.
    expect(JSON.stringify(info)).not.toMatch(/secret|c=1/);
  });

  test("no other header can be listed: neither cookies nor authorization (C-067)", async () => {
    for (const name of ["cookie", "authorization", "host"])
      await expect(one({ connectInfo: [name as never] })).rejects.toThrow("connectInfo has no entry");
  });

  test("a session is passed only to a client with its CSRF token (C-068)", async () => {
    const secret = "a secret of enough bytes";
    const session = { key: "_app", salt: "signing" };
    await one({ connectInfo: [{ session: () => session }] }, { secret });
    const data = { user: 7, _csrf_token: "the csrf token" };
    const cookie = `other=1; _app=${Token.sign(secret, "signing", data)}`;
    const notified = async (query: string, header: string | undefined): Promise<unknown> =>
      (await connected(`${V2}${query}`, header === undefined ? {} : { cookie: header })).info.session;
    expect(await notified("&_csrf_token=the%20csrf%20token", cookie)).toEqual(data);
    expect(await notified("&_csrf_token=wrong", cookie)).toBeNull();
    expect(await notified("", cookie)).toBeNull();
    expect(await notified("&_csrf_token=the%20csrf%20token", "_app=garbage")).toBeNull();
    expect(await notified("&_csrf_token=the%20csrf%20token", undefined)).toBeNull();
    await server.stop();
    await one({ connectInfo: [{ session }], checkCsrf: false }, { secret });
    expect(await notified("", cookie)).toEqual(data);
  });

  test("custom values are passed unchanged (C-069)", async () => {
    await one({ connectInfo: [{ signing_salt: "salt", list: [1, 2] }] });
    expect((await connected()).info).toEqual({ signing_salt: "salt", list: [1, 2] });
  });

  test("a session without a check of origin or CSRF token is refused at the start (C-071)", async () => {
    const connectInfo = [{ session: { key: "_app" } }];
    const failure = /checkOrigin false and checkCsrf false/;
    await expect(one({ connectInfo, checkOrigin: false, checkCsrf: false })).rejects.toThrow(failure);
    await expect(one({ connectInfo, checkCsrf: false }, { checkOrigin: false })).rejects.toThrow(failure);
    await one({ connectInfo, checkOrigin: false });
  });

  test("assigns of the connection go to every channel, and a channel's own stay its own (C-056)", async () => {
    await one();
    const client = await RawClient.connect(at(`${V2}&who=me`));
    for (const topic of ["room:1", "room:2"]) client.send("1", "1", topic, "phx_join", {});
    await client.until(2);
    for (const topic of ["room:1", "room:2"]) client.send("1", "2", topic, "show", {});
    for (const frame of (await client.until(4)).slice(2) as [
      unknown,
      unknown,
      unknown,
      unknown,
      { response: { params: object } },
    ][])
      expect(frame[4].response.params).toMatchObject({ who: "me" });
  });
});

describe("sub-protocols", () => {
  const token = (text: string): string =>
    `base64url.bearer.phx.${Buffer.from(text).toString("base64").replace(/=+$/, "")}`;
  const protocolOf = async (protocols: string[]): Promise<string> =>
    (await RawClient.connect(at(V2), {}, protocols)).ws.protocol;

  test("the token subprotocol is passed and never echoed (C-070, C-072, C-073)", async () => {
    await one({ authToken: true });
    const client = await RawClient.connect(at(V2), {}, ["phoenix", token("my token")]);
    expect(client.ws.protocol).toBe("phoenix");
    expect((await shown(client)).info).toEqual({ authToken: "my token" });
    expect((await connected(V2)).info).toEqual({ authToken: null });
    const urlSafe = `base64url.bearer.phx.${Buffer.from([255, 254, 62]).toString("base64url")}`;
    expect((await connected(V2, {}, ["phoenix", urlSafe])).info.authToken).toBeTypeOf("string");
  });

  test("what cannot be decoded is refused, not a crash (C-073)", async () => {
    await one({ authToken: true });
    expect((await answer(V2, { "sec-websocket-protocol": "phoenix, base64url.bearer.phx.***" })).status).toBe(
      403,
    );
  });

  test("two tokens are none (C-074)", async () => {
    await one({ authToken: true });
    expect((await connected(V2, {}, ["phoenix", token("one"), token("two")])).info).toEqual({
      authToken: null,
    });
  });

  test("with tokens on, phoenix and the configured subprotocols are accepted (C-075)", async () => {
    await one({ authToken: true, websocket: { subprotocols: ["mine"] } });
    expect(await protocolOf([])).toBe("");
    expect(await protocolOf(["mine"])).toBe("mine");
    expect(await protocolOf(["mine", "phoenix"])).toBe("phoenix");
    expect((await answer(V2, { "sec-websocket-protocol": "other" })).status).toBe(403);
  });

  test("subprotocols are ignored unless configured, and the first match is taken (C-077)", async () => {
    await one();
    // A client that offered some and is answered none fails by itself, as the protocol has it.
    await expect(RawClient.connect(at(V2), {}, ["sip"])).rejects.toThrow("Server sent no subprotocol");
    await server.stop();
    await one({ websocket: { subprotocols: ["sip", "mqtt"] } });
    expect(await protocolOf([])).toBe("");
    expect(await protocolOf(["mqtt", "sip"])).toBe("sip");
    expect((await answer(V2, { "sec-websocket-protocol": "soap" })).status).toBe(403);
    expect(
      server.reports.some(
        (report) => "text" in report && report.text.startsWith("Could not check Websocket subprotocols"),
      ),
    ).toBe(true);
  });

  test("over long-poll the token is a header of the request that begins the session (C-076)", async () => {
    await one({ authToken: true, longpoll: true });
    const began = JSON.parse(
      (await plain("GET", "/socket/longpoll?vsn=2.0.0", { "x-phoenix-authtoken": "raw token" })).body,
    );
    expect(began.status).toBe(410);
    const send = (frame: unknown): Promise<unknown> =>
      new Promise((resolve) => {
        const sent = request(
          {
            port: server.port,
            host: "127.0.0.1",
            method: "POST",
            path: `/socket/longpoll?vsn=2.0.0&token=${began.token}`,
          },
          (response) => {
            response.resume();
            response.on("end", resolve);
          },
        );
        sent.end(JSON.stringify(frame));
      });
    await send(["1", "1", "room:1", "phx_join", {}]);
    await send(["1", "2", "room:1", "show", {}]);
    const polled = JSON.parse((await plain("GET", `/socket/longpoll?vsn=2.0.0&token=${began.token}`)).body);
    const last = JSON.parse(polled.messages.at(-1));
    expect(last[4].response.info).toEqual({ authToken: "raw token" });
  });
});

describe("refusals", () => {
  test("the first check that fails answers, and those after it do not run (C-054)", async () => {
    await start({
      "/socket": {
        module: new URL("../fixtures/optional-socket.ts", import.meta.url),
        checkOrigin: ["//ok.example"],
        websocket: { subprotocols: ["sip"] },
      },
    });
    const status = async (query: string, origin: string, protocol: string): Promise<number> =>
      (await answer(`/socket/websocket?${query}`, { origin }, [protocol])).status;
    const connects = (): number =>
      server.reports.filter((report) => "text" in report && / CONNECTION TO| TO \//.test(report.text)).length;
    expect(await status("vsn=9&throw=1", "https://bad.example", "other")).toBe(403);
    expect(await status("vsn=9&throw=1", "https://ok.example", "other")).toBe(403);
    expect(await status("vsn=9&throw=1", "https://ok.example", "sip")).toBe(403);
    expect(connects()).toBe(0);
    expect(await status("vsn=2.0.0&throw=1", "https://ok.example", "sip")).toBe(500);
    expect(await status("vsn=2.0.0", "https://ok.example", "sip")).toBe(101);
    expect(connects()).toBe(1);
  });

  test("an id must be a string, and only disconnect acts on it (C-060, C-061)", async () => {
    await start({ "/socket": { module: new URL("../fixtures/optional-socket.ts", import.meta.url) } });
    expect((await answer(`${V2}&bad_id=1`)).status).toBe(403);
    const client = await RawClient.connect(at(`${V2}&id=users:1`));
    await server.run(() => Endpoint.broadcast("endpoint", "users:1", "other", { a: 1 }));
    expect(await client.settle()).toEqual([]);
    await server.run(() => Endpoint.disconnect("endpoint", "users:1"));
    expect((await client.untilClosed()).code).toBe(1001);
  });

  test("with refuseByClose a browser gets 4403 and the reason (C-062)", async () => {
    const refusing = new URL("../fixtures/optional-socket.ts", import.meta.url);
    await start({
      "/notified": { module: refusing, websocket: { refuseByClose: true } },
      "/default": { module: refusing },
    });
    const client = await RawClient.connect(at("/notified/websocket?vsn=2.0.0&refuse=too%20young"));
    expect(await client.untilClosed()).toEqual({ code: 4403, reason: "too young" });
    expect((await answer("/default/websocket?vsn=2.0.0&refuse=too%20young")).status).toBe(403);
  });
});

describe("origins", () => {
  const allowed = async (origin: string | undefined): Promise<boolean> =>
    (await answer(V2, origin === undefined ? {} : { origin })).status === 101;

  test("checkOrigin defaults to the endpoint host and skips requests without Origin (C-078)", async () => {
    await one({}, { host: "app.example" });
    expect(await allowed(undefined)).toBe(true);
    expect(await allowed("https://app.example")).toBe(true);
    expect(await allowed("http://app.example:4000")).toBe(true);
    for (const other of ["https://evil.example", "https://x.app.example", "null", "file://"])
      expect(await allowed(other)).toBe(false);
  });

  test("false lets everything pass (C-080)", async () => {
    await one({ checkOrigin: false });
    for (const origin of ["null", "file://", "https://any.example"]) expect(await allowed(origin)).toBe(true);
  });

  test("a list of origins: schemes imply ports, *. matches the domain and below (C-081, C-082, C-085)", async () => {
    await one({
      checkOrigin: ["http://scheme.com", "//port.com:81", "//any.com", "//*.wild.com", "//extension-id"],
    });
    const yes = [
      "http://scheme.com",
      "http://port.com:81",
      "https://any.com:4000",
      "http://any.com",
      "https://wild.com",
      "https://a.wild.com",
      "https://a.b.wild.com",
      "chrome-extension://extension-id",
    ];
    const no = [
      "http://scheme.com:8080",
      "https://scheme.com",
      "http://port.com",
      "https://sub.any.com",
      "https://prefix-wild.com",
      "null",
      "file://",
      "chrome-extension://other",
    ];
    for (const origin of yes) expect([origin, await allowed(origin)]).toEqual([origin, true]);
    for (const origin of no) expect([origin, await allowed(origin)]).toEqual([origin, false]);
    await expect(one({ checkOrigin: ["nohost"] })).rejects.toThrow("has no host");
  });

  test("conn: the origin must be the request's own scheme, host and port (C-083)", async () => {
    await one({ checkOrigin: "conn" });
    expect(await allowed(`http://127.0.0.1:${server.port}`)).toBe(true);
    for (const origin of [
      `https://127.0.0.1:${server.port}`,
      "http://127.0.0.1:1",
      `ws://127.0.0.1:${server.port}`,
      `http://localhost:${server.port}`,
    ])
      expect(await allowed(origin)).toBe(false);
  });

  test("a function decides on the parsed origin, also when that has no host (C-084)", async () => {
    const seen: unknown[] = [];
    await one({
      checkOrigin: (origin) => {
        seen.push([origin.text, origin.host]);
        return origin.text === "null";
      },
    });
    expect([await allowed("null"), await allowed("https://a.example")]).toEqual([true, false]);
    expect(seen).toEqual([
      ["null", undefined],
      ["https://a.example", "a.example"],
    ]);
  });
});

test("a close is answered with its code, an invalid one with 1002 (C-092, C-089)", async () => {
  await one();
  const client = await RawClient.connect(at(V2));
  const pong = new Promise((resolve) => client.ws.once("pong", (data: Buffer) => resolve(data.toString())));
  client.ws.ping("some data");
  expect(await pong).toBe("some data");
  client.ws.pong("unasked");
  client.ws.close(1000);
  expect((await client.untilClosed()).code).toBe(1000);
  const broken = await RawClient.connect(at(V2));
  const socket = (broken.ws as unknown as { _socket: { write(data: Buffer): void } })._socket;
  // A close frame, masked with zeros, with the code 1005, which must not be on the wire.
  socket.write(Buffer.from([0x88, 0x82, 0, 0, 0, 0, 0x03, 0xed]));
  expect((await broken.untilClosed()).code).toBe(1002);
});
