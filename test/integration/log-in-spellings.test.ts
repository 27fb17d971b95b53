/** An account and its log-ins, however its e-mail address is spelled, on both databases. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { AppServer } from "../support/app-server.js";
import { type MariaDb, startMariaDb } from "../support/mariadb.js";
import { describeWith } from "../support/requirements.js";

const PASSWORD = "correct horse";
/** Of kim@example.com. The last begins with the sign of the Kelvin. */
const SPELLINGS = ["KIM@example.com", " Kim@Example.COM ", "\u212aim@example.com"];
const OTHERS = ["kïm@example.com", "kim@example.com\0"];

for (const [need, name] of [
  [undefined, "SQLite"],
  ["MariaDB", "MariaDB"],
] as const)
  describeWith(need, `log-ins on ${name}`, () => {
    let mariadb: MariaDb | undefined;
    let server: AppServer;
    beforeAll(async () => {
      if (need !== undefined) mariadb = await startMariaDb();
      const database = mariadb === undefined ? {} : { DATABASE_URL: await mariadb.createDatabase() };
      server = await AppServer.start({ SHARDS: "0", ...database });
      const answer = await server.request("POST", "/api/users", {
        email: "kim@example.com",
        password: PASSWORD,
        name: "Kim",
      });
      expect(answer.status).toBe(201);
    });
    afterAll(async () => {
      await server?.stop();
      await mariadb?.stop();
    });

    const logIn = async (email: string, password: string): Promise<number> =>
      (await server.request("POST", "/api/sessions", { email, password })).status;

    test("every spelling of an account counts for it, and one that looks like it is none", async () => {
      for (const email of SPELLINGS) expect(await logIn(email, PASSWORD), email).toBe(200);
      for (const email of OTHERS) expect(await logIn(email, PASSWORD), email).toBe(401);
      const guesses: number[] = [];
      for (let n = 0; n < 7; n++) guesses.push(await logIn(SPELLINGS[n % 3] as string, `guess ${n}`));
      expect(guesses).toEqual([401, 401, 401, 401, 401, 429, 429]);
      // What looks like it was counted by itself.
      expect(await logIn(OTHERS[0] as string, "guess")).toBe(401);
    });

    test("an address that is taken is taken in every spelling", async () => {
      for (const email of ["KIM@EXAMPLE.COM", "kim@example.COM"]) {
        const answer = await server.request("POST", "/api/users", { email, password: PASSWORD, name: "K" });
        expect(answer.status, email).toBe(409);
      }
    });
  });
