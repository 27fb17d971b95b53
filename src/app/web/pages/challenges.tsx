import { useCallback, useEffect, useState } from "preact/hooks";
import { ApiError, api } from "../api.js";
import { follow } from "../router.js";
import { roomPath } from "../routes.js";
import type { Challenge, Signed } from "../types.js";
import { Frame } from "../ui/frame.js";
import { languageName } from "../ui/language-name.js";
import { Notice } from "../ui/notice.js";
import { PageHeading } from "../ui/page-heading.js";

type Loading =
  | { readonly state: "loading" }
  | { readonly state: "failed"; readonly message: string }
  | { readonly state: "ready"; readonly challenges: readonly Challenge[] };

export function ChallengesPage({ signed }: { readonly signed: Signed }) {
  const [loading, retry] = useChallenges();
  const [wanted, setWanted] = useState("");

  return (
    <Frame signed={signed}>
      <div class="list-head">
        <div>
          <PageHeading title="Challenges" />
          <p class="lead">Open one, share its address, and solve it together.</p>
        </div>
        <a class="button primary" href="/new" onClick={follow}>
          New challenge
        </a>
      </div>
      {loading.state === "loading" && <Skeleton />}
      {loading.state === "failed" && (
        <Notice tone="error" action={{ label: "Try again", run: retry }}>
          {loading.message}
        </Notice>
      )}
      {loading.state === "ready" && loading.challenges.length === 0 && (
        <div class="empty">
          <h2>No challenge yet</h2>
          <p>Write the first one: a title, a prompt, and the code to start from.</p>
          <a class="button" href="/new" onClick={follow}>
            Write a challenge
          </a>
        </div>
      )}
      {loading.state === "ready" && loading.challenges.length > 0 && (
        <Found challenges={loading.challenges} wanted={wanted} onWanted={setWanted} />
      )}
    </Frame>
  );
}

function useChallenges(): [Loading, () => void] {
  const [loading, setLoading] = useState<Loading>({ state: "loading" });
  const [attempt, setAttempt] = useState(0);
  // `attempt` is what asking again changes.
  useEffect(() => {
    const abort = new AbortController();
    setLoading({ state: "loading" });
    api.challenges(abort.signal).then(
      (challenges) => setLoading({ state: "ready", challenges }),
      (error: unknown) => {
        if (abort.signal.aborted) return;
        const message = error instanceof ApiError ? error.message : "The challenges could not be loaded.";
        setLoading({ state: "failed", message });
      },
    );
    return () => abort.abort();
  }, [attempt]);
  return [loading, useCallback(() => setAttempt((n) => n + 1), [])];
}

interface FoundProps {
  readonly challenges: readonly Challenge[];
  readonly wanted: string;
  readonly onWanted: (wanted: string) => void;
}

function Found({ challenges, wanted, onWanted }: FoundProps) {
  const needle = wanted.trim().toLowerCase();
  const found = challenges.filter(({ title, prompt, language }) =>
    `${title}\n${prompt}\n${languageName(language)}`.toLowerCase().includes(needle),
  );
  return (
    <>
      {challenges.length > 5 && (
        <div class="search">
          <label for="search">Search</label>
          <input
            id="search"
            type="search"
            value={wanted}
            onInput={(event) => onWanted(event.currentTarget.value)}
            placeholder="Title, text or language"
          />
        </div>
      )}
      <p class="visually-hidden" role="status">
        {needle && `${found.length} of ${challenges.length} challenges`}
      </p>
      {found.length === 0 ? (
        <p class="empty">Nothing matches “{wanted.trim()}”.</p>
      ) : (
        <ul class="challenges">
          {found.map((challenge) => (
            <li key={challenge.id}>
              <a class="challenge" href={roomPath(challenge.id)} onClick={follow}>
                <h2 dir="auto">{challenge.title}</h2>
                <p class="excerpt" dir="auto">
                  {challenge.prompt.replaceAll("`", "")}
                </p>
                <span class={`language ${languageClass(challenge.language)}`}>
                  {languageName(challenge.language)}
                </span>
              </a>
            </li>
          ))}
        </ul>
      )}
    </>
  );
}

/** Only known words become part of a class name. */
const languageClass = (language: string): string =>
  /^(javascript|python|typescript)$/.test(language) ? language : "";

function Skeleton() {
  return (
    <div class="challenges" role="status">
      <span class="visually-hidden">Loading the challenges…</span>
      {[0, 1, 2, 3].map((n) => (
        <div class="challenge skeleton" aria-hidden="true" key={n}>
          <i />
          <i />
          <i />
        </div>
      ))}
    </div>
  );
}
