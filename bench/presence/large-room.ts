/**
 * What do a list and the states of 100 who join late cost in a room of 10,000, and how long is the
 * event loop held up? Beside the plain way: a state made and encoded for each of them, in one
 * piece.
 */
import { definePresence } from "simurgh/presence";
import { PubSub } from "simurgh/pubsub";
import { type Pid, Supervisor, spawn } from "simurgh/runtime";
import { benchNode } from "../runtime/harness.js";

const MEMBERS = 10_000;
const LATE = 100;
const ROUNDS = 7;
const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;

/** The longest time between two turns of the event loop while `work` runs, and how long it took. */
async function held(work: () => Promise<void>): Promise<{ longest: number; took: number }> {
  let longest = 0;
  let last = performance.now();
  let running = true;
  const beat = (): void => {
    const now = performance.now();
    longest = Math.max(longest, now - last);
    last = now;
    if (running) setImmediate(beat);
  };
  setImmediate(beat);
  const from = performance.now();
  await work();
  const took = performance.now() - from;
  await new Promise((resolve) => setImmediate(resolve));
  running = false;
  return { longest, took };
}

const presence = definePresence({ name: "Bench" });
const node = benchNode();
await node.run(async () => {
  await Supervisor.startLink([PubSub.childSpec({ name: "p" }), presence.childSpec({ pubsub: "p" })], {
    strategy: "rest_for_one",
  });
  const forever = (): Promise<never> => new Promise(() => {});
  const people: Pid[] = [];
  for (let n = 0; n < MEMBERS; n += 1) {
    const pid = spawn(forever);
    people.push(pid);
    await presence.track(pid, "room", `user-${n}`, { name: `User ${n}`, online_at: 1_700_000_000_000 + n });
  }
  const results = new Map<string, { longest: number[]; took: number[] }>();
  const note = (name: string, { longest, took }: { longest: number; took: number }): void => {
    const result = results.get(name) ?? { longest: [], took: [] };
    result.longest.push(longest);
    result.took.push(took);
    results.set(name, result);
  };
  for (let round = 0; round < ROUNDS; round += 1) {
    // What was made for earlier lists is of no use after a change.
    await presence.update(people[round] as Pid, "room", `user-${round}`, { name: "changed" });
    await new Promise((resolve) => setTimeout(resolve, 1100));
    note(
      "list",
      await held(async () => {
        await presence.list("room");
      }),
    );
    note(
      `${LATE} late states`,
      await held(async () => {
        let frames = 0;
        let bytes = 0;
        const parts = Math.ceil(MEMBERS / 1000);
        await new Promise<void>((done) => {
          for (let n = 0; n < LATE; n += 1)
            presence.pushState("room", (_event, payload) => {
              // One encoding serves all who get the same part.
              bytes += Object.keys(payload).length;
              frames += 1;
              if (frames === LATE * parts) done();
            });
        });
        if (bytes === 0) throw new Error("nothing was pushed");
      }),
    );
    note(
      `${LATE} late states, the plain way`,
      await held(async () => {
        for (let n = 0; n < LATE; n += 1) {
          JSON.stringify(await presence.list("room"));
          await new Promise((resolve) => setImmediate(resolve));
        }
      }),
    );
  }
  console.log(`a room of ${MEMBERS.toLocaleString("en")}`);
  for (const [name, { longest, took }] of results)
    console.log(
      `  ${name.padEnd(34)} ${median(took).toFixed(1).padStart(8)} ms   event loop held up ${median(longest).toFixed(1)} ms at most`,
    );
});
await node.stop();
