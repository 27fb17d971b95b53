import { describe, expect, test } from "vitest";
import { colorsOf, type Peers, withAwareness } from "../../src/app/web/room/peers.js";

const NO_ONE: Peers = new Map();
const state = (id: string, user: number, more: object = {}) => ({
  id,
  user_id: user,
  name: `user ${user}`,
  color: user,
  cursor: { anchor: "AQI=", head: "AwQ=" },
  ...more,
});

describe("the others' cursors", () => {
  test("a state holds until its connection is gone, and one's own does not count", () => {
    const first = withAwareness(NO_ONE, [{ states: [state("a", 1), state("b", 2), state("me", 3)] }], "me");
    expect([...first.peers.keys()]).toEqual(["a", "b"]);
    expect(first.changed).toHaveLength(2);
    expect(first.peers.get("a")!.cursor!.head).toEqual(Uint8Array.of(3, 4));
    const second = withAwareness(
      first.peers,
      [{ states: [state("b", 2, { cursor: null })], gone: ["a"] }],
      "me",
    );
    expect([...second.peers.keys()]).toEqual(["b"]);
    expect(second.peers.get("b")!.cursor).toBeUndefined();
    expect([...first.peers.keys()]).toEqual(["a", "b"]);
  });

  test("batching awareness messages equals applying them in order, one change per peer", () => {
    const messages = [
      { states: [state("a", 1), state("b", 2)] },
      { gone: ["a"] },
      { states: [state("b", 2, { cursor: null }), state("c", 3)] },
      { states: [state("a", 1, { name: "back" })], gone: ["c"] },
    ];
    let apart: Peers = NO_ONE;
    for (const message of messages) apart = withAwareness(apart, [message], "me").peers;
    const together = withAwareness(NO_ONE, messages, "me");
    expect(new Map(together.peers)).toEqual(new Map(apart));
    expect(together.changed.map(({ id, name }) => [id, name])).toEqual([
      ["a", "back"],
      ["b", "user 2"],
    ]);
  });

  test("all tabs of a person have one colour", () => {
    const { peers } = withAwareness(NO_ONE, [{ states: [state("a", 1), state("b", 1), state("c", 2)] }], "");
    expect([...colorsOf(peers)]).toEqual([
      ["1", 1],
      ["2", 2],
    ]);
  });

  test.each([
    [undefined],
    [null],
    ["text"],
    [{ states: "x", gone: 7 }],
    [{ states: [null, 3, {}, { id: 7, user_id: 1 }, { id: "a", user_id: {} }] }],
  ])("%j is no one's state", (message) => {
    expect(withAwareness(NO_ONE, [message], "me").peers.size).toBe(0);
  });

  test("malformed fields of a state and colours outside the palette are dropped", () => {
    const odd = state("a", 1, {
      name: 7,
      color: "red; } body { display: none",
      cursor: { anchor: "%%%", head: "AQI=" },
      top: 9,
    });
    const { peers } = withAwareness(NO_ONE, [{ states: [odd, state("b", 2, { color: 12 })] }], "me");
    expect(peers.get("a")).toEqual({
      id: "a",
      userId: "1",
      name: "Someone",
      color: 0,
      cursor: undefined,
      top: undefined,
    });
    expect(peers.get("b")!.color).toBe(0);
  });
});
