/**
 * The PubSub process of a thread. It starts the adapter, dispatches what other nodes send, handles
 * requests of the node's other threads, and takes part in handovers. Broadcasts of this thread do
 * not pass through it.
 */
import {
  BadArg,
  GenServer,
  type GenServerModule,
  onExit,
  outside,
  type Pid,
  type StartResult,
  self,
  send,
  trapExit,
} from "simurgh/runtime";
import type { Adapter, AdapterEvent, Position } from "./adapter.js";
import { adapterEvent } from "./cluster/adapter-events.js";
import { singleNodeAdapter } from "./cluster/single-node.js";
import { type HandoverStep, NOT_FROZEN, NOTHING } from "./handover/coordinator.js";
import { commit, drain, exportSubscriptions, freeze, subscribeSlots } from "./handover/participant.js";
import type { Barrier } from "./local/barriers.js";
import { deliverRemote, handleForwarded, handleSubscribing } from "./local/broadcast.js";
import {
  type Forwarded,
  isBuffering,
  newState,
  type PubSubOptions,
  type PubSubState,
  type Subscribing,
  states,
  topicOf,
} from "./local/pubsub-state.js";
import { slot } from "./local/slot.js";

interface StartArg {
  readonly options: PubSubOptions;
  /** Started by a supervisor, which stops it with an exit signal. */
  readonly supervised: boolean;
}

const server: GenServerModule<
  PubSubState,
  StartArg,
  Subscribing | HandoverStep | readonly ["health"],
  Forwarded | Barrier
> = {
  name: "PubSub",

  async init({ options, supervised }) {
    const me = self();
    // `terminate` waits for what is still to be sent. A process that starts it by hand may end
    // first.
    if (supervised) trapExit(true);
    // Adapters call from any async context, also from one of a dead process; dispatchers run in
    // this process, one message after the other.
    const inbox = { messages: 0, bytes: 0 };
    const deliver = (topic: unknown, message: unknown, dispatcher: unknown, bytes = 0): void => {
      inbox.messages += 1;
      inbox.bytes += bytes;
      outside(() => send(me, ["remote", topic, message, dispatcher, bytes]));
    };
    const onEvent = (event: AdapterEvent): void => void outside(() => send(me, ["adapter", event]));
    let adapter: Adapter | undefined;
    let ended = false;
    onExit(me, () => {
      ended = true;
      void adapter?.stop?.();
    });
    adapter = await (options.adapter ?? singleNodeAdapter())(deliver, onEvent, inbox);
    if (ended) void adapter.stop?.();
    const state = newState(options, adapter, inbox);
    states.putFor(me, options.name, state);
    return ["ok", state];
  },

  handleCall(request, from, state) {
    switch (request[0]) {
      case "health":
        return ["reply", state.adapter.health?.(), state];
      case "freeze":
        freeze(state, request);
        break;
      case "export":
        if (state.frozen?.move !== request[1]) return ["reply", NOT_FROZEN, state];
        state.frozen.leaving = { from, threads: request[2] };
        state.barriers.expect(request[1], "in", request[2], () => void drain(state, self(), request[1]));
        return ["noreply", state];
      case "subscribe_slots":
        if (state.frozen?.move !== request[1]) return ["reply", NOT_FROZEN, state];
        void subscribeSlots(state, request[2]).then(() => GenServer.reply(from, "ok"));
        return ["noreply", state];
      case "settle":
        if (state.frozen?.move !== request[1]) return ["reply", NOT_FROZEN, state];
        state.barriers.expect(request[1], "out", request[2], () => GenServer.reply(from, "ok"));
        return ["noreply", state];
      case "commit":
        commit(state, request[2], request[3]);
        break;
      default: {
        if (isBuffering(state, request[1])) {
          state.frozen.buffered.push({ request, from });
          return ["noreply", state];
        }
        handleSubscribing(state, request);
        const pending = request[0] === "subscribe" ? state.pending.get(slot(request[1])) : undefined;
        if (pending === undefined) break;
        void pending.then(() => GenServer.reply(from, "ok"));
        return ["noreply", state];
      }
    }
    return ["reply", "ok", state];
  },

  handleCast(request, state) {
    if (request[0] === "barrier") state.barriers.add(request);
    // Threads commit one after the other: what one forwards by then, another still buffers.
    else if (isBuffering(state, topicOf(request))) state.frozen.buffered.push({ request, isForeign: true });
    else handleForwarded(state, request);
    return ["noreply", state];
  },

  handleInfo(message: readonly unknown[], state) {
    switch (message[0]) {
      case "DOWN":
        // The coordinator of a move has exited half-way.
        if (state.frozen?.coordinator.equals(message[1])) commit(state, state.owners.current, NOTHING);
        else state.table.removeProcess(message[3] as Pid);
        break;
      case "remote":
        state.inbox.messages -= 1;
        state.inbox.bytes -= message[4] as number;
        state.counts.fromOthers += 1;
        deliverRemote(state, message[1], message[2], message[3]);
        break;
      case "drained":
        if (state.frozen?.move === message[1])
          exportSubscriptions(state, message[1] as number, message[2] as readonly Position[]);
        break;
      case "adapter":
        adapterEvent(state, message[1] as AdapterEvent);
        break;
    }
    return ["noreply", state];
  },

  async terminate(_reason, { adapter }) {
    await adapter.stop?.();
  },

  formatStatus: ({ state }) => ({ topics: state.table.size, processes: state.table.processes }),
};

export function start(options: PubSubOptions, supervised: boolean): Promise<StartResult> {
  if (typeof options?.name !== "string")
    throw new BadArg("the name option is required when starting a PubSub");
  return GenServer.startLink(server, { options, supervised }, { name: options.name });
}
