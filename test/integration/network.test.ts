/**
 * Links that break in the ways links break: the official client comes back by itself and nothing
 * notified is lost.
 */
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { type Account, AppServer } from "../support/app-server.js";
import { Participant } from "../support/phoenix-client.js";
import { TcpProxy } from "../support/tcp-proxy.js";
import { waitFor } from "../support/wait.js";

let server: AppServer;
let proxy: TcpProxy;
let ann: Account;
let bob: Account;
/** Ann comes over the bad link, Bob over a good one. */
let one: Participant;
let two: Participant;

beforeAll(async () => {
  server = await AppServer.start({ SHARDS: "1" });
  [ann, bob] = [await server.signUp("Ann"), await server.signUp("Bob")];
});
afterAll(() => server.stop());
beforeEach(async () => {
  proxy = await TcpProxy.start(server.port);
  one = new Participant(proxy, ann.token, 1, { heartbeatIntervalMs: 300 });
  two = new Participant(server, bob.token, 1);
  await Promise.all([one.join(), two.join()]);
  await waitFor("both are seen", () => two.names.join() === "Ann,Bob" && one.names.join() === "Ann,Bob");
});
afterEach(async () => {
  one.leave();
  two.leave();
  await proxy.stop();
});

test("a reset link: the user leaves at once and is back after the rejoin", async () => {
  await one.type("before the cut");
  proxy.refuse(true);
  proxy.cut();
  await waitFor("Ann is gone", () => two.names.join() === "Bob", 2000);
  await two.type("while Ann is away");
  proxy.refuse(false);
  await waitFor("Ann is back", () => one.joins === 2 && two.names.join() === "Ann,Bob");
  expect(two.joins).toBe(1);
  await one.type("after the cut");
  await waitFor("Bob sees it", () => two.updates.at(-1)?.response === "after the cut");
});

test("a link that dies silently is noticed by the client's heartbeat", async () => {
  let lost = false;
  one.channel.onError(() => {
    lost = true;
  });
  proxy.stall();
  await waitFor("the heartbeat has found out", () => lost, 5000);
  await two.type("Bob continues");
  proxy.resume();
  await waitFor("Ann is back", () => one.joins === 2);
  await waitFor("no one is shown twice", () => two.people.get(String(ann.user.id))?.length === 1);
  await one.type("Ann is back");
  expect(two.joins).toBe(1);
});

test("a slow link: concurrent messages reach both clients in one order", async () => {
  proxy.delay(80);
  const [seenByOne, seenByTwo] = [one.updates.length, two.updates.length];
  for (let n = 0; n < 10; n += 1) {
    one.channel.push("response:update", { response: `ann ${n}` });
    two.channel.push("response:update", { response: `bob ${n}` });
  }
  await waitFor(
    "all twenty",
    () => one.updates.length === seenByOne + 20 && two.updates.length === seenByTwo + 20,
  );
  const texts = (who: Participant, from: number) => who.updates.slice(from).map(({ response }) => response);
  expect(texts(one, seenByOne)).toEqual(texts(two, seenByTwo));
  // Texts that cross are merged; whatever comes of it, it is the same for both and for who comes
  // later.
  const stored = await server.request("GET", "/api/challenges/1", undefined, ann.token);
  const { response } = (await stored.json()) as { response: string };
  expect(texts(two, seenByTwo).at(-1)).toBe(response);
});

test("a slow link: concurrent edits at different places are all kept", async () => {
  const start = "ann:\n\n\nbob:";
  await two.type(start);
  await waitFor("both have it", () => one.updates.at(-1)?.response === start);
  proxy.delay(80);
  const from = two.updates.length;
  const letters = "abcdefghij";
  /**
   * Types at the end of a line of what they see, over and over, while what the other types is on
   * its way.
   */
  const typeAt = async (who: Participant, name: string): Promise<void> => {
    for (let n = 1; n <= letters.length; n += 1) {
      const typed = `${name}:${letters.slice(0, n)}`;
      const text = who.updates.at(-1)?.response ?? "";
      who.channel.push("response:update", {
        response: text.replace(`${name}:${letters.slice(0, n - 1)}`, typed),
      });
      await waitFor(`${typed} is notified`, () => who.updates.at(-1)?.response.includes(typed));
    }
  };
  await Promise.all([typeAt(one, "ann"), typeAt(two, "bob")]);
  const end = `ann:${letters}\n\n\nbob:${letters}`;
  await waitFor("both have all", () => [one, two].every(({ updates }) => updates.at(-1)?.response === end));
  const notified = two.updates.slice(from).map(({ response }) => response.split("\n\n\n"));
  for (const [line, whole] of end.split("\n\n\n").entries()) {
    const lines = notified.map((text) => text[line] as string);
    for (const text of lines) expect(whole.startsWith(text)).toBe(true);
    const lengths = lines.map(({ length }) => length);
    expect(lengths).toEqual(lengths.toSorted((a, b) => a - b));
  }
  expect(notified).toHaveLength(2 * letters.length);
});
