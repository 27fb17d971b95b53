/** Former states of a room: looked at, and gone back to by a new edit, on both databases. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Account, AppServer } from "../support/app-server.js";
import { type MariaDb, startMariaDb } from "../support/mariadb.js";
import { Participant } from "../support/phoenix-client.js";
import { describeWith } from "../support/requirements.js";
import { waitFor } from "../support/wait.js";

interface Version {
  readonly seq: number;
  readonly at: string;
  readonly authors: readonly string[];
}

for (const database of ["SQLite", "MariaDB"] as const) {
  describeWith(database === "MariaDB" ? "MariaDB" : undefined, `the history of a room on ${database}`, () => {
    let mariadb: MariaDb | undefined;
    let server: AppServer;
    let ann: Account;
    let id: number;
    let one: Participant;
    beforeAll(async () => {
      if (database === "MariaDB") mariadb = await startMariaDb();
      server = await AppServer.start({
        SHARDS: database === "MariaDB" ? "0" : "2",
        ...(mariadb === undefined ? {} : { DATABASE_URL: await mariadb.createDatabase() }),
      });
      ann = await server.signUp("Ann");
      const made = await server.request(
        "POST",
        "/api/challenges",
        { title: "T", prompt: "P", language: "python", response: "begin\n" },
        ann.token,
      );
      id = ((await made.json()) as { id: number }).id;
      one = new Participant(server, ann.token, id);
      await one.join();
    });
    afterAll(async () => {
      one?.leave();
      await server?.stop();
      await mariadb?.stop();
    });

    const ask = async <T>(path: string, method = "GET", who = ann): Promise<{ status: number; body: T }> => {
      const response = await server.request(method, `/api/challenges/${id}${path}`, undefined, who.token);
      const text = await response.text();
      return { status: response.status, body: (text === "" ? undefined : JSON.parse(text)) as T };
    };
    const versions = async (): Promise<readonly Version[]> => (await ask<Version[]>("/versions")).body;
    const shows = (text: string) =>
      waitFor(JSON.stringify(text), () => one.updates.at(-1)?.response === text);

    test("a restore keeps the present text in the history", async () => {
      await one.type("begin\nand continue\n");
      expect((await ask("/versions/0/restore", "POST")).status).toBe(204);
      await shows("begin\n");
      const known = await waitFor("the state before is kept", async () => {
        const found = await versions();
        return found.length >= 2 ? found : undefined;
      });
      const [newest, first] = [known[0] as Version, known.at(-1) as Version];
      expect(first).toMatchObject({ seq: 0, authors: [] });
      expect(newest).toEqual({ seq: expect.any(Number), at: expect.stringMatching(/Z$/), authors: ["Ann"] });
      expect((await ask<{ text: string }>(`/versions/${newest.seq}`)).body).toEqual({
        seq: newest.seq,
        text: "begin\nand continue\n",
      });
      expect((await ask<{ text: string }>("/versions/0")).body.text).toBe("begin\n");
      expect((await ask(`/versions/${newest.seq}/restore`, "POST")).status).toBe(204);
      await shows("begin\nand continue\n");
      expect(one.joins).toBe(1);
    });

    test("a room goes back to the code to start from, which its owner may have changed", async () => {
      await server.request("PATCH", `/api/challenges/${id}`, { starter: "begin again\n" }, ann.token);
      expect((await ask("/reset", "POST")).status).toBe(204);
      await shows("begin again\n");
      const stored = await waitFor("it is stored", async () => {
        const { body } = await ask<{ response: string }>("");
        return body.response === "begin again\n" ? body : undefined;
      });
      expect(stored.response).toBe("begin again\n");
    });

    test.each(["999999", "-1", "abc", "1e3", "%00", "9999999999999999999"])(
      "there is no version %s",
      async (seq) => {
        expect((await ask(`/versions/${seq}`)).status).toBe(404);
        expect((await ask(`/versions/${seq}/restore`, "POST")).status).toBe(404);
      },
    );

    test("a reader sees former states and restores none", async () => {
      const [bob, cleo] = [await server.signUp("Bob"), await server.signUp("Cleo")];
      await server.request("PATCH", `/api/challenges/${id}`, { access: "restricted" }, ann.token);
      const members = `/api/challenges/${id}/members/${bob.user.id}`;
      expect((await server.request("PUT", members, { role: "view" }, ann.token)).status).toBe(204);
      const { seq } = (await versions())[0] as Version;
      const statuses = async (who: Account): Promise<number[]> => [
        (await ask("/versions", "GET", who)).status,
        (await ask(`/versions/${seq}`, "GET", who)).status,
        (await ask(`/versions/${seq}/restore`, "POST", who)).status,
        (await ask("/reset", "POST", who)).status,
      ];
      expect(await statuses(bob)).toEqual([200, 200, 403, 403]);
      expect(await statuses(cleo)).toEqual([404, 404, 404, 404]);
    });
  });
}
