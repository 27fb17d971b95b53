/** Rooms are asked in the thread that owns their topic, whatever the number of shards. */
import { PubSub } from "simurgh/pubsub";
import { createNode, GenServer, type GenServerModule, type RuntimeNode } from "simurgh/runtime";
import { afterEach, expect, test } from "vitest";
import { PUBSUB } from "../../../src/app/app-context.js";
import { Rooms } from "../../../src/app/rooms/rooms.js";

const node: RuntimeNode = createNode({ onReport() {} });
afterEach(() => node.stop());

const router: GenServerModule<null, null> = {
  init: () => ["ok", null],
  handleCall: (request: readonly unknown[], _from, state) => ["reply", ["ok", request], state],
};

test("a room is asked in the thread that owns its topic by now", () =>
  node.run(async () => {
    // Everything belongs to a thread that is not there, as before a move.
    const owners = { current: Array.from({ length: 256 }, () => 7) };
    await PubSub.startLink({ name: PUBSUB, owners });
    await GenServer.startLink(router, null, { name: "phoenixpair.room_router" });
    expect(await Rooms.text(1)).toEqual(["error", "unavailable"]);
    owners.current = Array.from({ length: 256 }, () => node.index);
    expect(await Rooms.text(1)).toEqual(["ok", ["call", 1, ["text"]]]);
  }));
