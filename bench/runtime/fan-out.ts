/** How long does one message to 100,000 processes take until the last has handled it? */
import { GenServer, type GenServerModule, type Pid, receive, send, spawn } from "simurgh/runtime";
import { benchNode, compare } from "./harness.js";

const PROCESSES = 100_000;
const node = benchNode();
await node.run(async () => {
  let handled = 0;
  let done: (() => void) | undefined;
  const count = (): void => {
    handled += 1;
    if (handled === PROCESSES) done?.();
  };
  const servers: Pid[] = [];
  const plain: Pid[] = [];
  const server: GenServerModule<null> = {
    init: () => ["ok", null],
    handleInfo(_message, state) {
      count();
      return ["noreply", state];
    },
  };
  for (let n = 0; n < PROCESSES; n += 1) {
    servers.push((await GenServer.start(server))[1] as Pid);
    plain.push(
      spawn(async () => {
        for (;;) {
          await receive((message) => [message]);
          count();
        }
      }),
    );
  }
  const tell = (pids: readonly Pid[]) => () =>
    new Promise<void>((resolve) => {
      handled = 0;
      done = resolve;
      for (const pid of pids) send(pid, "tick");
    });
  const listeners = Array.from({ length: PROCESSES }, () => (_message: unknown) => {
    handled += 1;
  });
  await compare(
    {
      question: `messages handled in a fan-out to ${PROCESSES} processes (goal: all within 100 ms)`,
      count: PROCESSES,
      goal: 1_000_000,
    },
    [
      { name: "GenServers", run: tell(servers) },
      { name: "plain processes that receive", run: tell(plain) },
      {
        name: "bare calls of as many functions",
        run: async () => {
          handled = 0;
          for (const listener of listeners) listener("tick");
        },
      },
    ],
  );
});
await node.stop();
