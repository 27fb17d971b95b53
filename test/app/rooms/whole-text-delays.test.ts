import fc from "fast-check";
import { expect, test } from "vitest";
import { SharedDocument, seedState } from "../../../src/app/document/shared-document.js";
import { SeenTexts } from "../../../src/app/rooms/whole-text.js";

/** Things that happen at a time of their own, in order. */
class Timeline {
  now = 10_000;
  #count = 0;
  #events: { readonly at: number; readonly nr: number; readonly run: () => void }[] = [];

  at(at: number, run: () => void): void {
    this.#events.push({ at, nr: this.#count++, run });
  }

  run(): void {
    for (;;) {
      this.#events.sort((a, b) => a.at - b.at || a.nr - b.nr);
      const next = this.#events.shift();
      if (next === undefined) return;
      this.now = next.at;
      next.run();
    }
  }
}

/** A connection on which everything takes as long as is drawn, and nothing overtakes. */
class Line {
  readonly #timeline: Timeline;
  readonly #ms: () => number;
  #free = 0;

  constructor(timeline: Timeline, ms: () => number) {
    this.#timeline = timeline;
    this.#ms = ms;
  }

  send(arrive: () => void): void {
    this.#free = Math.max(this.#free, this.#timeline.now + this.#ms());
    this.#timeline.at(this.#free, arrive);
  }
}

interface Typist {
  readonly name: string;
  /** Milliseconds to the server and back; undefined: it edits the document itself. */
  readonly delay: number | undefined;
  /** Milliseconds between two tokens. */
  readonly every: number;
}

const START = "ann:\n\nbob:\n\ncid:";
const TYPED_MS = 4000;

/**
 * What the text is after each has typed its tokens, each at the end of its own line as it sees it,
 * and what was typed.
 */
function typeTogether(
  typists: readonly Typist[],
  token: (name: string, nr: number) => string,
  jitter: () => number,
  notified: "each" | "every 50 ms",
): { readonly text: string; readonly typed: readonly string[] } {
  const timeline = new Timeline();
  const document = SharedDocument.load(seedState(START), []);
  document.version();
  const typed: string[] = [];
  const readers: { readonly seen: SeenTexts; readonly down: Line; view: string }[] = [];
  const publish = (): void => {
    const [text, version] = [document.text, document.version()];
    for (const reader of readers) {
      reader.seen.tell(text, version, timeline.now);
      reader.down.send(() => {
        reader.view = text;
      });
    }
  };
  let isDue = false;
  const changed = (): void => {
    if (notified === "each") publish();
    else if (!isDue) {
      isDue = true;
      timeline.at(timeline.now + 50, () => {
        isDue = false;
        publish();
      });
    }
  };
  const placeIn = (text: string, name: string): number => {
    const end = text.indexOf("\n", text.indexOf(`${name}:`));
    return end < 0 ? text.length : end;
  };
  const end = timeline.now + TYPED_MS;
  for (const { name, delay, every } of typists) {
    let nr = 0;
    const next = (): string => {
      const made = token(name, nr++);
      typed.push(made);
      return made;
    };
    const again = (type: () => void): void => {
      const at = timeline.now + every;
      if (at < end) timeline.at(at, type);
    };
    if (delay === undefined) {
      const type = (): void => {
        const at = placeIn(document.text, name);
        document.edit([{ from: at, to: at, insert: next() }]);
        changed();
        again(type);
      };
      timeline.at(timeline.now, type);
      continue;
    }
    const half = (): number => Math.max(0, delay / 2 + jitter());
    const reader = { seen: new SeenTexts(), down: new Line(timeline, half), view: START };
    const up = new Line(timeline, half);
    reader.seen.tell(START, document.version(), timeline.now);
    readers.push(reader);
    const type = (): void => {
      const at = placeIn(reader.view, name);
      const text = reader.view.slice(0, at) + next() + reader.view.slice(at);
      reader.view = text;
      up.send(() => {
        const written = reader.seen.write(text, document, timeline.now);
        document.edit(written.hunks);
        reader.seen.wrote(written, document);
        reader.seen.stored(written);
        changed();
      });
      again(type);
    };
    // Later than the first one: what a client does alone is another promise.
    timeline.at(timeline.now + 2 * every, type);
  }
  timeline.run();
  return { text: document.text, typed };
}

const TOKENS = {
  distinct: (name: string, nr: number): string => `<${name}-${nr}-${(nr * 7919).toString(36)}>`,
  "look-alike": (name: string, nr: number): string => `<${name[0]}${nr}>`,
};

test("next to others no token of a full-text client is lost or doubled", () => {
  fc.assert(
    fc.property(
      fc.record({
        tokens: fc.constantFrom(...(Object.keys(TOKENS) as (keyof typeof TOKENS)[])),
        notified: fc.constantFrom("each" as const, "every 50 ms" as const),
        delays: fc.array(fc.integer({ min: 0, max: 1500 }), { minLength: 1, maxLength: 2 }),
        every: fc.integer({ min: 30, max: 400 }),
        other: fc.integer({ min: 20, max: 100 }),
        jitter: fc.infiniteStream(fc.integer({ min: -20, max: 20 })),
      }),
      ({ tokens, notified, delays, every, other, jitter }) => {
        const typists = [
          { name: "ann", delay: undefined, every: other },
          ...delays.map((delay, n) => ({ name: ["bob", "cid"][n]!, delay, every: every + 7 * n })),
        ];
        const { text, typed } = typeTogether(
          typists,
          TOKENS[tokens],
          () => jitter.next().value ?? 0,
          notified,
        );
        for (const token of typed) expect([token, text.split(token).length - 1]).toEqual([token, 1]);
      },
    ),
    { numRuns: 100 },
  );
});

test("alone, a full-text client that types loses nothing over slow links", () => {
  for (const delay of [40, 200, 900]) {
    const typists = [{ name: "bob", delay, every: 60 }];
    const { text, typed } = typeTogether(typists, TOKENS["look-alike"], () => 0, "each");
    for (const token of typed) expect([token, text.split(token).length - 1]).toEqual([token, 1]);
  }
});

test("equal keys are as many as were typed, next to another who types the same", () => {
  for (const notified of ["each", "every 50 ms"] as const) {
    const typists = [
      { name: "ann", delay: undefined, every: 50 },
      { name: "bob", delay: 500, every: 150 },
    ];
    const { text, typed } = typeTogether(
      typists,
      () => "x",
      () => 0,
      notified,
    );
    expect(text.split("x").length - 1).toBe(typed.length);
  }
});
