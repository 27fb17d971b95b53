/**
 * Keeps a storm of reports from becoming a storm of log lines: so many of a kind per second go
 * through, the rest are counted, and the count is reported once the second is over.
 *
 * A warning or error notice that comes again and again in the same words is let through a few
 * times, then once in a wait that grows from a second to a minute, with the number of those left
 * out as `repeated` in its metadata.
 */
import type { Clock } from "./clock.js";
import { type LogLevel, type Report, reportLevel } from "./reports.js";

/** Milliseconds of one window. */
const WINDOW_MS = 1000;

/** Notices in the same words that are let through before any is left out. */
const FIRST = 5;
const LONGEST_WAIT_MS = 60_000;
/** Texts that are remembered. */
const MAX_TEXTS = 1000;

interface Repeated {
  passed: number;
  leftOut: number;
  waitMs: number;
  /** When the last one was let through. */
  at: number;
}

interface Window {
  readonly of: Report["kind"];
  readonly level: LogLevel;
  passed: number;
  suppressed: number;
}

export class ReportLimiter {
  readonly #clock: Clock;
  readonly #perSecond: number;
  readonly #sink: (report: Report) => void;
  /** By kind and level: a flood of informative reports must not hide a warning. */
  readonly #windows = new Map<string, Window>();
  readonly #texts = new Map<string, Repeated>();
  #cancel: (() => void) | undefined;
  suppressed = 0;

  /** `perSecond`: reports of one kind let through in one second. Infinity lets all through. */
  constructor(clock: Clock, perSecond: number, sink: (report: Report) => void) {
    this.#clock = clock;
    this.#perSecond = perSecond;
    this.#sink = sink;
  }

  /** Whether such a report would go through now; counts it when it would not. */
  admits(report: Report): boolean {
    const window = this.#windowOf(report);
    if (window === undefined || window.passed < this.#perSecond) return true;
    window.suppressed += 1;
    this.suppressed += 1;
    return false;
  }

  /** Lets a report through, or counts it. */
  report(report: Report): void {
    const window = this.#windowOf(report);
    if (window !== undefined) {
      if (window.passed >= this.#perSecond) {
        window.suppressed += 1;
        this.suppressed += 1;
        return;
      }
    }
    const repeated = this.#again(report);
    if (repeated === undefined) {
      this.suppressed += 1;
      return;
    }
    if (window !== undefined) window.passed += 1;
    this.#sink(repeated);
  }

  /** What is let through of a notice that may be the same as ones before; undefined for nothing. */
  #again(report: Report): Report | undefined {
    if (this.#perSecond === Number.POSITIVE_INFINITY || report.kind !== "notice") return report;
    if (report.level !== "warning" && report.level !== "error") return report;
    const now = this.#clock.now();
    const key = `${report.level} ${report.text}`;
    const known = this.#texts.get(key);
    const silent = known === undefined || now - known.at > 2 * Math.max(known.waitMs, LONGEST_WAIT_MS / 2);
    if (silent) {
      this.#texts.delete(key);
      this.#texts.set(key, { passed: 1, leftOut: 0, waitMs: WINDOW_MS, at: now });
      if (this.#texts.size > MAX_TEXTS) this.#texts.delete(this.#texts.keys().next().value as string);
      return report;
    }
    if (known.passed < FIRST) {
      known.passed += 1;
      known.at = now;
      return report;
    }
    if (now - known.at < known.waitMs) {
      known.leftOut += 1;
      return undefined;
    }
    const { leftOut } = known;
    known.leftOut = 0;
    known.at = now;
    known.waitMs = Math.min(LONGEST_WAIT_MS, 2 * known.waitMs);
    return leftOut === 0 ? report : { ...report, metadata: { ...report.metadata, repeated: leftOut } };
  }

  #windowOf(report: Report): Window | undefined {
    if (this.#perSecond === Number.POSITIVE_INFINITY) return undefined;
    const level = reportLevel(report);
    const key = `${report.kind} ${level}`;
    let window = this.#windows.get(key);
    if (window === undefined) {
      window = { of: report.kind, level, passed: 0, suppressed: 0 };
      this.#windows.set(key, window);
      this.#cancel ??= this.#clock.alarm(WINDOW_MS, () => this.flush());
    }
    return window;
  }

  /** Ends the running second: tells what was left out. */
  flush(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    const windows = [...this.#windows.values()];
    this.#windows.clear();
    for (const { of, level, suppressed } of windows) {
      if (suppressed > 0) this.#sink({ kind: "suppressed", of, level, count: suppressed });
    }
  }
}
