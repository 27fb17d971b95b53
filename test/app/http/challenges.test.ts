import { Hono } from "hono";
import { expect, test } from "vitest";
import { challengeRoutes } from "../../../src/app/http/challenges.js";
import { errorAnswer } from "../../../src/app/http/errors.js";
import type { Repository } from "../../../src/app/storage/repository-client.js";

/** Lists end when they are notified to; the header `user` says who asks. */
function harness() {
  const running: { readonly userId: number; end(): void }[] = [];
  const made = (userId: number): Promise<unknown> =>
    new Promise((resolve) => {
      const list = {
        userId,
        end: () => {
          running.splice(running.indexOf(list), 1);
          resolve(["ok", { challenges: [], next: undefined, cards: [], total: 0 }]);
        },
      };
      running.push(list);
    });
  const repository = { listChallenges: made, searchChallenges: made } as unknown as Repository;
  const caller = async (context: { req: { header(name: string): string | undefined } }) => ({
    userId: Number(context.req.header("user")),
  });
  const app = new Hono();
  app.route("/", challengeRoutes({ repository, caller: caller as never, tellRoom: () => {} }));
  app.onError((error, context) => errorAnswer(error, context));
  return {
    running,
    get: (user: number, path = "/") => app.request(path, { headers: { user: String(user) } }),
    settle: () => new Promise((resolve) => setImmediate(resolve)),
  };
}

test("lists and searches are made two at a time, and people take turns", async () => {
  const { running, get, settle } = harness();
  const many = Array.from({ length: 20 }, (_, n) => get(1, n % 2 === 0 ? "/" : "/?view=cards"));
  const other = get(2);
  await settle();
  expect(running.map(({ userId }) => userId)).toEqual([1, 1]);
  running[0]?.end();
  await settle();
  running[0]?.end();
  await settle();
  expect(running.map(({ userId }) => userId)).toEqual([1, 2]);
  while (running.length > 0) {
    running[0]?.end();
    await settle();
  }
  const statuses = (await Promise.all([...many, other])).map(({ status }) => status);
  expect(new Set(statuses)).toEqual(new Set([200]));
});

test("a user with very many lists at once is refused, and others are not", async () => {
  const { running, get, settle } = harness();
  const many = Array.from({ length: 60 }, () => get(1));
  const other = get(2);
  await settle();
  while (running.length > 0) {
    running[0]?.end();
    await settle();
  }
  const answers = await Promise.all(many);
  const refused = answers.filter(({ status }) => status === 503);
  expect(refused).toHaveLength(8);
  expect(refused[0]?.headers.get("retry-after")).toBe("1");
  expect((await other).status).toBe(200);
});
