import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { Room } from "./room-model.js";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());
const advance = (ms: number): void => void vi.advanceTimersByTime(ms);

/** Pages that have all read the text. */
async function opened(text: string, pages: number): Promise<Room> {
  const room = new Room(text, pages);
  await room.heal(advance);
  return room;
}

describe("a shared document", () => {
  test("two users who type in the same place keep every letter and converge", async () => {
    const room = await opened("start ", 3);
    const [ann, bob, eve] = room.pages;
    for (const letter of "👍🏽é") ann!.edit(1, 0, letter);
    for (const letter of "xyz") bob!.edit(1, 0, letter);
    await room.heal(advance);
    expect(ann!.text).toBe(room.storedText);
    expect(bob!.text).toBe(room.storedText);
    expect(eve!.text).toBe(room.storedText);
    expect(room.storedText).toMatch(/^start (👍🏽éxyz|xyz👍🏽é)$/u);
  });

  test("keystrokes of one burst are one update, below the server's rate", async () => {
    const room = await opened("", 1);
    const [ann] = room.pages;
    for (const letter of "hello") ann!.edit(1, 0, letter);
    expect(ann!.up).toHaveLength(0);
    advance(20);
    expect(ann!.up).toHaveLength(1);
    await room.deliver();
    let sent = 0;
    for (let ms = 0; ms < 10_000; ms += 10) {
      ann!.edit(1, 0, ".");
      advance(10);
      sent += ann!.up.length;
      await room.deliver();
    }
    expect(sent).toBeLessThanOrEqual(300);
    expect(sent).toBeGreaterThan(200);
  });

  test("an edit is saved when the server says that it is stored, not before", async () => {
    const room = await opened("", 1);
    const [ann] = room.pages;
    expect(ann!.document.save).toBe("saved");
    ann!.edit(0, 0, "x");
    expect(ann!.document.save).toBe("saving");
    advance(25);
    ann!.arrive();
    expect(ann!.document.save).toBe("saving");
    // The server does not get to store it.
    advance(10_000);
    expect(ann!.document.save).toBe("unsaved");
    room.commit();
    await ann!.receive();
    expect(ann!.document.save).toBe("saved");
    expect(ann!.drawer.rows.size).toBe(0);
  });

  test("an edit that was not stored when the link broke is not shown as saved", async () => {
    const room = await opened("", 1);
    const [ann] = room.pages;
    ann!.edit(0, 0, "x");
    advance(25);
    ann!.cut(1);
    ann!.connect();
    await ann!.receive();
    ann!.arrive();
    while (await ann!.receive());
    expect(ann!.document.save).toBe("saving");
    advance(50);
    while (ann!.arrive() || (await ann!.receive()));
    expect(ann!.document.save).toBe("saving");
    expect(room.storedText).toBe("");
    await room.heal(advance);
    expect(ann!.document.save).toBe("saved");
    expect(room.storedText).toBe("x");
  });

  test("nothing is sent without a connection, and one difference at the next join", async () => {
    const room = await opened("", 1);
    const [ann] = room.pages;
    ann!.cut();
    for (let i = 0; i < 500; i += 1) {
      ann!.edit(1, 0, "a");
      advance(50);
    }
    expect(ann!.document.save).toBe("unsaved");
    ann!.connect();
    await ann!.receive();
    ann!.arrive();
    while (await ann!.receive());
    advance(50);
    expect(ann!.up).toHaveLength(1);
    await room.heal(advance);
    expect(room.storedText).toBe("a".repeat(500));
  });

  test("a page that is closed in the middle of a word leaves the rest to the next one", async () => {
    const room = await opened("one", 2);
    const [ann] = room.pages;
    ann!.edit(1, 0, " two");
    ann!.load();
    expect(ann!.text).toBe("");
    await room.heal(advance);
    expect(ann!.text).toBe("one two");
    expect(room.storedText).toBe("one two");
    expect(ann!.drawer.rows.size).toBe(0);
  });

  test("what was refused outlives the page, even when a later edit was stored", async () => {
    const room = await opened("one two", 1);
    const [ann] = room.pages;
    room.refusing = 1;
    ann!.edit(0, 4, "");
    advance(60);
    ann!.edit(1, 0, "!");
    advance(60);
    ann!.arrive();
    ann!.arrive();
    room.commit();
    while (await ann!.receive());
    expect(room.storedText).toBe("one two!");
    expect(ann!.document.save).not.toBe("saved");
    ann!.load();
    await room.heal(advance);
    expect(room.storedText).toBe("two!");
  });

  test("of a text that went in parts, those not stored outlive the page", async () => {
    const room = await opened("", 1);
    const [ann] = room.pages;
    const text = "0123456789".repeat(20_000);
    ann!.edit(0, 0, text);
    advance(25);
    ann!.arrive();
    room.commit();
    while (await ann!.receive());
    expect(room.storedText.length).toBeGreaterThan(0);
    expect(room.storedText.length).toBeLessThan(text.length);
    ann!.load();
    await room.heal(advance);
    expect(room.storedText.length).toBe(text.length);
    expect(room.storedText === text).toBe(true);
  });

  test("a long time without the server keeps few rows, and a reload then has all of it", async () => {
    const room = await opened("", 1);
    const [ann] = room.pages;
    ann!.cut();
    for (let i = 0; i < 1_000; i += 1) ann!.edit(1, 0, String(i % 10));
    expect(ann!.drawer.rows.size).toBeLessThan(400);
    ann!.load();
    await room.heal(advance);
    expect(room.storedText).toBe("0123456789".repeat(100));
  });

  test("a text larger than an update goes in parts", async () => {
    const room = await opened("", 2);
    const [ann, bob] = room.pages;
    ann!.edit(0, 0, "é".repeat(200_000));
    advance(30);
    expect(ann!.up[0]).toMatchObject({ kind: "push" });
    for (const message of ann!.up) {
      if (message.kind === "push") expect(message.update.length).toBeLessThanOrEqual(64 * 1024);
    }
    await room.heal(advance);
    expect(bob!.text).toBe("é".repeat(200_000));
    expect(ann!.document.save).toBe("saved");
  });

  test("one who may not write sends nothing, and sends all of it once they may", async () => {
    const room = await opened("", 1);
    const [ann] = room.pages;
    ann!.document.access(false);
    ann!.edit(0, 0, "x");
    advance(1_000);
    expect(ann!.up).toHaveLength(0);
    expect(ann!.document.block).toBe("role");
    expect(ann!.document.save).toBe("unsaved");
    ann!.document.access(true);
    await room.heal(advance);
    expect(room.storedText).toBe("x");
    expect(ann!.document.save).toBe("saved");
  });

  test("a server that never accepts an update is not asked forever", async () => {
    const room = await opened("", 1);
    const [ann] = room.pages;
    ann!.edit(0, 0, "x");
    for (let i = 0; i < 400; i += 1) {
      advance(250);
      for (const message of ann!.up.splice(0)) {
        if (message.kind === "ask") room.answer(ann!, message.vector);
        else ann!.document.refused(message.id, { reason: "bad_update" });
      }
      while (await ann!.receive());
    }
    expect(ann!.document.block).toBe("bad_update");
    expect(ann!.document.save).toBe("unsaved");
    // A new connection is a new chance.
    ann!.cut();
    await room.heal(advance);
    expect(room.storedText).toBe("x");
  });

  test("garbage from the server changes nothing", async () => {
    const room = await opened("abc", 1);
    const [ann] = room.pages;
    ann!.document.receive([new Uint8Array([7, 200, 1, 3])]);
    ann!.document.asked(new Uint8Array([255]));
    expect(ann!.text).toBe("abc");
    ann!.edit(1, 0, "d");
    await room.heal(advance);
    expect(room.storedText).toBe("abcd");
  });
});

/** What may happen in a room, in any order. */
const happening = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant("edit" as const),
      who: fc.nat(2),
      place: fc.double({ min: 0, max: 1, noNaN: true }),
      remove: fc.nat(2),
      insert: fc.nat(3),
    }),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("arrive" as const), who: fc.nat(2) }) },
  { weight: 6, arbitrary: fc.record({ do: fc.constant("receive" as const), who: fc.nat(2) }) },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant("advance" as const), ms: fc.constantFrom(5, 25, 60, 700) }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("commit" as const) }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant("cut" as const), who: fc.nat(2), arriving: fc.nat(2) }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("connect" as const), who: fc.nat(2) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("reload" as const), who: fc.nat(2) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("crash" as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("refuse" as const), count: fc.nat(3) }) },
);

test("every letter typed and not removed is stored once, whatever breaks", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(happening, { maxLength: 120 }), async (happenings) => {
      const room = await opened("", 3);
      const typed: Set<string>[] = room.pages.map(() => new Set());
      const removed = new Set<string>();
      let next = 0x4e00;
      for (const event of happenings) {
        if (event.do === "advance") advance(event.ms);
        else if (event.do === "commit") room.commit();
        else if (event.do === "crash") room.crash();
        else if (event.do === "refuse") room.refusing = event.count;
        else {
          const page = room.pages[event.who]!;
          if (event.do === "arrive") page.arrive();
          else if (event.do === "receive") await page.receive();
          else if (event.do === "cut") page.cut(event.arriving);
          else if (event.do === "connect") page.connect();
          else if (event.do === "reload") page.load();
          else {
            const before = [...page.text];
            let insert = "";
            for (let i = 0; i < event.insert; i += 1) insert += String.fromCodePoint(next++);
            if (!page.edit(event.place, event.remove, insert)) continue;
            for (const letter of insert) typed[event.who]!.add(letter);
            const after = new Set(page.text);
            for (const letter of before) if (!after.has(letter)) removed.add(letter);
          }
        }
        for (const [who, page] of room.pages.entries()) {
          if (!page.document.received || page.document.save !== "saved") continue;
          const stored = new Set(room.storedText);
          const lost = [...typed[who]!].filter((letter) => !stored.has(letter) && !removed.has(letter));
          expect(lost).toEqual([]);
        }
      }
      await room.heal(advance);
      const expected = typed.flatMap((letters) => [...letters]).filter((letter) => !removed.has(letter));
      expect([...room.storedText].sort()).toEqual(expected.sort());
      for (const page of room.pages) {
        expect(page.text).toBe(room.storedText);
        expect(page.document.save).toBe("saved");
        expect(page.drawer.rows.size).toBe(0);
      }
    }),
    { numRuns: 250 },
  );
}, 60_000);
