/** The challenges that one may enter: searched on the server, a page at a time. */
import { useEffect, useState } from "preact/hooks";
import { api } from "../api.js";
import { follow } from "../router.js";
import { editPath, roomPath } from "../routes.js";
import type { ChallengeCard, Signed } from "../types.js";
import { Frame } from "../ui/frame.js";
import { LANGUAGES, languageClass, languageName } from "../ui/language-name.js";
import { Notice } from "../ui/notice.js";
import { PageHeading } from "../ui/page-heading.js";
import { shownOf, useLoading } from "../ui/use-loading.js";

const PAGE = 24;
/** How long the search waits for the next letter. */
const PAUSE_MS = 250;

export function ChallengesPage({ signed }: { readonly signed: Signed }) {
  const [typed, setTyped] = useState("");
  const [language, setLanguage] = useState("");
  const [mine, setMine] = useState(false);
  const [limit, setLimit] = useState(PAGE);
  const text = useSettled(typed.trim());
  const filtered = text !== "" || language !== "" || mine;
  const [loading, retry] = useLoading(JSON.stringify([text, language, mine, limit]), (signal) =>
    api.searchChallenges({ text, language, mine, limit }, signal),
  );
  const found = shownOf(loading);
  const clear = (): void => {
    setTyped("");
    setLanguage("");
    setMine(false);
  };

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
      <search class="filters">
        <div class="search">
          <label for="search">Search</label>
          <input
            id="search"
            type="search"
            maxLength={100}
            value={typed}
            onInput={(event) => setTyped(event.currentTarget.value)}
            placeholder="Title or text"
          />
        </div>
        <div class="search">
          <label for="language">Language</label>
          <select id="language" value={language} onInput={(event) => setLanguage(event.currentTarget.value)}>
            <option value="">All languages</option>
            {LANGUAGES.map((name) => (
              <option key={name} value={name}>
                {languageName(name)}
              </option>
            ))}
          </select>
        </div>
        <label class="check">
          <input
            class="checkbox"
            type="checkbox"
            checked={mine}
            onInput={(event) => setMine(event.currentTarget.checked)}
          />
          Only mine
        </label>
      </search>
      <p class="visually-hidden" role="status">
        {found && loading.state === "ready" && filtered && `${found.total} challenges found`}
      </p>
      {loading.state === "failed" && (
        <Notice tone="error" action={{ label: "Try again", run: retry }}>
          {loading.message}
        </Notice>
      )}
      {loading.state === "loading" && !found && <Skeleton />}
      {found && found.total === 0 && <Nothing filtered={filtered} mine={mine} onClear={clear} />}
      {found && found.total > 0 && (
        <>
          <ul class={loading.state === "loading" ? "challenges dim" : "challenges"}>
            {found.cards.map((card) => (
              <Card key={card.id} card={card} />
            ))}
          </ul>
          {found.cards.length < found.total && (
            <p class="more">
              <button type="button" class="button" onClick={() => setLimit(limit + PAGE)}>
                Show more ({found.total - found.cards.length})
              </button>
            </p>
          )}
        </>
      )}
    </Frame>
  );
}

/** The value once it has stayed the same for a moment. */
function useSettled(value: string): string {
  const [settled, setSettled] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), PAUSE_MS);
    return () => clearTimeout(timer);
  }, [value]);
  return settled;
}

function Card({ card }: { readonly card: ChallengeCard }) {
  return (
    <li class="challenge">
      <h2 dir="auto">
        <a class="cover" href={roomPath(card.id)} onClick={follow}>
          {card.title}
        </a>
      </h2>
      <p class="excerpt" dir="auto">
        {card.excerpt.replaceAll("`", "")}
      </p>
      <div class="card-foot">
        <span class={`language ${languageClass(card.language)}`}>{languageName(card.language)}</span>
        {card.access === "restricted" && <span class="tag">Invited people only</span>}
        {card.role === "view" && <span class="tag">Read only</span>}
        {card.role === "owner" && (
          <a class="edit" href={editPath(card.id)} onClick={follow} aria-label={`Edit ${card.title}`}>
            Edit
          </a>
        )}
      </div>
    </li>
  );
}

interface NothingProps {
  readonly filtered: boolean;
  readonly mine: boolean;
  readonly onClear: () => void;
}

function Nothing({ filtered, mine, onClear }: NothingProps) {
  return (
    <div class="empty">
      <h2>{mine ? "None of yours yet" : filtered ? "Nothing matches" : "No challenge yet"}</h2>
      <p>
        {filtered
          ? "Try another word, or look at all of them."
          : "Write the first one: a title, a prompt, and the code to start from."}
      </p>
      <div class="actions center">
        {filtered && (
          <button type="button" class="button" onClick={onClear}>
            Show all
          </button>
        )}
        {(!filtered || mine) && (
          <a class="button" href="/new" onClick={follow}>
            Write a challenge
          </a>
        )}
      </div>
    </div>
  );
}

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
