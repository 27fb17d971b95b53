/**
 * Rooms finds, starts and asks the rooms of an application, from every thread.
 *
 *     Rooms  one per shard thread, rest_for_one
 *     ├ Registry          challenge id → Room
 *     ├ RoomSupervisor    a Room for each challenge in use, started by the first join
 *     └ RoomRouter        forwards requests of other threads to a room
 *
 * A room runs in the thread that owns its topic, like the channels of its clients. `enter` is for
 * those channels; everything else works in every thread, inside a process.
 */

import { PubSub } from "simurgh/pubsub";
import {
  type ChildSpec,
  DynamicSupervisor,
  GenServer,
  type GenServerModule,
  isPid,
  type Pid,
  Registry,
  Supervisor,
} from "simurgh/runtime";
import { appContext, ENDPOINT, PUBSUB } from "../app-context.js";
import { ThreadLoader } from "../document/document-loader.js";
import { type Failure, type Outcome, repositoryOn } from "../storage/repository-client.js";
import type { RoomVersion } from "../storage/room-log.js";
import type { JoinRequest } from "./members.js";
import type { JoinReply, RoomCall, RoomOptions } from "./room-messages.js";
import { roomServer } from "./room-server.js";
import { GROWTH, UserPace, WORK } from "./user-pace.js";

const REGISTRY = "phoenixpair.room_registry";
const SUPERVISOR = "phoenixpair.room_supervisor";
const ROUTER = "phoenixpair.room_router";

/** Milliseconds a room may take to answer: a text may wait for a database that does not answer. */
const ANSWER_MS = 12_000;
/** Milliseconds all rooms may take to store what they have before the server stops. */
const DRAIN_MS = 4000;
/** Milliseconds a room that is stopped may take. */
const SHUTDOWN_MS = 8000;

export const roomTopic = (id: number): string => `challenges:${id}`;

/** The thread of a room: the one that owns its topic, also after topics have moved. */
const roomNode = (id: number): number => PubSub.ownerOf(PUBSUB, roomTopic(id));

/** Of the rooms of this thread. */
const work = new UserPace(WORK);
const growth = new UserPace(GROWTH);
const loader = new ThreadLoader();

/** The text as of some version. */
export interface RoomVersionText {
  readonly seq: number;
  readonly text: string;
}

type RouterRequest = readonly ["call", id: number, RoomCall] | readonly ["drain"];

const live = (id: number): Pid | undefined => {
  const pid = Registry.whereisName([REGISTRY, id]);
  return isPid(pid) ? pid : undefined;
};

async function start(id: number): Promise<Pid | undefined> {
  const repository = repositoryOn(appContext().storageNode);
  const options: RoomOptions = {
    id,
    topic: roomTopic(id),
    endpoint: ENDPOINT,
    repository,
    loader,
    work,
    growth,
  };
  const result = await DynamicSupervisor.startChild(SUPERVISOR, {
    id,
    start: [
      GenServer.startLink,
      [roomServer, options, { name: { via: Registry, term: [REGISTRY, id] }, label: `room ${id}` }],
    ],
    restart: "temporary",
    shutdown: SHUTDOWN_MS,
  });
  return Array.isArray(result) && result[0] === "ok" ? (result[1] as Pid) : live(id);
}

/** Asks a room of this thread, which is started when it must be. */
async function ask<T>(id: number, request: RoomCall): Promise<Outcome<T> & readonly unknown[]> {
  // It may end for having been idle just when it is asked.
  for (let attempt = 0; attempt < 3; attempt += 1) {
    const room = live(id) ?? (await start(id));
    if (room === undefined) continue;
    try {
      return await GenServer.call(room, request, ANSWER_MS);
    } catch {
      // It has ended, or does not answer.
    }
  }
  return ["error", "unavailable"];
}

const router: GenServerModule<null, null, RouterRequest> = {
  name: "RoomRouter",
  init: () => ["ok", null],
  handleCall(request, from, state) {
    if (request[0] === "call")
      void ask(request[1], request[2]).then((answer) => GenServer.reply(from, answer));
    else if (request[0] === "drain") void drainHere().then(() => GenServer.reply(from, "ok"));
    else GenServer.reply(from, "ok");
    return ["noreply", state];
  },
};

async function drainHere(): Promise<void> {
  const rooms = Registry.select(REGISTRY, (_id, pid) => pid);
  await Promise.allSettled(rooms.map((room) => GenServer.call(room, ["drain"], DRAIN_MS)));
}

export const Rooms = {
  childSpec: (): ChildSpec => ({
    id: "rooms",
    type: "supervisor",
    start: [
      Supervisor.startLink,
      [
        [
          Registry.childSpec({ keys: "unique", name: REGISTRY }),
          DynamicSupervisor.childSpec({ id: "rooms", name: SUPERVISOR }),
          { id: "router", start: [GenServer.startLink, [router, null, { name: ROUTER }]] },
        ],
        { strategy: "rest_for_one" },
      ],
    ],
  }),

  /** For a channel of the room's topic: the room's pid and what to tell the client, or why not. */
  async enter(
    id: number,
    entrant: JoinRequest,
  ): Promise<
    readonly ["ok", JoinReply & { readonly room: Pid }] | readonly ["error", Failure, retryAfterMs?: number]
  > {
    const entered = await ask<JoinReply>(id, ["enter", entrant]);
    if (entered[0] === "error") return ["error", entered[1], (entered as readonly unknown[])[2] as number];
    const room = live(id);
    return room === undefined ? ["error", "unavailable"] : ["ok", { ...entered[1], room }];
  },

  /** How many rooms of the calling thread are live. */
  count: async (): Promise<number> => (await DynamicSupervisor.countChildren(SUPERVISOR)).active,

  /** Former states, the newest first. */
  versions: (id: number): Promise<Outcome<readonly RoomVersion[]>> =>
    repositoryOn(appContext().storageNode).roomVersions(id),

  /** The text as of a version. */
  async preview(id: number, seq: number): Promise<Outcome<RoomVersionText>> {
    const version = await repositoryOn(appContext().storageNode).roomVersion(id, seq);
    if (version[0] === "error") return version;
    const text = await loader.text(version[1].state, version[1].hash);
    if (text[0] === "error") return ["error", text[1] === "busy" ? "unavailable" : text[1]];
    return ["ok", { seq, text: text[1] }];
  },

  /**
   * Makes the text what it was then: a new edit by that user, which others see and which can be
   * undone by restoring again.
   */
  async restore(id: number, seq: number, userId: number): Promise<Outcome<number>> {
    const version = await Rooms.preview(id, seq);
    if (version[0] === "error") return version;
    return Rooms.write(id, version[1].text, userId);
  },

  /** Makes the text this one, in the same way. */
  write: (id: number, text: string, userId: number): Promise<Outcome<number>> =>
    askRouter(id, ["restore", userId, text]),

  /** The text as it is now. Starts the room when it is not live. */
  text: (id: number): Promise<Outcome<string>> => askRouter(id, ["text"]),

  /** Has all rooms of the node announce that they end soon, and store what they have. */
  async drain(): Promise<void> {
    await GenServer.multiCall(PubSub.threads(PUBSUB), ROUTER, ["drain"], DRAIN_MS + 500);
  },
};

async function askRouter<T>(id: number, request: RoomCall): Promise<Outcome<T>> {
  try {
    return await GenServer.call<Outcome<T>>(
      { name: ROUTER, node: roomNode(id) },
      ["call", id, request],
      ANSWER_MS + 1000,
    );
  } catch {
    return ["error", "unavailable"];
  }
}
