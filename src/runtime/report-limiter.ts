/**
 * Keeps a storm of reports from becoming a storm of log lines: so many of a kind per second go through, the rest are
 * counted, and the count is told once the second is over.
 */
import type { Clock } from "./clock.js";
import { type LogLevel, type Report, reportLevel } from "./reports.js";

/** Milliseconds of one window. */
const WINDOW_MS = 1000;

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
  /** By kind and level: a flood of what is merely informative must not hide a warning. */
  readonly #windows = new Map<string, Window>();
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
      window.passed += 1;
    }
    this.#sink(report);
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
