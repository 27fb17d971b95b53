/** What the worker threads of thread-server.test.ts run. */
import {
  type ChildSpec,
  exit,
  GenServer,
  type Pid,
  receive,
  self,
  send,
  type ThreadContext,
} from "simurgh/runtime";

const echo = {
  name: "echo",
  init: (context: ThreadContext) => ["ok", context] as const,
  handleCall(request: unknown, _from: unknown, context: ThreadContext) {
    if (request === "where")
      return ["reply", { node: context.node, creation: context.creation, pid: self() }, context] as const;
    if (request === "spin") for (;;);
    if (request === "exit the thread") process.exit(7);
    if (request === "eat the heap") {
      const hoard: unknown[] = [];
      for (;;) hoard.push(new Array(10_000).fill(hoard.length));
    }
    return ["reply", request, context] as const;
  },
};

export function start(args: { fail?: boolean }, context: ThreadContext): ChildSpec[] {
  if (args.fail) throw new Error("this tree cannot start");
  return [{ id: "echo", start: [GenServer.startLink, [echo, context, { name: "echo" }]] }];
}

export async function pong(to: Pid, word: string): Promise<void> {
  send(to, [word, self()]);
  await receive((message) => message === "end" || undefined);
  exit("ended as told");
}
