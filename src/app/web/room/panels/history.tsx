/**
 * Former states of the code: looked at, and gone back to. Going back is an edit like any other,
 * which others see and which can be taken back by the same way.
 */
import { useEffect, useState } from "preact/hooks";
import { api, messageOf } from "../../api.js";
import type { Version } from "../../types.js";
import { Notice } from "../../ui/notice.js";
import { toast } from "../../ui/toasts.js";
import { shownOf, useLoading } from "../../ui/use-loading.js";
import type { PanelProps } from "../panels.js";

export function HistoryPanel({ room, challenge, shown }: PanelProps) {
  const id = String(challenge.id);
  const [stamp, setStamp] = useState(0);
  const [chosen, setChosen] = useState<number>();
  useEffect(() => room.on("room:access", () => setStamp((n) => n + 1)), [room]);
  const [loading, retry] = useLoading(`${id} ${stamp} ${shown}`, async (signal) => {
    if (!shown) return undefined;
    const [versions, details] = await Promise.all([
      api.versions(id, signal),
      api.challengeDetails(id, signal),
    ]);
    return { versions, details };
  });
  const known = shownOf(loading);
  const mayEdit = known?.details.role === "owner" || known?.details.role === "edit";

  const act = async (work: () => Promise<unknown>): Promise<void> => {
    try {
      await work();
      toast({ tone: "info", text: "Done. What was there before is in the history." });
      setChosen(undefined);
    } catch (error) {
      const again = { label: "Try again", run: () => void act(work) };
      toast({ tone: "error", text: messageOf(error), action: again });
    }
    setStamp((n) => n + 1);
  };

  return (
    <div class="history">
      <h2>History</h2>
      {loading.state === "failed" && (
        <Notice tone="error" action={{ label: "Try again", run: retry }}>
          {loading.message}
        </Notice>
      )}
      {!known && loading.state === "loading" && <p class="hint">Loading…</p>}
      {known && known.versions.length === 0 && (
        <p class="hint">Nothing yet. States are kept by themselves while people work.</p>
      )}
      {known && (
        <ol class="versions">
          {known.versions.map((version) => (
            <li key={version.seq}>
              <button
                type="button"
                class="version"
                aria-expanded={chosen === version.seq}
                onClick={() => setChosen(chosen === version.seq ? undefined : version.seq)}
              >
                <time dateTime={version.at}>
                  {new Date(version.at).toLocaleString([], { dateStyle: "medium", timeStyle: "short" })}
                </time>
                <span class="hint">{authorsOf(version)}</span>
              </button>
              {chosen === version.seq && (
                <Preview
                  id={id}
                  seq={version.seq}
                  {...(mayEdit && { onRestore: () => void act(() => api.restoreVersion(id, version.seq)) })}
                />
              )}
            </li>
          ))}
        </ol>
      )}
      {mayEdit && known.details.starter !== null && (
        <p>
          <button type="button" class="button" onClick={() => void act(() => api.resetRoom(id))}>
            Back to the code to start from
          </button>
        </p>
      )}
    </div>
  );
}

function authorsOf({ seq, authors }: Version): string {
  if (authors.length > 0) return [...new Set(authors)].join(", ");
  return seq === 0 ? "as it was at first" : "";
}

interface PreviewProps {
  readonly id: string;
  readonly seq: number;
  readonly onRestore?: () => void;
}

function Preview({ id, seq, onRestore }: PreviewProps) {
  const [loading, retry] = useLoading(`${id} ${seq}`, (signal) => api.version(id, seq, signal));
  if (loading.state === "failed") {
    return (
      <Notice tone="error" action={{ label: "Try again", run: retry }}>
        {loading.message}
      </Notice>
    );
  }
  if (loading.state === "loading") return <p class="hint">Loading…</p>;
  return (
    <div class="version-preview">
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, which must be possible with the keyboard alone */}
      <section tabIndex={0} aria-label="The code as it was">
        <pre>{loading.value.text === "" ? "(empty)" : loading.value.text}</pre>
      </section>
      {onRestore && (
        <button type="button" class="button" onClick={onRestore}>
          Go back to this
        </button>
      )}
    </div>
  );
}
