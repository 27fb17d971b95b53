import { exit, GenServer, Groups, type Pid, type RuntimeNode, self } from "simurgh/runtime";
import { afterEach, describe, expect, test } from "vitest";
import { idle, inLab, next } from "../support.js";
import { eventually, joinedNodes, type Pair } from "../threads/support.js";

describe("groups", () => {
  test("a group counts joins, and removes a member before its DOWN (R-320, X-179)", () =>
    inLab(async () => {
      await Groups.startLink();
      const [one, two] = [idle(), idle()];
      expect([Groups.join("g", one), Groups.join("g", [one, two])]).toEqual(["ok", "ok"]);
      expect(Groups.getMembers("g")).toEqual([one, one, two]);
      expect(Groups.leave("g", one)).toBe("ok");
      expect(Groups.getMembers("g")).toEqual([one, two]);
      expect([Groups.leave("g", one), Groups.leave("g", one), Groups.leave("none", two)]).toEqual([
        "ok",
        "not_joined",
        "not_joined",
      ]);
      Groups.join(["a", "term"], two);
      expect(Groups.whichGroups()).toEqual(["g", ["a", "term"]]);
      exit(two, "kill");
      expect([Groups.getMembers("g"), Groups.whichGroups()]).toEqual([[], []]);
    }));

  test("monitors of a group, or of all, get joins and leaves (R-320, X-179)", () =>
    inLab(async () => {
      await Groups.startLink();
      const [one, two] = [idle(), idle()];
      Groups.join("g", one);
      const [ref, members] = Groups.monitor("g");
      const [all, groups] = Groups.monitorScope();
      expect([members, [...groups]]).toEqual([[one], [["g", [one]]]]);
      Groups.join("g", two);
      expect([await next(), await next()]).toEqual([
        [ref, "join", "g", [two]],
        [all, "join", "g", [two]],
      ]);
      expect(Groups.demonitor(all)).toBe(true);
      Groups.join("other", one);
      exit(one, "kill");
      expect([await next(), await next(10)]).toEqual([[ref, "leave", "g", [one]], undefined]);
    }));

  test("scopes share nothing, and an unknown one is an argument error (R-320)", () =>
    inLab(async () => {
      await Groups.startLink();
      await Groups.startLink("other");
      Groups.join("g", self(), "other");
      expect([Groups.getMembers("g"), Groups.getMembers("g", "other")]).toEqual([[], [self()]]);
      expect(() => Groups.join("g", self(), "absent")).toThrow("the group scope absent is not running");
      expect(() => Groups.join("g", "pid" as never)).toThrow("a pid or a list of pids");
    }));
});

test("multiCall returns answers and threads without one (R-116, X-106)", async () => {
  const pair = joinedNodes();
  const got: unknown[] = [];
  const server = (reply: string) => ({
    init: () => ["ok", 0] as const,
    handleCall: (request: unknown, _from: unknown, state: number) =>
      ["reply", [reply, request], state] as const,
    handleCast(request: unknown, state: number) {
      got.push([reply, request]);
      return ["noreply", state] as const;
    },
  });
  await pair.far.run(() => GenServer.start(server("far"), 0, { name: "s" }));
  await pair.near.run(async () => {
    await GenServer.start(server("near"), 0, { name: "s" });
    const [replies, bad] = await GenServer.multiCall([0, 1, 7], "s", "hello", 1000);
    expect([replies, bad]).toEqual([
      [
        [0, ["near", "hello"]],
        [1, ["far", "hello"]],
      ],
      [7],
    ]);
    expect((await GenServer.multiCall([0, 1], "absent", "hello"))[1]).toEqual([0, 1]);
    expect(GenServer.abcast([0, 1, 7], "s", "cast")).toBe("ok");
  });
  await expect.poll(() => got.length).toBe(2);
  expect(got).toEqual(
    expect.arrayContaining([
      ["near", "cast"],
      ["far", "cast"],
    ]),
  );
  await pair.stop();
});

describe("groups of two threads", () => {
  let pair: Pair;
  afterEach(() => pair.stop());
  const forever = (node: RuntimeNode): Pid => node.spawn(() => new Promise(() => {}));

  test("every thread knows all members, also one that starts later (R-320, X-195)", async () => {
    pair = joinedNodes();
    const { near, far } = pair;
    const [a, b] = [forever(near), forever(far)];
    await near.run(async () => {
      await Groups.startLink();
      Groups.join("g", [a, a]);
      await far.run(async () => {
        await Groups.startLink();
        Groups.join("g", b);
        expect(Groups.getLocalMembers("g")).toEqual([b]);
        await eventually(() => Groups.getMembers("g").length === 3, "the far thread knows all three");
        const [ref] = Groups.monitor("g");
        near.exit(a, "kill");
        expect(await next()).toEqual([
          ref,
          "leave",
          "g",
          [expect.objectContaining({ id: a.id, node: 0 }), expect.anything()],
        ]);
        expect(Groups.getMembers("g")).toEqual([b]);
        expect(() => Groups.join("g", a)).toThrow("lives on another thread");
      });
    });
  });

  test("the members of a lost thread are removed, and monitors notified (R-320, R-456)", async () => {
    pair = joinedNodes();
    const { near, far } = pair;
    await near.run(async () => {
      await Groups.startLink();
      Groups.join("here", self());
      const [ref] = Groups.monitorScope();
      const b = forever(far);
      await far.run(async () => {
        await Groups.startLink();
        await eventually(() => Groups.getMembers("here").length === 1, "the two know each other");
        Groups.join(["room", 1], b);
        expect(Groups.leave(["room", 1], b)).toBe("ok");
        Groups.join(["room", 2], b);
      });
      const seen = expect.objectContaining({ id: b.id, node: 1 });
      expect(await next()).toEqual([ref, "join", ["room", 1], [seen]]);
      expect(await next()).toEqual([ref, "leave", ["room", 1], [seen]]);
      expect(await next()).toEqual([ref, "join", ["room", 2], [seen]]);
      pair.toFar.down();
      expect(await next()).toEqual([ref, "leave", ["room", 2], [seen]]);
      expect(Groups.whichGroups()).toEqual(["here"]);
    });
  });
});
