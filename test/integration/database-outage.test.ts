/**
 * The database dies, freezes or restarts under a running server: errors are notified, the rest
 * continues, all heals by itself.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { WebSocket } from "ws";
import { type Account, AppServer } from "../support/app-server.js";
import { type MariaDb, startMariaDb } from "../support/mariadb.js";
import { answer, Participant, RefusedError } from "../support/phoenix-client.js";
import { describeWith } from "../support/requirements.js";
import { waitFor } from "../support/wait.js";

describeWith("MariaDB", "an outage of MariaDB", () => {
  let mariadb: MariaDb;
  beforeAll(async () => {
    mariadb = await startMariaDb();
  });
  afterAll(() => mariadb?.stop());

  describe.each([0, 2])("with %i shards", (shards) => {
    let server: AppServer;
    let ann: Account;
    let one: Participant;
    let two: Participant;
    beforeAll(async () => {
      server = await AppServer.start({
        SHARDS: String(shards),
        DATABASE_URL: await mariadb.createDatabase(),
      });
      ann = await server.signUp("Ann");
      const bob = await server.signUp("Bob");
      [one, two] = [new Participant(server, ann.token, 1), new Participant(server, bob.token, 1)];
      await Promise.all([one.join(), two.join()]);
    });
    afterAll(async () => {
      one?.leave();
      two?.leave();
      await server?.stop();
    });

    const stored = async (): Promise<string> => {
      const response = await server.request("GET", "/api/challenges/1", undefined, ann.token);
      return ((await response.json()) as { response: string }).response;
    };

    /**
     * With the database away: the tutorial's error, no broadcast, a presence that continues, a 503,
     * a refused join.
     */
    async function refusesAndContinues(text: string): Promise<void> {
      const before = two.updates.length;
      await expect(
        answer(one.channel.push("response:update", { response: text }, 20_000)),
      ).rejects.toMatchObject({
        response: { error: "Error updating challenge" },
      });
      one.channel.push("current_participant_typing:remove", {});
      await waitFor("presence continues", () => two.typing(ann.user.id) === false && two.names.length === 2);
      expect(two.updates.length).toBe(before);
      const response = await server.request("GET", "/api/challenges", undefined, ann.token);
      expect(response.status).toBe(503);
      expect(await response.json()).toEqual({
        error: { code: expect.any(String), message: expect.stringMatching(/\S/) },
      });
      const late = one.socket.channel("challenges:2", {});
      const refusal = await answer(late.join()).catch((error: unknown) => error);
      expect(refusal).toBeInstanceOf(RefusedError);
      expect((refusal as RefusedError).response).toMatchObject({ reason: "unavailable" });
      late.leave();
      expect((await server.request("GET", "/healthz")).status).toBe(200);
    }

    test("killed: updates are refused without a broadcast, and work afterwards", async () => {
      await one.type("stored before the kill");
      await mariadb.end("SIGKILL");
      await refusesAndContinues("never stored");
      await mariadb.restart();
      expect(await stored()).toBe("stored before the kill");
      await one.type("stored after the kill");
      expect(await stored()).toBe("stored after the kill");
      expect([one.joins, two.joins]).toEqual([1, 1]);
    });

    test("frozen: an update is refused within its deadline", async () => {
      await one.type("stored before the frost");
      mariadb.signal("SIGSTOP");
      const from = performance.now();
      await refusesAndContinues("too late");
      expect(performance.now() - from).toBeLessThan(20_000);
      mariadb.signal("SIGCONT");
      await waitFor("it answers again", async () => (await stored()).length > 0, 15_000);
      await one.type("stored after the frost");
      expect(await stored()).toBe("stored after the frost");
      expect([one.joins, two.joins]).toEqual([1, 1]);
    });

    /** Whether a socket opens with this token. */
    const opens = (token: string): Promise<boolean> =>
      new Promise((resolve) => {
        const ws = new WebSocket(
          `ws://127.0.0.1:${server.port}/socket/websocket?vsn=2.0.0&token=${encodeURIComponent(token)}`,
        );
        ws.on("open", () => {
          ws.close();
          resolve(true);
        });
        ws.on("unexpected-response", () => resolve(false));
        ws.on("error", () => resolve(false));
      });

    test.each(["SIGKILL", "SIGSTOP"] as const)(
      "%s: who was seen lately connects and joins again with a token that continues; who logged out does not, nor anybody unknown",
      async (signal) => {
        const gone = await server.signUp("Gone");
        const everywhere = await server.signUp("Everywhere");
        const unseen = await server.signUp("Unseen");
        expect([await opens(gone.token), await opens(everywhere.token)]).toEqual([true, true]);
        expect((await server.request("DELETE", "/api/session", undefined, gone.token)).status).toBe(204);
        expect((await server.request("DELETE", "/api/sessions", undefined, everywhere.token)).status).toBe(
          204,
        );
        if (signal === "SIGKILL") await mariadb.end(signal);
        else mariadb.signal(signal);
        const again = new Participant(server, ann.token, 1);
        const { challenge } = await again.join();
        expect(challenge.response).toBe(one.updates.at(-1)?.response);
        again.leave();
        for (const { token } of [gone, everywhere, unseen]) expect(await opens(token)).toBe(false);
        if (signal === "SIGKILL") await mariadb.restart();
        else mariadb.signal("SIGCONT");
        await waitFor("it answers again", async () => (await stored()).length > 0, 15_000);
        expect(await opens(unseen.token)).toBe(true);
        for (const { token } of [gone, everywhere]) expect(await opens(token)).toBe(false);
      },
    );

    test("restarted in good order during edits: what is broadcast is stored", async () => {
      let n = 0;
      const notified = (): number => two.updates.length;
      const from = notified();
      const typing = setInterval(() => {
        n += 1;
        one.channel.push("response:update", { response: `text ${n}` });
      }, 10);
      await waitFor("some are stored", () => notified() > from + 20);
      await mariadb.end("SIGTERM");
      await mariadb.restart();
      const back = notified();
      await waitFor("more are stored after the restart", () => notified() > back + 20);
      clearInterval(typing);
      await one.type("the end");
      expect(await stored()).toBe("the end");
      expect(two.updates.at(-1)?.response).toBe("the end");
    });

    test("the log says that the database failed, in lines without a password or a token", () => {
      expect(server.errors).toMatch(/database failed/);
      expect(server.errors).not.toMatch(/eyJ|pp:pw|scrypt|^\s+at /m);
    });
  });
});
