/** Finding and replacing; a chunk of its own, for the text can be read and written without it. */
import { highlightSelectionMatches, searchKeymap } from "@codemirror/search";
import { keymap } from "@codemirror/view";

export const search = [highlightSelectionMatches({ minSelectionLength: 2 }), keymap.of(searchKeymap)];
