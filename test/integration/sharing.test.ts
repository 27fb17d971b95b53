/**
 * Challenges with owners, roles and invitations, and what each may do: over HTTP and in the room,
 * on both databases.
 */
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { type Account, AppServer } from "../support/app-server.js";
import { type MariaDb, startMariaDb } from "../support/mariadb.js";
import { answer, Participant, type RefusedError } from "../support/phoenix-client.js";
import { describeWith } from "../support/requirements.js";
import { waitFor } from "../support/wait.js";

interface Card {
  readonly id: number;
  readonly title: string;
  readonly role: string;
  readonly access: string;
}

for (const database of ["SQLite", "MariaDB"] as const) {
  describeWith(database === "MariaDB" ? "MariaDB" : undefined, `sharing on ${database}`, () => {
    let mariadb: MariaDb | undefined;
    let server: AppServer;
    let ann: Account;
    let bob: Account;
    beforeAll(async () => {
      if (database === "MariaDB") mariadb = await startMariaDb();
      server = await AppServer.start({
        SHARDS: database === "MariaDB" ? "1" : "0",
        ...(mariadb === undefined ? {} : { DATABASE_URL: await mariadb.createDatabase() }),
      });
      [ann, bob] = await Promise.all([server.signUp("Ann"), server.signUp("Bob")]);
    });
    afterAll(async () => {
      await server?.stop();
      await mariadb?.stop();
    });

    /** Someone in a room; they leave when the test is over, however it ends. */
    const everyone: Participant[] = [];
    const participant = (who: Account, id: number): Participant => {
      const one = new Participant(server, who.token, id);
      everyone.push(one);
      return one;
    };
    afterEach(() => {
      for (const one of everyone.splice(0)) one.leave();
    });

    async function ask<T = unknown>(who: Account, method: string, path: string, body?: unknown) {
      const response = await server.request(method, path, body, who.token);
      const text = await response.text();
      return { status: response.status, body: (text === "" ? undefined : JSON.parse(text)) as T };
    }
    const create = async (more: object = {}): Promise<number> =>
      (
        await ask<{ id: number }>(ann, "POST", "/api/challenges", {
          title: "Mine",
          prompt: "Do it",
          language: "python",
          response: "start",
          ...more,
        })
      ).body.id;
    const restricted = async (): Promise<number> => {
      const id = await create();
      expect((await ask(ann, "PATCH", `/api/challenges/${id}`, { access: "restricted" })).status).toBe(200);
      return id;
    };
    const invite = async (id: number, role: string, hours = 1) =>
      (
        await ask<{ token: string; invitation: { id: number } }>(
          ann,
          "POST",
          `/api/challenges/${id}/invitations`,
          { role, hours },
        )
      ).body;
    const accept = (who: Account, token: string) =>
      ask<{ challenge_id: number; role: string }>(who, "POST", "/api/invitations/accept", { token });
    const refusal = async (one: Participant): Promise<unknown> =>
      ((await one.join().catch((error: unknown) => error)) as RefusedError).response;
    const search = async (who: Account, query: string): Promise<{ cards: Card[]; total: number }> =>
      (await ask<{ cards: Card[]; total: number }>(who, "GET", `/api/challenges?view=cards&${query}`)).body;

    test("only its owner changes a challenge, and its room is notified", async () => {
      const id = await create();
      const one = participant(bob, id);
      let notified: unknown;
      one.channel.on("challenge:changed", (payload: unknown) => {
        notified = payload;
      });
      expect(await one.join()).toMatchObject({ can_write: true, role: "edit" });
      expect((await ask(bob, "PATCH", `/api/challenges/${id}`, { title: "Bob's" })).status).toBe(403);
      expect((await ask(bob, "DELETE", `/api/challenges/${id}`)).status).toBe(403);
      const changed = await ask(ann, "PATCH", `/api/challenges/${id}`, {
        title: " Ne\u0301w ",
        language: "javascript",
        starter: "again",
      });
      expect(changed).toMatchObject({
        status: 200,
        body: { title: "N\u00e9w", prompt: "Do it", language: "javascript", response: "start" },
      });
      await waitFor("Bob is notified", () => notified);
      expect(notified).toMatchObject({ challenge: { id, language: "javascript" } });
      expect(JSON.stringify(notified)).not.toContain("response");
      const details = await ask(ann, "GET", `/api/challenges/${id}?include=details`);
      expect(details.body).toMatchObject({ starter: "again", access: "open", role: "owner" });
      expect((await ask(bob, "GET", `/api/challenges/${id}?include=details`)).body).toMatchObject({
        role: "edit",
      });
    });

    test.each([
      {},
      { title: "" },
      { title: 5 },
      { language: "cobol" },
      { access: "secret" },
      { response: "not by this way" },
      { ownerId: 1 },
      { access: null },
    ])("the change %j is refused", async (body) => {
      const id = await create();
      expect((await ask(ann, "PATCH", `/api/challenges/${id}`, body)).status).toBe(422);
    });

    test("a deleted challenge is gone, and its room closes", async () => {
      const id = await create();
      const one = participant(bob, id);
      let closed: unknown;
      one.channel.on("room:closed", (payload: unknown) => {
        closed = payload;
      });
      await one.join();
      expect((await ask(ann, "DELETE", `/api/challenges/${id}`)).status).toBe(204);
      await waitFor("the room closes", () => closed);
      expect(closed).toEqual({ reason: "deleted" });
      expect((await ask(ann, "GET", `/api/challenges/${id}`)).status).toBe(404);
      expect((await ask(ann, "DELETE", `/api/challenges/${id}`)).status).toBe(404);
      await waitFor("the channel has ended", () => one.channel.state === "closed");
    });

    test("a restricted challenge is seen by its owner alone, open ones by all users", async () => {
      const id = await restricted();
      expect((await ask(bob, "GET", `/api/challenges/${id}`)).status).toBe(404);
      const ids = async (who: Account) =>
        (await ask<{ id: number }[]>(who, "GET", "/api/challenges")).body.map((challenge) => challenge.id);
      expect([(await ids(ann)).includes(id), (await ids(bob)).includes(id)]).toEqual([true, false]);
      const [mine, theirs] = [participant(ann, id), participant(bob, id)];
      expect(await mine.join()).toMatchObject({ role: "owner", can_write: true });
      expect(await refusal(theirs)).toMatchObject({ reason: "not_found" });
      expect((await ask(bob, "GET", "/api/challenges/1")).status).toBe(200);
    });

    test("a link gives its role while it is valid, and is shown once", async () => {
      const id = await restricted();
      const [edit, view] = [await invite(id, "edit"), await invite(id, "view")];
      expect(edit.token).toMatch(/^[\w-]{32}$/);
      const sharing = await ask(ann, "GET", `/api/challenges/${id}/sharing`);
      expect(JSON.stringify(sharing.body)).not.toContain(edit.token);
      expect((await ask(bob, "GET", `/api/challenges/${id}/sharing`)).status).toBe(404);
      expect((await ask(bob, "POST", `/api/challenges/${id}/invitations`, { role: "edit" })).status).toBe(
        404,
      );

      expect(await accept(bob, view.token)).toEqual({
        status: 200,
        body: { challenge_id: id, role: "view" },
      });
      const one = participant(bob, id);
      expect(await one.join()).toMatchObject({ role: "view", can_write: false });
      const notified: unknown[] = [];
      one.channel.on("room:access", (payload: unknown) => void notified.push(payload));
      await expect(answer(one.channel.push("response:update", { response: "no" }))).rejects.toMatchObject({
        response: { error: "Error updating challenge", reason: "read_only", why: "role" },
      });
      expect((await accept(bob, edit.token)).body).toEqual({ challenge_id: id, role: "edit" });
      await waitFor("Bob may write", () => notified.length === 1);
      expect(notified).toEqual([{ role: "edit", can_write: true }]);
      await one.type("yes");
      // The lesser link takes nothing away.
      expect((await accept(bob, view.token)).body).toEqual({ challenge_id: id, role: "edit" });

      expect(
        (await ask(ann, "DELETE", `/api/challenges/${id}/invitations/${view.invitation.id}`)).status,
      ).toBe(204);
      const cleo = await server.signUp("Cleo");
      expect(await accept(cleo, view.token)).toMatchObject({
        status: 404,
        body: { error: { code: "no_invitation" } },
      });
      expect((await ask(bob, "GET", `/api/challenges/${id}`)).status).toBe(200);
    });

    test("a role given by the owner holds in an open room, at once and later", async () => {
      const id = await create();
      const one = participant(bob, id);
      const notified: unknown[] = [];
      one.channel.on("room:access", (payload: unknown) => void notified.push(payload));
      expect(await one.join()).toMatchObject({ role: "edit", can_write: true });
      const path = `/api/challenges/${id}/members/${bob.user.id}`;
      expect((await ask(ann, "PUT", path, { role: "view" })).status).toBe(204);
      await waitFor("Bob may only read", () => notified.length === 1);
      expect(notified).toEqual([{ role: "view", can_write: false }]);
      await expect(answer(one.channel.push("response:update", { response: "no" }))).rejects.toMatchObject({
        response: { reason: "read_only" },
      });
      expect((await ask(bob, "POST", `/api/challenges/${id}/reset`)).status).toBe(403);
      expect(await participant(bob, id).join()).toMatchObject({ role: "view", can_write: false });
      expect((await search(bob, "limit=100")).cards.find((card) => card.id === id)).toMatchObject({
        role: "view",
      });
    });

    test("a link to read does not allow writing in an open room", async () => {
      const id = await create();
      const [view, edit] = [await invite(id, "view"), await invite(id, "edit")];
      const cleo = await server.signUp("Cleo");
      expect((await accept(bob, view.token)).body).toEqual({ challenge_id: id, role: "view" });
      expect((await accept(cleo, edit.token)).body).toEqual({ challenge_id: id, role: "edit" });
      expect(await participant(bob, id).join()).toMatchObject({ role: "view", can_write: false });
      await ask(ann, "PATCH", `/api/challenges/${id}`, { access: "restricted" });
      expect(await participant(cleo, id).join()).toMatchObject({ role: "edit", can_write: true });
      expect(await participant(bob, id).join()).toMatchObject({ role: "view", can_write: false });
      expect((await accept(ann, view.token)).body).toEqual({ challenge_id: id, role: "owner" });
    });

    test("what the owner gives by hand is not changed by a link, old or new", async () => {
      const id = await restricted();
      const edit = await invite(id, "edit");
      expect((await accept(bob, edit.token)).body).toEqual({ challenge_id: id, role: "edit" });
      const path = `/api/challenges/${id}/members/${bob.user.id}`;
      expect((await ask(ann, "PUT", path, { role: "view" })).status).toBe(204);
      for (const { token } of [edit, await invite(id, "edit")])
        expect(await accept(bob, token)).toEqual({ status: 200, body: { challenge_id: id, role: "view" } });
      expect(await participant(bob, id).join()).toMatchObject({ role: "view", can_write: false });
      const uses = (
        await ask<{ invitations: { uses: number }[] }>(ann, "GET", `/api/challenges/${id}/sharing`)
      ).body.invitations;
      expect(uses.map((one) => one.uses)).toEqual([1, 0]);
      expect((await ask(ann, "PUT", path, { role: "edit" })).status).toBe(204);
      expect(await participant(bob, id).join()).toMatchObject({ role: "edit", can_write: true });
    });

    test("missing and forbidden resources get the same answer", async () => {
      const hidden = await restricted();
      const sent = await create();
      await ask(ann, "PUT", `/api/challenges/${sent}/members/${bob.user.id}`, { role: "removed" });
      const routes: [method: string, path: string, body?: object][] = [
        ["GET", ""],
        ["GET", "?include=details"],
        ["PATCH", "", { title: "Mine" }],
        ["PATCH", "", { language: "go" }],
        ["DELETE", ""],
        ["GET", "/sharing"],
        ["POST", "/invitations", { role: "edit" }],
        ["DELETE", "/invitations/1"],
        ["PUT", `/members/${bob.user.id}`, { role: "edit" }],
        ["PUT", `/members/${ann.user.id}`, { role: "removed" }],
        ["GET", "/versions"],
        ["GET", "/versions/0"],
        ["POST", "/versions/0/restore"],
        ["POST", "/reset"],
        ["PATCH", "", { title: "" }],
      ];
      for (const [method, path, body] of routes) {
        const [nothing, ...there] = await Promise.all(
          [999_999, hidden, sent].map((id) => ask(bob, method, `/api/challenges/${id}${path}`, body)),
        );
        expect([method, path, nothing?.status]).toEqual([method, path, 404]);
        for (const one of there) expect(one).toEqual(nothing);
      }
      const refusals = await Promise.all([999_999, hidden, sent].map((id) => refusal(participant(bob, id))));
      expect(refusals).toEqual(Array(3).fill({ reason: "not_found", code: "challenge_not_found" }));
    });

    test.each(["", "x", "' or 1=1 --", "%", "x".repeat(201)])("the token %j opens nothing", async (token) => {
      expect([404, 422]).toContain((await accept(bob, token)).status);
    });

    test("a removed user leaves at once and does not return, not even by a link", async () => {
      const id = await create();
      const cleo = await server.signUp("Cleo");
      const [one, two] = [participant(bob, id), participant(cleo, id)];
      const closed: unknown[] = [];
      one.channel.on("room:closed", (payload: unknown) => void closed.push(payload));
      two.channel.on("room:closed", (payload: unknown) => void closed.push(payload));
      await Promise.all([one.join(), two.join()]);
      const { token } = await invite(id, "edit");
      const path = `/api/challenges/${id}/members/${bob.user.id}`;
      expect((await ask(cleo, "PUT", path, { role: "removed" })).status).toBe(403);
      expect((await ask(ann, "PUT", path, { role: "removed" })).status).toBe(204);
      await waitFor("Bob is out", () => closed.length === 1);
      expect(closed).toEqual([{ reason: "removed" }]);
      await waitFor("Cleo does not see him", () => two.names.join() === "Cleo");
      expect((await accept(bob, token)).status).toBe(403);
      expect((await ask(bob, "GET", `/api/challenges/${id}`)).status).toBe(404);
      await two.type("undisturbed");
      expect(two.joins).toBe(1);
      expect((await ask(ann, "PUT", path, { role: "view" })).status).toBe(204);
      expect((await ask(bob, "GET", `/api/challenges/${id}?include=details`)).body).toMatchObject({
        role: "view",
      });
    });

    test("a room that becomes restricted continues for invited users alone", async () => {
      const id = await create();
      const one = participant(bob, id);
      let closed: unknown;
      one.channel.on("room:closed", (payload: unknown) => {
        closed = payload;
      });
      await one.join();
      await ask(ann, "PATCH", `/api/challenges/${id}`, { access: "restricted" });
      await waitFor("Bob is out", () => closed);
    });

    test("an owner stays owner, and a missing user gets no role", async () => {
      const id = await create();
      const put = async (user: unknown, role: unknown) =>
        (await ask(ann, "PUT", `/api/challenges/${id}/members/${user}`, { role })).status;
      expect(await put(ann.user.id, "view")).toBe(403);
      expect(await put(999_999, "view")).toBe(404);
      expect(await put("abc", "view")).toBe(404);
      expect(await put(bob.user.id, "owner")).toBe(422);
    });

    test("the seeded challenges have no owner: all edit them, none deletes them", async () => {
      for (const [method, body] of [
        ["PATCH", { access: "restricted" }],
        ["DELETE", undefined],
      ] as const)
        expect((await ask(ann, method, "/api/challenges/1", body)).status).toBe(403);
    });

    test("a search finds parts of title and prompt, case folded, without patterns", async () => {
      const mark = `Zq${Date.now()}`;
      await create({ title: `100% ${mark}`, prompt: "snake_case!" });
      await create({ title: `1000 ${mark}`, prompt: "snakeXcase", language: "javascript" });
      const titles = async (who: Account, q: string, more = ""): Promise<string[]> =>
        (await search(who, `q=${encodeURIComponent(q)}${more}`)).cards.map(({ title }) => title);
      expect(await titles(bob, mark.toLowerCase())).toEqual([`100% ${mark}`, `1000 ${mark}`]);
      expect(await titles(bob, `100% ${mark}`)).toEqual([`100% ${mark}`]);
      expect(await titles(bob, `_00% ${mark}`)).toEqual([]);
      expect(await titles(bob, "SNAKE_case")).toEqual([`100% ${mark}`]);
      expect(await titles(bob, "case!")).toEqual([`100% ${mark}`]);
      expect(await titles(bob, mark, "&language=javascript")).toEqual([`1000 ${mark}`]);
      expect(await titles(ann, mark, "&mine=1")).toHaveLength(2);
      expect(await titles(bob, mark, "&mine=1")).toEqual([]);
      for (const q of ["'", "\\", "%' or '1'='1", "!", "!!"])
        expect(await titles(bob, `${q}${mark}`)).toEqual([]);
      expect((await ask(bob, "GET", "/api/challenges?view=cards&q=%00")).status).toBe(422);
      const page = await search(bob, `q=${mark}&limit=1&offset=1`);
      expect(page).toMatchObject({
        total: 2,
        cards: [{ title: `1000 ${mark}`, role: "edit", access: "open" }],
      });
      for (const query of [
        "limit=0",
        "limit=1000",
        "offset=-1",
        "language=cobol",
        "mine=yes",
        `q=${"x".repeat(101)}`,
      ])
        expect((await ask(bob, "GET", `/api/challenges?view=cards&${query}`)).status).toBe(422);
    });

    test("a chat message reaches all users of the room and later ones, once", async () => {
      const id = await restricted();
      await accept(bob, (await invite(id, "view")).token);
      const [one, two] = [participant(ann, id), participant(bob, id)];
      const received: { text: string; first_name: string }[] = [];
      two.channel.on("chat:message", (message: (typeof received)[0]) => void received.push(message));
      await Promise.all([one.join(), two.join()]);
      const say = (who: Participant, payload: object) =>
        answer<{ id: number }>(who.channel.push("chat:send", payload));
      const first = await say(one, { text: " <b>hello</b> \u202e🦚 ", key: "k1" });
      expect(await say(one, { text: "<b>hello</b> 🦚", key: "k1" })).toEqual(first);
      await say(two, { text: "readers may speak", key: "k1" });
      await waitFor("Bob has received both", () => received.length === 2);
      expect(received[0]).toMatchObject({
        id: first.id,
        user_id: ann.user.id,
        first_name: "Ann",
        text: "<b>hello</b> 🦚",
        key: "k1",
        at: expect.stringMatching(/Z$/),
      });
      const late = participant(bob, id);
      await late.join();
      const { messages } = await answer<{ messages: { text: string }[] }>(
        late.channel.push("chat:history", {}),
      );
      expect(messages.map(({ text }) => text)).toEqual(["<b>hello</b> 🦚", "readers may speak"]);
      const before = await answer<{ messages: unknown[] }>(
        late.channel.push("chat:history", { before: first.id }),
      );
      expect(before.messages).toEqual([]);
    });

    test("a chat accepts 2 KiB at once, five messages at once, and only text", async () => {
      const one = participant(ann, await create());
      const received: unknown[] = [];
      one.channel.on("chat:message", (message: unknown) => void received.push(message));
      await one.join();
      const say = (payload: unknown) =>
        answer(one.channel.push("chat:send", payload as object)).then(
          () => "ok",
          (error: RefusedError) => (error.response as { reason: string }).reason,
        );
      const bad = [
        {},
        null,
        { text: "x" },
        { text: 5, key: "k" },
        { text: "  ", key: "k" },
        { text: "ü".repeat(1025), key: "k" },
        { text: "a\u0000", key: "k" },
        { text: "x", key: "" },
        { text: "x", key: "k".repeat(41) },
      ];
      for (const payload of bad) expect([payload, await say(payload)]).toEqual([payload, "invalid"]);
      const said = await Promise.all(
        Array.from({ length: 12 }, (_, n) => say({ text: "ü".repeat(1024), key: `k${n}` })),
      );
      expect(said.slice(0, 5)).toEqual(["ok", "ok", "ok", "ok", "ok"]);
      expect(said.filter((answered) => answered === "rate").length).toBeGreaterThan(0);
      await waitFor(
        "what was taken is received",
        () => received.length === said.filter((text) => text === "ok").length,
      );
    });
  });
}
