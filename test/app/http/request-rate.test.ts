import { Hono } from "hono";
import { beforeEach, expect, test } from "vitest";
import { issueToken } from "../../../src/app/auth/tokens.js";
import { errorAnswer } from "../../../src/app/http/errors.js";
import { requestRate } from "../../../src/app/http/request-rate.js";

const keys = { secret: "the secret of today, long enough", previous: [] };
let now = 0;
let app: Hono;

beforeEach(() => {
  now = 1000;
  app = new Hono();
  app.use(
    "/api/*",
    requestRate({
      keys,
      network: () => undefined,
      anonymousPerSecond: 20,
      personPerSecond: 20,
      now: () => now,
    }),
  );
  app.all("/api/*", (context) => context.text("ok"));
  app.onError((error, context) => errorAnswer(error, context));
});

const ask = async (
  userId: number | undefined,
  path: string,
  method = "GET",
  sessionId = "s",
): Promise<Response> =>
  app.request(path, {
    method,
    ...(userId === undefined
      ? {}
      : { headers: { authorization: `Bearer ${issueToken({ userId, sessionId }, keys, 60)}` } }),
  });
const statuses = async (count: number, one: () => Promise<Response>): Promise<number> => {
  let refused = 0;
  for (let n = 0; n < count; n += 1) if ((await one()).status === 429) refused += 1;
  return refused;
};

test("a user who asks too often gets the time to wait", async () => {
  expect(await statuses(200, () => ask(1, "/api/challenges/1"))).toBe(0);
  const refused = await ask(1, "/api/challenges/1");
  expect([refused.status, refused.headers.get("retry-after")]).toEqual([429, "1"]);
  expect(await refused.json()).toMatchObject({ error: { code: "too_many_requests" } });
  now += 1000;
  expect(await statuses(21, () => ask(1, "/api/challenges/1"))).toBe(1);
});

test("another session of the same person shares the rate, another person does not", async () => {
  await statuses(200, () => ask(1, "/api/challenges/1"));
  expect((await ask(1, "/api/challenges/1", "POST", "other")).status).toBe(429);
  expect((await ask(2, "/api/challenges/1")).status).toBe(200);
});

test("lists and searches are fewer, and leave the rest to the person", async () => {
  expect(await statuses(30, () => ask(1, "/api/challenges?view=cards&q=x"))).toBe(10);
  expect((await ask(1, "/api/challenges")).status).toBe(429);
  expect((await ask(1, "/api/challenges/")).status).toBe(429);
  expect((await ask(1, "/api/challenges", "POST")).status).toBe(200);
  expect((await ask(1, "/api/challenges/1")).status).toBe(200);
});

test("the heads of lists count like the lists themselves", async () => {
  expect(await statuses(30, () => ask(1, "/api/challenges", "HEAD"))).toBe(10);
  expect((await ask(1, "/api/challenges")).status).toBe(429);
});

test("requests without a token or a network are not counted", async () => {
  expect(await statuses(500, () => ask(undefined, "/api/sessions", "POST"))).toBe(0);
});
