/**
 * RoomLoading reads the document of a room from the log. Requests wait meanwhile. A document that
 * takes too long to load is refused for a minute, then twice as long each time, up to an hour.
 */
import { type ExitReason, type From, GenServer, self, send } from "simurgh/runtime";
import type { DocumentImage } from "../document/document-image.js";
import { RepeatedLog } from "../repeated-log.js";
import type { Failure, Outcome } from "../storage/repository-client.js";
import type { OpenedRoom } from "../storage/room-log.js";
import { now } from "./persistence.js";
import type { RoomCall, RoomOptions } from "./room-messages.js";
import type { Timers } from "./timers.js";

/** The longest that a request waits for a room that is loading. */
const LOADING_MS = 8_000;
/** Loading that takes as long is not to be repeated: a snapshot is made at once. */
const SLOW_LOAD_MS = 500;
const FIRST_REFUSAL_MS = 60_000;
const LAST_REFUSAL_MS = 3_600_000;

const damage = new RepeatedLog();

/** What was loaded. */
export interface Loaded {
  readonly opened: OpenedRoom;
  readonly image: DocumentImage;
  /** Whether it took long. */
  readonly slow: boolean;
}

export class RoomLoading {
  readonly #options: RoomOptions;
  readonly #timers: Timers;
  /**
   * Resolves when the room gets broadcasts of other nodes. Its supervisor does not wait for that,
   * since other rooms start there.
   */
  readonly #subscribed: Promise<unknown>;
  #waiting: (readonly [RoomCall, From])[] = [];
  #running = false;
  /** How often it took too long, and when it may be tried again. */
  #refusals = 0;
  #refusedUntil = 0;

  constructor(options: RoomOptions, timers: Timers, subscribed: Promise<unknown>) {
    this.#options = options;
    this.#timers = timers;
    this.#subscribed = subscribed;
    // The request that needs the document gets the error.
    this.#subscribed.catch(() => {});
  }

  get isRunning(): boolean {
    return this.#running;
  }

  /** A request before the room is loaded: waits, or is refused. */
  request(request: RoomCall, from: From): void {
    if (now() < this.#refusedUntil) {
      GenServer.reply(from, ["error", "too_slow", Math.ceil(this.#refusedUntil - now())]);
      return;
    }
    // Not before: each request gets the reason why it cannot be loaded.
    if (!this.#running) this.#start();
    this.#waiting.push([request, from]);
  }

  /** Sends `["opened", outcome]` to the room. */
  #start(): void {
    const me = self();
    this.#running = true;
    this.#timers.arm("loading", LOADING_MS);
    const unavailable: Outcome<Loaded> = ["error", "unavailable"];
    // In this order nothing is missed that another node stores and broadcasts meanwhile.
    void this.#subscribed
      .then(
        () => this.#read(),
        () => unavailable,
      )
      .then((found) => send(me, ["opened", found]));
  }

  async #read(): Promise<Outcome<Loaded>> {
    const opened = await this.#options.repository.openRoom(this.#options.id);
    if (opened[0] === "error") return opened;
    const from = performance.now();
    const image = await this.#options.loader.image(opened[1].stored);
    if (image[0] === "error") return ["error", image[1] === "busy" ? "unavailable" : image[1]];
    return ["ok", { opened: opened[1], image: image[1], slow: performance.now() - from > SLOW_LOAD_MS }];
  }

  ended(): void {
    this.#running = false;
    this.#timers.disarm("loading");
  }

  /**
   * Waiting requests get the reason. Returns the reason for the room to end; undefined when it
   * stays to refuse requests.
   */
  failed(why: Failure): ExitReason | undefined {
    this.answerWaiting(why);
    if (why === "damaged" || why === "too_slow") {
      const text = `[phoenixpair] room ${this.#options.id} ${why === "damaged" ? "is damaged" : "takes too long to load"}`;
      damage.trouble(text, text);
    }
    if (why !== "too_slow") return "normal";
    this.#refusals += 1;
    this.#refusedUntil = now() + Math.min(LAST_REFUSAL_MS, FIRST_REFUSAL_MS * 2 ** (this.#refusals - 1));
    this.#timers.disarm("forget");
    this.#timers.arm("forget", 2 * LAST_REFUSAL_MS);
    return undefined;
  }

  answerWaiting(why: Failure): void {
    for (const [, from] of this.#waiting) GenServer.reply(from, ["error", why]);
    this.#waiting = [];
  }

  takeWaiting(): readonly (readonly [RoomCall, From])[] {
    return this.#waiting.splice(0);
  }
}
