/**
 * The room's process, with a clock that stands still until it is moved and a repository that does
 * as it is notified.
 */

import { Endpoint } from "simurgh/channels";
import { createNode, exit, GenServer, monitor, type Pid, receive, self, spawn } from "simurgh/runtime";
import { VirtualClock } from "simurgh/testing";
import { describe, expect, test } from "vitest";
import * as Y from "yjs";
import { ChannelHarness } from "#channels";
import type { DocumentImage } from "../../../src/app/document/document-image.js";
import type { DocumentLoader, LoadOutcome } from "../../../src/app/document/document-loader.js";
import { loadImage, type StoredDocument } from "../../../src/app/document/document-loading.js";
import { SharedDocument, seedState, textHash } from "../../../src/app/document/shared-document.js";
import {
  COMPACTED,
  type JoinReply,
  type RoomCall,
  type RoomCast,
} from "../../../src/app/rooms/room-messages.js";
import { roomServer } from "../../../src/app/rooms/room-server.js";
import type { Repository } from "../../../src/app/storage/repository-client.js";
import type { Append, Compaction, Snapshot } from "../../../src/app/storage/room-log.js";
import { forgedRun, forgeUpdate } from "../../support/forged-update.js";

const CHALLENGE = {
  id: 1,
  title: "T",
  prompt: "P",
  language: "javascript",
  response: "hello",
  updated_at: "",
};

/** A log in memory. `fate` decides what becomes of what is asked. */
class FakeRepository {
  fate: "ok" | "unavailable" | "fenced" = "ok";
  readonly rows: { readonly userId: number | null; readonly bytes: Uint8Array }[] = [];
  readonly appends: Append[] = [];
  readonly snapshots: Snapshot[] = [];
  readonly compactions: Compaction[] = [];
  projection: string | undefined;
  opened = 0;
  snapshotTries = 0;
  readonly #state = seedState("hello");

  readonly client = {
    openRoom: async () => {
      this.opened += 1;
      if (this.fate !== "ok") return ["error", this.fate];
      const newest = this.snapshots.at(-1);
      const state = newest?.state ?? this.#state;
      const from = newest?.seq ?? 0;
      return [
        "ok",
        {
          challenge: CHALLENGE,
          epoch: "e",
          seq: this.rows.length,
          snapshotSeq: from,
          stored: [
            {
              state,
              hash: textHash(SharedDocument.load(state, []).text),
              updates: this.rows.slice(from).map(({ bytes }) => bytes),
            },
          ],
        },
      ];
    },
    appendUpdates: async (append: Append) => {
      this.appends.push(append);
      if (this.fate !== "ok") return ["error", this.fate];
      const first = this.rows.length + 1;
      this.rows.push(...append.entries);
      if (append.text !== undefined) this.projection = append.text;
      return ["ok", { first }];
    },
    updatesAfter: async (_id: number, _epoch: string, seq: number) => {
      if (this.fate !== "ok") return ["error", this.fate];
      const updates = this.rows.slice(seq).map(({ bytes }) => bytes);
      return ["ok", { seq: this.rows.length, updates }];
    },
    compactRoom: async (compaction: Compaction) => {
      if (this.fate !== "ok") return ["error", this.fate];
      if (compaction.seq !== this.rows.length) return ["error", "behind"];
      this.rows.push({ userId: null, bytes: new Uint8Array() });
      this.snapshots.push({ ...compaction, seq: this.rows.length, authors: [] });
      this.compactions.push(compaction);
      return ["ok", null];
    },
    saveSnapshot: async (snapshot: Snapshot) => {
      this.snapshotTries += 1;
      if (this.fate !== "ok") return ["error", this.fate];
      this.snapshots.push(snapshot);
      this.projection = snapshot.text;
      return ["ok", null];
    },
  } as unknown as Repository;

  /** The text that a room would start from now. */
  get text(): string {
    return SharedDocument.load(
      this.#state,
      this.rows.map(({ bytes }) => bytes),
    ).text;
  }
}

type Received = readonly [kind: string, what: string, payload: unknown];

/** A room, and the test as everyone else. */
class World {
  readonly clock = new VirtualClock();
  readonly repository = new FakeRepository();
  /** Loads here, unless it is to fail; `loads` counts. */
  loads = 0;
  loading: (stored: readonly StoredDocument[]) => Promise<LoadOutcome<DocumentImage>> = async (stored) => [
    "ok",
    loadImage(stored),
  ];
  readonly loader: DocumentLoader = {
    image: (stored) => {
      this.loads += 1;
      return this.loading(stored);
    },
    text: async () => ["error", "damaged"],
  };
  readonly received: Received[] = [];
  room!: Pid;
  #refs = 0;
  #endpoint = "";

  async start(): Promise<void> {
    this.#endpoint = `room-test-${Math.random()}`;
    await ChannelHarness.start(this.#endpoint);
    await Endpoint.subscribe(this.#endpoint, "challenges:1");
    await this.startRoom();
  }

  async startRoom(): Promise<void> {
    const started = await GenServer.start(roomServer, {
      id: 1,
      topic: "challenges:1",
      endpoint: this.#endpoint,
      repository: this.repository.client,
      loader: this.loader,
    });
    this.room = (started as readonly ["ok", Pid])[1];
  }

  get endpoint(): string {
    return this.#endpoint;
  }

  ask<T>(request: RoomCall): Promise<T> {
    return GenServer.call<T>(this.room, request, 1_000_000);
  }

  tell(request: RoomCast): void {
    GenServer.cast(this.room, request);
  }

  /** Someone's channel: what the room tells it is received as `["channel", name, message]`. */
  async enter(
    name: string,
    { document = true, canWrite = true, userId = 1, client = undefined as number | undefined } = {},
  ): Promise<Pid & { entered: JoinReply }> {
    const { received } = this;
    const pid = spawn(async () => {
      for (;;) received.push(["channel", name, (await receive((message) => [message]))[0]]);
    });
    const entered = await this.ask<["ok", JoinReply]>([
      "enter",
      { pid, userId, name, role: "edit", canWrite, document, client },
    ]);
    return Object.assign(pid, { entered: entered[1] });
  }

  /**
   * Sends an update as that channel; the answer is received as `["reply", ref, [status,
   * response]]`.
   */
  update(pid: Pid, bytes: Uint8Array): string {
    this.#refs += 1;
    const ref = String(this.#refs);
    this.tell([
      "update",
      pid,
      { writer: self(), connection: 1, serializer: "v2_json", topic: "challenges:1", ref, joinRef: "1" },
      bytes,
    ]);
    return ref;
  }

  /** Lets everything happen that needs no time. */
  async settle(): Promise<void> {
    for (let quiet = 0; quiet < 5; quiet += 1) {
      await new Promise((resolve) => setImmediate(resolve));
      for (;;) {
        const message = await receive((given) => [given], { after: 0 });
        if (message === undefined) break;
        this.#hear(message[0]);
        quiet = 0;
      }
    }
  }

  #hear(message: unknown): void {
    if (!Array.isArray(message) && typeof message === "object" && message !== null && "event" in message) {
      const { event, payload } = message as { event: string; payload: unknown };
      this.received.push(["broadcast", event, payload]);
    } else if (Array.isArray(message) && message[0] === "send") {
      const [, ref, , , { status, response }] = JSON.parse(message[2]) as [
        0,
        string,
        0,
        0,
        { status: string; response: unknown },
      ];
      this.received.push(["reply", ref, [status, response]]);
    }
  }

  async advance(ms: number): Promise<void> {
    await this.settle();
    const end = this.clock.now() + ms;
    while (this.clock.next !== undefined && this.clock.next <= end) {
      this.clock.advanceTo(this.clock.next);
      await this.settle();
    }
    this.clock.advanceTo(end);
    await this.settle();
  }

  replyTo(ref: string): unknown {
    return this.received.find(([kind, what]) => kind === "reply" && what === ref)?.[2];
  }

  /** The answer, which may take many turns of the event loop to come. */
  async answerTo(ref: string): Promise<unknown> {
    for (let n = 0; n < 500 && this.replyTo(ref) === undefined; n += 1) await this.settle();
    return this.replyTo(ref);
  }

  broadcasts<T>(event: string): T[] {
    return this.received
      .filter(([kind, what]) => kind === "broadcast" && what === event)
      .map(([, , payload]) => payload as T);
  }

  notifiedTo(name: string): unknown[] {
    return this.received
      .filter(([kind, what]) => kind === "channel" && what === name)
      .map(([, , message]) => message);
  }
}

const world = (run: (world: World) => Promise<void>) => async (): Promise<void> => {
  const here = new World();
  const node = createNode({ clock: here.clock });
  await node.run(async () => {
    await here.start();
    await run(here);
  });
  await node.stop();
};

/** Someone's editor: gives the update of each change. */
class Editor {
  readonly doc = new Y.Doc();
  readonly text = this.doc.getText("response");

  static async of(here: World): Promise<Editor> {
    const editor = new Editor();
    const answer = await here.ask<{ update: Uint8Array }>(["sync", Y.encodeStateVector(editor.doc)]);
    Y.applyUpdate(editor.doc, answer.update);
    return editor;
  }

  change(change: (text: Y.Text) => void): Uint8Array {
    const before = Y.encodeStateVector(this.doc);
    change(this.text);
    return Y.encodeStateAsUpdate(this.doc, before);
  }
}

describe("an update", () => {
  test(
    "is broadcast at once and answered once it is stored",
    world(async (here) => {
      const ann = await here.enter("Ann");
      const editor = await Editor.of(here);
      here.repository.fate = "unavailable";
      const ref = here.update(
        ann,
        editor.change((text) => text.insert(5, "!")),
      );
      await here.settle();
      expect(here.broadcasts("y:update")).toHaveLength(1);
      expect(here.replyTo(ref)).toBeUndefined();
      expect(here.broadcasts("room:status")).toEqual([{ persistence: "degraded", draining: false }]);
      here.repository.fate = "ok";
      await here.advance(200);
      expect(here.replyTo(ref)).toEqual(["ok", { seq: 1 }]);
      expect(here.broadcasts("room:status").at(-1)).toEqual({ persistence: "ok", draining: false });
      expect(here.repository.text).toBe("hello!");
    }),
  );

  test(
    "of a user whose edits make too much work waits, on every connection",
    world(async (here) => {
      const [ann, again, bob] = [
        await here.enter("Ann"),
        await here.enter("Ann"),
        await here.enter("Bob", { userId: 2 }),
      ];
      const part = forgeUpdate(
        forgedRun(6500, (clock) => ({
          client: 9,
          clock,
          origin: null,
          right: clock ? [9, clock - 1] : null,
          text: "x",
        })),
      );
      const dear = Array.from({ length: 7 }, () => here.update(ann, part));
      expect(await here.answerTo(dear.at(-1) as string)).toMatchObject([
        "error",
        { reason: "rate", retry_after_ms: expect.any(Number) },
      ]);
      const small = () => forgeUpdate([{ client: 99, clock: 0, origin: null, right: null, text: "x" }]);
      const [own, others] = [here.update(again, small()), here.update(bob, small())];
      expect(await here.answerTo(own)).toMatchObject(["error", { reason: "rate" }]);
      expect(await here.answerTo(others)).toMatchObject(["ok", {}]);
      await here.advance(3000);
      const later = here.update(again, small());
      expect(await here.answerTo(later)).toMatchObject(["ok", {}]);
    }),
  );

  test(
    "that was sent before is answered when what it says is stored, not sooner",
    world(async (here) => {
      const ann = await here.enter("Ann");
      const update = (await Editor.of(here)).change((text) => text.insert(0, "x"));
      here.repository.fate = "unavailable";
      const refs = [here.update(ann, update), here.update(ann, update)];
      await here.settle();
      expect(refs.map((ref) => here.replyTo(ref))).toEqual([undefined, undefined]);
      here.repository.fate = "ok";
      await here.advance(200);
      const third = here.update(ann, update);
      await here.settle();
      expect([...refs, third].map((ref) => here.replyTo(ref))).toEqual(Array(3).fill(["ok", { seq: 1 }]));
    }),
  );

  test(
    "is stored in order with others after an outage, with growing delays",
    world(async (here) => {
      const ann = await here.enter("Ann");
      const editor = await Editor.of(here);
      here.repository.fate = "unavailable";
      const refs: string[] = [];
      for (let n = 0; n < 50; n += 1) {
        refs.push(
          here.update(
            ann,
            editor.change((text) => text.insert(text.length, `${n},`)),
          ),
        );
        await here.advance(200);
      }
      expect(here.repository.appends.length).toBeLessThan(20);
      here.repository.fate = "ok";
      await here.advance(6000);
      expect(refs.map((ref) => here.replyTo(ref))).toEqual(refs.map((_ref, n) => ["ok", { seq: n + 1 }]));
      expect(here.repository.text).toBe(editor.text.toString());
    }),
  );

  test(
    "of a user who may not write is refused",
    world(async (here) => {
      const ann = await here.enter("Ann", { userId: 7 });
      const editor = await Editor.of(here);
      here.tell(["access", ann, "view", false]);
      const ref = here.update(
        ann,
        editor.change((text) => text.insert(0, "x")),
      );
      await here.settle();
      expect(here.replyTo(ref)).toEqual(["error", { reason: "read_only", why: "role" }]);
      expect(await here.ask(["whole text", ann, "x"])).toBe("refused");
      here.tell(["access", ann, "edit", true]);
      const again = here.update(
        ann,
        editor.change((text) => text.insert(0, "y")),
      );
      await here.settle();
      expect(here.replyTo(again)).toEqual(["error", { reason: "bad_update" }]);
      const all = here.update(ann, Y.encodeStateAsUpdate(editor.doc));
      await here.settle();
      expect(here.replyTo(all)).toEqual(["ok", { seq: 1 }]);
      expect(here.repository.text).toBe("yxhello");
    }),
  );

  test(
    "under an id that another user of the room has named is refused",
    world(async (here) => {
      const [mine, theirs] = [await Editor.of(here), await Editor.of(here)];
      const ann = await here.enter("Ann", { userId: 1, client: mine.doc.clientID });
      const eve = await here.enter("Eve", { userId: 2 });
      theirs.doc.clientID = mine.doc.clientID;
      await here.advance(60_000);
      const forged = here.update(
        eve,
        theirs.change((text) => text.insert(0, "forged")),
      );
      const real = here.update(
        ann,
        mine.change((text) => text.insert(0, "real")),
      );
      await here.settle();
      expect(here.replyTo(forged)).toEqual(["error", { reason: "bad_update" }]);
      expect(here.replyTo(real)).toEqual(["ok", { seq: 1 }]);
    }),
  );

  test(
    "may bring what others had written, after a crash has lost it, from each of them",
    world(async (here) => {
      const [one, two] = [await Editor.of(here), await Editor.of(here)];
      const lost = one.change((text) => text.insert(0, "one "));
      Y.applyUpdate(two.doc, lost);
      Y.applyUpdate(
        one.doc,
        two.change((text) => text.insert(4, "two ")),
      );
      const ann = await here.enter("Ann", { userId: 1, client: one.doc.clientID });
      const bob = await here.enter("Bob", { userId: 2, client: two.doc.clientID });
      const refs = [
        here.update(ann, Y.encodeStateAsUpdate(one.doc)),
        here.update(bob, Y.encodeStateAsUpdate(two.doc)),
      ];
      await here.settle();
      expect(refs.map((ref) => here.replyTo(ref))).toEqual(Array(2).fill(["ok", { seq: 1 }]));
      expect(here.repository.text).toBe("one two hello");
    }),
  );

  test(
    "beyond the rate is refused with the time to wait, and taken then",
    world(async (here) => {
      const ann = await here.enter("Ann");
      const editor = await Editor.of(here);
      const updates = Array.from({ length: 125 }, () =>
        editor.change((text) => text.insert(text.length, "x")),
      );
      const refs = updates.map((update) => here.update(ann, update));
      await here.settle();
      expect(here.replyTo(refs[119] as string)).toMatchObject(["ok", { seq: 120 }]);
      expect(here.replyTo(refs[120] as string)).toEqual(["error", { reason: "rate", retry_after_ms: 34 }]);
      await here.advance(34);
      const again = here.update(ann, updates[120] as Uint8Array);
      await here.settle();
      expect(here.replyTo(again)).toMatchObject(["ok", { seq: 121 }]);
    }),
  );

  test(
    "when too much waits already is refused, and taken again once that is stored",
    world(async (here) => {
      const ann = await here.enter("Ann");
      const editor = await Editor.of(here);
      here.repository.fate = "unavailable";
      // Inserted and deleted again, so that it is the log that grows and not the text.
      const large = (): Uint8Array => {
        const update = editor.change((text) => text.insert(0, "x".repeat(400_000)));
        return update;
      };
      const refs: string[] = [];
      for (let n = 0; n < 2; n += 1) {
        refs.push(here.update(ann, large()));
        await here.advance(1000);
      }
      expect(here.broadcasts("room:status")).toEqual([{ persistence: "degraded", draining: false }]);
      const shrink = editor.change((text) => text.delete(0, 800_000));
      refs.push(here.update(ann, shrink));
      for (let n = 0; n < 9; n += 1) {
        const update = large();
        refs.push(here.update(ann, update));
        await here.advance(1000);
        refs.push(
          here.update(
            ann,
            editor.change((text) => text.delete(0, 400_000)),
          ),
        );
        await here.advance(1000);
      }
      expect(here.broadcasts("room:status").at(-1)).toEqual({ persistence: "read_only", draining: false });
      const refused = refs.map((ref) => here.replyTo(ref)).filter((answer) => answer !== undefined);
      expect(refused).toContainEqual(["error", { reason: "read_only", why: "persistence" }]);
      here.repository.fate = "ok";
      await here.advance(6000);
      expect(here.broadcasts("room:status").at(-1)).toEqual({ persistence: "ok", draining: false });
      const all = here.update(ann, Y.encodeStateAsUpdate(editor.doc));
      await here.settle();
      expect(here.replyTo(all)).toMatchObject(["ok", {}]);
      expect(here.repository.text).toBe(editor.text.toString());
    }),
  );
});

describe("a whole text", () => {
  test(
    "is stored first, then sent to both kinds of client",
    world(async (here) => {
      const bob = await here.enter("Bob", { document: false, userId: 2 });
      expect(await here.ask(["whole text", bob, "hello, you"])).toBe("ok");
      await here.settle();
      expect(here.broadcasts<{ challenge: unknown }>("response:updated")).toMatchObject([
        { challenge: { id: 1, title: "T", response: "hello, you" } },
      ]);
      expect(here.broadcasts("y:update")).toHaveLength(1);
      expect(here.repository.projection).toBe("hello, you");
    }),
  );

  test(
    "is an edit of what its client has seen, and keeps what others typed meanwhile",
    world(async (here) => {
      const bob = await here.enter("Bob", { document: false, userId: 2 });
      const ann = await here.enter("Ann");
      const editor = await Editor.of(here);
      here.update(
        ann,
        editor.change((text) => text.insert(0, "Ann says ")),
      );
      // Bob has not received of it when he sends his.
      expect(await here.ask(["whole text", bob, "hello from Bob"])).toBe("ok");
      expect(here.repository.text).toBe("Ann says hello from Bob");
    }),
  );

  test(
    "that cannot be stored is rolled back without the edits of others",
    world(async (here) => {
      const bob = await here.enter("Bob", { document: false, userId: 2 });
      const ann = await here.enter("Ann");
      const [editor, reader] = [await Editor.of(here), await Editor.of(here)];
      here.repository.fate = "unavailable";
      const answer = here.ask(["whole text", bob, "never stored"]);
      const ref = here.update(
        ann,
        editor.change((text) => text.insert(5, " Ann")),
      );
      expect(await answer).toBe("refused");
      expect(await here.ask(["whole text", bob, "nor this"])).toBe("refused");
      await here.advance(100);
      expect(here.broadcasts<{ challenge: { response: string } }>("response:updated")).toMatchObject([
        { challenge: { response: "hello Ann" } },
      ]);
      here.repository.fate = "ok";
      await here.advance(1000);
      expect(here.replyTo(ref)).toMatchObject(["ok", {}]);
      expect(here.repository.text).toBe("hello Ann");
      const seen: string[] = [];
      reader.text.observe(() => seen.push(reader.text.toString()));
      for (const update of here.broadcasts<Uint8Array>("y:update")) Y.applyUpdate(reader.doc, update);
      expect([...new Set(seen)]).toEqual(["hello Ann"]);
      expect(await here.ask(["whole text", bob, "hello Ann and Bob"])).toBe("ok");
      expect(here.repository.text).toBe("hello Ann and Bob");
    }),
  );

  test(
    "that replaces one which was refused replaces what is there, not what was refused",
    world(async (here) => {
      const bob = await here.enter("Bob", { document: false, userId: 2 });
      expect(await here.ask(["whole text", bob, "text 1"])).toBe("ok");
      here.repository.fate = "unavailable";
      expect(await here.ask(["whole text", bob, "text 22222"])).toBe("refused");
      here.repository.fate = "ok";
      expect(await here.ask(["whole text", bob, "text 22222!"])).toBe("ok");
      expect(await here.ask(["text"])).toEqual(["ok", "text 22222!"]);
    }),
  );

  test(
    "becomes the document's text when its client writes alone",
    world(async (here) => {
      const bob = await here.enter("Bob", { document: false, userId: 2 });
      const all = (from: number, to: number): Promise<unknown>[] =>
        Array.from({ length: to - from + 1 }, (_, n) => here.ask(["whole text", bob, `text ${from + n}`]));
      expect(new Set(await Promise.all(all(1, 6)))).toEqual(new Set(["ok"]));
      here.repository.fate = "unavailable";
      expect(new Set(await Promise.all(all(7, 9)))).toEqual(new Set(["refused"]));
      here.repository.fate = "ok";
      for (const text of ["text 33", "text 22", "the end"]) {
        expect(await here.ask(["whole text", bob, text])).toBe("ok");
        expect(await here.ask(["text"])).toEqual(["ok", text]);
      }
    }),
  );

  test(
    "that is sent again replaces what it was merged into",
    world(async (here) => {
      const ann = await here.enter("Ann", { document: false });
      const bob = await here.enter("Bob", { document: false, userId: 2 });
      const answers = [
        here.ask(["whole text", ann, "Ann says hello"]),
        here.ask(["whole text", bob, "hello from Bob"]),
      ];
      expect(await Promise.all(answers)).toEqual(["ok", "ok"]);
      expect(await here.ask(["text"])).toEqual(["ok", "Ann says hello from Bob"]);
      expect(await here.ask(["whole text", bob, "hello from Bob"])).toBe("ok");
      expect(await here.ask(["text"])).toEqual(["ok", "hello from Bob"]);
    }),
  );

  test(
    "of a user whose texts made much work is refused for a while",
    world(async (here) => {
      const bob = await here.enter("Bob", { document: false, userId: 2 });
      const ann = await here.enter("Ann", { document: false });
      const rewrite = (pid: Pid, letter: string): Promise<unknown> =>
        here.ask(["whole text", pid, letter.repeat(500_000)]);
      const answers: unknown[] = [];
      for (const letter of "abcdefgh") answers.push(await rewrite(bob, letter));
      expect(answers[0]).toBe("ok");
      expect(answers.at(-1)).toBe("refused");
      expect(await here.ask(["whole text", ann, "Ann"])).toBe("ok");
      await here.advance(5000);
      expect(await rewrite(bob, "z")).toBe("ok");
    }),
  );

  test(
    "is sent to full-text clients at most every 50 ms, and the last one always",
    world(async (here) => {
      await here.enter("Bob", { document: false, userId: 2 });
      const ann = await here.enter("Ann");
      const editor = await Editor.of(here);
      for (let n = 0; n < 100; n += 1) {
        here.update(
          ann,
          editor.change((text) => text.insert(text.length, String(n % 10))),
        );
        await here.advance(5);
      }
      await here.advance(60);
      const notified = here.broadcasts<{ challenge: { response: string } }>("response:updated");
      expect(notified.length).toBeGreaterThan(5);
      expect(notified.length).toBeLessThan(14);
      expect(notified.at(-1)?.challenge.response).toBe(editor.text.toString());
    }),
  );

  test(
    "that was broadcast between join and subscription is sent once more",
    world(async (here) => {
      const bob = await here.enter("Bob", { document: false, userId: 2 });
      expect(await here.ask(["entered", bob])).toBeUndefined();
      const eve = await here.enter("Eve", { document: false, userId: 3 });
      const ann = await here.enter("Ann");
      here.update(
        ann,
        (await Editor.of(here)).change((text) => text.insert(0, "x")),
      );
      expect(await here.ask(["entered", eve])).toMatchObject({ response: "xhello" });
    }),
  );
});

describe("who is there", () => {
  test(
    "typing begins with an edit and ends 3 s after the last one",
    world(async (here) => {
      const ann = await here.enter("Ann");
      const bob = await here.enter("Bob", { document: false, userId: 2 });
      const editor = await Editor.of(here);
      here.update(
        ann,
        editor.change((text) => text.insert(0, "a")),
      );
      await here.advance(2000);
      here.update(
        ann,
        editor.change((text) => text.insert(0, "b")),
      );
      await here.ask(["whole text", bob, "abhello!"]);
      await here.advance(2900);
      expect(here.notifiedTo("Ann")).toEqual([["room", "typing", true]]);
      expect(here.notifiedTo("Bob")).toEqual([["room", "typing", true]]);
      await here.advance(200);
      expect(here.notifiedTo("Ann")).toEqual([
        ["room", "typing", true],
        ["room", "typing", false],
      ]);
      expect(here.notifiedTo("Bob")).toEqual(here.notifiedTo("Ann"));
    }),
  );

  test(
    "a user who left the text types no longer until the next edit",
    world(async (here) => {
      const ann = await here.enter("Ann");
      const editor = await Editor.of(here);
      here.update(
        ann,
        editor.change((text) => text.insert(0, "a")),
      );
      here.tell(["stopped typing", ann]);
      await here.advance(5000);
      here.update(
        ann,
        editor.change((text) => text.insert(0, "b")),
      );
      await here.settle();
      expect(here.notifiedTo("Ann")).toEqual([
        ["room", "typing", true],
        ["room", "typing", true],
      ]);
    }),
  );

  test(
    "cursors carry the server's name for the user and leave with the connection",
    world(async (here) => {
      const ann = await here.enter("Ann", { userId: 1 });
      const tab = await here.enter("Ann", { userId: 1 });
      const bob = await here.enter("Bob", { userId: 13 });
      expect(ann.entered.me.color).toBe(tab.entered.me.color);
      expect(bob.entered.me.color).not.toBe(ann.entered.me.color);
      const cursor = { anchor: "AA==", head: "AA==" };
      here.tell(["cursor", ann, { cursor: null }]);
      here.tell(["cursor", ann, { cursor }]);
      here.tell(["cursor", bob, { cursor, top: "BB==" }]);
      await here.advance(50);
      expect(here.broadcasts("y:awareness")).toEqual([
        {
          states: [
            { ...ann.entered.me, cursor },
            { ...bob.entered.me, cursor, top: "BB==" },
          ],
          gone: [],
        },
      ]);
      exit(ann, "kill");
      await here.advance(50);
      expect(here.broadcasts("y:awareness").at(-1)).toEqual({ states: [], gone: [ann.entered.me.id] });
      const answer = await here.ask<{ states: unknown[] }>(["sync", Y.encodeStateVector(new Y.Doc())]);
      expect(answer.states).toEqual([{ ...bob.entered.me, cursor, top: "BB==" }]);
    }),
  );

  test(
    "cursors of another node expire without a sign and return with one",
    world(async (here) => {
      const ann = await here.enter("Ann");
      here.tell(["cursor", ann, { cursor: null }]);
      const state = { id: "far", user_id: 7, name: "Far", color: 3, cursor: null };
      /** As the other node's room does. */
      const other = (event: string, payload: object) =>
        Endpoint.broadcastFrom(here.endpoint, self(), "challenges:1", event, payload);
      other("y:awareness", { states: [state], gone: [] });
      await here.advance(0);
      const states = async () =>
        (await here.ask<{ states: { id: string }[] }>(["sync", Y.encodeStateVector(new Y.Doc())])).states.map(
          ({ id }) => id,
        );
      expect(await states()).toEqual([ann.entered.me.id, "far"]);
      const gone = () =>
        here.broadcasts<{ gone: string[] }>("y:awareness").flatMap((notified) => notified.gone);
      for (let n = 0; n < 5; n += 1) {
        await here.advance(15_000);
        other("cursors:here", { states: [state] });
        await here.advance(0);
      }
      expect(gone()).toEqual([]);
      // This one says the same of its own.
      expect(here.broadcasts<{ states: { id: string }[] }>("cursors:here").at(-1)?.states).toMatchObject([
        { id: ann.entered.me.id },
      ]);
      await here.advance(61_000);
      expect(gone()).toEqual(["far"]);
      expect(await states()).toEqual([ann.entered.me.id]);
      other("cursors:here", { states: [state] });
      await here.advance(0);
      expect(here.broadcasts("y:awareness").at(-1)).toEqual({ states: [state], gone: [] });
    }),
  );
});

describe("a room", () => {
  test(
    "ends a minute after the last client has left, with a snapshot",
    world(async (here) => {
      const ann = await here.enter("Ann");
      here.update(
        ann,
        (await Editor.of(here)).change((text) => text.insert(0, "x")),
      );
      await here.settle();
      exit(ann, "kill");
      await here.advance(59_000);
      expect(here.repository.snapshots).toEqual([]);
      monitor(here.room);
      let down: unknown;
      await here.advance(500);
      here.clock.advanceTo(here.clock.now() + 600);
      for (let n = 0; n < 20 && down === undefined; n += 1) {
        here.clock.advanceTo(here.clock.now() + 100);
        await new Promise((resolve) => setImmediate(resolve));
        down = await receive(
          (message) => (Array.isArray(message) && message[0] === "DOWN" ? message[4] : undefined),
          { after: 0 },
        );
      }
      expect(down).toBe("normal");
      expect(here.repository.snapshots).toMatchObject([{ seq: 1, text: "xhello", authors: [1] }]);
      await here.startRoom();
      expect(await here.ask(["text"])).toEqual(["ok", "xhello"]);
    }),
  );

  test(
    "that is joined again does not end, nor one with unstored edits",
    world(async (here) => {
      const { exit, isAlive } = await import("simurgh/runtime");
      exit(await here.enter("Ann"), "kill");
      await here.advance(50_000);
      const bob = await here.enter("Bob");
      await here.advance(50_000);
      const editor = await Editor.of(here);
      here.repository.fate = "unavailable";
      here.update(
        bob,
        editor.change((text) => text.insert(0, "x")),
      );
      await here.settle();
      exit(bob, "kill");
      await here.advance(120_000);
      expect(isAlive(here.room)).toBe(true);
      here.repository.fate = "ok";
      await here.advance(70_000);
      expect(isAlive(here.room)).toBe(false);
      expect(here.repository.text).toBe("xhello");
    }),
  );

  test(
    "that has been left tries to keep a snapshot less and less often, and still ends",
    world(async (here) => {
      const { exit, isAlive } = await import("simurgh/runtime");
      const ann = await here.enter("Ann");
      here.update(
        ann,
        (await Editor.of(here)).change((text) => text.insert(0, "x")),
      );
      await here.settle();
      exit(ann, "kill");
      here.repository.fate = "unavailable";
      await here.advance(10 * 60_000);
      // 1, 2, 4 … 32 s, then a minute, each up to a quarter more or less by chance.
      expect(here.repository.snapshotTries).toBeGreaterThan(5);
      expect(here.repository.snapshotTries).toBeLessThan(30);
      expect(isAlive(here.room)).toBe(true);
      here.repository.fate = "ok";
      await here.advance(76_000);
      expect(isAlive(here.room)).toBe(false);
      expect(here.repository.snapshots).toMatchObject([{ text: "xhello", authors: [1] }]);
    }),
  );

  test(
    "that is asked to stop stores everything first, and a snapshot",
    world(async (here) => {
      const ann = await here.enter("Ann");
      const editor = await Editor.of(here);
      here.repository.fate = "unavailable";
      for (let n = 0; n < 300; n += 1) {
        here.update(
          ann,
          editor.change((text) => text.insert(text.length, "x")),
        );
        await here.advance(40);
      }
      here.repository.fate = "ok";
      await GenServer.stop(here.room, "shutdown");
      expect(here.repository.text).toBe(editor.text.toString());
      expect(here.repository.snapshots.at(-1)?.text).toBe(editor.text.toString());
    }),
  );

  test(
    "says that it drains, and that everything is stored",
    world(async (here) => {
      const ann = await here.enter("Ann");
      here.update(
        ann,
        (await Editor.of(here)).change((text) => text.insert(0, "x")),
      );
      expect(await here.ask(["drain"])).toBe("ok");
      await here.settle();
      expect(here.repository.text).toBe("xhello");
      expect(here.broadcasts("room:status")).toEqual([{ persistence: "ok", draining: true }]);
    }),
  );

  test(
    "that another node writes to now ends, so that its clients find that one",
    world(async (here) => {
      const ann = await here.enter("Ann");
      monitor(here.room);
      here.repository.fate = "fenced";
      const editor = await Editor.of(here);
      here.update(
        ann,
        editor.change((text) => text.insert(0, "x")),
      );
      const reason = await receive((message) =>
        Array.isArray(message) && message[0] === "DOWN" ? [message[4]] : undefined,
      );
      expect(reason).toEqual([["room_lost", "fenced"]]);
      expect(here.repository.appends).toHaveLength(1);
    }),
  );

  test(
    "keeps a snapshot every 500 edits, and after a minute without edits",
    world(async (here) => {
      const ann = await here.enter("Ann");
      const editor = await Editor.of(here);
      for (let n = 0; n < 510; n += 1) {
        here.update(
          ann,
          editor.change((text) => text.insert(text.length, "x")),
        );
        await here.advance(34);
      }
      expect(here.repository.snapshots).toHaveLength(1);
      await here.advance(61_000);
      expect(here.repository.snapshots.map(({ seq }) => seq)).toEqual([500, 510]);
    }),
  );

  test(
    "restores a former text by an ordinary edit, and keeps the present one",
    world(async (here) => {
      const ann = await here.enter("Ann");
      here.update(
        ann,
        (await Editor.of(here)).change((text) => text.insert(5, " world")),
      );
      await here.settle();
      expect(await here.ask(["restore", 1, "hello"])).toEqual(["ok", 2]);
      await here.settle();
      expect(await here.ask(["text"])).toEqual(["ok", "hello"]);
      expect(here.repository.snapshots).toMatchObject([{ seq: 1, text: "hello world" }]);
      expect(here.broadcasts("y:update")).toHaveLength(2);
    }),
  );
});

describe("with rooms of the same challenge on other nodes", () => {
  test(
    "broadcasts of other rooms are applied, and stored here before new edits",
    world(async (here) => {
      const ann = await here.enter("Ann");
      const [there, editor] = [await Editor.of(here), await Editor.of(here)];
      const update = there.change((text) => text.insert(0, "from there, "));
      Endpoint.broadcast(here.endpoint, "challenges:1", "y:update", update);
      await here.settle();
      expect(await here.ask(["text"])).toEqual(["ok", "from there, hello"]);
      Y.applyUpdate(editor.doc, update);
      const ref = here.update(
        ann,
        editor.change((text) => text.insert(12, "and here, ")),
      );
      await here.settle();
      expect(here.replyTo(ref)).toEqual(["ok", { seq: 2 }]);
      expect(here.repository.text).toBe("from there, and here, hello");
    }),
  );

  test(
    "edits that were lost on the way are read from the log and broadcast",
    world(async (here) => {
      const ann = await here.enter("Ann");
      const [there, editor] = [await Editor.of(here), await Editor.of(here)];
      here.repository.rows.push({ userId: 2, bytes: there.change((text) => text.insert(0, "lost, ")) });
      const ref = here.update(
        ann,
        editor.change((text) => text.insert(5, "!")),
      );
      await here.settle();
      expect(here.replyTo(ref)).toEqual(["ok", { seq: 2 }]);
      expect(await here.ask(["text"])).toEqual(["ok", "lost, hello!"]);
      for (const update of here.broadcasts<Uint8Array>("y:update")) Y.applyUpdate(editor.doc, update);
      expect(editor.text.toString()).toBe("lost, hello!");
      await here.advance(61_000);
      expect(here.repository.snapshots).toMatchObject([{ seq: 2, text: "lost, hello!" }]);
    }),
  );

  test(
    "an update that depends on a lost one is looked up in the log",
    world(async (here) => {
      await here.enter("Ann");
      const there = await Editor.of(here);
      here.repository.rows.push({ userId: 2, bytes: there.change((text) => text.insert(0, "a")) });
      const second = there.change((text) => text.insert(1, "b"));
      Endpoint.broadcast(here.endpoint, "challenges:1", "y:update", second);
      here.repository.rows.push({ userId: 2, bytes: second });
      await here.advance(400);
      expect(await here.ask(["text"])).toEqual(["ok", "abhello"]);
      here.repository.rows.push({ userId: 2, bytes: there.change((text) => text.insert(2, "c")) });
      await here.advance(15_100);
      expect(await here.ask(["text"])).toEqual(["ok", "abchello"]);
    }),
  );
});

describe("a room whose log takes long to load", () => {
  const enter = (here: World) =>
    here.ask<readonly unknown[]>([
      "enter",
      {
        pid: self(),
        userId: 1,
        name: "Ann",
        role: "edit",
        canWrite: true,
        document: true,
        client: undefined,
      },
    ]);

  test(
    "answers those who wait that it is being loaded, and lets them in once it is",
    world(async (here) => {
      let done = (_outcome: LoadOutcome<DocumentImage>): void => {};
      here.loading = (stored) =>
        new Promise((resolve) => {
          done = () => resolve(["ok", loadImage(stored)]);
        });
      const answers = [enter(here), enter(here)];
      await here.advance(8100);
      expect(await Promise.all(answers)).toEqual([
        ["error", "loading"],
        ["error", "loading"],
      ]);
      const later = enter(here);
      await here.settle();
      expect(here.loads).toBe(1);
      done(["error", "damaged"]);
      expect((await later)[0]).toBe("ok");
    }),
  );

  test(
    "beyond the deadline is refused with a growing time to wait",
    world(async (here) => {
      here.loading = async () => ["error", "too_slow"];
      expect(await enter(here)).toEqual(["error", "too_slow"]);
      expect(await enter(here)).toEqual(["error", "too_slow", 60_000]);
      await here.advance(20_000);
      expect(await enter(here)).toEqual(["error", "too_slow", 40_000]);
      expect(here.loads).toBe(1);
      await here.advance(40_000);
      expect(await enter(here)).toEqual(["error", "too_slow"]);
      expect(await enter(here)).toEqual(["error", "too_slow", 120_000]);
      expect(here.loads).toBe(2);
      await here.advance(120_000);
      here.loading = async (stored) => ["ok", loadImage(stored)];
      expect((await enter(here))[0]).toBe("ok");
    }),
  );

  test(
    "keeps a snapshot once replaying its edits would take long",
    world(async (here) => {
      const people = await Promise.all([1, 2, 3, 4].map((userId) => here.enter(`P${userId}`, { userId })));
      let client = 100;
      for (let n = 0; n < 12; n += 1) {
        client -= 1;
        here.update(
          people[n % 4] as Pid,
          forgeUpdate(
            forgedRun(6500, (clock) => ({
              client,
              clock,
              origin: null,
              right: clock ? [client, clock - 1] : null,
              text: "x",
            })),
          ),
        );
        await here.settle();
      }
      await here.settle();
      expect(here.repository.rows.length).toBeLessThan(500);
      expect(here.repository.snapshots.length).toBeGreaterThan(0);
    }),
  );
});

describe("a document that is full of traces of deleted text", () => {
  /** Has five users insert 32,500 characters one by one, and one of them delete all of it. */
  async function wearOut(here: World, people: readonly Pid[]): Promise<void> {
    for (let client = 10; client > 5; client -= 1) {
      const structs = forgedRun(6500, (clock) => ({
        client,
        clock,
        origin: null,
        right: clock ? [client, clock - 1] : null,
        text: "x",
      }));
      here.update(people[client - 6] as Pid, forgeUpdate(structs));
      await here.settle();
    }
    await here.advance(1500);
    // Every second one stays between, so that the others do not become one.
    for (let client = 10; client > 5; client -= 1) {
      const deletions = Array.from({ length: 3250 }, (_, n) => [client, 2 * n, 1] as const);
      here.update(people[client - 6] as Pid, forgeUpdate([], deletions));
      await here.settle();
    }
  }
  const enterAll = (here: World): Promise<Pid[]> =>
    Promise.all([1, 2, 3, 4, 5].map((userId) => here.enter(`P${userId}`, { userId })));

  test(
    "gives way to a new one with the same text once no edit has come for a moment",
    world(async (here) => {
      const people = await enterAll(here);
      await wearOut(here, people);
      const text = await here.ask(["text"]);
      expect(here.repository.compactions).toHaveLength(0);
      monitor(here.room);
      await here.advance(4000);
      expect(here.repository.compactions).toMatchObject([{ epoch: "e", text: (text as string[])[1] }]);
      expect(here.broadcasts(COMPACTED)).toEqual([{ epoch: "e" }]);
      await here.startRoom();
      const ann = await here.enter("Ann");
      expect(await here.ask(["text"])).toEqual(text);
      const editor = await Editor.of(here);
      expect(Y.encodeStateAsUpdate(editor.doc).length).toBeLessThan(17_000);
      const ref = here.update(
        ann,
        editor.change((target) => target.insert(0, "!")),
      );
      await here.settle();
      expect(here.replyTo(ref)?.[0 as never]).toBe("ok");
    }),
  );

  test(
    "cannot be forced again and again by one user",
    world(async (here) => {
      const [ann, bob] = await enterAll(here);
      // The text is one struct, until every second character of it is deleted.
      const grow = async (pid: Pid, client: number, count: number): Promise<unknown> => {
        const run = forgedRun(count, (clock) => ({
          client,
          clock,
          origin: clock === 0 ? null : [client, clock - 1],
          right: client === 5 ? null : [client - 1, 0],
          text: "a",
        }));
        const deletions = Array.from({ length: count >> 1 }, (_, n) => [client, 2 * n, 1] as const);
        here.update(pid, forgeUpdate(run));
        await here.settle();
        const ref = here.update(pid, forgeUpdate([], deletions));
        await here.settle();
        // The work of it is paid for.
        await here.advance(1000);
        return here.replyTo(ref);
      };
      for (const client of [5, 6, 7]) expect(await grow(ann as Pid, client, 6000)).toMatchObject(["ok", {}]);
      expect(await grow(ann as Pid, 8, 1)).toMatchObject([
        "error",
        { reason: "rate", retry_after_ms: expect.any(Number) },
      ]);
      expect(await here.ask(["whole text", ann as Pid, "a"])).toBe("refused");
      expect(await grow(bob as Pid, 9, 1)).toMatchObject(["ok", {}]);
      await here.advance(90_000);
      expect(await grow(ann as Pid, 10, 1)).toMatchObject(["ok", {}]);
    }),
  );

  test(
    "counts as more work for each whole text",
    world(async (here) => {
      const people = await enterAll(here);
      await wearOut(here, people);
      const eve = await here.enter("Eve", { document: false, userId: 9 });
      const [, text] = (await here.ask(["text"])) as [string, string];
      const answers: unknown[] = [];
      for (let n = 0; n < 40; n += 1)
        answers.push(await here.ask(["whole text", eve, text + "x".repeat(n + 1)]));
      expect([answers[0], answers.at(-1)]).toEqual(["ok", "refused"]);
    }),
  );

  test(
    "waits for edits that are not stored, and stays when the log has more",
    world(async (here) => {
      const people = await enterAll(here);
      await wearOut(here, people);
      here.repository.fate = "unavailable";
      here.update(
        people[0] as Pid,
        forgeUpdate([{ client: 5, clock: 0, origin: null, right: [6, 6499], text: "!" }]),
      );
      await here.advance(20_000);
      expect(here.repository.compactions).toHaveLength(0);
      here.repository.fate = "ok";
      here.repository.rows.push({
        userId: 9,
        bytes: forgeUpdate([{ client: 4, clock: 0, origin: [6, 0], right: null, text: "?" }]),
      });
      await here.advance(30_000);
      expect(here.repository.compactions).toMatchObject([{ text: expect.stringMatching(/^!.*\?/) }]);
    }),
  );

  test(
    "stays bounded while clients with new ids insert and delete",
    world(async (here) => {
      let client = 1_000_000;
      let most = 0;
      let rooms = 1;
      for (let round = 0; round < 700; round += 1) {
        if (here.repository.compactions.length === rooms) {
          rooms += 1;
          await here.startRoom();
        }
        const pid = await here.enter("Ann", { userId: round });
        const editor = new Editor();
        client -= 1;
        editor.doc.clientID = client;
        const { update } = await here.ask<{ update: Uint8Array }>(["sync", Uint8Array.from([0])]);
        most = Math.max(most, update.length);
        Y.applyUpdate(editor.doc, update);
        here.update(
          pid,
          editor.change((text) => text.insert(round % 6, "x")),
        );
        await here.answerTo(
          here.update(
            pid,
            editor.change((text) => text.delete(round % 6, 1)),
          ),
        );
        exit(pid, "kill");
        if (round % 100 === 99) await here.advance(3100);
      }
      await here.advance(3100);
      expect(here.repository.compactions.map(({ text }) => text)).toEqual(["hello"]);
      expect(most).toBeLessThan(50_000);
    }),
  );

  test(
    "that another node has compacted ends the room here",
    world(async (here) => {
      await here.enter("Ann");
      const watch = monitor(here.room);
      Endpoint.broadcast(here.endpoint, "challenges:1", COMPACTED, { epoch: "of another time" });
      await here.settle();
      expect(await here.ask(["text"])).toEqual(["ok", "hello"]);
      Endpoint.broadcast(here.endpoint, "challenges:1", COMPACTED, { epoch: "e" });
      const down = await receive((message) =>
        Array.isArray(message) && message[0] === "DOWN" && message[1] === watch ? message : undefined,
      );
      expect(down[4]).toEqual(["room_lost", "compacted"]);
    }),
  );
});

test(
  "a room bounds its connections, and those of one user",
  world(async (here) => {
    const outcome = async (name: string, userId: number): Promise<unknown> => {
      const pid = spawn(() => receive(() => undefined));
      const request = {
        pid,
        userId,
        name,
        role: "edit" as const,
        canWrite: true,
        document: true,
        client: undefined,
      };
      return (await here.ask<[unknown, unknown]>(["enter", request])).slice(0, 2);
    };
    const first = await here.enter("Tab 0", { userId: 1 });
    for (let n = 1; n < 100; n += 1) await here.enter(`Tab ${n}`, { userId: 1 });
    expect(await outcome("one tab more", 1)).toEqual(["error", "full"]);
    exit(first, "kill");
    await here.settle();
    expect(((await outcome("in its place", 1)) as unknown[])[0]).toBe("ok");
    for (let n = 100; n < 300; n += 1) await here.enter(`Person ${n}`, { userId: 100 + n });
    expect(await outcome("one person more", 999)).toEqual(["error", "full"]);
  }),
);

test("a join of a room that cannot be loaded gets the reason", async () => {
  const here = new World();
  const node = createNode({ clock: here.clock });
  await node.run(async () => {
    here.repository.fate = "unavailable";
    await here.start();
    const pid = self();
    const entrant = {
      pid,
      userId: 1,
      name: "Ann",
      role: "edit" as const,
      canWrite: true,
      document: true,
      client: undefined,
    };
    expect(await here.ask(["enter", entrant])).toEqual(["error", "unavailable"]);
  });
  await node.stop();
});
