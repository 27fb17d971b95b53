/**
 * The socket of a logged-in user: who you are comes from the token, never from a payload. Loaded by URL in the gateway
 * and in every shard.
 */
import { assign, defineSocket, error, ok } from "simurgh/channels";
import { verifyToken } from "../auth/tokens.js";
import { repositoryOn } from "../storage/repository.js";
import { appFacts } from "./app-facts.js";
import { challengeChannel } from "./challenge-channel.js";

export default defineSocket({
  channels: [challengeChannel],

  async connect(params, socket) {
    const { jwtSecret, storageNode } = appFacts();
    const claims = verifyToken(params.token, jwtSecret);
    if (claims === undefined) return error();
    const user = await repositoryOn(storageNode).user(claims.userId);
    if (user[0] === "error") return error();
    return ok(assign(socket, { userId: user[1].id, firstName: user[1].first_name }));
  },

  id: (socket) => `users:${socket.assigns.userId}`,
});
