/** The PubSub process of a thread. */
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
import type { Adapter, AdapterEvent, Position } from "./cluster/adapter.js";
import { adapterEvent } from "./cluster/adapter-events.js";
import { localAdapter } from "./cluster/local.js";
import { type HandoverStep, type Mark, NOT_HELD, NOTHING } from "./handover/coordinator.js";
import { commit, exported, hold, keeps, leaveOff, listen } from "./handover/participant.js";
import { fromElsewhere } from "./local/delivery.js";
import {
  type Forwarded,
  type Instance,
  instanceOf,
  instances,
  type PubSubOptions,
  type Subscribing,
  topicOf,
} from "./local/pubsub-state.js";
import { fromThread, subscribing } from "./local/requests.js";
import { slot } from "./local/slot.js";

interface StartArg {
  readonly options: PubSubOptions;
  /** Its supervisor stops it in good order. */
  readonly supervised: boolean;
}

const server: GenServerModule<
  Instance,
  StartArg,
  Subscribing | HandoverStep | readonly ["health"],
  Forwarded | Mark
> = {
  name: "PubSub",

  async init({ options, supervised }) {
    const me = self();
    // To wait for what is still to be sent it must hear of its end before it ends. Who starts it by
    // hand may end before it.
    if (supervised) trapExit(true);
    // Adapters call from anywhere, even from what a process that has ended left behind; dispatchers
    // run in this process, one message after the other.
    const inbox = { messages: 0, bytes: 0 };
    const deliver = (topic: unknown, message: unknown, dispatcher: unknown, bytes = 0): void => {
      inbox.messages += 1;
      inbox.bytes += bytes;
      outside(() => send(me, ["remote", topic, message, dispatcher, bytes]));
    };
    const tell = (event: AdapterEvent): void => void outside(() => send(me, ["adapter", event]));
    let adapter: Adapter | undefined;
    let ended = false;
    onExit(me, () => {
      ended = true;
      void adapter?.stop?.();
    });
    adapter = await (options.adapter ?? localAdapter())(deliver, tell, inbox);
    if (ended) void adapter.stop?.();
    const running = instanceOf(options, adapter, inbox);
    instances.putFor(me, options.name, running);
    return ["ok", running];
  },

  handleCall(request, from, state) {
    switch (request[0]) {
      case "health":
        return ["reply", state.adapter.health?.(), state];
      case "hold":
        hold(state, request);
        break;
      case "export":
        if (state.holding?.move !== request[1]) return ["reply", NOT_HELD, state];
        state.holding.leaving = { from, threads: request[2] };
        state.marks.expect(request[1], "in", request[2], () => void leaveOff(state, self(), request[1]));
        return ["noreply", state];
      case "listen":
        if (state.holding?.move !== request[1]) return ["reply", NOT_HELD, state];
        void listen(state, request[2]).then(() => GenServer.reply(from, "ok"));
        return ["noreply", state];
      case "settled":
        if (state.holding?.move !== request[1]) return ["reply", NOT_HELD, state];
        state.marks.expect(request[1], "out", request[2], () => GenServer.reply(from, "ok"));
        return ["noreply", state];
      case "commit":
        commit(state, request[2], request[3]);
        break;
      default: {
        if (keeps(state, request[1])) {
          state.holding.kept.push({ request, from });
          return ["noreply", state];
        }
        subscribing(state, request);
        const pending = request[0] === "subscribe" ? state.pending.get(slot(request[1])) : undefined;
        if (pending === undefined) break;
        void pending.then(() => GenServer.reply(from, "ok"));
        return ["noreply", state];
      }
    }
    return ["reply", "ok", state];
  },

  handleCast(request, state) {
    if (request[0] === "mark") state.marks.add(request);
    // Threads hear of the end of a move one after the other: what one sends on by then, another
    // keeps for a moment yet.
    else if (keeps(state, topicOf(request))) state.holding.kept.push({ request, isForeign: true });
    else fromThread(state, request);
    return ["noreply", state];
  },

  handleInfo(message: readonly unknown[], state) {
    switch (message[0]) {
      case "DOWN":
        // Who conducted a move has ended half-way.
        if (state.holding?.conductor.equals(message[1])) commit(state, state.owners.current, NOTHING);
        else state.table.removeProcess(message[3] as Pid);
        break;
      case "remote":
        state.inbox.messages -= 1;
        state.inbox.bytes -= message[4] as number;
        state.counts.fromOthers += 1;
        fromElsewhere(state, message[1], message[2], message[3]);
        break;
      case "left off":
        if (state.holding?.move === message[1])
          exported(state, message[1] as number, message[2] as readonly Position[]);
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
