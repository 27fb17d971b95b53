/** The HTTP server of a gateway thread: tells the test which clients' connections it holds to be open. */
import { createServer, type Server } from "node:http";
import { BroadcastChannel } from "node:worker_threads";

export type ClientNews = readonly ["open" | "close", port: number];

export function server(channelName: string): Server {
  const channel = new BroadcastChannel(channelName);
  channel.unref();
  const http = createServer((_request, response) => response.writeHead(404).end());
  http.on("connection", (socket) => {
    const client = socket.remotePort as number;
    channel.postMessage(["open", client] satisfies ClientNews);
    socket.once("close", () => channel.postMessage(["close", client] satisfies ClientNews));
  });
  return http;
}
