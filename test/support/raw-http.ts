/** HTTP as bytes over TCP: what no client library would send, and what came back as it came. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { waitFor } from "./wait.js";

export class RawHttp {
  readonly socket: Socket;
  received = "";
  closed = false;

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on("data", (data: Buffer) => {
      this.received += data.toString("latin1");
    });
    socket.on("error", () => {});
    socket.on("close", () => {
      this.closed = true;
    });
  }

  static async open(port: number): Promise<RawHttp> {
    const socket = connect(port, "127.0.0.1");
    await once(socket, "connect");
    return new RawHttp(socket);
  }

  /** Sends lines, each with its end; after the head comes an empty one. */
  send(...lines: readonly string[]): void {
    this.socket.write(lines.map((line) => `${line}\r\n`).join(""), "latin1");
  }

  /** What has been received once it matches. */
  async until(pattern: RegExp): Promise<string> {
    await waitFor(`${pattern} comes`, () => {
      if (pattern.test(this.received)) return true;
      if (this.closed) throw new Error(`the connection was closed after ${JSON.stringify(this.received)}`);
      return false;
    });
    return this.received;
  }

  async untilClosed(): Promise<string> {
    await waitFor("the connection is closed", () => this.closed);
    return this.received;
  }

  close(): void {
    this.socket.destroy();
  }
}

/** The status of the one answer to a request after which the connection may close. */
export async function statusOf(port: number, ...lines: readonly string[]): Promise<number> {
  const client = await RawHttp.open(port);
  client.send(...lines);
  const answer = await client.until(/^HTTP\/1\.1 \d{3} /);
  client.close();
  return Number(answer.slice(9, 12));
}
