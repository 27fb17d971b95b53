/**
 * A client as small as can be, for tests with very many: joins its rooms, and joins again a little
 * after it was notified that one is gone.
 */
import { WebSocket } from "ws";

export interface Room {
  readonly topic: string;
  joins: number;
  errors: number;
  joined: boolean;
  /** Of the join that is to be answered, or was. */
  ref: string;
}

export type Received = (topic: string, event: string, payload: never) => void;

export class RejoiningClient {
  readonly rooms: readonly Room[];
  closes = 0;
  opened = false;
  readonly #ws: WebSocket;
  #ref = 0;

  /** `received` is notified of what is neither an answer nor the end of a room. */
  constructor(port: number, topics: readonly string[], received: Received = () => {}) {
    this.rooms = topics.map((topic) => ({ topic, joins: 0, errors: 0, joined: false, ref: "" }));
    this.#ws = new WebSocket(`ws://127.0.0.1:${port}/socket/websocket?vsn=2.0.0`);
    this.#ws.on("open", () => {
      this.opened = true;
      for (const room of this.rooms) this.#join(room);
    });
    this.#ws.on("close", () => {
      this.closes += 1;
    });
    this.#ws.on("message", (data: Buffer) => this.#receive(JSON.parse(data.toString()), received));
  }

  get isHome(): boolean {
    return this.rooms.every(({ joined }) => joined);
  }

  /** Says something in its first room, which is not answered. */
  say(event: string, payload: object): void {
    this.#ws.send(JSON.stringify([null, null, (this.rooms[0] as Room).topic, event, payload]));
  }

  end(): void {
    this.#ws.removeAllListeners("close");
    this.#ws.terminate();
  }

  #join(room: Room): void {
    this.#ref += 1;
    room.ref = String(this.#ref);
    if (this.closes === 0) this.#ws.send(JSON.stringify([room.ref, room.ref, room.topic, "phx_join", {}]));
  }

  #receive(
    [, ref, topic, event, payload]: [unknown, unknown, string, string, { readonly status?: string }],
    received: Received,
  ): void {
    const room = this.rooms.find((of) => of.topic === topic);
    // What it said while its room was gone is refused, which is no answer to its join.
    if (room === undefined || (event === "phx_reply" && ref !== room.ref)) return;
    if (event !== "phx_reply" && event !== "phx_error") received(topic, event, payload as never);
    else if (payload.status === "ok") {
      room.joined = true;
      room.joins += 1;
    } else {
      room.joined = false;
      if (event === "phx_error") room.errors += 1;
      setTimeout(() => this.#join(room), 100 + Math.random() * 200);
    }
  }
}
