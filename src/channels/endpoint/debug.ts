/**
 * Debug inspects a running endpoint from a REPL or an admin page: its connections and their
 * channels (Phoenix.Debug).
 */

import { DynamicSupervisor, ExitSignal, GenServer, Pid } from "simurgh/runtime";
import { processInfoAt } from "#runtime";
import { GET_SOCKET } from "../channel/channel-server.js";
import type { ChannelSocket } from "../channel/socket.js";
import { endpointConfig } from "../protocol/endpoint-config.js";
import type { SocketDescription } from "../socket/socket-state.js";
import { channelsName } from "./shard.js";

export interface SocketEntry {
  readonly pid: Pid;
  /** Where the socket is mounted. */
  readonly module: string;
  readonly id: string | null;
  readonly transport: string;
}

export interface ChannelEntry {
  readonly pid: Pid;
  readonly topic: string;
  readonly status: "joined" | "leaving";
}

const TIMEOUT_MS = 5000;

async function initialCall(pid: unknown): Promise<string | undefined> {
  if (!(pid instanceof Pid)) return undefined;
  try {
    return (await processInfoAt(pid))?.initial_call;
  } catch (error) {
    if (error instanceof ExitSignal) return undefined;
    throw error;
  }
}

function noneAfterExit(error: unknown): [] {
  if (error instanceof ExitSignal) return [];
  throw error;
}

const why = (error: unknown): "not_alive" | "timeout" => {
  const reason = error instanceof ExitSignal && Array.isArray(error.reason) ? error.reason[0] : undefined;
  return reason === "timeout" ? "timeout" : "not_alive";
};

export const Debug = {
  /** The connections of an endpoint, on this node. */
  async listSockets(endpoint: string): Promise<SocketEntry[]> {
    const gateways = await Promise.all(
      endpointConfig(endpoint).gateways.map((node) =>
        // A gateway that is down has no connections.
        DynamicSupervisor.whichChildren({ name: `${endpoint}.sockets`, node }).catch(noneAfterExit),
      ),
    );
    const children = gateways.flat();
    const entries = await Promise.all(
      children.map(async ({ pid }): Promise<SocketEntry | undefined> => {
        if (!(pid instanceof Pid)) return undefined;
        try {
          const { module, id, transport } = await GenServer.call<SocketDescription>(
            pid,
            ["debug"],
            TIMEOUT_MS,
          );
          return { pid, module, id, transport };
        } catch {
          return undefined;
        }
      }),
    );
    return entries.filter((entry) => entry !== undefined);
  },

  /** How many channels of an endpoint run in the calling thread. */
  async countChannels(endpoint: string): Promise<number> {
    return (await DynamicSupervisor.countChildren(channelsName(endpoint))).active;
  },

  /** The channels of a connection; `"timeout"` when it does not reply within five seconds. */
  async listChannels(
    socket: Pid,
  ): Promise<readonly ["ok", readonly ChannelEntry[]] | readonly ["error", "not_alive" | "timeout"]> {
    if (!(await Debug.isSocket(socket))) return ["error", "not_alive"];
    try {
      const { channels } = await GenServer.call<SocketDescription>(socket, ["debug"], TIMEOUT_MS);
      return ["ok", channels];
    } catch (error) {
      return ["error", why(error)];
    }
  },

  /** A channel's socket: assigns, topic, join_ref and the rest, as plain data. */
  async socket(
    channel: Pid,
  ): Promise<readonly ["ok", ChannelSocket] | readonly ["error", "not_alive" | "timeout"]> {
    if (!(await Debug.isChannel(channel))) return ["error", "not_alive"];
    try {
      return ["ok", await GenServer.call<ChannelSocket>(channel, [GET_SOCKET], TIMEOUT_MS)];
    } catch (error) {
      return ["error", why(error)];
    }
  },

  /** Whether a process is that of a connection. */
  isSocket: async (pid: unknown): Promise<boolean> => (await initialCall(pid)) === "Socket.init",

  /** Whether a process is a channel. */
  isChannel: async (pid: unknown): Promise<boolean> => (await initialCall(pid)) === "Channel.init",
};
