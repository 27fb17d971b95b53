/**
 * The cursors and selections of others, drawn over and under the text, never in it: the text stays
 * one's own for selecting, reading aloud and input methods. A cursor shows its name when it moves,
 * and when pointed at.
 *
 * Places move with the text at once; the owner's next message, a moment later, says where the
 * cursor really is.
 */
import {
  EditorSelection,
  type Extension,
  StateEffect,
  StateField,
  type Transaction,
} from "@codemirror/state";
import { EditorView, type LayerMarker, layer, RectangleMarker } from "@codemirror/view";

export interface RemoteCursor {
  readonly id: string;
  readonly name: string;
  readonly color: number;
  readonly anchor: number;
  readonly head: number;
}

interface Placed extends RemoteCursor {
  /** How often it was moved by its owner: a new number shows the name again. */
  readonly moves: number;
}

interface Cursors {
  readonly placed: readonly Placed[];
  /** The one that the mouse points at. */
  readonly pointed: string | undefined;
}

const showCursor = StateEffect.define<RemoteCursor>();
const hideCursor = StateEffect.define<string>();
const pointAt = StateEffect.define<string | undefined>();

/** Pixels beside a cursor that count as pointing at it. */
const NEAR = 6;

const cursors = StateField.define<Cursors>({
  create: () => ({ placed: [], pointed: undefined }),
  update(before, transaction) {
    const placed = afterEffects(moved(before.placed, transaction), transaction);
    const pointing = transaction.effects.findLast((effect) => effect.is(pointAt));
    const pointed = pointing ? (pointing.value as string | undefined) : before.pointed;
    return placed === before.placed && pointed === before.pointed ? before : { placed, pointed };
  },
});

function moved(placed: readonly Placed[], { docChanged, changes }: Transaction): readonly Placed[] {
  if (!docChanged || placed.length === 0) return placed;
  return placed.map((cursor) => ({
    ...cursor,
    anchor: changes.mapPos(cursor.anchor, -1),
    head: changes.mapPos(cursor.head, -1),
  }));
}

function afterEffects(placed: readonly Placed[], transaction: Transaction): readonly Placed[] {
  let after = placed;
  const limit = transaction.newDoc.length;
  for (const effect of transaction.effects) {
    if (effect.is(hideCursor)) after = after.filter((cursor) => cursor.id !== effect.value);
    if (!effect.is(showCursor)) continue;
    const cursor = effect.value;
    const before = after.find((other) => other.id === cursor.id);
    const anchor = Math.min(cursor.anchor, limit);
    const head = Math.min(cursor.head, limit);
    const same = before !== undefined && before.head === head && before.anchor === anchor;
    const moves = (before?.moves ?? 0) + (same ? 0 : 1);
    after = [...after.filter((other) => other !== before), { ...cursor, anchor, head, moves }];
  }
  return after;
}

class Caret implements LayerMarker {
  readonly #cursor: Placed;
  readonly #pointed: boolean;
  readonly #left: number;
  readonly #top: number;
  readonly #height: number;

  constructor(cursor: Placed, pointed: boolean, { left, top, height }: RectangleMarker) {
    this.#cursor = cursor;
    this.#pointed = pointed;
    this.#left = left;
    this.#top = top;
    this.#height = height;
  }

  eq(other: LayerMarker): boolean {
    return (
      other instanceof Caret &&
      other.#cursor.id === this.#cursor.id &&
      other.#cursor.moves === this.#cursor.moves &&
      other.#cursor.name === this.#cursor.name &&
      other.#pointed === this.#pointed &&
      other.#left === this.#left &&
      other.#top === this.#top &&
      other.#height === this.#height
    );
  }

  draw(): HTMLElement {
    const caret = document.createElement("div");
    const flag = document.createElement("span");
    // Others' names are no part of the text; the list of people is where a screen reader finds
    // them.
    caret.setAttribute("aria-hidden", "true");
    flag.textContent = this.#cursor.name;
    caret.append(flag);
    this.#dress(caret);
    return caret;
  }

  update(caret: HTMLElement, before: LayerMarker): boolean {
    if (!(before instanceof Caret) || before.#cursor.id !== this.#cursor.id) return false;
    if (before.#cursor.name !== this.#cursor.name) return false;
    this.#dress(caret);
    return true;
  }

  #dress(caret: HTMLElement): void {
    const { color, moves } = this.#cursor;
    // Two animations alike: changing from one to the other starts it again.
    const turn = moves % 2 === 0 ? "even" : "odd";
    const place = this.#top < this.#height ? "below" : "above";
    caret.className = `peer-caret peer-${color} ${turn} ${place}${this.#pointed ? " pointed" : ""}`;
    caret.style.left = `${this.#left}px`;
    caret.style.top = `${this.#top}px`;
    caret.style.height = `${this.#height}px`;
  }
}

const changedCursors = (update: { startState: EditorView["state"]; state: EditorView["state"] }): boolean =>
  update.startState.field(cursors) !== update.state.field(cursors);

const carets = layer({
  above: true,
  class: "peer-carets",
  update: (update) => update.docChanged || update.geometryChanged || changedCursors(update),
  markers(view) {
    const { placed, pointed } = view.state.field(cursors);
    return placed
      .filter(({ head }) => head >= view.viewport.from && head <= view.viewport.to)
      .flatMap((cursor) =>
        RectangleMarker.forRange(view, "", EditorSelection.cursor(cursor.head)).map(
          (place) => new Caret(cursor, cursor.id === pointed, place),
        ),
      );
  },
});

const selections = layer({
  above: false,
  class: "peer-selections",
  update: (update) =>
    update.docChanged || update.viewportChanged || update.geometryChanged || changedCursors(update),
  markers: (view) =>
    view.state
      .field(cursors)
      .placed.filter(({ anchor, head }) => anchor !== head)
      .flatMap(({ anchor, head, color }) =>
        RectangleMarker.forRange(view, `peer-selection peer-${color}`, EditorSelection.range(anchor, head)),
      ),
});

const pointing = EditorView.domEventHandlers({
  mousemove(event, view) {
    const { placed, pointed } = view.state.field(cursors);
    if (placed.length === 0) return;
    const near = placed.find(({ head }) => {
      const place = view.coordsAtPos(head);
      return (
        place !== null &&
        Math.abs(place.left - event.clientX) <= NEAR &&
        event.clientY >= place.top &&
        event.clientY <= place.bottom
      );
    });
    if (near?.id !== pointed) view.dispatch({ effects: pointAt.of(near?.id) });
  },
});

export const remoteCursors: Extension = [cursors, carets, selections, pointing];

/** Shows cursors where they are now, and takes away those of connections that have gone. */
export function placeCursors(
  view: EditorView,
  shown: readonly RemoteCursor[],
  gone: readonly string[] = [],
): void {
  const effects = [...gone.map((id) => hideCursor.of(id)), ...shown.map((cursor) => showCursor.of(cursor))];
  if (effects.length > 0) view.dispatch({ effects });
}

/** Whose cursors are shown, by connection. */
export const shownCursors = (view: EditorView): readonly string[] =>
  view.state.field(cursors).placed.map(({ id }) => id);
