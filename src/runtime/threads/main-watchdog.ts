/**
 * The main watchdog ends the program when its main thread shows no sign of life for a while: an
 * endless loop there, in the `connect` of a socket for example, stops everything that runs in it,
 * and nothing else would notice. What started the program (systemd, a container) starts it again.
 *
 * It promises to end the program only for that: not while a debugger is attached, nor after a pause
 * of the whole process. Other threads have the watchdog of their ThreadServer, which ends them
 * alone: see threads/thread-server.ts.
 */
import inspector from "node:inspector";
import { Worker } from "node:worker_threads";
import { BadArg } from "../kernel/errors.js";
import { show } from "../kernel/show.js";

export interface MainWatchdogOptions {
  /** Milliseconds without a sign of life after which the program is ended. */
  readonly stallMs: number;
}

const TICKS_PER_STALL = 4;

/**
 * Runs in a thread of its own, from its text: it must not need anything that the main thread gives.
 */
const WATCH = `
const { workerData: { signs, stallMs, everyMs } } = require("node:worker_threads");
const { writeSync } = require("node:fs");
const view = new Int32Array(signs);
let last = Atomics.load(view, 0);
let since = performance.now();
for (;;) {
  const before = performance.now();
  Atomics.wait(view, 2, 0, everyMs);
  if (Atomics.load(view, 2) !== 0) break;
  const now = performance.now();
  const sign = Atomics.load(view, 0);
  // If this thread stood still as well, the other has had no chance.
  if (sign !== last || Atomics.load(view, 1) !== 0 || now - before > 2 * everyMs) {
    last = sign;
    since = now;
  } else if (now - since > stallMs) {
    writeSync(2, "the main thread has shown no sign of life for " + Math.round(now - since) + " ms; the program is ended, to be started again\\n");
    process.kill(process.pid, "SIGKILL");
  }
}
`;

/** Begins to watch the calling thread, the main one. Gives how to stop that. */
export function watchMainThread({ stallMs }: MainWatchdogOptions): () => void {
  if (!Number.isInteger(stallMs) || stallMs < 100)
    throw new BadArg(`badarg: stallMs must be a whole number of ms of at least 100, got ${show(stallMs)}`);
  const everyMs = stallMs / TICKS_PER_STALL;
  const signs = new SharedArrayBuffer(12);
  const view = new Int32Array(signs);
  const tick = (): void => {
    Atomics.add(view, 0, 1);
    Atomics.store(view, 1, inspector.url() === undefined ? 0 : 1);
  };
  tick();
  const timer = setInterval(tick, everyMs);
  timer.unref();
  const worker = new Worker(WATCH, { eval: true, execArgv: [], workerData: { signs, stallMs, everyMs } });
  worker.unref();
  return () => {
    clearInterval(timer);
    Atomics.store(view, 2, 1);
    Atomics.notify(view, 2);
  };
}
