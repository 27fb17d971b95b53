/**
 * The socket of a logged-in user: who you are comes from the token, never from a payload. Loaded by
 * URL in the gateway and in every shard.
 *
 * The token comes as the param `token`, as in the tutorial, or as phoenix's `authToken`, which no
 * log of addresses has. The socket ends with its token, unless the client shows a newer one in
 * time: see session-renewal.ts.
 */
import { assign, defineSocket, error, ok } from "simurgh/channels";
import { appContext } from "../app-context.js";
import { verifyToken } from "../auth/tokens.js";
import { repositoryOn } from "../storage/repository-client.js";
import { userTopic } from "../user-topic.js";
import { challengeChannel } from "./challenge-channel.js";

export default defineSocket({
  channels: [challengeChannel],

  async connect(params, socket, { authToken }) {
    const { keys, storageNode } = appContext();
    const claims = verifyToken(authToken ?? params.token, keys);
    if (claims === undefined) return error();
    const user = await repositoryOn(storageNode).sessionUser(claims.sessionId, claims.userId);
    if (user[0] === "error") return error();
    const sessionEndsAt = claims.expiresAt * 1000;
    const { id: userId, first_name: firstName } = user[1];
    return ok(assign(socket, { userId, firstName, sessionId: claims.sessionId, sessionEndsAt }), {
      expiresAt: sessionEndsAt,
    });
  },

  id: (socket) => userTopic(socket.assigns.userId as number),
});
