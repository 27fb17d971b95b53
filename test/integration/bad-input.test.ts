/** What a hostile or confused client sends: a clear answer for it, nothing for anybody else. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import jwt from "jsonwebtoken";
import { sharesPorts } from "simurgh/channels";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { WebSocket } from "ws";
import { type Account, AppServer, runToEnd } from "../support/app-server.js";
import { freePort } from "../support/free-port.js";
import { Participant } from "../support/phoenix-client.js";
import { waitFor } from "../support/wait.js";

describe.each([0, 1])("bad input, %i shards", (shards) => {
  let server: AppServer;
  let ann: Account & { email: string; password: string };
  /** Someone who must not notice any of it. */
  let bystander: Participant;

  beforeAll(async () => {
    server = await AppServer.start({ SHARDS: String(shards), LOG_LEVEL: "debug" });
    ann = await server.signUp("Ann Lee");
    bystander = new Participant(server, ann.token, 1);
    await bystander.join();
  });
  afterAll(async () => {
    await bystander.type("still here at the end");
    expect(bystander.joins).toBe(1);
    bystander.leave();
    await server.stop();
  });

  /** Status and error of an answer that must be an error. */
  async function failure(response: Response): Promise<{ status: number; code: string }> {
    const { error } = (await response.json()) as { error: { code: string; message: string } };
    expect(error.message).toMatch(/\S/);
    expect(error.message).not.toMatch(/ at .*\.js|undefined|\[object/);
    expect(response.headers.get("content-type")).toContain("application/json");
    return { status: response.status, code: error.code };
  }

  const good = { email: "new@example.com", password: "long enough", name: "New" };

  test("GET /healthz says that the server is ready", async () => {
    const response = await server.request("GET", "/healthz");
    expect([response.status, await response.json()]).toEqual([200, { status: "ok" }]);
  });

  test("sign-up and log-in answer with a token and the user, never the password", async () => {
    const response = await server.request("POST", "/api/sessions", {
      email: ann.email.toUpperCase(),
      password: ann.password,
    });
    expect(response.status).toBe(200);
    const text = await response.text();
    expect(JSON.parse(text)).toEqual({
      token: expect.any(String),
      user: { id: ann.user.id, first_name: "Ann", email: ann.email },
    });
    expect(text).not.toMatch(/scrypt|password/);
  });

  test("challenges can be listed, read and created by signed-in users", async () => {
    const made = await server.request(
      "POST",
      "/api/challenges",
      { title: " Sum ", prompt: "a\r\nb", language: "python" },
      ann.token,
    );
    expect(made.status).toBe(201);
    const challenge = (await made.json()) as { id: number };
    expect(challenge).toEqual({
      id: expect.any(Number),
      title: "Sum",
      prompt: "a\nb",
      language: "python",
      response: "",
      updated_at: expect.any(String),
    });
    const read = await server.request("GET", `/api/challenges/${challenge.id}`, undefined, ann.token);
    expect(await read.json()).toEqual(challenge);
    const list = (await (
      await server.request("GET", "/api/challenges", undefined, ann.token)
    ).json()) as unknown[];
    expect(list).toContainEqual(challenge);
  });

  test.each([
    ["malformed JSON", "{", 400, "malformed_json"],
    ["nothing", "", 400, "malformed_json"],
    ["an array", "[]", 422, "invalid"],
    ["null", "null", 422, "invalid"],
    ["no e-mail", { ...good, email: undefined }, 422, "invalid"],
    ["an e-mail that is invalid", { ...good, email: "no at sign" }, 422, "invalid"],
    ["a number for an e-mail", { ...good, email: 5 }, 422, "invalid"],
    ["a short password", { ...good, password: "short" }, 422, "invalid"],
    ["an object for a password", { ...good, password: { $ne: "" } }, 422, "invalid"],
    ["an empty name", { ...good, name: "   " }, 422, "invalid"],
    ["a 200 kB name", { ...good, name: "x".repeat(200_000) }, 422, "invalid"],
    ["a name with a control character", { ...good, name: "An\u0000n" }, 422, "invalid"],
    ["a name that turns text round", { ...good, name: "A\u202Enn" }, 422, "invalid"],
    ["a name of 1 MB of marks", { ...good, name: `A${"\u0301\u0323".repeat(250_000)}` }, 422, "invalid"],
    ["more than 1 MiB", `{"name":"${"x".repeat(1_100_000)}"}`, 413, "too_large"],
  ])("sign-up with %s is refused with %i %s", async (_what, body, status, code) => {
    expect(await failure(await server.request("POST", "/api/users", body))).toEqual({ status, code });
  });

  test("a body that is not UTF-8 is refused", async () => {
    const body = Buffer.from(
      JSON.stringify({ ...good, email: "latin@example.com", name: "Zo\u00eb" }),
      "latin1",
    );
    const response = await fetch(`${server.url}/api/users`, { method: "POST", body: new Uint8Array(body) });
    expect(await failure(response)).toEqual({ status: 400, code: "malformed_json" });
  });

  test("a taken e-mail is refused, in whatever letters", async () => {
    const body = { ...good, email: ann.email.toUpperCase() };
    expect(await failure(await server.request("POST", "/api/users", body))).toEqual({
      status: 409,
      code: "email_taken",
    });
  });

  test("a wrong password and an unknown user are indistinguishable", async () => {
    const wrong = await server.request("POST", "/api/sessions", {
      email: ann.email,
      password: "wrong password",
    });
    const unknown = await server.request("POST", "/api/sessions", {
      email: "noOne@example.com",
      password: "wrong password",
    });
    expect([wrong.status, unknown.status]).toEqual([401, 401]);
    expect(await wrong.json()).toEqual(await unknown.json());
  });

  test("guessing a password is slowed down after five failures, for that account alone", async () => {
    const victim = await server.signUp("Victim");
    const attempt = (password: string) =>
      server.request("POST", "/api/sessions", { email: victim.email, password });
    for (let n = 0; n < 5; n += 1) expect((await attempt(`guess number ${n}`)).status).toBe(401);
    const refused = await attempt(victim.password);
    expect([refused.status, Number(refused.headers.get("retry-after")) > 0]).toEqual([429, true]);
    expect(
      (await server.request("POST", "/api/sessions", { email: ann.email, password: ann.password })).status,
    ).toBe(200);
  });

  test.each([
    ["GET", "/api/nothing", 404, "not_found"],
    ["GET", "/api/challenges/999999", 404, "not_found"],
    ["GET", "/api/challenges/abc", 404, "not_found"],
    ["GET", "/api/challenges/1%27%20or%201=1", 404, "not_found"],
    ["GET", "/api/challenges/99999999999999999999", 404, "not_found"],
    ["DELETE", "/api/challenges/1", 403, "forbidden"],
    ["PUT", "/api/challenges/1", 405, "method_not_allowed"],
    ["GET", "/api/users", 405, "method_not_allowed"],
  ])("%s %s is answered with %i %s", async (method, path, status, code) => {
    expect(await failure(await server.request(method, path, undefined, ann.token))).toEqual({ status, code });
  });

  test.each([
    ["unknown language", { title: "t", prompt: "p", language: "cobol" }],
    ["empty prompt", { title: "t", prompt: " ", language: "python" }],
    ["long title", { title: "t".repeat(201), prompt: "p", language: "python" }],
    ["wrong types", { title: ["t"], prompt: {}, language: "python", response: 1 }],
  ])("a challenge with %s is refused", async (_what, body) => {
    expect(await failure(await server.request("POST", "/api/challenges", body, ann.token))).toEqual({
      status: 422,
      code: "invalid",
    });
  });

  const secret = (): string => readFileSync(join(server.dataDir, "jwt-secret"), "utf8");
  const claims = () => ({
    sub: String(ann.user.id),
    iss: "phoenixpair",
    aud: "phoenixpair:access",
    use: "access",
    sid: (jwt.decode(ann.token) as { sid: string }).sid,
    jti: "x",
  });
  const tokens: [string, () => string][] = [
    ["no token", () => ""],
    ["nonsense", () => "nonsense"],
    ["alg none", () => jwt.sign(claims(), "", { algorithm: "none", expiresIn: 60 })],
    ["another secret", () => jwt.sign(claims(), "another secret that is long enough", { expiresIn: 60 })],
    ["another algorithm", () => jwt.sign(claims(), secret(), { algorithm: "HS512", expiresIn: 60 })],
    ["expired", () => jwt.sign({ ...claims(), exp: Math.floor(Date.now() / 1000) - 60 }, secret())],
    ["never expires", () => jwt.sign(claims(), secret())],
    ["another issuer", () => jwt.sign({ ...claims(), iss: "else" }, secret(), { expiresIn: 60 })],
    ["another audience", () => jwt.sign({ ...claims(), aud: "else" }, secret(), { expiresIn: 60 })],
    ["a subject that is no id", () => jwt.sign({ ...claims(), sub: "1 or 1" }, secret(), { expiresIn: 60 })],
    [
      "a session that does not exist",
      () => jwt.sign({ ...claims(), sid: "else" }, secret(), { expiresIn: 60 }),
    ],
    ["another use", () => jwt.sign({ ...claims(), use: "invite" }, secret(), { expiresIn: 60 })],
    [
      "a user who does not exist",
      () => jwt.sign({ ...claims(), sub: "424242" }, secret(), { expiresIn: 60 }),
    ],
  ];

  test.each(tokens)("a token with %s opens neither the API nor a socket", async (_what, make) => {
    const token = make();
    expect(await failure(await server.request("GET", "/api/challenges", undefined, token))).toEqual({
      status: 401,
      code: "unauthorized",
    });
    const status = await new Promise((resolve) => {
      const ws = new WebSocket(
        `ws://127.0.0.1:${server.port}/socket/websocket?vsn=2.0.0&token=${encodeURIComponent(token)}`,
      );
      ws.on("unexpected-response", (_request, response) => resolve(response.statusCode));
      ws.on("open", () => resolve("open"));
      ws.on("error", () => {});
    });
    expect(status).toBe(403);
  });

  test("a token signed with the stored secret is valid, and each defect refused", async () => {
    const token = jwt.sign(claims(), secret(), { expiresIn: 60 });
    expect((await server.request("GET", "/api/challenges", undefined, token)).status).toBe(200);
  });

  test.each([
    "not json",
    "[]",
    "{}",
    '["1","1","challenges:1"]',
    `["1","1","challenges:1","phx_join",${"[".repeat(5000)}`,
  ])("the socket frame %j closes its connection with 1011 and disturbs no one", async (frame) => {
    const ws = new WebSocket(`ws://127.0.0.1:${server.port}/socket/websocket?vsn=2.0.0&token=${ann.token}`);
    const code = await new Promise((resolve, reject) => {
      ws.on("open", () => ws.send(frame));
      ws.on("close", resolve);
      ws.on("error", reject);
    });
    expect(code).toBe(1011);
    await bystander.type(`undisturbed by ${frame.slice(0, 20)}`);
  });

  test("a socket frame over 1 MiB closes its connection with 1009", async () => {
    const ws = new WebSocket(`ws://127.0.0.1:${server.port}/socket/websocket?vsn=2.0.0&token=${ann.token}`);
    const code = await new Promise((resolve) => {
      ws.on("open", () => ws.send("x".repeat(1024 * 1024 + 1)));
      ws.on("close", resolve);
      ws.on("error", () => {});
    });
    expect(code).toBe(1009);
  });

  test("an unknown event ends that channel, which rejoins, and not the room", async () => {
    const other = new Participant(server, ann.token, 1);
    await other.join();
    other.channel.push("no such event", {});
    await waitFor("it has re-joined", () => other.joins === 2);
    await bystander.type("the room continues");
    other.leave();
  });

  test("a page of another origin may not open a socket, one of this server may", async () => {
    const from = (origin: string): Promise<unknown> =>
      new Promise((resolve) => {
        const ws = new WebSocket(
          `ws://127.0.0.1:${server.port}/socket/websocket?vsn=2.0.0&token=${ann.token}`,
          { origin },
        );
        ws.on("unexpected-response", (_request, response) => resolve(response.statusCode));
        ws.on("open", () => {
          ws.close();
          resolve("open");
        });
        ws.on("error", () => {});
      });
    expect(await from("http://evil.example")).toBe(403);
    expect(await from(`http://127.0.0.1:${server.port}`)).toBe("open");
  });

  test("paths outside the web folder are not found", async () => {
    for (const path of [
      "/..%2f..%2fpackage.json",
      "/%2e%2e/%2e%2e/package.json",
      "/assets/..%2f..%2f..%2fpackage.json",
      "/%00.js",
      "/%ff.js",
    ]) {
      const response = await server.request("GET", path);
      expect(await response.text()).not.toContain("simurgh");
    }
    const page = await server.request("GET", "/c/1");
    const policy = page.headers.get("content-security-policy") ?? "";
    const nonce = /'nonce-([^']+)'/.exec(policy)?.[1];
    expect(policy).toContain("default-src 'none'");
    expect(await page.text()).toContain(nonce);
    expect((await server.request("GET", "/c/1")).headers.get("content-security-policy")).not.toBe(policy);
    expect((await server.request("GET", "/healthz")).headers.get("x-content-type-options")).toBe("nosniff");
  });

  test("no password and no token was logged, although the log level is debug", () => {
    expect(server.errors + server.output).not.toMatch(/correct horse|eyJ|scrypt/);
  });
});

describe("a start that cannot succeed says why in one line and ends with an error", () => {
  const expectOneLine = (
    ended: { code: number | null; stdout: string; stderr: string },
    text: RegExp,
  ): void => {
    expect(ended.code).toBeGreaterThan(0);
    expect(ended.stdout).toBe("");
    expect(ended.stderr.trim().split("\n")).toHaveLength(1);
    expect(ended.stderr).toMatch(text);
    expect(ended.stderr).not.toMatch(/^\s+at /m);
  };

  if (!sharesPorts())
    test("GATEWAYS=2 on this Node", async () => {
      expectOneLine(
        await runToEnd({ GATEWAYS: "2", DATA_DIR: `/tmp/pp-none-${process.pid}` }),
        /GATEWAYS 2 needs Node 22\.12 or later/,
      );
    });

  test("PORT in use", async () => {
    const server = await AppServer.start({ SHARDS: "0" });
    expectOneLine(
      await runToEnd({ PORT: String(server.port), DATA_DIR: `${server.dataDir}/other` }),
      /PORT \d+ on 127\.0\.0\.1 is in use/,
    );
    await server.stop();
  });

  test.each([
    ["PORT=http", { PORT: "http" }, /PORT must be a whole number/],
    ["SHARDS=-1", { SHARDS: "-1" }, /SHARDS must be a whole number/],
    ["GATEWAYS=0", { GATEWAYS: "0" }, /GATEWAYS must be a whole number from 1 to 64/],
    ["LOG_LEVEL=loud", { LOG_LEVEL: "loud" }, /LOG_LEVEL must be one of/],
    ["an unwritable DATA_DIR", { DATA_DIR: "/dev/null/data" }, /DATA_DIR .* cannot be written to/],
    [
      "a DATABASE_URL of another kind",
      { DATABASE_URL: "postgres://x/y" },
      /DATABASE_URL must start with mysql/,
    ],
    ["production without JWT_SECRET", { NODE_ENV: "production" }, /JWT_SECRET is required/],
    [
      "production with a JWT_SECRET of words",
      { NODE_ENV: "production", JWT_SECRET: "changeme-changeme-changeme-changeme" },
      /JWT_SECRET is too guessable .*openssl rand -base64 32/,
    ],
    [
      "production with a former secret of one letter",
      {
        NODE_ENV: "production",
        JWT_SECRET: "pS0Xlq1w5Yk3oVbTnR8uJc2ZgA7eHdMf9iLsKxQyWtE=",
        JWT_PREVIOUS_SECRETS: "x".repeat(40),
      },
      /JWT_PREVIOUS_SECRETS number 1 is too guessable/,
    ],
    ["a bad ALLOWED_ORIGINS", { ALLOWED_ORIGINS: "example" }, /ALLOWED_ORIGINS has/],
  ])("%s", async (_what, env, text) => {
    expectOneLine(
      await runToEnd({ DATA_DIR: `/tmp/pp-none-${process.pid}`, PORT: "0", ...env } as Record<
        string,
        string
      >),
      text,
    );
  });

  test.each(["0", "2"])("an unreachable DATABASE_URL, %s shards", async (shards) => {
    const port = await freePort();
    const env = {
      PORT: "0",
      SHARDS: shards,
      DATA_DIR: `/tmp/pp-none-${process.pid}`,
      DATABASE_URL: `mysql://a:b@127.0.0.1:${port}/c`,
    };
    expectOneLine(await runToEnd(env), /the database cannot be used \(.*ECONNREFUSED/);
  });

  test("the generated secret is for its owner alone", async () => {
    const server = await AppServer.start({ SHARDS: "0" });
    const { statSync } = await import("node:fs");
    expect(statSync(join(server.dataDir, "jwt-secret")).mode & 0o777).toBe(0o600);
    await server.stop();
  });
});
