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
    if (request === "eat the heap in small bites") {
      const hoard: unknown[] = [];
      for (;;) hoard.push(() => hoard.length);
    }
    if (request === "eat the heap in turns") return leak(new Map());
    if (request === "eat memory outside the heap") return leakBuffers([]);
    if (request === "eat the heap in large bites") {
      const hoard: unknown[] = [];
      for (;;) {
        // More at once than a thread may have after V8 has notified Node of its limit.
        hoard.push(new Array(2_500_000).fill(1.5));
        for (const until = performance.now() + 300; performance.now() < until; );
      }
    }
    return ["reply", request, context] as const;
  },
};

/**
 * A table that grows turn by turn, as a room's does that forgets no one; each time it grows it is
 * copied whole.
 */
async function leak(hoard: Map<number, string>): Promise<never> {
  for (;;) {
    for (let n = 0; n < 20_000; n += 1) hoard.set(hoard.size, `member ${hoard.size}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

async function leakBuffers(hoard: Buffer[]): Promise<never> {
  for (;;) {
    for (let n = 0; n < 4; n += 1) hoard.push(Buffer.alloc(1024 * 1024, n));
    await new Promise((resolve) => setImmediate(resolve));
  }
}

export function start(args: { fail?: boolean }, context: ThreadContext): ChildSpec[] {
  if (args.fail) throw new Error("this tree cannot start");
  return [{ id: "echo", start: [GenServer.startLink, [echo, context, { name: "echo" }]] }];
}

export async function pong(to: Pid, word: string): Promise<void> {
  send(to, [word, self()]);
  await receive((message) => message === "end" || undefined);
  exit("ended as notified");
}
