/**
 * The tutorial, step by step, with the official client, against the real server: every database,
 * with and without shards.
 */
import { sharesPorts } from "simurgh/channels";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { WebSocket } from "ws";
import { AppServer } from "../support/app-server.js";
import { type MariaDb, startMariaDb } from "../support/mariadb.js";
import { answer, Participant, RefusedError } from "../support/phoenix-client.js";
import { describeWith } from "../support/requirements.js";
import { waitFor } from "../support/wait.js";

for (const database of ["SQLite", "MariaDB"] as const) {
  describeWith(database === "MariaDB" ? "MariaDB" : undefined, `the tutorial on ${database}`, () => {
    let mariadb: MariaDb | undefined;
    beforeAll(async () => {
      if (database === "MariaDB") mariadb = await startMariaDb();
    });
    afterAll(() => mariadb?.stop());

    describe.each([0, 2])("with %i shards", (shards) => {
      let server: AppServer;
      beforeAll(async () => {
        server = await AppServer.start({
          SHARDS: String(shards),
          // With several of everything, where Node can.
          GATEWAYS: shards > 0 && sharesPorts() ? "2" : "1",
          ...(mariadb === undefined ? {} : { DATABASE_URL: await mariadb.createDatabase() }),
        });
      });
      afterAll(() => server.stop());

      test("five challenges are there, in two languages at least", async () => {
        const ann = await server.signUp("Ann Lee");
        const challenges = (await (
          await server.request("GET", "/api/challenges", undefined, ann.token)
        ).json()) as { language: string }[];
        expect(challenges).toHaveLength(5);
        expect(new Set(challenges.map(({ language }) => language)).size).toBeGreaterThanOrEqual(2);
      });

      test("two people join, see each other, type, stop typing, and one leaves", async () => {
        const [ann, bob] = [await server.signUp("Ann Lee"), await server.signUp("Bob")];
        const one = new Participant(server, ann.token, 1);
        const { challenge } = await one.join();
        expect(challenge).toMatchObject({ id: 1, title: "Balanced brackets", language: "javascript" });
        await waitFor("Ann sees herself", () => one.names.join() === "Ann");
        const two = new Participant(server, bob.token, 1);
        await two.join();
        await waitFor("Ann sees Bob", () => one.names.join() === "Ann,Bob");
        await waitFor("Bob sees Ann", () => two.names.join() === "Ann,Bob");
        const meta = two.people.get(String(ann.user.id))?.[0];
        expect(meta).toMatchObject({ typing: false, first_name: "Ann", user_id: ann.user.id });
        expect(meta?.phx_ref).toEqual(expect.any(String));

        await one.type("let x = 1; // 🦚");
        await waitFor("Bob sees Ann's text", () => two.updates.at(-1)?.response === "let x = 1; // 🦚");
        await waitFor("Bob sees Ann type", () => two.typing(ann.user.id) === true);
        expect(two.typing(bob.user.id)).toBe(false);
        one.channel.push("current_participant_typing:remove", {});
        await waitFor("Bob sees that Ann has stopped", () => two.typing(ann.user.id) === false);
        await waitFor("Ann sees it too", () => one.typing(ann.user.id) === false);

        const stored = (await (
          await server.request("GET", "/api/challenges/1", undefined, bob.token)
        ).json()) as { response: string };
        expect(stored.response).toBe("let x = 1; // 🦚");
        two.leave();
        await waitFor("Bob is gone", () => one.names.join() === "Ann");
        one.leave();
      });

      test("two tabs of a user are one key with two metas", async () => {
        const ann = await server.signUp("Ann");
        const tabs = [new Participant(server, ann.token, 2), new Participant(server, ann.token, 2)] as const;
        await tabs[0].join();
        await tabs[1].join();
        await waitFor("two metas", () => tabs[0].people.get(String(ann.user.id))?.length === 2);
        expect(tabs[0].people.size).toBe(1);
        tabs[1].leave();
        await waitFor("one meta", () => tabs[0].people.get(String(ann.user.id))?.length === 1);
        tabs[0].leave();
      });

      test("a text that cannot be stored gets the tutorial's error, without a broadcast", async () => {
        const ann = await server.signUp("Ann");
        const one = new Participant(server, ann.token, 3);
        await one.join();
        for (const payload of [{ response: "x".repeat(300_000) }, { response: 5 }, {}, []]) {
          await expect(answer(one.channel.push("response:update", payload))).rejects.toMatchObject({
            response: { error: "Error updating challenge" },
          });
        }
        expect(one.updates).toEqual([]);
        one.leave();
      });

      test("the user comes from the token, whatever the payload says", async () => {
        const [ann, bob] = [await server.signUp("Ann"), await server.signUp("Bob")];
        const one = new Participant(server, ann.token, 4);
        await one.join();
        await waitFor("Ann is there", () => one.people.size === 1);
        one.channel.push("response:update", { response: "x", user_id: bob.user.id });
        await waitFor("Ann types", () => one.typing(ann.user.id) === true);
        expect(one.people.has(String(bob.user.id))).toBe(false);
        one.leave();
      });

      test.each(["0", "999999", "abc", "1e0", "-1", "", "1; drop table users"])(
        "the unknown room %j is refused with a reason",
        async (id) => {
          const ann = await server.signUp("Ann");
          const one = new Participant(server, ann.token, id);
          const refusal = await one.join().catch((error: RefusedError) => error);
          expect(refusal).toBeInstanceOf(RefusedError);
          expect((refusal as RefusedError).response).toMatchObject({ reason: "not_found" });
          one.leave();
        },
      );

      test.each(["", "nonsense", "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.eyJzdWIiOiIxIn0."])(
        "the token %j opens no socket",
        async (token) => {
          const status = await new Promise((resolve) => {
            const ws = new WebSocket(
              `ws://127.0.0.1:${server.port}/socket/websocket?vsn=2.0.0&token=${encodeURIComponent(token)}`,
            );
            ws.on("unexpected-response", (_request, response) => resolve(response.statusCode));
            ws.on("open", () => resolve("open"));
            ws.on("error", () => {});
          });
          expect(status).toBe(403);
        },
      );

      test("updates of two users are stored in the order of their broadcasts", async () => {
        const [ann, bob] = [await server.signUp("Ann"), await server.signUp("Bob")];
        const [one, two] = [new Participant(server, ann.token, 5), new Participant(server, bob.token, 5)];
        await Promise.all([one.join(), two.join()]);
        for (let n = 0; n < 25; n += 1) {
          one.channel.push("response:update", { response: `ann ${n}` });
          two.channel.push("response:update", { response: `bob ${n}` });
        }
        await waitFor("all updates have come", () => one.updates.length === 50 && two.updates.length === 50);
        expect(one.updates).toEqual(two.updates);
        const stored = (await (
          await server.request("GET", "/api/challenges/5", undefined, ann.token)
        ).json()) as { response: string };
        expect(stored.response).toBe(one.updates.at(-1)?.response);
        one.leave();
        two.leave();
      });

      test("SIGKILL between updates: broadcast texts are kept, and clients come back", async () => {
        const ann = await server.signUp("Ann");
        const one = new Participant(server, ann.token, 1);
        await one.join();
        await one.type("before the kill");
        await server.end("SIGKILL");
        await server.start();
        await waitFor("Ann has re-joined", () => one.joins === 2, 20_000);
        await one.type("after the kill");
        const again = new Participant(server, ann.token, 1);
        expect((await again.join()).challenge.response).toBe("after the kill");
        one.leave();
        again.leave();
      });

      test("SIGTERM: sockets close with 1012 soon, and no broadcast text is lost", async () => {
        const ann = await server.signUp("Ann");
        const one = new Participant(server, ann.token, 2);
        let closeCode: number | undefined;
        one.socket.onClose((event: { code?: number }) => {
          closeCode ??= event.code;
        });
        await one.join();
        await one.type("before the end");
        const started = performance.now();
        const ended = await server.end("SIGTERM");
        expect([ended.code, ended.signal]).toEqual([0, null]);
        expect(performance.now() - started).toBeLessThan(10_000);
        expect(closeCode).toBe(1012);
        await server.start();
        await waitFor("Ann has re-joined", () => one.joins === 2, 20_000);
        const challenge = (await (
          await server.request("GET", "/api/challenges/2", undefined, ann.token)
        ).json()) as { response: string };
        expect(challenge.response).toBe("before the end");
        one.leave();
      });

      test("nothing but the one line was printed, no stack trace, no token", async () => {
        for (const line of server.output.trim().split("\n"))
          expect(line).toBe(`PhoenixPair is listening on ${server.url}`);
        expect(server.errors).not.toMatch(/eyJ|correct horse/);
      });
    });
  });
}
