/** A runtime node with a PubSub and a presence, and processes that listen and are tracked. */
import {
  definePresence,
  type Presence,
  type PresenceDiff,
  type PresenceOptions,
  type Presences,
} from "simurgh/presence";
import { type AdapterFactory, PubSub } from "simurgh/pubsub";
import {
  createNode,
  exit,
  type NodeOptions,
  type Pid,
  type Report,
  type RuntimeNode,
  receive,
  Supervisor,
} from "simurgh/runtime";

export const PUBSUB = "pubsub";

export interface Frame {
  readonly topic: string;
  readonly event: string;
  readonly payload: PresenceDiff;
}

export class PresenceNode {
  readonly node: RuntimeNode;
  readonly presence: Presence;
  readonly reports: Report[] = [];
  #supervisor: Pid | undefined;

  constructor(options: Partial<PresenceOptions> = {}, nodeOptions: NodeOptions = {}) {
    this.node = createNode({ onReport: (report) => void this.reports.push(report), ...nodeOptions });
    this.presence = definePresence({ name: "P", ...options } as PresenceOptions);
  }

  /** Starts PubSub and presence under a supervisor. Rejects with the reason when that fails. */
  async start(adapter?: AdapterFactory): Promise<this> {
    await new Promise<void>((resolve, reject) => {
      this.node.spawn(async () => {
        const children = [
          PubSub.childSpec(adapter === undefined ? { name: PUBSUB } : { name: PUBSUB, adapter }),
          this.presence.childSpec({ pubsub: PUBSUB }),
        ];
        const started = await Supervisor.startLink(children, { strategy: "rest_for_one", intensity: 10 });
        if (started[0] !== "ok") {
          reject(new Error(JSON.stringify(started)));
          return;
        }
        this.#supervisor = started[1] as Pid;
        resolve();
        await new Promise(() => {});
      });
    });
    return this;
  }

  run<T>(fn: () => T | Promise<T>): Promise<T> {
    return this.node.run(fn);
  }

  /** Stops the tree as a supervisor would. */
  async stop(): Promise<void> {
    const supervisor = this.#supervisor;
    if (supervisor !== undefined) await this.run(() => Supervisor.stop(supervisor, "shutdown"));
  }

  /** A process to track. */
  process(): Pid {
    return this.node.spawn(() => new Promise(() => {}));
  }

  kill(pid: Pid): Promise<unknown> {
    return this.run(() => exit(pid, "kill"));
  }

  track(pid: Pid, topic: string, key: unknown, meta: Record<string, unknown> = {}): Promise<unknown> {
    return this.run(() => this.presence.track(pid, topic, key, meta));
  }

  list(topic: string): Promise<Presences> {
    return this.run(() => this.presence.list(topic));
  }

  async keys(topic: string): Promise<string[]> {
    return Object.keys(await this.list(topic)).sort();
  }

  /** What a subscriber of the topic gets from now on. */
  async listen(topic: string): Promise<Frame[]> {
    const frames: Frame[] = [];
    await new Promise<void>((ready) => {
      this.node.spawn(async () => {
        await PubSub.subscribe(PUBSUB, topic);
        ready();
        for (;;) frames.push((await receive((message) => ({ message }))).message as Frame);
      });
    });
    return frames;
  }

  /** Texts of the reports of this level. */
  complaints(level = "error"): string[] {
    return this.reports.flatMap((report) =>
      report.kind === "notice" && report.level === level ? [report.text] : [],
    );
  }
}

export const joinsOf = (frames: readonly Frame[]): string[] =>
  frames.flatMap(({ payload }) => Object.keys(payload.joins)).sort();
export const leavesOf = (frames: readonly Frame[]): string[] =>
  frames.flatMap(({ payload }) => Object.keys(payload.leaves)).sort();
