import type { Person } from "./presence-list.js";

interface PeopleProps {
  readonly people: readonly Person[];
  /** Without a connection the list is not known. */
  readonly stale: boolean;
  readonly ready: boolean;
  readonly following: string | undefined;
  readonly onFollow: (id: string | undefined) => void;
}

export function People({ people, stale, ready, following, onFollow }: PeopleProps) {
  return (
    <section class={stale ? "people stale" : "people"} aria-labelledby="people-title">
      <h2 id="people-title">
        In this room {people.length > 0 && !stale && <span class="count">{people.length}</span>}
      </h2>
      {people.length === 0 && ready && <p class="hint">No one is listed yet.</p>}
      <ul>
        {people.map((person) => (
          <li key={person.id} class={person.typing ? "person typing" : "person"}>
            <span class={`initial peer-${person.color}`} aria-hidden="true">
              {initial(person.name)}
            </span>
            <span class="person-name">
              <bdi>{person.name}</bdi>
              {person.you && <span class="you"> (you)</span>}
            </span>
            {person.typing && !stale && (
              <span class="typing-mark">
                typing
                <i aria-hidden="true" />
              </span>
            )}
            {!person.you && !stale && (
              <button
                type="button"
                class="follow"
                aria-pressed={following === person.id}
                aria-label={`Follow ${person.name}`}
                onClick={() => onFollow(following === person.id ? undefined : person.id)}
              >
                Follow
              </button>
            )}
          </li>
        ))}
      </ul>
    </section>
  );
}

function initial(name: string): string {
  return ([...name.trim()][0] ?? "?").toLocaleUpperCase();
}
