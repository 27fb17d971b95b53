import { beforeEach, describe, expect, test } from "vitest";
import { AccessLedger, type Presence } from "../../../src/app/access/access-ledger.js";

let ledger: AccessLedger;
const ann: Presence = { channel: "a", challengeId: 1, userId: 7, sessionId: "s" };
const tab: Presence = { ...ann, channel: "b" };
const bob: Presence = { channel: "c", challengeId: 1, userId: 8, sessionId: "t" };

beforeEach(() => {
  ledger = new AccessLedger();
});

/** Ann is in the room, and the database has confirmed it. */
const inside = (): void => {
  ledger.enter(ann, "edit", false);
  ledger.answered(ledger.take(10), ["edit"]);
};

describe("a channel that has joined", () => {
  test("is asked about once more, since its role may have changed meanwhile", () => {
    ledger.enter(ann, "edit", false);
    expect(ledger.certainRole(1, 7)).toBeUndefined();
    expect(ledger.answered(ledger.take(10), ["view"])).toEqual([{ channel: "a", state: "view" }]);
    expect(ledger.hasDue).toBe(false);
    expect(ledger.certainRole(1, 7)).toBe("view");
  });

  test("gets no event when nothing has changed", () => {
    ledger.enter(ann, "edit", false);
    expect(ledger.answered(ledger.take(10), ["edit"])).toEqual([]);
  });

  test.each(["forbidden", "not_found", "session_ended"] as const)(
    "is notified %s, and forgotten",
    (answer) => {
      inside();
      ledger.recheck();
      expect(ledger.answered(ledger.take(10), [answer])).toEqual([{ channel: "a", state: answer }]);
      expect([ledger.size, ledger.certainRole(1, 7)]).toEqual([0, undefined]);
    },
  );

  test("that has ended leaves its role for two rechecks", () => {
    inside();
    ledger.leave("a");
    expect([ledger.size, ledger.hasDue, ledger.certainRole(1, 7)]).toEqual([0, false, "edit"]);
    ledger.recheck();
    expect(ledger.certainRole(1, 7)).toBe("edit");
    ledger.recheck();
    expect(ledger.certainRole(1, 7)).toBeUndefined();
  });

  test.each([
    ["a change for its person", () => ledger.announce(1, 7)],
    ["a change for all in its room", () => ledger.announce(1)],
    ["doubt about messages", () => ledger.doubt(true)],
    ["the end of its room", () => ledger.roomEnded(1)],
  ])("that has ended leaves no role after %s", (_what, change) => {
    inside();
    ledger.leave("a");
    change();
    expect(ledger.certainRole(1, 7)).toBeUndefined();
  });

  test("that ends after a change that was announced leaves no role", () => {
    inside();
    ledger.announce(1, 7);
    ledger.leave("a");
    expect(ledger.certainRole(1, 7)).toBeUndefined();
  });

  test("a join that ends after its room leaves no role", () => {
    inside();
    ledger.roomEnded(1);
    expect(ledger.certainRole(1, 7)).toBeUndefined();
    ledger.answered(ledger.take(10), ["edit"]);
    expect(ledger.certainRole(1, 7)).toBeUndefined();
    ledger.leave("a");
    expect(ledger.certainRole(1, 7)).toBeUndefined();
    // In the next room, what the database says is certain again.
    inside();
    expect(ledger.certainRole(1, 7)).toBe("edit");
  });

  test("that has ended keeps its role when others' access is changed", () => {
    inside();
    ledger.leave("a");
    ledger.announce(1, 8);
    ledger.announce(11);
    expect(ledger.certainRole(1, 7)).toBe("edit");
  });

  test("that has ended before its role was certain leaves none", () => {
    ledger.enter(ann, "edit", false);
    ledger.leave("a");
    expect(ledger.certainRole(1, 7)).toBeUndefined();
  });
});

describe("a change that is announced", () => {
  test("makes every channel of that person in that room due, and uncertain at once", () => {
    inside();
    ledger.enter(tab, "edit", true);
    ledger.enter(bob, "edit", false);
    ledger.answered(ledger.take(10), ["edit", "edit"]);
    ledger.announce(1, 7);
    expect(ledger.certainRole(1, 7)).toBeUndefined();
    expect(ledger.certainRole(1, 8)).toBe("edit");
    expect(ledger.take(10).map(({ channel }) => channel)).toEqual(["a", "b"]);
  });

  test("during a question makes that answer count for nothing, and is asked about again", () => {
    inside();
    ledger.recheck();
    const taken = ledger.take(10);
    ledger.announce(1, 7);
    expect(ledger.answered(taken, ["edit"])).toEqual([]);
    expect(ledger.certainRole(1, 7)).toBeUndefined();
    expect(ledger.answered(ledger.take(10), ["forbidden"])).toEqual([{ channel: "a", state: "forbidden" }]);
  });

  test("ends the channels when the database cannot be asked how", () => {
    inside();
    ledger.enter(tab, "edit", true);
    ledger.announce(1, 7);
    const changes = ledger.failed(ledger.take(10));
    expect(changes.map(({ channel }) => channel).sort()).toEqual(["a", "b"]);
    expect(new Set(changes.map(({ state }) => state))).toEqual(new Set(["unsure"]));
    expect(ledger.size).toBe(0);
  });
});

test("a change that may have been stored is checked, and roles stay meanwhile", () => {
  inside();
  ledger.enter(bob, "edit", false);
  ledger.answered(ledger.take(10), ["edit"]);
  ledger.leave("c");
  ledger.announce(1, undefined, false);
  expect(ledger.failed(ledger.take(10))).toEqual([]);
  expect([ledger.certainRole(1, 7), ledger.certainRole(1, 8)]).toEqual(["edit", undefined]);
  expect(ledger.answered(ledger.take(10), ["forbidden"])).toEqual([{ channel: "a", state: "forbidden" }]);
});

describe("while the database does not answer", () => {
  test("what was certain stays so, for another channel of the same person too", () => {
    inside();
    ledger.recheck();
    expect(ledger.failed(ledger.take(10))).toEqual([]);
    expect(ledger.certainRole(1, 7)).toBe("edit");
    ledger.enter(tab, "edit", true);
    expect(ledger.failed(ledger.take(10))).toEqual([]);
    expect(ledger.hasDue).toBe(true);
  });

  test("what may have been missed suspends, until the database says what holds", () => {
    inside();
    ledger.doubt(false);
    expect(ledger.certainRole(1, 7)).toBeUndefined();
    expect(ledger.failed(ledger.take(10))).toEqual([{ channel: "a", state: "suspended" }]);
    expect(ledger.failed(ledger.take(10))).toEqual([]);
    expect(ledger.answered(ledger.take(10), ["edit"])).toEqual([{ channel: "a", state: "edit" }]);
  });

  test("a remembered role applies only to its user and room", () => {
    inside();
    expect([ledger.certainRole(2, 7), ledger.certainRole(1, 8)]).toEqual([undefined, undefined]);
  });
});

test("while the engine is away nothing is certain, whatever the database says", () => {
  inside();
  ledger.doubt(false);
  ledger.answered(ledger.take(10), ["edit"]);
  expect(ledger.certainRole(1, 7)).toBeUndefined();
  ledger.doubt(true);
  ledger.answered(ledger.take(10), ["edit"]);
  expect(ledger.certainRole(1, 7)).toBe("edit");
});

test("questions come in batches, and no user is left out", () => {
  for (let n = 0; n < 25; n += 1) ledger.enter({ ...ann, channel: `c${n}`, userId: n }, "edit", false);
  const asked: string[] = [];
  while (ledger.hasDue) {
    const taken = ledger.take(10);
    expect(taken.length).toBeLessThanOrEqual(10);
    asked.push(...taken.map(({ channel }) => channel));
    ledger.answered(
      taken,
      taken.map(() => "edit"),
    );
  }
  expect(new Set(asked).size).toBe(25);
});

test("a session that was renewed is the one that is asked about", () => {
  inside();
  ledger.renew("a", "later");
  ledger.recheck();
  expect(ledger.take(10)).toMatchObject([{ channel: "a", sessionId: "later" }]);
});
