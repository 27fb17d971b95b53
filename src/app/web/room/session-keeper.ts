/**
 * Keeps a room's connection alive beyond its token: each new token is shown to the server, which
 * else closes the connection when the old one ends, and one that is about to end is renewed.
 */
import type { Channel } from "phoenix";
import { session } from "../session.js";

/** Returns what ends it. */
export function keepSession(channel: Channel): () => void {
  let shown = session.token();
  channel.on("session:expiring", () => void session.renew());
  return session.subscribe(() => {
    const token = session.token();
    if (token === "" || token === shown || channel.state !== "joined") return;
    shown = token;
    channel.push("session:renew", { token });
  });
}
