/**
 * SessionRelay forwards long-poll requests to sessions on other nodes: a load balancer without
 * sticky sessions sends each request of a client to any node. Each gateway subscribes to a topic of
 * its own, on which gateways of other nodes send requests and responses.
 *
 * Requests and responses between nodes may be lost; the request then times out, and the client
 * starts a new session.
 */
import { PubSub } from "simurgh/pubsub";
import { receive, spawnLink } from "simurgh/runtime";
import type { GatewayHost } from "../host.js";
import type { SessionAnswer, SessionRequest } from "./session.js";

/**
 * The location of a session: the node's name in the cluster, and the index of its gateway's thread
 * there.
 */
export interface GatewayAddress {
  readonly node: string;
  readonly gateway: number;
}

type Relayed =
  | readonly ["ask", id: number, from: GatewayAddress, request: SessionRequest]
  | readonly ["answer", id: number, answer: SessionAnswer | null];

const KINDS = ["poll", "give up", "publish"];

export class SessionRelay {
  readonly #host: GatewayHost;
  readonly #own: GatewayAddress;
  readonly #handleRequest: (request: SessionRequest) => Promise<SessionAnswer | null>;
  readonly #waiting = new Map<number, (answer: SessionAnswer | null) => void>();
  #last = 0;

  constructor(
    host: GatewayHost,
    nodeName: string,
    handleRequest: (request: SessionRequest) => Promise<SessionAnswer | null>,
  ) {
    this.#host = host;
    this.#own = { node: nodeName, gateway: host.node.index };
    this.#handleRequest = handleRequest;
  }

  get nodeName(): string {
    return this.#own.node;
  }

  #topic(gateway: number): string {
    return `phx_longpoll:${this.#host.options.endpoint}:${gateway}`;
  }

  #send(to: GatewayAddress, message: Relayed): boolean {
    return (
      PubSub.directBroadcast(this.#host.options.pubsub, to.node, this.#topic(to.gateway), message) === "ok"
    );
  }

  /** Called by the gateway's process, to which the subscriber is linked. */
  start(): void {
    spawnLink(async () => {
      await PubSub.subscribe(this.#host.options.pubsub, this.#topic(this.#own.gateway));
      for (;;) this.#handle((await receive((message) => ({ message }))).message);
    });
  }

  /** Null when there is no response within `ms`, or it was too large to be forwarded. */
  request(home: GatewayAddress, request: SessionRequest, ms: number): Promise<SessionAnswer | null> {
    this.#last += 1;
    const id = this.#last;
    return new Promise((resolve) => {
      const done = (answer: SessionAnswer | null): void => {
        clearTimeout(timer);
        this.#waiting.delete(id);
        resolve(answer);
      };
      const timer = setTimeout(() => done(null), ms);
      this.#waiting.set(id, done);
      if (!this.#send(home, ["ask", id, this.#own, request])) done({ status: 408, messages: [] });
    });
  }

  #handle(message: unknown): void {
    if (!Array.isArray(message)) return;
    if (message[0] === "answer") {
      this.#waiting.get(message[1])?.(message[2]);
      return;
    }
    const [kind, id, from, request] = message;
    const isRequest = kind === "ask" && Array.isArray(request) && KINDS.includes(request[0]);
    if (!isRequest || typeof from?.node !== "string" || typeof from.gateway !== "number") return;
    this.#host.node
      .run(async () => {
        const answer = await this.#handleRequest(request as unknown as SessionRequest);
        if (!this.#send(from, ["answer", id, answer]))
          this.#host.notice(
            "error",
            "a long-poll response was too large to be relayed to another node; it was dropped",
          );
      })
      .catch((error: unknown) =>
        this.#host.notice("error", "a long-poll request of another node failed", error),
      );
  }
}
