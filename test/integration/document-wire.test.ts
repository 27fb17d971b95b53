/**
 * The document wire as docs/room-protocol.md tells it, by a client that was written from that page:
 * binary frames over a WebSocket, their base64 duplicates over long-poll. And what hostile clients
 * send on it: an error for them, nothing for anybody else.
 */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import * as Y from "yjs";
import { type Account, AppServer } from "../support/app-server.js";
import { DocumentClient } from "../support/document-client.js";
import { waitFor } from "../support/wait.js";
import { WireClient } from "../support/wire-client.js";

const KIB = 1024;

interface JoinReply {
  readonly epoch: string;
  readonly can_write: boolean;
  readonly role: string;
  readonly sv: string;
  readonly status: object;
  readonly me: {
    readonly id: string;
    readonly user_id: number;
    readonly name: string;
    readonly color: number;
  };
}

/** Gives what `change` adds to a copy of `doc`, which stays as it is. */
function edit(doc: Y.Doc, change: (copy: Y.Doc) => void): Uint8Array {
  const copy = new Y.Doc();
  Y.applyUpdate(copy, Y.encodeStateAsUpdate(doc));
  const before = Y.encodeStateVector(copy);
  change(copy);
  return Y.encodeStateAsUpdate(copy, before);
}

const insert = (doc: Y.Doc, text: string): Uint8Array =>
  edit(doc, (copy) => copy.getText("response").insert(0, text));

/** An update by a client of that id. */
function update(client: number, change: (doc: Y.Doc) => void): Uint8Array {
  const doc = new Y.Doc();
  doc.clientID = client;
  change(doc);
  return Y.encodeStateAsUpdate(doc);
}

const text = (doc: Y.Doc): Y.Text => doc.getText("response");

/** The bytes of `needle` replaced by as many others. */
function forged(bytes: Uint8Array, needle: readonly number[], by: readonly number[]): Uint8Array {
  const copy = Buffer.from(bytes);
  const at = copy.indexOf(Buffer.from(needle));
  if (at === -1) throw new Error("nothing to forge");
  copy.set(by, at);
  return new Uint8Array(copy);
}

describe.each([
  { transport: "a WebSocket", base64: false, shards: 1 },
  { transport: "long-poll", base64: true, shards: 0 },
])("over $transport, with $shards shards", ({ transport, base64, shards }) => {
  let server: AppServer;
  let ann: Account;
  let bob: Account;
  let challenge: number;
  /** Who keeps to the protocol, and must not notice anything. */
  let bystander: DocumentClient;
  let one: WireClient;
  /** What `one` knows of the document. */
  let doc: Y.Doc;
  let joined: JoinReply;

  const connect = (token: string): Promise<WireClient> =>
    transport === "long-poll"
      ? WireClient.overLongPoll(server.port, token)
      : WireClient.overWebSocket(server.port, token);
  /** Bytes as this client sends and reads them. */
  const out = (bytes: Uint8Array): object =>
    base64 ? { b64: Buffer.from(bytes).toString("base64") } : bytes;
  const bytesOf = (payload: unknown): Uint8Array => {
    if (!base64) {
      expect(payload).toBeInstanceOf(Uint8Array);
      return payload as Uint8Array;
    }
    expect(payload).toEqual({ b64: expect.stringMatching(/^[A-Za-z0-9+/]+=*$/) });
    return new Uint8Array(Buffer.from((payload as { b64: string }).b64, "base64"));
  };
  const join = async (client: WireClient, params: object = {}): Promise<JoinReply> => {
    const [status, reply] = await client.join(`challenges:${challenge}`, {
      proto: "y1",
      ...(base64 ? { bytes: "base64" } : {}),
      ...params,
    });
    expect(status).toBe("ok");
    return reply as JoinReply;
  };
  const sync = async (client: WireClient, into: Y.Doc): Promise<void> => {
    const [status, answer] = await client.ask("y:sync", out(Y.encodeStateVector(into)));
    expect(status).toBe("ok");
    Y.applyUpdate(into, bytesOf(answer));
  };
  /**
   * Waits until who reads without joining reads this: a second after it is stored at the
   * latest.
   */
  const isStored = (expected: string): Promise<unknown> =>
    waitFor("the stored text", async () => {
      const response = await server.request("GET", `/api/challenges/${challenge}`, undefined, ann.token);
      const { response: stored } = (await response.json()) as { response: string };
      if (stored === expected) return true;
      throw new Error(stored.slice(0, 100));
    });

  beforeAll(async () => {
    server = await AppServer.start({ SHARDS: String(shards) });
    [ann, bob] = [await server.signUp("Ann"), await server.signUp("Bob")];
  });
  afterAll(() => server.stop());
  beforeEach(async () => {
    const made = await server.request(
      "POST",
      "/api/challenges",
      { title: "Wire", prompt: "?", language: "python", response: "seed 🦚\n" },
      ann.token,
    );
    challenge = ((await made.json()) as { id: number }).id;
    bystander = new DocumentClient(server, bob.token, challenge);
    await bystander.join();
    await waitFor("the bystander is in step", () => bystander.synced);
    one = await connect(ann.token);
    doc = new Y.Doc();
    joined = await join(one, { client: doc.clientID });
    await sync(one, doc);
  });
  afterEach(() => {
    bystander.leave();
    one.close();
  });

  test("a join answers with the page's data, and y:sync brings the text", async () => {
    expect(joined).toMatchObject({
      epoch: expect.stringMatching(/\S/),
      can_write: true,
      role: "owner",
      status: { persistence: "ok", draining: false },
      me: { user_id: ann.user.id, name: "Ann", color: expect.any(Number), id: expect.any(String) },
    });
    expect(text(doc).toString()).toBe("seed 🦚\n");
    const vector = Y.decodeStateVector(new Uint8Array(Buffer.from(joined.sv, "base64")));
    expect(vector).toEqual(Y.decodeStateVector(Y.encodeStateVector(doc)));
    const pushed = one.frames.findIndex(({ event }) => event === "y:sv");
    const answered = one.frames.findIndex(({ event, ref }) => event === "phx_reply" && ref === String(2));
    expect([pushed >= 0, pushed < answered]).toEqual([true, true]);
    expect(Y.decodeStateVector(bytesOf(one.frames[pushed]?.payload))).toEqual(vector);
    // Cursors that are there come once after it.
    await waitFor("all cursors", () => one.received("y:awareness").length > 0);
    expect(one.received("y:awareness")[0]).toEqual({ states: [], gone: [] });
  });

  test("an update is answered once stored, and others get it at once", async () => {
    for (const [n, word] of ["first", "second 🙂", "e\u0301"].entries()) {
      const bytes = insert(doc, `${word} `);
      Y.applyUpdate(doc, bytes);
      expect(await one.ask("y:update", out(bytes))).toEqual(["ok", { seq: n + 1 }]);
    }
    const all = "e\u0301 second 🙂 first seed 🦚\n";
    await waitFor("the other reads it", () => bystander.text.toString() === all);
    await isStored(all);
    expect(one.received("y:update")).toEqual([]);
    bystander.edit((other) => other.insert(0, "from the other, "));
    await waitFor("it is received", () => one.received("y:update").length === 1);
    Y.applyUpdate(doc, bytesOf(one.received("y:update")[0]));
    expect(text(doc).toString()).toBe(`from the other, ${all}`);
  });

  test("an update sent again is ok and changes nothing, in either form of bytes", async () => {
    const bytes = insert(doc, "once ");
    expect((await one.ask("y:update", bytes))[0]).toBe("ok");
    expect((await one.ask("y:update", { b64: Buffer.from(bytes).toString("base64") }))[0]).toBe("ok");
    expect((await one.ask("y:update", bytes))[0]).toBe("ok");
    await isStored("once seed 🦚\n");
  });

  test("after an outage client and server merge", async () => {
    one.close();
    bystander.edit((other) => other.insert(other.length, "meanwhile"));
    await waitFor("it is stored", () => bystander.saved);
    // Typed without a connection.
    Y.applyUpdate(doc, insert(doc, "offline "));
    const two = await connect(ann.token);
    expect((await join(two, { client: doc.clientID })).epoch).toBe(joined.epoch);
    await sync(two, doc);
    const vector = bytesOf(two.received("y:sv")[0]);
    expect((await two.ask("y:update", out(Y.encodeStateAsUpdate(doc, vector))))[0]).toBe("ok");
    expect(text(doc).toString()).toBe("offline seed 🦚\nmeanwhile");
    await waitFor("the other has it", () => bystander.text.toString() === text(doc).toString());
    two.close();
  });

  test("a cursor carries the server's name and colour, and leaves with its user", async () => {
    const place = Buffer.from(
      Y.encodeRelativePosition(Y.createRelativePositionFromTypeIndex(text(doc), 2)),
    ).toString("base64");
    one.push("y:awareness", {
      cursor: { anchor: place, head: place },
      top: place,
      name: "someone else",
      color: "url(x)",
    });
    const state = {
      ...joined.me,
      cursor: { anchor: place, head: place },
      top: place,
    };
    const notified = (events: readonly unknown[]) =>
      (events as { states: object[]; gone: string[] }[]).flatMap(({ states }) => states);
    await waitFor("its owner is notified", () => notified(one.received("y:awareness")).length > 0);
    expect(notified(one.received("y:awareness"))).toEqual([state]);
    const others = () =>
      bystander.events.filter(([event]) => event === "y:awareness").map(([, payload]) => payload);
    expect(notified(others())).toEqual([state]);
    one.push("phx_leave", {});
    await waitFor("it is withdrawn", () =>
      (others() as { gone: string[] }[]).some(({ gone }) => gone.includes(joined.me.id)),
    );
  });

  describe("what a hostile client sends is refused, and neither the document nor anybody else notices", () => {
    let before: string;
    let state: Uint8Array;
    const stateNow = async (): Promise<Uint8Array> => {
      const fresh = new Y.Doc();
      const reader = await connect(ann.token);
      await join(reader);
      await sync(reader, fresh);
      reader.close();
      return Y.encodeStateAsUpdate(fresh);
    };
    beforeEach(async () => {
      bystander.edit((other) => other.insert(0, "Bob's words. "));
      await waitFor("they are stored", () => bystander.saved);
      await sync(one, doc);
      before = text(doc).toString();
      state = await stateNow();
    });
    afterEach(async () => {
      // Down to the last byte.
      expect(Buffer.from(await stateNow()).equals(state)).toBe(true);
      await isStored(before);
      expect(bystander.text.toString()).toBe(before);
      expect([bystander.joins, bystander.errors]).toEqual([1, []]);
      // And all continue.
      bystander.edit((other) => other.insert(0, "Bob continues. "));
      await waitFor("Bob's next edit is stored", () => bystander.saved);
      const client = one.closed === undefined ? one : await connect(ann.token);
      if (client !== one) await join(client);
      await waitFor("so does the sender", async () => {
        const [status, response] = await client.ask("y:update", out(insert(doc, "Ann continues. ")));
        if (status !== "ok") throw new Error(JSON.stringify(response));
        return true;
      });
      client.close();
    });

    const cases: readonly (readonly [string, () => Uint8Array])[] = [
      ["nothing at all", () => new Uint8Array()],
      ["noise", () => new Uint8Array(Array.from({ length: 300 }, (_, n) => (n * 167 + 13) % 256))],
      ["bytes that never end a number", () => new Uint8Array(64).fill(255)],
      ["half an update", () => insert(doc, "cut off in the middle").subarray(0, 20)],
      ["a state vector", () => Y.encodeStateVector(doc)],
      ["an update in the other encoding", () => Y.encodeStateAsUpdateV2(doc)],
      [
        "an update after a gap",
        () => {
          const copy = new Y.Doc();
          Y.applyUpdate(copy, Y.encodeStateAsUpdate(doc));
          text(copy).insert(0, "never sent, ");
          const vector = Y.encodeStateVector(copy);
          text(copy).insert(0, "builds on it");
          return Y.encodeStateAsUpdate(copy, vector);
        },
      ],
      [
        "other words in place of what someone else has written",
        () => {
          const [client] = [...Y.decodeStateVector(state).keys()].filter(
            (id) => id === bystander.doc.clientID,
          );
          return update(client ?? bystander.doc.clientID, (copy) => text(copy).insert(0, "Ann's words! "));
        },
      ],
      ["half a character", () => forged(insert(doc, "xyz"), [...Buffer.from("xyz")], [0xed, 0xa0, 0xbd])],
      [
        "a piece that cuts a character of someone else in two",
        () => edit(doc, (copy) => text(copy).insert(before.indexOf(String.fromCharCode(0xdd9a)), "x")),
      ],
      ["a carriage return", () => insert(doc, "line\r\n")],
      ["bold text", () => edit(doc, (copy) => text(copy).insert(0, "bold", { bold: true }))],
      ["a picture", () => edit(doc, (copy) => text(copy).insertEmbed(0, { image: "https://evil.example" }))],
      [
        "another type",
        () => edit(doc, (copy) => void copy.getMap("other").set("__proto__", { polluted: true })),
      ],
      ["another text", () => edit(doc, (copy) => copy.getText("other").insert(0, "hidden"))],
      [
        "what deletes more than there is",
        () =>
          forged(
            edit(doc, (copy) => text(copy).delete(0, 3)),
            [0, 3],
            [0, 120],
          ),
      ],
    ];
    test.each(cases)("%s: bad_update", async (_what, make) => {
      expect(await one.ask("y:update", out(make()))).toEqual(["error", { reason: "bad_update" }]);
    });

    test.each([
      ["no object of bytes", { bytes: [1, 2, 3] }],
      ["a number for base64", { b64: 5 }],
      ["what is no base64", { b64: "****" }],
      ["an empty object", {}],
    ])("%s: bad_update, for y:update and y:sync", async (_what, payload) => {
      expect(await one.ask("y:update", payload)).toEqual(["error", { reason: "bad_update" }]);
      expect(await one.ask("y:sync", payload)).toEqual(["error", { reason: "bad_update" }]);
    });

    test("an invalid state vector: bad_update", async () => {
      expect(await one.ask("y:sync", out(new Uint8Array([200, 200, 200])))).toEqual([
        "error",
        { reason: "bad_update" },
      ]);
    });

    test.each([
      ["over 512 KiB", 513 * KIB],
      ["over 512 KiB by far", 700 * KIB],
    ])("an update %s: too_large, with the limit", async (_what, size) => {
      expect(await one.ask("y:update", out(insert(doc, "x".repeat(size))))).toEqual([
        "error",
        { reason: "too_large", limit: 512 * KIB },
      ]);
    });

    test("a text over 1 MiB: too_large, with the limit", async () => {
      const copy = new Y.Doc();
      Y.applyUpdate(copy, Y.encodeStateAsUpdate(doc));
      const part = (): Uint8Array => {
        const vector = Y.encodeStateVector(copy);
        text(copy).insert(0, "x".repeat(500 * KIB));
        return Y.encodeStateAsUpdate(copy, vector);
      };
      expect((await one.ask("y:update", out(part())))[0]).toBe("ok");
      expect((await one.ask("y:update", out(part())))[0]).toBe("ok");
      const fitted = Y.encodeStateVector(copy);
      expect(await one.ask("y:update", out(part()))).toEqual([
        "error",
        { reason: "too_large", limit: 1024 * KIB },
      ]);
      const undone = new Y.Doc();
      await sync(one, undone);
      expect(Y.decodeStateVector(Y.encodeStateVector(undone))).toEqual(Y.decodeStateVector(fitted));
      text(undone).delete(0, 1000 * KIB);
      const deletions = Y.encodeStateAsUpdate(undone, fitted);
      expect((await one.ask("y:update", out(deletions)))[0]).toBe("ok");
      await waitFor("all have it", () => bystander.text.toString() === before);
      state = await stateNow();
    });

    test("a frame over 1 MiB ends that connection, or is refused, and no other", async () => {
      const frame = JSON.stringify([
        "1",
        "9",
        `challenges:${challenge}`,
        "y:update",
        { b64: "A".repeat(1100 * KIB) },
      ]);
      if (transport === "long-poll") {
        // There is no limit to frames here but that of the body; what is in it is too large all the
        // same.
        expect(await one.ask("y:update", { b64: "A".repeat(1100 * KIB) })).toEqual([
          "error",
          { reason: "too_large", limit: 512 * KIB },
        ]);
        return;
      }
      one.raw(frame);
      await waitFor("it is closed", () => one.closed === 1009);
    });

    test("garbage in place of a binary frame ends that connection and no other", async () => {
      one.raw(new Uint8Array([0, 255, 255, 255, 255, 1, 2, 3]));
      await waitFor("it is closed", () => one.closed !== undefined);
      expect([1011, 408, 410]).toContain(one.closed);
    });

    test("a flood of updates is refused with the time to wait, and one of y:sync likewise", async () => {
      const bytes = out(insert(doc, "again and again "));
      const known = await one.ask("y:update", bytes);
      expect(known[0]).toBe("ok");
      const refs = Array.from({ length: 300 }, () => one.push("y:update", bytes));
      const asked = Array.from({ length: 60 }, () => one.push("y:sync", out(Y.encodeStateVector(doc))));
      const answers = await Promise.all([...refs, ...asked].map((ref) => one.reply(ref)));
      const refused = answers.filter(({ status }) => status === "error").map(({ payload }) => payload);
      expect(answers.slice(0, 100).every(({ status }) => status === "ok")).toBe(true);
      for (const refusal of refused)
        expect(refusal).toEqual({ reason: "rate", retry_after_ms: expect.any(Number) });
      expect(answers.slice(100, 300).some(({ status }) => status === "error")).toBe(true);
      expect(answers.slice(300).some(({ status }) => status === "error")).toBe(true);
      before = `again and again ${before}`;
      await waitFor("the other has it once", () => bystander.text.toString() === before);
      state = await stateNow();
    });

    test("invalid cursors, and a flood of valid ones, are dropped silently", async () => {
      const place = Buffer.from(
        Y.encodeRelativePosition(Y.createRelativePositionFromTypeIndex(text(doc), 1)),
      ).toString("base64");
      for (const payload of [
        {},
        { cursor: "here" },
        { cursor: { anchor: 1, head: 2 } },
        { cursor: { anchor: "<b>", head: "<b>" } },
        { cursor: { anchor: "A".repeat(100), head: "A".repeat(100) } },
        { cursor: null, top: { toString: "x" } },
        new Uint8Array([1, 2, 3]),
      ])
        one.push("y:awareness", payload);
      const count = () => bystander.events.filter(([event]) => event === "y:awareness").length;
      const from = count();
      const begun = performance.now();
      for (let n = 0; n < 500; n += 1) one.push("y:awareness", { cursor: { anchor: place, head: place } });
      // Answered after all of them.
      expect((await one.ask("y:update", out(insert(doc, "")))).length).toBe(2);
      await waitFor("the last of them", () => count() > from);
      // Bursts of 20, and ten a second.
      const allowed = 20 + (performance.now() - begun) / 100;
      expect(count() - from).toBeLessThanOrEqual(allowed);
      const notified = bystander.events
        .filter(([event]) => event === "y:awareness")
        .flatMap(([, payload]) => (payload as { states: { cursor: unknown }[] }).states);
      for (const { cursor } of notified) expect(cursor).toEqual({ anchor: place, head: place });
    });
  });
});
