/**
 * A log of troubles that repeat: each is written when it begins, then once a minute with how often
 * it happened, and the end of all of them once. Texts that differ in numbers only are the same
 * trouble. Bounded, however many texts there are.
 */
const AGAIN_MS = 60_000;
const MOST_TEXTS = 50;

interface Trouble {
  readonly writtenAt: number;
  unwritten: number;
}

export class RepeatedLog {
  readonly #write: (line: string) => void;
  readonly #now: () => number;
  readonly #troubles = new Map<string, Trouble>();
  #open = false;

  constructor(
    write: (line: string) => void = (line) => console.error(line),
    now: () => number = () => performance.now(),
  ) {
    this.#write = write;
    this.#now = now;
  }

  /** `kind`: what is the same trouble; by default the text without its numbers. */
  trouble(text: string, kind = text.replace(/\d+/g, "#").slice(0, 200)): void {
    const known = this.#troubles.get(kind);
    const now = this.#now();
    this.#open = true;
    if (known !== undefined && now - known.writtenAt < AGAIN_MS) {
      known.unwritten += 1;
      return;
    }
    const times =
      known === undefined || known.unwritten === 0 ? "" : ` (and ${known.unwritten} times before)`;
    this.#write(`${text}${times}`);
    // The newest last, so that the oldest is forgotten first.
    this.#troubles.delete(kind);
    this.#troubles.set(kind, { writtenAt: now, unwritten: 0 });
    if (this.#troubles.size > MOST_TEXTS) this.#troubles.delete(this.#troubles.keys().next().value as string);
  }

  /** All is well. Written only after a trouble was. */
  over(text: string): void {
    if (!this.#open) return;
    // Like a trouble, for what comes and goes would fill the log from both ends.
    this.trouble(text);
    this.#open = false;
  }
}
