/**
 * Sessions as a browser has them: a token for minutes, a cookie that renews it, and an end that
 * everything receives of.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { WebSocket } from "ws";
import { AppServer } from "../support/app-server.js";
import { Browserlike } from "../support/cookies.js";
import { type MariaDb, startMariaDb } from "../support/mariadb.js";
import { answer, openSocket, Participant } from "../support/phoenix-client.js";
import { RawHttp } from "../support/raw-http.js";
import { describeWith } from "../support/requirements.js";
import { waitFor } from "../support/wait.js";

for (const database of ["SQLite", "MariaDB"] as const) {
  describeWith(database === "MariaDB" ? "MariaDB" : undefined, `sessions on ${database}`, () => {
    let mariadb: MariaDb | undefined;
    let server: AppServer;
    beforeAll(async () => {
      if (database === "MariaDB") mariadb = await startMariaDb();
      server = await AppServer.start({
        SHARDS: database === "MariaDB" ? "0" : "1",
        LOG_LEVEL: "debug",
        ...(mariadb === undefined ? {} : { DATABASE_URL: await mariadb.createDatabase() }),
      });
    });
    afterAll(async () => {
      await server?.stop();
      await mariadb?.stop();
    });

    const works = async (token: string): Promise<number> =>
      (await server.request("GET", "/api/challenges", undefined, token)).status;

    async function signedIn(name = "Ann") {
      const account = await server.signUp(name);
      const browser = new Browserlike(server);
      const { token } = (await (await browser.logIn(account)).json()) as { token: string };
      return { account, browser, token };
    }

    test("the cookie is HttpOnly, same-site, path-bound and persistent", async () => {
      const { browser } = await signedIn();
      const attributes = browser.attributes.map((part) => part.toLowerCase());
      expect(attributes).toEqual(
        expect.arrayContaining(["httponly", "samesite=strict", "path=/api/session", "max-age=1209600"]),
      );
      // Over plain HTTP a browser would throw a secure one away.
      expect(attributes).not.toContain("secure");
    });

    test("a renewal gives a new token and a new cookie to the same user", async () => {
      const { account, browser, token } = await signedIn();
      const before = browser.cookie;
      const renewed = await browser.renewed();
      expect(renewed.user).toEqual(account.user);
      expect(renewed.token).not.toBe(token);
      expect(browser.cookie).not.toBe(before);
      expect([await works(renewed.token), await works(token)]).toEqual([200, 200]);
      expect((await browser.renewed("b")).user).toEqual(account.user);
    });

    test("a reused cookie ends the session and its live sockets", async () => {
      const { browser } = await signedIn();
      const stolen = new Browserlike(server);
      stolen.cookie = browser.cookie;
      const { token } = await browser.renewed("mine");
      const inside = new Participant(server, token, 1);
      await inside.join();
      let closed = false;
      inside.socket.onClose(() => {
        closed = true;
      });
      expect((await stolen.renew("theirs")).status).toBe(401);
      expect((await browser.renew("mine-too")).status).toBe(401);
      expect(await works(token)).toBe(401);
      await waitFor("the live socket is closed, too", () => closed);
      inside.leave();
    });

    test("of two renewals with one cookie at most one continues", async () => {
      const { browser } = await signedIn();
      const stolen = new Browserlike(server);
      stolen.cookie = browser.cookie;
      const answers = await Promise.all([browser.renew("mine"), stolen.renew("theirs")]);
      expect(answers.filter(({ status }) => status === 200).length).toBeLessThanOrEqual(1);
      expect([(await browser.renew("again")).status, (await stolen.renew("again")).status]).toEqual([
        401, 401,
      ]);
    });

    test("a renewal with a lost answer can be repeated until its successor is used", async () => {
      const { browser, account } = await signedIn();
      const reloaded = new Browserlike(server);
      reloaded.cookie = browser.cookie;
      await browser.renewed("words");
      expect((await reloaded.renewed("words")).user).toEqual(account.user);
      expect(reloaded.cookie).toBe(browser.cookie);
      const late = new Browserlike(server);
      late.cookie = reloaded.cookie;
      await reloaded.renewed("next");
      await reloaded.renewed("one-more");
      expect((await late.renew("next")).status).toBe(401);
    });

    test.each([
      ["no cookie", ""],
      ["nonsense", "phoenixpair_session=nonsense"],
      ["a session no one has", `phoenixpair_session=${crypto.randomUUID()}.${"A".repeat(43)}`],
    ])("with %s there is nothing to renew", async (_what, cookie) => {
      const browser = new Browserlike(server);
      browser.cookie = cookie;
      const response = await browser.renew();
      expect(response.status).toBe(401);
      expect(await response.json()).toMatchObject({ error: { code: "session_ended" } });
    });

    test("the cookie needs the header of our own page, and our origin", async () => {
      const { browser } = await signedIn();
      const bare = await browser.request("POST", "/api/session");
      expect(await bare.json()).toMatchObject({ error: { code: "header_missing" } });
      expect((await browser.request("DELETE", "/api/session")).status).toBe(403);
      for (const headers of [
        { origin: "http://evil.example" },
        { origin: "null" },
        { origin: server.url.replace("http:", "https:") },
        { "sec-fetch-site": "cross-site" },
        { "sec-fetch-site": "same-site" },
      ] as Record<string, string>[]) {
        const response = await browser.renew("a", headers);
        expect([headers, response.status]).toEqual([headers, 403]);
      }
      expect((await browser.renew("a", { origin: server.url, "sec-fetch-site": "same-origin" })).status).toBe(
        200,
      );
    });

    test("signing out ends token, cookie and live sockets, and no other session", async () => {
      const { account, browser, token } = await signedIn();
      const elsewhere = new Participant(server, account.token, 1);
      const here = new Participant(server, token, 1);
      await Promise.all([here.join(), elsewhere.join()]);
      let closed = false;
      here.socket.onClose(() => {
        closed = true;
      });
      const kept = browser.cookie;
      const response = await browser.request("DELETE", "/api/session", { headers: { "x-phoenixpair": "x" } });
      expect(response.status).toBe(204);
      expect(browser.attributes).toContain("Max-Age=0");
      await waitFor("the socket is closed", () => closed);
      await waitFor("the other session is back", () => elsewhere.joins === 2);
      expect(here.joins).toBe(1);
      expect([await works(token), await works(account.token)]).toEqual([401, 200]);
      browser.cookie = kept;
      expect((await browser.renew()).status).toBe(401);
      await elsewhere.type("continues");
      here.leave();
      elsewhere.leave();
    });

    test("a program without a cookie signs out by its token", async () => {
      const { account } = await signedIn();
      expect((await server.request("DELETE", "/api/session", undefined, account.token)).status).toBe(204);
      expect(await works(account.token)).toBe(401);
      expect((await server.request("DELETE", "/api/session", undefined, account.token)).status).toBe(401);
    });

    test("signing out everywhere ends every session", async () => {
      const { account, browser, token } = await signedIn();
      expect((await server.request("DELETE", "/api/sessions", undefined, account.token)).status).toBe(204);
      expect([await works(token), await works(account.token), (await browser.renew()).status]).toEqual([
        401, 401, 401,
      ]);
    });

    test("a changed password ends all other sessions and their sockets", async () => {
      const { account, browser, token } = await signedIn();
      const one = new Participant(server, account.token, 2);
      await one.join();
      let closed = false;
      one.socket.onClose(() => {
        closed = true;
      });
      const change = (body: object) =>
        browser.request("PUT", "/api/account/password", {
          body,
          headers: { authorization: `Bearer ${token}` },
        });
      const wrong = await change({ current: "not it at all", password: "another password" });
      expect([wrong.status, await wrong.json()]).toMatchObject([
        401,
        { error: { code: "invalid_credentials" } },
      ]);
      expect((await change({ current: account.password, password: "12345678" })).status).toBe(422);
      expect(closed).toBe(false);
      const changed = await change({ current: account.password, password: "another password" });
      expect(changed.status).toBe(200);
      const next = ((await changed.json()) as { token: string }).token;
      await waitFor("the socket is closed", () => closed);
      expect([await works(token), await works(account.token), await works(next)]).toEqual([401, 401, 200]);
      expect((await browser.renewed()).user).toEqual(account.user);
      expect((await browser.logIn(account)).status).toBe(401);
      expect((await browser.logIn({ ...account, password: "another password" })).status).toBe(200);
      one.leave();
    });

    test("a log-in during a change of password leaves no session of the old one", async () => {
      const { account, token } = await signedIn();
      const body = { current: account.password, password: "another password" };
      const former = { email: account.email, password: account.password };
      const [changed, ...logIns] = await Promise.all([
        server.request("PUT", "/api/account/password", body, token),
        ...Array.from({ length: 6 }, () => server.request("POST", "/api/sessions", former)),
      ]);
      expect(changed.status).toBe(200);
      for (const logIn of logIns) {
        expect([200, 401]).toContain(logIn.status);
        if (logIn.status === 200)
          expect(await works(((await logIn.json()) as { token: string }).token)).toBe(401);
      }
      expect(await works(((await changed.json()) as { token: string }).token)).toBe(200);
    });

    test("a request whose body comes late is decided when it is there", async () => {
      const { account, token } = await signedIn();
      const challenge = { title: "Mine", prompt: "p", language: "go" };
      const { id } = (await (
        await server.request("POST", "/api/challenges", challenge, account.token)
      ).json()) as { id: number };
      const bodies: [path: string, body: object][] = [
        ["/api/challenges", challenge],
        [`/api/challenges/${id}/invitations`, { role: "edit" }],
      ];
      const late = await Promise.all(
        bodies.map(async ([path, body]) => {
          const client = await RawHttp.open(server.port);
          const text = JSON.stringify(body);
          client.send(
            `POST ${path} HTTP/1.1`,
            "Host: localhost",
            `Authorization: Bearer ${token}`,
            `Content-Length: ${text.length}`,
            "",
          );
          client.socket.write(text.slice(0, 5));
          return { client, rest: text.slice(5) };
        }),
      );
      // The first ones have been read up to there.
      expect(await works(token)).toBe(200);
      expect((await server.request("DELETE", "/api/sessions", undefined, account.token)).status).toBe(204);
      for (const { client, rest } of late) {
        client.socket.write(rest);
        expect(await client.until(/^HTTP\/1\.1 \d{3} /)).toMatch(/^HTTP\/1\.1 401 /);
        client.close();
      }
    });

    test("guesses that are made at once are counted like those one after the other", async () => {
      const { account, browser } = await signedIn("Victim");
      const guesses = Array.from({ length: 12 }, (_, n) =>
        browser.logIn({ ...account, password: `guess ${n}` }),
      );
      const statuses = (await Promise.all(guesses)).map(({ status }) => status);
      expect(statuses.filter((status) => status === 401)).toHaveLength(5);
      expect(statuses.filter((status) => status === 429)).toHaveLength(7);
    });

    test("neither tokens nor cookies are logged, wherever they came in", async () => {
      const { browser, token } = await signedIn();
      const socket = openSocket(server.port, { token });
      await answer(socket.channel("challenges:1", {}).join());
      socket.disconnect();
      expect((await server.request("GET", `/api/challenges?token=${token}`)).status).toBe(401);
      await waitFor("the connect was logged", () => /CONNECTED TO \/socket/.test(server.errors));
      const secret = browser.cookie.split("=")[1] as string;
      expect(server.errors + server.output).not.toMatch(/eyJ|correct horse|phoenixpair_session=/);
      expect(server.errors + server.output).not.toContain(secret);
    });
  });
}

describe("a socket and its token", () => {
  let server: AppServer;
  beforeAll(async () => {
    server = await AppServer.start({ SHARDS: "1", ACCESS_TOKEN_SECONDS: "12" });
  });
  afterAll(() => server.stop());

  test("the client is notified before its token ends, and closed with 4401", async () => {
    const ann = await server.signUp("Ann");
    const one = new Participant(server, ann.token, 1, { reconnectAfterMs: () => 60_000 });
    let notified: unknown;
    let code: number | undefined;
    one.channel.on("session:expiring", (payload: unknown) => {
      notified = payload;
    });
    one.socket.onClose((event: { code?: number }) => {
      code = event.code;
    });
    await one.join();
    await waitFor("it is notified", () => notified, 20_000);
    expect(notified).toEqual({ expires_at: expect.stringMatching(/^\d{4}-.*Z$/) });
    expect(code).toBeUndefined();
    await waitFor("it is closed", () => code, 20_000);
    expect(code).toBe(4401);
    one.leave();
  });

  test("a client that sends a newer token of its own continues", async () => {
    const [ann, bob] = [await server.signUp("Ann"), await server.signUp("Bob")];
    const browser = new Browserlike(server);
    // The last token that is made, so that most of its life is left.
    const { token } = (await (await browser.logIn(ann)).json()) as { token: string };
    const one = new Participant(server, token, 1, { reconnectAfterMs: () => 60_000 });
    let closed = false;
    let notified = 0;
    one.socket.onClose(() => {
      closed = true;
    });
    one.channel.on("session:expiring", () => {
      notified += 1;
    });
    await one.join();
    const renew = (payload: unknown) => answer(one.channel.push("session:renew", payload as object));
    const bad = [{ token: bob.token }, { token: "nonsense" }, { token: 5 }, {}, null, []];
    for (const refusal of await Promise.allSettled(bad.map(renew)))
      expect(refusal).toMatchObject({
        status: "rejected",
        reason: { response: { reason: "invalid_token" } },
      });
    for (let round = 1; round <= 2; round += 1) {
      await waitFor(`it is notified (${round})`, () => notified >= round, 20_000);
      await renew({ token: (await browser.renewed(`round-${round}`)).token });
    }
    // Twice half the life of a token, and on.
    expect(closed).toBe(false);
    await one.type("still here");
    one.leave();
  });

  test("a token in the sub-protocol opens a socket too, and a bad one does not", async () => {
    const ann = await server.signUp("Ann");
    const open = (token: string): Promise<unknown> =>
      new Promise((resolve) => {
        const protocol = `base64url.bearer.phx.${Buffer.from(token).toString("base64url")}`;
        const ws = new WebSocket(`ws://127.0.0.1:${server.port}/socket/websocket?vsn=2.0.0`, [
          "phoenix",
          protocol,
        ]);
        ws.on("unexpected-response", (_request, response) => resolve(response.statusCode));
        ws.on("open", () => {
          resolve(ws.protocol);
          ws.close();
        });
        ws.on("error", () => {});
      });
    expect(await open(ann.token)).toBe("phoenix");
    expect(await open("nonsense")).toBe(403);
    const socket = openSocket(server.port, {}, { authToken: ann.token });
    await answer(socket.channel("challenges:1", {}).join());
    socket.disconnect();
  });
});

describe("behind a proxy that is declared", () => {
  let server: AppServer;
  beforeAll(async () => {
    server = await AppServer.start({ SHARDS: "0", TRUST_PROXY: "1" });
  });
  afterAll(() => server.stop());

  const from = (address: string, more: Record<string, string> = {}) => ({
    headers: { "x-forwarded-for": address, "x-forwarded-proto": "https", ...more },
  });
  const signUp = (n: number, address: string) =>
    new Browserlike(server).request("POST", "/api/users", {
      body: { email: `u${n}@example.com`, password: "correct horse", name: "U" },
      ...from(address),
    });

  test("one address may make ten accounts an hour, whatever headers it sends", async () => {
    for (let n = 0; n < 10; n += 1) expect((await signUp(n, `10.0.0.${n}, 203.0.113.7`)).status).toBe(201);
    const refused = await signUp(10, "10.9.9.9, 203.0.113.7");
    expect([refused.status, Number(refused.headers.get("retry-after")) > 60]).toEqual([429, true]);
    expect(await refused.json()).toMatchObject({ error: { code: "too_many_attempts" } });
    expect((await signUp(11, "203.0.113.8")).status).toBe(201);
  });

  test("over https the cookie is secure and browsers get HSTS", async () => {
    const browser = new Browserlike(server);
    const response = await browser.request("POST", "/api/users", {
      body: { email: "s@example.com", password: "correct horse", name: "S" },
      ...from("203.0.113.9"),
    });
    expect(browser.attributes).toContain("Secure");
    expect(browser.cookie).toMatch(/^__Secure-phoenixpair_session=/);
    expect(response.headers.get("strict-transport-security")).toMatch(/max-age=\d{8}/);
    const outer = from("203.0.113.9", {
      "x-forwarded-host": "pair.example",
      origin: "https://pair.example",
      "x-phoenixpair": "a",
    });
    expect((await browser.request("POST", "/api/session", outer)).status).toBe(200);
    const plain = await server.request("GET", "/healthz");
    expect(plain.headers.get("strict-transport-security")).toBeNull();
  });
});
