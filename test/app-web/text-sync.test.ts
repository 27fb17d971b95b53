import { ChangeSet } from "@codemirror/state";
import { describe, expect, test } from "vitest";
import {
  draftOf,
  initialSync,
  OVERDUE_MS,
  resumeSync,
  type SyncEvent,
  saveStatus,
  serverText,
  step,
} from "../../src/app/web/sync/text-sync.js";
import { Room } from "./room-simulation.js";

function roomOf(text: string, ...names: string[]) {
  const room = new Room(text, names);
  for (const client of room.clients) client.connect();
  room.deliver();
  const [ann, ben, cem] = room.clients;
  return { room, ann: ann!, ben: ben!, cem: cem! };
}

describe("one person in a room", () => {
  test("at most one update is in flight, and the next carries everything typed since", () => {
    const { room, ann } = roomOf("", "ann");
    for (const letter of "hello") ann.append(letter);
    expect(ann.up.map((update) => update.text)).toEqual(["h"]);
    ann.arrive();
    ann.receive();
    expect(ann.up.map((update) => update.text)).toEqual(["hello"]);
    room.deliver();
    expect(room.text).toBe("hello");
  });

  test("it is saved when the server's own echo says so, not before", () => {
    const { room, ann } = roomOf("", "ann");
    ann.append("a");
    expect(saveStatus(ann.state)).toBe("saving");
    ann.arrive();
    expect(room.text).toBe("a");
    expect(saveStatus(ann.state)).toBe("saving");
    ann.receive();
    expect(saveStatus(ann.state)).toBe("saved");
  });

  test("an own echo leaves alone what was typed meanwhile", () => {
    const { room, ann } = roomOf("", "ann");
    ann.append("a");
    ann.append("b");
    const applied = ann.log.filter((line) => line === "apply").length;
    room.deliver();
    expect(ann.editor).toBe("ab");
    expect(ann.log.filter((line) => line === "apply")).toHaveLength(applied);
  });

  test("nothing is sent without a connection, and all of it on the way back", () => {
    const { room, ann } = roomOf("start", "ann");
    ann.cut();
    ann.append(" one");
    ann.append(" two");
    expect(ann.up).toEqual([]);
    expect(saveStatus(ann.state)).toBe("unsaved");
    ann.connect();
    room.deliver();
    expect(room.text).toBe("start one two");
    expect(saveStatus(ann.state)).toBe("saved");
  });

  test.each([
    ["was stored", 1],
    ["was lost", 0],
  ])("an update that broke off with the link and %s is there once in the end", (_, stored) => {
    const { room, ann } = roomOf("x", "ann");
    ann.append("1");
    ann.append("2");
    ann.cut(stored);
    ann.append("3");
    ann.connect();
    room.deliver();
    expect(room.text).toBe("x123");
    expect(ann.editor).toBe("x123");
  });

  test("a refused update shows as not saved and is sent again after a pause", () => {
    const { room, ann } = roomOf("", "ann");
    room.failing = true;
    ann.append("a");
    room.deliver();
    expect(saveStatus(ann.state)).toBe("unsaved");
    expect(ann.up).toEqual([]);
    room.failing = false;
    room.advance(60_000);
    room.deliver();
    expect(room.text).toBe("a");
    expect(saveStatus(ann.state)).toBe("saved");
  });

  test("an update without an answer is sent again, and its late echo does not double it", () => {
    const { room, ann } = roomOf("", "ann");
    ann.append("a");
    room.advance(OVERDUE_MS);
    expect(saveStatus(ann.state)).toBe("unsaved");
    ann.append("b");
    room.advance(OVERDUE_MS);
    room.heal();
    expect(room.text).toBe("ab");
    expect(room.atRest()).toBe(true);
  });

  test("a reply may confirm an update as well as its echo", () => {
    const { ann } = roomOf("", "ann");
    ann.append("a");
    ann.handle({ type: "confirmed", id: ann.up[0]!.id });
    expect(saveStatus(ann.state)).toBe("saved");
    expect(serverText(ann.state)).toBe("a");
  });
});

describe("several people in a room", () => {
  test("a remote text changes only what differs", () => {
    const { room, ann, ben } = roomOf("first\nsecond\nthird", "ann", "ben");
    const changes: string[] = [];
    const handle = ben.handle.bind(ben);
    ben.handle = (event: SyncEvent) => {
      for (const action of step(ben.state, event, room.now).actions) {
        if (action.type === "apply") changes.push(JSON.stringify(action.changes));
      }
      handle(event);
    };
    ann.edit(0.5, 0, "!");
    room.deliver();
    expect(changes).toEqual([JSON.stringify(ChangeSet.of({ from: 9, insert: "!" }, 18))]);
  });

  test("updates that cross keep both edits, and everybody sees both", () => {
    const { room, ann, ben, cem } = roomOf("middle", "ann", "ben", "cem");
    ann.edit(0, 0, "top ");
    ben.append(" bottom");
    room.heal();
    expect(room.text).toBe("top middle bottom");
    expect([ann.editor, ben.editor, cem.editor]).toEqual([room.text, room.text, room.text]);
  });

  test("edits at the same place stand in the order in which the server received them", () => {
    const { room, ann, ben } = roomOf("", "ann", "ben");
    ann.append("A");
    ben.append("B");
    ben.arrive();
    ann.arrive();
    room.heal();
    expect(room.text).toBe("BA");
  });

  test("edits made during an outage on both sides are merged", () => {
    const { room, ann, ben } = roomOf("one\ntwo\nthree", "ann", "ben");
    ann.cut();
    ben.cut();
    ann.edit(0, 0, "# by ann\n");
    ben.append("\n# by ben");
    room.heal();
    expect(room.text).toBe("# by ann\none\ntwo\nthree\n# by ben");
    expect(room.atRest()).toBe(true);
  });

  test("what one removes deliberately stays removed for the one who wrote it", () => {
    const { room, ann, ben } = roomOf("", "ann", "ben");
    ann.append("hello");
    room.deliver();
    room.advance(600);
    ben.edit(0.4, 3, "");
    room.heal();
    expect(room.text).toBe("he");
    expect(ann.editor).toBe("he");
  });

  test("whoever only looks on ends with the server's text and never sends one", () => {
    const { room, ann } = roomOf("start", "ann");
    for (const text of ["one", "two", "start", "", "three"]) {
      room.store(text);
      ann.receive();
    }
    room.heal();
    expect(room.text).toBe("three");
    expect(ann.editor).toBe("three");
    expect(ann.log.filter((line) => line.startsWith("send"))).toEqual([]);
  });

  test("a client that knows nothing of merging does not erase what was typed a moment ago", () => {
    const { room, ann } = roomOf("a\n\nz", "ann");
    ann.edit(0, 0, "ann was here ");
    room.deliver();
    // Made from the text before: the tutorial's client on a slow link.
    room.store("a\n\nz and naive");
    room.heal();
    expect(room.text).toBe("ann was here a\n\nz and naive");
  });
});

describe("a draft", () => {
  test("of a room that is in step is not worth keeping", () => {
    const { ann } = roomOf("x", "ann");
    expect(draftOf(ann.state)).toBeUndefined();
    expect(draftOf(initialSync(0))).toBeUndefined();
  });

  test.each([
    ["was stored", "xy!", "xy!z"],
    ["was lost", "x!", "x!yz"],
  ])("brings unsent text into the room of now, when the update in flight %s", (_, now, merged) => {
    const { ann } = roomOf("x", "ann");
    ann.append("y");
    ann.append("z");
    const draft = JSON.parse(JSON.stringify(draftOf(ann.state)));
    const resumed = resumeSync(draft, 0, 0);
    expect(resumed.doc).toBe("xyz");
    const { state, actions } = step(resumed, { type: "joined", text: now }, 0);
    expect(state.doc).toBe(merged);
    expect(actions.at(-1)).toEqual({ type: "send", id: expect.any(Number), text: state.doc });
  });
});
