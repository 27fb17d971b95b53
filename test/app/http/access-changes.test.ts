/** What rooms are notified of changes of access, by what the database has answered. */
import { Hono } from "hono";
import { expect, test } from "vitest";
import { type ChallengeOptions, challengeRoutes } from "../../../src/app/http/challenges.js";
import { errorAnswer } from "../../../src/app/http/errors.js";
import type { Outcome, Repository } from "../../../src/app/storage/repository-client.js";

const view = {
  id: 1,
  title: "t",
  prompt: "p",
  language: "go",
  response: "",
  updated_at: "2030-01-01T00:00:00Z",
};
const caller = async () => ({
  userId: 7,
  sessionId: "s",
  expiresAt: 0,
  user: { id: 7, first_name: "Ann", email: "a@b.c" },
});

/**
 * The status of a request by the owner, and what the room was notified, when its change has this
 * outcome.
 */
async function changed(outcome: Outcome<null>, method: string, path: string, body?: object) {
  const notified: unknown[] = [];
  const repository = {
    role: async () => ["ok", "owner"],
    changeChallenge: async () => (outcome[0] === "ok" ? ["ok", view] : outcome),
    deleteChallenge: async () => outcome,
    setMember: async () => outcome,
  } as unknown as Repository;
  const tellRoom: ChallengeOptions["tellRoom"] = (id, event, payload) =>
    void notified.push([id, event, payload]);
  const app = new Hono().route("/", challengeRoutes({ repository, caller, tellRoom }));
  app.onError((error, context) => errorAnswer(error, context));
  const text = body === undefined ? {} : { body: JSON.stringify(body) };
  const { status } = await app.request(path, { method, ...text });
  return [status, notified.filter((one) => (one as unknown[])[1] === "access:changed")];
}

test.each([
  ["PUT", "/1/members/8", { role: "removed" }, { user_id: 8 }, 204],
  ["PATCH", "/1", { access: "restricted" }, {}, 200],
  ["DELETE", "/1", undefined, {}, 204],
] as const)(
  "%s %s tells the room also when it may have been stored",
  async (method, path, body, whose, status) => {
    expect(await changed(["ok", null], method, path, body)).toEqual([status, [[1, "access:changed", whose]]]);
    expect(await changed(["error", "unavailable"], method, path, body)).toEqual([
      503,
      [[1, "access:changed", { ...whose, unsure: true }]],
    ]);
    expect(await changed(["error", "not_found"], method, path, body)).toEqual([404, []]);
  },
);

test("a change of anything else says nothing of access", async () => {
  expect(await changed(["ok", null], "PATCH", "/1", { title: "u" })).toEqual([200, []]);
});
