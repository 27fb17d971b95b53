/**
 * Highlighting, one chunk per language, loaded when a room needs it. A language that is not known
 * here, or whose chunk does not arrive, is edited as plain text: colour is a comfort, not a
 * condition.
 *
 * C++ and whatever needs CodeMirror's older modes (Ruby, SQL) would take a room over its 200 kB.
 */
import type { Extension } from "@codemirror/state";

const LOADERS: Readonly<Record<string, () => Promise<Extension>>> = {
  javascript: async () => (await import("./javascript.js")).javascript,
  typescript: async () => (await import("./javascript.js")).typescript,
  python: async () => (await import("./python.js")).python,
  java: async () => (await import("./java.js")).java,
  rust: async () => (await import("./rust.js")).rust,
  go: async () => (await import("./go.js")).go,
};

export async function loadLanguage(language: string): Promise<Extension> {
  if (!Object.hasOwn(LOADERS, language)) return [];
  try {
    return await LOADERS[language]!();
  } catch {
    return [];
  }
}

const INDENTS: Readonly<Record<string, string>> = { python: "    ", java: "    ", rust: "    ", go: "\t" };

/** As their style guides have it; two spaces elsewhere. */
export const indentOf = (language: string): string =>
  Object.hasOwn(INDENTS, language) ? INDENTS[language]! : "  ";
