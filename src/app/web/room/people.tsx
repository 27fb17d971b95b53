import type { Person } from "./presence-list.js";

interface PeopleProps {
  readonly people: readonly Person[];
  /** Without a connection nobody knows who is there. */
  readonly stale: boolean;
  readonly ready: boolean;
}

const HUES = 6;

export function People({ people, stale, ready }: PeopleProps) {
  return (
    <section class={stale ? "people stale" : "people"} aria-labelledby="people-title">
      <h2 id="people-title">
        In this room {people.length > 0 && !stale && <span class="count">{people.length}</span>}
      </h2>
      {people.length === 0 && ready && <p class="hint">Nobody is listed yet.</p>}
      <ul>
        {people.map((person) => (
          <li key={person.id} class={person.typing ? "person typing" : "person"}>
            <span class={`initial hue-${hue(person.id)}`} aria-hidden="true">
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
          </li>
        ))}
      </ul>
    </section>
  );
}

function initial(name: string): string {
  return ([...name.trim()][0] ?? "?").toLocaleUpperCase();
}

/** The same person has the same colour for everybody; the name says who it is, the colour only helps. */
function hue(id: string): number {
  let sum = 0;
  for (const char of id) sum = (sum * 31 + (char.codePointAt(0) ?? 0)) % 9973;
  return sum % HUES;
}
