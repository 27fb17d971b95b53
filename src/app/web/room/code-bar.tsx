/**
 * The bar above the code: its language, which is the same for all users of the room, and what one
 * can do with the text.
 */
import { useState } from "preact/hooks";
import { ApiError, api } from "../api.js";
import type { Challenge } from "../types.js";
import { LANGUAGES, languageName } from "../ui/language-name.js";
import { toast } from "../ui/toasts.js";

interface CodeBarProps {
  readonly challenge: Challenge;
  readonly canWrite: boolean;
  /** The text of now. */
  readonly read: () => string;
}

export function CodeBar({ challenge, canWrite, read }: CodeBarProps) {
  return (
    <div class="code-bar">
      <Language challenge={challenge} canWrite={canWrite} />
      <button type="button" class="button quiet" onClick={() => void copy(read())}>
        Copy code
      </button>
    </div>
  );
}

function Language({ challenge, canWrite }: { readonly challenge: Challenge; readonly canWrite: boolean }) {
  // What was chosen here shows at once; the room's answer, or its refusal, takes its place.
  const [chosen, setChosen] = useState<string>();
  const language = chosen ?? challenge.language;

  const choose = async (next: string): Promise<void> => {
    setChosen(next);
    try {
      await api.changeChallenge(challenge.id, { language: next });
    } catch (error) {
      const why = error instanceof ApiError ? error.message : "Try again.";
      toast({ tone: "error", text: `The language was not changed. ${why}` });
    } finally {
      setChosen(undefined);
    }
  };

  return (
    <label class="code-language">
      <span class="visually-hidden">Language</span>
      <select
        value={language}
        disabled={!canWrite}
        onChange={(event) => void choose(event.currentTarget.value)}
      >
        {[...new Set([...LANGUAGES, language])].map((name) => (
          <option key={name} value={name}>
            {languageName(name)}
          </option>
        ))}
      </select>
    </label>
  );
}

/** Puts a text where one can paste it from. */
export async function copy(text: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
    toast({ tone: "info", text: "The code is copied." });
  } catch {
    toast({
      tone: "error",
      text: "The browser does not let the page copy. Select the code and press Ctrl+C, or ⌘C.",
    });
  }
}
