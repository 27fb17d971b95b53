/**
 * Edits that the server has not stored yet, in IndexedDB: a reload in the middle of a word, or a
 * tab closed while the link was down, loses nothing. One row per edit, keyed by person, room,
 * epoch, page and number.
 *
 * A row is written in the turn in which the edit was made, and committed at once: a page that is
 * being closed gives its transactions no time. Two tabs do not disturb each other; a row that two
 * pages send is one edit all the same.
 *
 * Without IndexedDB (private windows, storage switched off) edits live as long as the page.
 */
import type { UnsavedEdits } from "./room-document.js";

const NAME = "phoenixpair";
const STORE = "unsaved";
/** A database that does not answer must not keep anybody from the room. */
const PATIENCE_MS = 2_000;

let opened: Promise<IDBDatabase | undefined> | undefined;

function open(): Promise<IDBDatabase | undefined> {
  opened ??= new Promise((resolve) => {
    setTimeout(() => resolve(undefined), PATIENCE_MS);
    try {
      const request = indexedDB.open(NAME, 1);
      request.onupgradeneeded = () => request.result.createObjectStore(STORE);
      request.onsuccess = () => {
        // Another tab of a newer build may want to change it.
        request.result.onversionchange = () => request.result.close();
        resolve(request.result);
      };
      request.onerror = () => resolve(undefined);
    } catch {
      resolve(undefined);
    }
  });
  return opened;
}

/** Runs one transaction to its end. Storage that fails is storage that is not there. */
function write(database: IDBDatabase | undefined, work: (store: IDBObjectStore) => void): void {
  try {
    const transaction = database?.transaction(STORE, "readwrite");
    if (!transaction) return;
    work(transaction.objectStore(STORE));
    transaction.commit();
  } catch {
    // Closed, or full.
  }
}

const within = (...prefix: readonly (string | number)[]): IDBKeyRange =>
  IDBKeyRange.bound([...prefix], [...prefix, []]);

class RoomEdits implements UnsavedEdits {
  readonly #database: IDBDatabase | undefined;
  readonly #room: readonly [user: string, room: string, epoch: string];
  readonly #page = crypto.randomUUID();
  #left: readonly IDBValidKey[] = [];

  constructor(database: IDBDatabase | undefined, room: readonly [user: string, room: string, epoch: string]) {
    this.#database = database;
    this.#room = room;
  }

  add(row: number, update: Uint8Array): void {
    write(this.#database, (store) => store.put(update, [...this.#room, this.#page, row]));
  }

  remove(upTo: number): void {
    const range = IDBKeyRange.bound([...this.#room, this.#page], [...this.#room, this.#page, upTo]);
    write(this.#database, (store) => store.delete(range));
  }

  left(): Promise<readonly Uint8Array[]> {
    return new Promise((resolve) => {
      setTimeout(() => resolve([]), PATIENCE_MS);
      try {
        const store = this.#database?.transaction(STORE).objectStore(STORE);
        if (!store) return resolve([]);
        const keys = store.getAllKeys(within(...this.#room));
        const rows = store.getAll(within(...this.#room));
        rows.onsuccess = () => {
          const old = keys.result.map((key) => (key as IDBValidKey[])[3] !== this.#page);
          this.#left = keys.result.filter((_, i) => old[i]);
          resolve(rows.result.filter((row, i): row is Uint8Array => old[i]! && row instanceof Uint8Array));
        };
        rows.onerror = () => resolve([]);
      } catch {
        resolve([]);
      }
    });
  }

  removeLeft(): void {
    write(this.#database, (store) => {
      for (const key of this.#left) store.delete(key);
    });
    this.#left = [];
  }
}

/**
 * The unsaved edits of a person in a room. What belongs to an earlier epoch of the room is of no
 * use any more.
 */
export async function unsavedEdits(user: string, room: string, epoch: string): Promise<UnsavedEdits> {
  const database = await open();
  write(database, (store) => {
    store.delete(IDBKeyRange.bound([user, room], [user, room, epoch], false, true));
    store.delete(IDBKeyRange.bound([user, room, epoch, []], [user, room, []], false, true));
  });
  return new RoomEdits(database, [user, room, epoch]);
}

/** The user signs out: nothing of theirs stays on this machine. */
export async function forgetUnsavedEdits(user: string): Promise<void> {
  write(await open(), (store) => store.delete(within(user)));
}
