/** nact, the actor library people use in Node: the peer in these benches. */
import { createRequire } from "node:module";

// Its types lag behind its code; what is used of it is small.
interface Nact {
  start(): object;
  spawn(parent: object, handle: (state: number | undefined, message: never) => number, name: string): object;
  dispatch(actor: object, message: unknown): void;
  query<T>(actor: object, message: (reply: object) => unknown, timeoutMs: number): Promise<T>;
  stop(actor: object): void;
}
const nact = createRequire(import.meta.url)("nact") as Nact;

type Message = { readonly by: number } | { readonly reply: object };

const system = nact.start();
const counter = nact.spawn(
  system,
  (state = 0, message: Message) => {
    if ("reply" in message) {
      nact.dispatch(message.reply, state);
      return state;
    }
    return state + message.by;
  },
  "counter",
);
const ask = (): Promise<number> => nact.query<number>(counter, (reply) => ({ reply }), 60_000);
let names = 0;

export const nactCasts = async (count: number): Promise<void> => {
  for (let n = 0; n < count; n += 1) nact.dispatch(counter, { by: 1 });
  await ask();
};

export const nactCalls = async (count: number): Promise<void> => {
  for (let n = 0; n < count; n += 1) await ask();
};

export const nactSpawns = async (count: number): Promise<void> => {
  for (let n = 0; n < count; n += 1) {
    names += 1;
    nact.stop(nact.spawn(system, () => 0, `a${names}`));
    if (n % 1000 === 999) await ask();
  }
};

export const stopNact = (): void => nact.stop(system);
