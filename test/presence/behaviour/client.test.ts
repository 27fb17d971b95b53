/**
 * The official client's Presence, fed with what a presence of ours sends: what applications see of
 * it, and that it always ends as the server's list.
 */
import { Presence as PhoenixPresence } from "phoenix";
import type { PresenceDiff, Presences } from "simurgh/presence";
import { registerDispatcher } from "simurgh/pubsub";
import { exit, type Pid } from "simurgh/runtime";
import { Random } from "simurgh/testing";
import { afterEach, describe, expect, test } from "vitest";
import { type Frame, PresenceNode } from "../support/node.js";

const nodes: PresenceNode[] = [];
afterEach(async () => {
  for (const { node } of nodes.splice(0)) await node.stop();
});
const start = async (options: ConstructorParameters<typeof PresenceNode>[0] = {}): Promise<PresenceNode> => {
  const node = await new PresenceNode(options).start();
  nodes.push(node);
  return node;
};

/** A channel as the client's Presence sees it, and what the Presence tells its application. */
class Browser {
  #joins = 1;
  readonly #handlers = new Map<string, (payload: unknown) => void>();
  readonly notified: unknown[] = [];
  readonly presence = new PhoenixPresence({
    on: (event: string, handler: (payload: unknown) => void) => void this.#handlers.set(event, handler),
    joinRef: () => String(this.#joins),
  } as never);
  syncs = 0;

  constructor() {
    const metas = (entry: unknown): unknown =>
      (entry as { metas: { tab?: unknown }[] } | undefined)?.metas.map(({ tab }) => tab);
    this.presence.onJoin(
      (key, current, joined) => void this.notified.push(["join", key, metas(current), metas(joined)]),
    );
    this.presence.onLeave(
      (key, current, left) => void this.notified.push(["leave", key, metas(current), metas(left)]),
    );
    this.presence.onSync(() => {
      this.syncs += 1;
    });
  }

  rejoin(): void {
    this.#joins += 1;
  }

  take(event: string, payload: unknown): void {
    this.#handlers.get(event)?.(structuredClone(payload));
  }

  frame = ({ event, payload }: Frame): void => this.take(event, payload);

  /** Keys and refs, in order of the refs. */
  get shown(): string[] {
    return this.presence
      .list((key, entry) => ({ key, entry: entry as { metas: { phx_ref: string }[] } }))
      .flatMap(({ key, entry }) => entry.metas.map(({ phx_ref }) => `${key} ${phx_ref}`))
      .sort();
  }

  get keys(): string[] {
    return this.presence.list((key) => key) as string[];
  }
}

const IN_ORDER = "test:in order";
let inOrder: (frame: Frame) => void = () => {};
registerDispatcher({ name: IN_ORDER, dispatch: (_topic, _from, message) => inOrder(message as Frame) });

const refsOf = (presences: Presences): string[] =>
  Object.entries(presences)
    .flatMap(([key, { metas }]) => metas.map(({ phx_ref }) => `${key} ${phx_ref}`))
    .sort();
const diff = (joins: Presences, leaves: Presences = {}): PresenceDiff => ({ joins, leaves });

describe("the official client", () => {
  test("waits for the state, then applies earlier diffs in order with one sync (P-251, P-252, P-257, P-213)", async () => {
    const a = await start();
    const frames = await a.listen("room");
    const [ann, bob] = [a.process(), a.process()];
    await a.track(ann, "room", "ann", { tab: "a" });
    const state = await a.list("room");
    await a.track(bob, "room", "bob", { tab: "b" });
    await expect.poll(() => frames.length).toBe(2);
    const browser = new Browser();
    for (const frame of frames) browser.frame(frame);
    expect([browser.syncs, browser.keys]).toEqual([0, []]);
    browser.take("presence_state", state);
    expect(browser.syncs).toBe(1);
    // Ann's own join was in both: notified twice, held once.
    expect(browser.notified).toEqual([
      ["join", "ann", undefined, ["a"]],
      ["join", "ann", ["a"], ["a"]],
      ["join", "bob", undefined, ["b"]],
    ]);
    browser.take("presence_diff", diff({}));
    expect(browser.syncs).toBe(2);
    expect(browser.shown).toEqual(refsOf(await a.list("room")));
  });

  test("after a rejoin pushState gives the state before any diff (P-212, P-253, P-258)", async () => {
    const a = await start();
    const ann = a.process();
    await a.track(ann, "room", "ann");
    const browser = new Browser();
    browser.take("presence_state", await a.list("room"));
    browser.rejoin();
    await a.track(a.process(), "room", "bob");
    browser.take("presence_diff", diff({ ghost: { metas: [{ phx_ref: "g" }] } }));
    // Nothing but a state ends the waiting; the server sends none by itself.
    expect(browser.keys).toEqual(["ann"]);
    browser.rejoin();
    const order: string[] = [];
    await a.run(() =>
      a.presence.pushState("room", (event, payload) => {
        order.push(event);
        browser.take(event, payload);
      }),
    );
    await expect.poll(() => order).toEqual(["presence_state"]);
    expect(browser.keys).toContain("bob");
  });

  test("an update comes as one diff, and its key is never gone (P-211, P-255, P-256, P-726)", async () => {
    const a = await start();
    const frames = await a.listen("room");
    const ann = a.process();
    await a.track(ann, "room", "ann", { tab: 1 });
    const browser = new Browser();
    browser.take("presence_state", await a.list("room"));
    browser.notified.length = 0;
    await a.run(() => a.presence.update(ann, "room", "ann", { tab: 2 }));
    await expect.poll(() => frames.length).toBe(2);
    const update = frames[1] as Frame;
    expect(update.payload.joins.ann?.metas[0]?.phx_ref_prev).toBe(
      update.payload.leaves.ann?.metas[0]?.phx_ref,
    );
    browser.frame(update);
    expect(browser.notified).toEqual([
      ["join", "ann", [1], [2]],
      ["leave", "ann", [2], [1]],
    ]);
    // A second tab comes and goes: kept metas stay in front, a leave of someone unknown is
    // nothing.
    const tab = a.process();
    await a.track(tab, "room", "ann", { tab: 3 });
    await expect.poll(() => frames.length).toBe(3);
    browser.frame(frames[2] as Frame);
    browser.take("presence_diff", diff({}, { noOne: { metas: [{ phx_ref: "x" }] } }));
    expect(browser.notified.slice(2)).toEqual([["join", "ann", [2], [3]]]);
    expect(
      browser.presence.list((_key, entry) =>
        (entry as { metas: { tab: number }[] }).metas.map(({ tab }) => tab),
      ),
    ).toEqual([[2, 3]]);
    await a.run(() => exit(tab, "kill"));
    await expect.poll(() => frames.length).toBe(4);
    browser.frame(frames[3] as Frame);
    expect(browser.notified.at(-1)).toEqual(["leave", "ann", [2], [3]]);
    expect(browser.shown).toEqual(refsOf(await a.list("room")));
  });

  test("a new state is shown as the difference by refs (P-254, P-259)", async () => {
    const a = await start();
    const people = new Map<string, Pid>();
    for (const key of ["b", "10", "a", "2"]) {
      people.set(key, a.process());
      await a.track(people.get(key) as Pid, "room", key, { tab: key });
    }
    const browser = new Browser();
    browser.take("presence_state", await a.list("room"));
    expect(browser.keys).toEqual(["2", "10", "b", "a"]);
    browser.notified.length = 0;
    await a.run(() => exit(people.get("b") as Pid, "kill"));
    await a.run(() => a.presence.update(people.get("10") as Pid, "room", "10", { tab: "new" }));
    await a.track(a.process(), "room", "c", { tab: "c" });
    await expect.poll(() => a.keys("room")).toEqual(["10", "2", "a", "c"]);
    browser.take("presence_state", await a.list("room"));
    expect(browser.notified).toEqual([
      ["join", "10", ["10"], ["new"]],
      ["join", "c", undefined, ["c"]],
      ["leave", "10", ["new"], ["10"]],
      ["leave", "b", [], ["b"]],
    ]);
    expect(browser.shown).toEqual(refsOf(await a.list("room")));
  });

  test("hundreds of joins, leaves and states in parts: clients end as the list (P-741, P-260)", async () => {
    const random = new Random(Number(process.env.SIMURGH_SEED ?? 41));
    const browsers: Browser[] = [];
    // In the order in which the server sends, as on one connection.
    inOrder = (frame) => {
      for (const browser of browsers) browser.frame(frame);
    };
    const a = await start({ dispatcher: IN_ORDER });
    await a.listen("room");
    for (let n = 0; n < 1500; n += 1) await a.track(a.process(), "room", `resident${n}`);
    const passers = Array.from({ length: 300 }, () => a.process());
    let states = 0;
    await Promise.all(
      passers.map(async (pid, n) => {
        await a.track(pid, "room", `passer${n}`);
        if (n % 20 === 0) {
          const browser = new Browser();
          browsers.push(browser);
          await a.run(() =>
            a.presence.pushState("room", (event, payload) => {
              if (event === "presence_state") states += 1;
              browser.take(event, payload);
            }),
          );
        }
        if (random.chance(0.5)) await a.kill(pid);
      }),
    );
    await expect.poll(() => states, { timeout: 10_000 }).toBe(15);
    await expect
      .poll(async () => browsers[0]?.shown, { timeout: 10_000, interval: 100 })
      .toEqual(refsOf(await a.list("room")));
    const end = refsOf(await a.list("room"));
    expect(end.length).toBeLessThan(1800);
    for (const browser of browsers) {
      expect(browser.shown).toEqual(end);
      expect(
        browser.presence.list((_key, entry) => Array.isArray((entry as { metas: unknown }).metas)),
      ).not.toContain(false);
    }
  });
});
