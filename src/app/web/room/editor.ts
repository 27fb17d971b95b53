/**
 * The code editor: CodeMirror, the keys, the colours. It knows nothing of the network: local edits go out through
 * `onEdit`, remote ones come in through `applyRemote`, which keeps caret, selection, scroll position and undo history
 * of the reader (a remote edit is not something one can undo).
 *
 * Tab indents. Escape, then Tab leaves the editor (CodeMirror's own way out), and the page says so.
 */
import { defaultKeymap, history, historyKeymap, indentWithTab } from "@codemirror/commands";
import {
  bracketMatching,
  HighlightStyle,
  indentOnInput,
  indentUnit,
  syntaxHighlighting,
} from "@codemirror/language";
import { highlightSelectionMatches, searchKeymap } from "@codemirror/search";
import { Annotation, type ChangeSet, Compartment, EditorState, Transaction } from "@codemirror/state";
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
import { languageName } from "../ui/language-name.js";
import { indentOf, loadLanguage } from "./languages.js";

export interface EditorEvents {
  readonly onEdit: (changes: ChangeSet) => void;
  readonly onFocus: () => void;
  readonly onBlur: () => void;
}

const remote = Annotation.define<true>();

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
  "&.cm-focused": { outline: "none" },
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
  #shownLanguage = "";

  constructor(parent: HTMLElement, describedBy: string, events: EditorEvents) {
    const nonce = document.querySelector<HTMLMetaElement>('meta[name="csp-nonce"]')?.content ?? "";
    this.#view = new EditorView({
      parent,
      state: EditorState.create({
        extensions: [
          EditorView.cspNonce.of(nonce),
          this.#writable.of(readOnly(true)),
          this.#language.of([]),
          lineNumbers(),
          highlightActiveLineGutter(),
          highlightSpecialChars(),
          history(),
          drawSelection(),
          dropCursor(),
          indentOnInput(),
          bracketMatching(),
          highlightActiveLine(),
          highlightSelectionMatches(),
          syntaxHighlighting(highlight),
          theme,
          keymap.of([...defaultKeymap, ...searchKeymap, ...historyKeymap, indentWithTab]),
          EditorView.contentAttributes.of({
            "aria-describedby": describedBy,
            tabindex: "0",
            autocapitalize: "off",
            autocorrect: "off",
            spellcheck: "false",
          }),
          EditorView.domEventHandlers({ focus: events.onFocus, blur: events.onBlur }),
          EditorView.updateListener.of((update) => {
            for (const transaction of update.transactions) {
              if (transaction.docChanged && !transaction.annotation(remote))
                events.onEdit(transaction.changes);
            }
          }),
          // The text goes over the wire as UTF-8, which has no room for half a character.
          EditorState.transactionFilter.of((transaction) =>
            transaction.docChanged && !transaction.annotation(remote) && !wellFormed(transaction.changes)
              ? []
              : transaction,
          ),
        ],
      }),
    });
  }

  get focused(): boolean {
    return this.#view.hasFocus;
  }

  get text(): string {
    return this.#view.state.sliceDoc();
  }

  applyRemote(changes: ChangeSet): void {
    if (changes.empty) return;
    this.#view.dispatch({
      changes,
      annotations: [remote.of(true), Transaction.remote.of(true), Transaction.addToHistory.of(false)],
    });
  }

  /** The text to start with, which is nobody's edit. */
  fill(text: string): void {
    this.applyRemote(this.#view.state.changes({ from: 0, to: this.#view.state.doc.length, insert: text }));
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

  focus(): void {
    this.#view.focus();
  }

  destroy(): void {
    this.#shownLanguage = "";
    this.#view.destroy();
  }
}

const readOnly = (on: boolean) => [EditorState.readOnly.of(on), EditorView.editable.of(!on)];

function wellFormed(changes: ChangeSet): boolean {
  let good = true;
  changes.iterChanges((_fromA, _toA, _fromB, _toB, inserted) => {
    good &&= inserted.toString().isWellFormed();
  });
  return good;
}
