/** The process of a room: a GenServer around Room. */
import { Endpoint, isBroadcast } from "simurgh/channels";
import { type ExitReason, type GenServerModule, type Pid, trapExit } from "simurgh/runtime";
import type { Outcome } from "../storage/repository-client.js";
import type { Loaded } from "./loading.js";
import { isForSaving } from "./persistence.js";
import { COMPACTED_END, Room } from "./room.js";
import type { RoomCall, RoomCast, RoomOptions } from "./room-messages.js";

export const roomServer: GenServerModule<Room, RoomOptions> = {
  name: "Room",

  init(options) {
    // Stopping stores what is not stored yet.
    trapExit(true);
    return ["ok", new Room(options, Endpoint.subscribe(options.endpoint, options.topic))];
  },

  handleCall(request: RoomCall, from, room) {
    room.call(request, from);
    return ["noreply", room];
  },

  handleCast(request: RoomCast, room) {
    room.cast(request);
    return ["noreply", room];
  },

  handleInfo(message, room) {
    if (isForSaving(message)) {
      room.saving?.handle(message);
      return ["noreply", room];
    }
    if (isBroadcast(message)) {
      room.onBroadcast(message.event, message.payload);
      return ["noreply", room];
    }
    if (!Array.isArray(message)) return ["noreply", room];
    let end: ExitReason | undefined;
    if (message[0] === "DOWN") room.leave(message[3] as Pid);
    else if (message[0] === "timer") end = room.timer(message[1] as string);
    else if (message[0] === "opened") end = room.opened(message[1] as Outcome<Loaded>);
    else if (message[0] === "compacted") end = room.compacted(message[1] as Outcome<null>);
    // Channels see it exit, their clients join again, and the owner of the room then answers.
    else if (message[0] === "lost") end = ["room_lost", message[1]];
    return end === undefined ? ["noreply", room] : ["stop", end, room];
  },

  async terminate(reason, room) {
    const { saving } = room;
    if (saving === undefined) return;
    const lost = Array.isArray(reason) && (reason[0] === "room_lost" || reason[1] === COMPACTED_END[1]);
    if (!lost && !(await saving.finish()))
      console.error(
        `[phoenixpair] room ${room.options.id} ended with ${saving.unsavedBytes} bytes that could not be stored`,
      );
    saving.drop();
  },

  formatStatus: ({ state }) => ({
    room: state.options.id,
    members: state.size,
    persistence: state.saving?.persistence ?? "loading",
    unsavedBytes: state.saving?.unsavedBytes ?? 0,
  }),
};
