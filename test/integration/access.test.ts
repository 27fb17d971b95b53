/**
 * What was taken away stays so, whatever is away: two nodes whose engine is cut off, and one whose
 * database dies.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import { AppCluster, START_MS } from "../support/app-cluster.js";
import { type Account, AppServer } from "../support/app-server.js";
import { type MariaDb, startMariaDb } from "../support/mariadb.js";
import { answer, Participant, RefusedError } from "../support/phoenix-client.js";
import { describeWith } from "../support/requirements.js";
import { waitFor } from "../support/wait.js";

const CHALLENGE = { title: "Mine", prompt: "Do it", language: "python", response: "start" };

/** What became of one who is in a room. */
interface Fate {
  closed?: unknown;
  access?: unknown;
  /** Codes with which the socket was closed. */
  readonly codes: number[];
}

function fateOf({ channel, socket }: Participant): Fate {
  const fate: Fate = { codes: [] };
  channel.on("room:closed", (payload: { reason: string }) => {
    fate.closed = payload.reason;
  });
  channel.on("room:access", (payload: unknown) => {
    fate.access = payload;
  });
  socket.onClose((event: { code: number }) => void fate.codes.push(event.code));
  return fate;
}

const refusalOf = async (one: Participant): Promise<unknown> => {
  const refusal = await one.join().catch((error: unknown) => error);
  one.leave();
  return refusal instanceof RefusedError ? refusal.response : refusal;
};

describeWith("NATS", "a node that is cut off from the engine", () => {
  let cluster: AppCluster;
  const people: Record<string, Account> = {};
  const inside: Participant[] = [];
  beforeAll(async () => {
    cluster = await AppCluster.start("NATS", [0, 1], { ACCESS_RECHECK_SECONDS: "1" });
    for (const name of ["Ann", "Bob", "Cid", "Dan", "Eve", "Fay", "Gus"])
      people[name] = await cluster.node(0).server.signUp(name);
  }, START_MS);
  afterAll(async () => {
    for (const one of inside) one.leave();
    await cluster?.stop();
  });

  const who = (name: string): Account => people[name] as Account;
  const ask = async (name: string, method: string, path: string, body?: object) => {
    const response = await cluster.node(0).server.request(method, path, body, who(name).token);
    expect(response.status, `${method} ${path}`).toBeLessThan(300);
    return response.status === 204 ? undefined : ((await response.json()) as { id: number });
  };
  const enter = async (name: string, id: number): Promise<readonly [Participant, Fate]> => {
    const one = new Participant(cluster.node(1).server, who(name).token, id);
    inside.push(one);
    await one.join();
    return [one, fateOf(one)];
  };

  test("learns within seconds of all that was revoked on another node", async () => {
    const make = async (): Promise<number> =>
      ((await ask("Ann", "POST", "/api/challenges", CHALLENGE)) as { id: number }).id;
    const [one, restricted, deleted] = [await make(), await make(), await make()];
    const [bob, bobs] = await enter("Bob", one);
    const [cid, cids] = await enter("Cid", one);
    const [, dans] = await enter("Dan", restricted);
    const [, eves] = await enter("Eve", deleted);
    const [, fays] = await enter("Fay", one);
    const [gus, guses] = await enter("Gus", one);
    const { link } = cluster.node(1);
    link.refuse(true);
    link.cut();
    await ask("Ann", "PUT", `/api/challenges/${one}/members/${who("Bob").user.id}`, { role: "removed" });
    await ask("Ann", "PUT", `/api/challenges/${one}/members/${who("Cid").user.id}`, { role: "view" });
    await ask("Ann", "PATCH", `/api/challenges/${restricted}`, { access: "restricted" });
    await ask("Ann", "DELETE", `/api/challenges/${deleted}`);
    await ask("Fay", "DELETE", "/api/sessions");
    await waitFor("each has learned of it", () =>
      [bobs.closed, cids.access, dans.closed, eves.closed, fays.codes[0]].every((fate) => fate !== undefined),
    );
    expect([bobs.closed, dans.closed, eves.closed]).toEqual(["removed", "removed", "deleted"]);
    expect(cids.access).toEqual({ role: "view", can_write: false });
    expect(fays.codes[0]).toBe(4401);
    await expect(answer(cid.channel.push("response:update", { response: "no" }))).rejects.toMatchObject({
      response: { reason: "read_only" },
    });
    expect(bob.channel.state).toBe("closed");
    const again = new Participant(cluster.node(1).server, who("Bob").token, one);
    expect(await refusalOf(again)).toEqual({ reason: "not_found", code: "challenge_not_found" });
    // Others notice nothing, and continue when the engine is back.
    link.refuse(false);
    await cluster.together();
    await gus.type("undisturbed");
    expect(guses).toEqual({ codes: [] });
    expect(gus.joins).toBe(1);
  });
});

describeWith("MariaDB", "a database that is away", () => {
  let mariadb: MariaDb;
  let server: AppServer;
  let [ann, bob, cid, dan]: Account[] = [];
  let id = 0;
  beforeAll(async () => {
    mariadb = await startMariaDb();
    server = await AppServer.start({ SHARDS: "1", DATABASE_URL: await mariadb.createDatabase() });
    [ann, bob, cid, dan] = await Promise.all(["Ann", "Bob", "Cid", "Dan"].map((name) => server.signUp(name)));
    const made = await server.request("POST", "/api/challenges", CHALLENGE, ann?.token);
    id = ((await made.json()) as { id: number }).id;
  });
  afterAll(async () => {
    await server?.stop();
    await mariadb?.stop();
  });

  const enter = (who: Account | undefined): Participant => new Participant(server, who?.token as string, id);
  const give = (who: Account | undefined, role: string): Promise<Response> =>
    server.request("PUT", `/api/challenges/${id}/members/${who?.user.id}`, { role }, ann?.token);

  test("lets people back in with what they had, unless it was changed", async () => {
    const owner = enter(ann);
    await owner.join();
    for (const who of [bob, cid, dan]) {
      const one = enter(who);
      await one.join();
      await one.type(`by ${who?.user.first_name}`);
      one.leave();
    }
    await waitFor("they have left", () => owner.names.join() === "Ann");
    expect((await give(bob, "removed")).status).toBe(204);
    expect((await give(cid, "view")).status).toBe(204);
    await mariadb.end("SIGKILL");
    const unavailable = { reason: "unavailable", code: "database_unavailable", retry_after_ms: 2000 };
    for (const who of [bob, cid]) expect(await refusalOf(enter(who))).toEqual(unavailable);
    const again = enter(ann);
    expect(await again.join()).toMatchObject({ role: "owner", can_write: true });
    const back = enter(dan);
    expect(await back.join()).toMatchObject({ role: "edit", can_write: true });
    await mariadb.restart();
    const refused = { reason: "not_found", code: "challenge_not_found" };
    await waitFor("the database answers", async () => (await give(bob, "removed")).status === 204);
    expect(await refusalOf(enter(bob))).toEqual(refused);
    const reader = enter(cid);
    expect(await reader.join()).toMatchObject({ role: "view", can_write: false });
    for (const one of [owner, again, back, reader]) one.leave();
  });
});
