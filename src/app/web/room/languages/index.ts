/**
 * Highlighting, one chunk per language, loaded when a room needs it. A language that is not known here, or whose chunk
 * does not arrive, is edited as plain text: colour is a comfort, not a condition.
 */
import type { Extension } from "@codemirror/state";

const LOADERS: Readonly<Record<string, () => Promise<Extension>>> = {
  javascript: async () => (await import("./javascript.js")).javascript,
  typescript: async () => (await import("./javascript.js")).typescript,
  python: async () => (await import("./python.js")).python,
};

export async function loadLanguage(language: string): Promise<Extension> {
  if (!Object.hasOwn(LOADERS, language)) return [];
  try {
    return await LOADERS[language]!();
  } catch {
    return [];
  }
}

/** Four spaces for Python, two elsewhere, as their style guides have it. */
export const indentOf = (language: string): string => (language === "python" ? "    " : "  ");
