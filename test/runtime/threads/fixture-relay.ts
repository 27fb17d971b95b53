import { GenServer, type Pid, self, send } from "simurgh/runtime";

/** Asks a server of another thread and passes its answer on to a third. */
export async function relay(server: Pid, to: Pid): Promise<void> {
  send(to, ["relayed", await GenServer.call(server, "through thread 1"), self()]);
}
