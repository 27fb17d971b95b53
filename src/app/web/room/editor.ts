/**
 * The code editor: CodeMirror, the keys, the colours, bound to the room's shared text. It knows
 * nothing of the network. Edits of others keep caret, selection and scroll position of the reader,
 * and undo takes back one's own edits only.
 *
 * Tab indents. Escape, then Tab leaves the editor (CodeMirror's own way out), and the page says so.
 */
import { defaultKeymap, indentWithTab } from "@codemirror/commands";
import {
  bracketMatching,
  HighlightStyle,
  indentOnInput,
  indentUnit,
  syntaxHighlighting,
} from "@codemirror/language";
import { Annotation, Compartment, EditorSelection, EditorState, Transaction } from "@codemirror/state";
import {
  drawSelection,
  dropCursor,
  EditorView,
  highlightActiveLine,
  highlightActiveLineGutter,
  highlightSpecialChars,
  keymap,
  lineNumbers,
} from "@codemirror/view";
import { tags } from "@lezer/highlight";
import { yCollab, ySyncAnnotation, yUndoManagerKeymap } from "y-codemirror.next";
import * as Y from "yjs";
import { languageName } from "../ui/language-name.js";
import { indentOf, loadLanguage } from "./languages/index.js";
import type { Peer } from "./peers.js";
import { placeCursors, type RemoteCursor, remoteCursors, shownCursors } from "./remote-cursors.js";

export interface EditorEvents {
  /** The cursor, the selection or the part in view has changed. */
  readonly onMove: () => void;
  readonly onBlur: () => void;
  /** The reader moves through the text by themselves. */
  readonly onOwnWay: () => void;
  /** An edit was not taken, because the text would be longer than the server stores. */
  readonly onFull: () => void;
}

/**
 * Where this editor's cursor and its first line in view are, as other copies of the text understand
 * it.
 */
export interface Whereabouts {
  readonly cursor: { readonly anchor: Uint8Array; readonly head: Uint8Array };
  readonly top: Uint8Array;
}

/** Characters of a text; the server stores 1 MiB of it. */
export const TEXT_LIMIT = 1024 * 1024;

/** The text of the document put into the editor, which is not an edit of a user. */
const filling = Annotation.define<true>();

/** Colours are the page's own variables, so light and dark are decided in one place. */
const highlight = HighlightStyle.define([
  { tag: [tags.keyword, tags.operatorKeyword, tags.modifier], color: "var(--code-keyword)" },
  { tag: [tags.string, tags.special(tags.string), tags.regexp], color: "var(--code-string)" },
  { tag: [tags.number, tags.bool, tags.null, tags.atom], color: "var(--code-number)" },
  {
    tag: [tags.function(tags.variableName), tags.function(tags.propertyName)],
    color: "var(--code-function)",
  },
  { tag: [tags.className, tags.typeName, tags.definition(tags.typeName)], color: "var(--code-type)" },
  { tag: [tags.comment, tags.docComment], color: "var(--code-comment)", fontStyle: "italic" },
  { tag: tags.invalid, textDecoration: "underline wavy" },
]);

const theme = EditorView.theme({
  "&": { height: "100%", color: "var(--ink)", backgroundColor: "var(--code-ground)" },
  "&.cm-focused": { outline: "2px solid var(--accent)" },
  ".cm-scroller": {
    fontFamily: "var(--mono)",
    fontSize: "var(--code-size)",
    lineHeight: "1.6",
    overflow: "auto",
  },
  ".cm-content": { padding: "12px 0", caretColor: "var(--accent)" },
  ".cm-line": { padding: "0 16px 0 8px" },
  ".cm-cursor, .cm-dropCursor": { borderLeftColor: "var(--accent)", borderLeftWidth: "2px" },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground": {
    backgroundColor: "var(--code-selection)",
  },
  ".cm-gutters": { backgroundColor: "var(--code-ground)", color: "var(--faint)", border: "none" },
  ".cm-lineNumbers .cm-gutterElement": { padding: "0 8px 0 16px" },
  ".cm-activeLine": { backgroundColor: "var(--code-line)" },
  ".cm-activeLineGutter": { backgroundColor: "var(--code-line)", color: "var(--ink)" },
  ".cm-selectionMatch": { backgroundColor: "var(--code-match)" },
  "&.cm-focused .cm-matchingBracket": {
    backgroundColor: "var(--code-match)",
    outline: "1px solid var(--line-strong)",
  },
  ".cm-panels": { backgroundColor: "var(--surface)", color: "var(--ink)", borderColor: "var(--line)" },
  ".cm-panel.cm-search input, .cm-panel.cm-search button, .cm-panel.cm-search label": {
    fontSize: "0.875rem",
  },
  ".cm-textfield": { backgroundColor: "var(--ground)", borderColor: "var(--line-strong)" },
  ".cm-button": {
    backgroundImage: "none",
    backgroundColor: "var(--ground)",
    borderColor: "var(--line-strong)",
  },
});

export class CodeEditor {
  readonly #view: EditorView;
  readonly #language = new Compartment();
  readonly #writable = new Compartment();
  readonly #shared = new Compartment();
  readonly #search = new Compartment();
  #text: Y.Text | undefined;
  #shownLanguage = "";
  /** The view is to scroll to a peer when it is drawn next. */
  #going = false;
  /** Cursors that name letters which have not arrived yet. */
  #early = new Map<string, Peer>();

  constructor(parent: HTMLElement, describedBy: string, events: EditorEvents) {
    const nonce = document.querySelector<HTMLMetaElement>('meta[name="csp-nonce"]')?.content ?? "";
    this.#view = new EditorView({
      parent,
      state: EditorState.create({
        extensions: [
          EditorView.cspNonce.of(nonce),
          this.#writable.of(readOnly(true)),
          this.#language.of([]),
          this.#shared.of([]),
          this.#search.of([]),
          lineNumbers(),
          highlightActiveLineGutter(),
          highlightSpecialChars(),
          drawSelection(),
          dropCursor(),
          indentOnInput(),
          bracketMatching(),
          highlightActiveLine(),
          syntaxHighlighting(highlight),
          theme,
          remoteCursors,
          keymap.of([...yUndoManagerKeymap, ...defaultKeymap, indentWithTab]),
          EditorView.contentAttributes.of({
            "aria-describedby": describedBy,
            "aria-multiline": "true",
            tabindex: "0",
            autocapitalize: "off",
            autocorrect: "off",
            spellcheck: "false",
          }),
          EditorView.domEventHandlers({
            beforeinput: insertedAtOnce,
            blur: events.onBlur,
            keydown: events.onOwnWay,
            scroll: events.onMove,
          }),
          EditorView.updateListener.of((update) => {
            if (update.docChanged && this.#early.size > 0) this.#placeEarly();
            if (update.docChanged || update.selectionSet || update.geometryChanged) events.onMove();
          }),
          EditorState.changeFilter.of((transaction) => {
            if (!transaction.docChanged || transaction.annotation(filling)) return true;
            if (transaction.annotation(ySyncAnnotation)) return true;
            const { newLength, length } = transaction.changes;
            if (newLength <= TEXT_LIMIT || newLength < length) return true;
            // Not from within a transaction.
            queueMicrotask(events.onFull);
            return false;
          }),
          tidyEdits,
        ],
      }),
    });
    // Also beside the text: line numbers, the empty space below, scroll bars.
    for (const type of ["wheel", "touchmove", "mousedown"] as const)
      this.#view.scrollDOM.addEventListener(type, events.onOwnWay, { passive: true });
  }

  get focused(): boolean {
    return this.#view.hasFocus;
  }

  /** What stands in the editor. */
  get value(): string {
    return this.#view.state.sliceDoc();
  }

  /** Shows a shared text, from now on in step with it, instead of what was there. */
  open(text: Y.Text): void {
    this.#text = text;
    this.#early.clear();
    const { length } = this.#view.state.doc;
    this.#view.dispatch({ effects: this.#shared.reconfigure([]) });
    this.#view.dispatch({
      changes: { from: 0, to: length, insert: text.toString() },
      annotations: filling.of(true),
    });
    placeCursors(this.#view, [], shownCursors(this.#view));
    // Awareness is the server's here (peers.ts), and undo the text's own: a new text has nothing to
    // undo.
    this.#view.dispatch({
      effects: this.#shared.reconfigure(yCollab(text, null, { undoManager: new Y.UndoManager(text) })),
    });
    void this.#loadSearch();
  }

  /** Once the text is there. When it does not arrive, the browser's own search is left. */
  async #loadSearch(): Promise<void> {
    const loaded = await import("./search.js").catch(() => undefined);
    if (loaded && this.#text) this.#view.dispatch({ effects: this.#search.reconfigure(loaded.search) });
  }

  allowEditing(allowed: boolean): void {
    this.#view.dispatch({ effects: this.#writable.reconfigure(readOnly(!allowed)) });
  }

  async setLanguage(language: string): Promise<void> {
    if (language === this.#shownLanguage) return;
    this.#shownLanguage = language;
    const support = await loadLanguage(language);
    // Another language may have been asked for while this one was loading.
    if (language !== this.#shownLanguage) return;
    this.#view.dispatch({
      effects: this.#language.reconfigure([
        support,
        indentUnit.of(indentOf(language)),
        EditorView.contentAttributes.of({ "aria-label": `Code, ${languageName(language)}` }),
      ]),
    });
  }

  /** Undefined while there is no text. */
  whereabouts(): Whereabouts | undefined {
    const text = this.#text;
    if (!text) return undefined;
    const { anchor, head } = this.#view.state.selection.main;
    const at = (index: number): Uint8Array =>
      Y.encodeRelativePosition(Y.createRelativePositionFromTypeIndex(text, index));
    return { cursor: { anchor: at(anchor), head: at(head) }, top: at(this.#topLine()) };
  }

  #topLine(): number {
    const { scrollDOM, documentPadding } = this.#view;
    return this.#view.lineBlockAtHeight(Math.max(0, scrollDOM.scrollTop - documentPadding.top)).from;
  }

  /** Shows where these are now, and no longer those who have gone. */
  showPeers(changed: readonly Peer[], gone: readonly string[]): void {
    const shown: RemoteCursor[] = [];
    const away = [...gone];
    for (const peer of changed) {
      this.#early.delete(peer.id);
      if (!peer.cursor) away.push(peer.id);
      else {
        const cursor = this.#cursorOf(peer);
        if (cursor) shown.push(cursor);
        else this.#early.set(peer.id, peer);
      }
    }
    for (const id of gone) this.#early.delete(id);
    placeCursors(this.#view, shown, away);
  }

  /** Takes back a `goTo` that is not drawn yet. */
  stay(): void {
    if (!this.#going) return;
    this.#going = false;
    this.#view.dispatch({ effects: this.#view.scrollSnapshot() });
  }

  /**
   * Scrolls to what another user sees, as far as this window allows, and in any case to their
   * cursor.
   */
  goTo({ top, cursor }: Peer): void {
    this.#going = true;
    this.#view.requestMeasure({
      key: this,
      read: () => {
        this.#going = false;
      },
    });
    const first = top && this.#placeOf(top);
    if (first !== undefined) {
      this.#view.dispatch({ effects: EditorView.scrollIntoView(first, { y: "start", yMargin: 0 }) });
    }
    const head = cursor && this.#placeOf(cursor.head);
    if (head !== undefined) {
      this.#view.dispatch({ effects: EditorView.scrollIntoView(head, { y: "nearest", yMargin: 24 }) });
    }
  }

  /** The line of a user's cursor, counted from 1. */
  lineOf({ cursor }: Peer): number | undefined {
    const place = cursor && this.#placeOf(cursor.head);
    return place === undefined ? undefined : this.#view.state.doc.lineAt(place).number;
  }

  focus(): void {
    this.#view.focus();
  }

  destroy(): void {
    this.#shownLanguage = "";
    this.#text = undefined;
    this.#view.destroy();
  }

  #cursorOf({ id, name, color, cursor }: Peer): RemoteCursor | undefined {
    const anchor = cursor && this.#placeOf(cursor.anchor);
    const head = cursor && this.#placeOf(cursor.head);
    return anchor === undefined || head === undefined ? undefined : { id, name, color, anchor, head };
  }

  /**
   * Letters have arrived: perhaps those that a cursor was waiting for. Not from within an update.
   */
  #placeEarly(): void {
    queueMicrotask(() => {
      if (this.#text) this.showPeers([...this.#early.values()], []);
    });
  }

  /** Where a relative position is now. It comes from another's browser, so it may be anything. */
  #placeOf(position: Uint8Array): number | undefined {
    const text = this.#text;
    if (!text?.doc) return undefined;
    try {
      const place = Y.createAbsolutePositionFromRelativePosition(
        Y.decodeRelativePosition(position),
        text.doc,
      );
      return place?.type === text ? Math.min(place.index, this.#view.state.doc.length) : undefined;
    } catch {
      return undefined;
    }
  }
}

const readOnly = (on: boolean) => [EditorState.readOnly.of(on), EditorView.editable.of(!on)];

/**
 * Characters that a browser may write into the page by itself; more of them take it seconds, and
 * are read back wrongly.
 */
const WRITTEN_BY_BROWSER = 2000;

/**
 * A long text that comes neither by paste nor by drop, such as from dictation or a password
 * manager.
 */
function insertedAtOnce(event: InputEvent, view: EditorView): boolean {
  const { inputType, data, isComposing } = event;
  if (inputType !== "insertText" || isComposing || data === null || data.length <= WRITTEN_BY_BROWSER)
    return false;
  if (view.state.readOnly) return false;
  event.preventDefault();
  view.dispatch(view.state.replaceSelection(data), { userEvent: "input.type", scrollIntoView: true });
  return true;
}

/**
 * What is put in here, by whatever way, as the shared text is to have it: it goes over the wire as
 * UTF-8, which has no room for half a character. Halves become U+FFFD, and a change that would
 * leave half of a character takes all of it.
 */
const tidyEdits = EditorState.transactionFilter.of((transaction) => {
  if (!transaction.docChanged || transaction.annotation(filling) || transaction.annotation(ySyncAnnotation))
    return transaction;
  const { doc } = transaction.startState;
  const mended: { from: number; to: number; insert: string }[] = [];
  let end = 0;
  let grown = 0;
  let whole = true;
  transaction.changes.iterChanges((fromA, toA, _fromB, _toB, inserted) => {
    const text = inserted.toString();
    const insert = text.toWellFormed();
    const from = fromA - cutsCharacter(doc, fromA);
    const to = fromA === toA ? from : toA + cutsCharacter(doc, toA);
    whole &&= insert === text && from === fromA && to === toA;
    mended.push({ from, to, insert });
    end = from + grown + insert.length;
    grown += insert.length - (to - from);
  }, true);
  if (whole) return transaction;
  return {
    changes: mended,
    selection: EditorSelection.cursor(end),
    scrollIntoView: transaction.scrollIntoView,
    annotations: Transaction.userEvent.of(transaction.annotation(Transaction.userEvent) ?? "input"),
  };
});

/** 1 where a place is between the two halves of a character, or else 0. */
const cutsCharacter = (doc: EditorState["doc"], place: number): number =>
  Number(/^[\ud800-\udbff][\udc00-\udfff]$/.test(doc.sliceString(Math.max(0, place - 1), place + 1)));
