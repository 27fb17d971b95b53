/** How many processes can come and go in a second? */
import { exit, monitor, receive, spawn, spawnMonitor } from "simurgh/runtime";
import { benchNode, compare } from "./harness.js";
import { nactSpawns, stopNact } from "./peer-nact.js";

const node = benchNode();
const isDown = (message: unknown): true | undefined =>
  Array.isArray(message) && message[0] === "DOWN" ? true : undefined;
const done = async (): Promise<void> => {
  const last = spawn(() => {});
  monitor(last);
  await receive(isDown);
};

await compare({ question: "spawn + exit", count: 200_000, goal: 500_000 }, [
  {
    name: "spawn, function returns",
    run: (count) =>
      node.run(async () => {
        for (let i = 0; i < count; i += 1) {
          spawn(() => {});
          if (i % 1000 === 999) await done();
        }
      }),
  },
  {
    name: "spawn, exit from outside",
    run: (count) =>
      node.run(async () => {
        for (let i = 0; i < count; i += 1)
          exit(
            spawn(() => new Promise(() => {})),
            "kill",
          );
        await done();
      }),
  },
  {
    name: "spawnMonitor + DOWN, one by one",
    run: (count) =>
      node.run(async () => {
        for (let i = 0; i < count; i += 1) {
          spawnMonitor(() => {});
          await receive(isDown);
        }
      }),
  },
  { name: "nact spawn and stop", share: 0.1, run: nactSpawns },
]);
stopNact();
await node.stop();
