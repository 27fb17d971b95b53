/**
 * What the runtime tells the outside: crashes, supervisor decisions, errors without an owner, turns
 * that took too long. Reports are structured values handed to the node's `onReport`; a sink that
 * throws never affects a process.
 */
import type { ExitReason } from "./exit-reason.js";
import type { Pid } from "./pid.js";

export type LogLevel = "debug" | "info" | "warning" | "error";

export interface CrashReport {
  readonly kind: "crash";
  readonly pid: Pid;
  readonly name: string | undefined;
  readonly label: unknown;
  readonly initialCall: string;
  readonly ancestors: readonly Pid[];
  readonly reason: ExitReason;
  readonly queueLength: number;
}

/** A GenServer ended outside the normal class (OTP: "GenServer terminating"). */
export interface ServerReport {
  readonly kind: "gen_server";
  readonly pid: Pid;
  readonly name: string | undefined;
  readonly lastMessage: unknown;
  readonly client: Pid | undefined;
  readonly state: unknown;
  readonly reason: ExitReason;
}

export interface SupervisorReport {
  readonly kind: "supervisor";
  readonly supervisor: Pid;
  readonly name: string | undefined;
  readonly errorContext: "start_error" | "child_terminated" | "shutdown_error" | "shutdown";
  readonly reason: ExitReason;
  readonly offender: Readonly<Record<string, unknown>>;
}

export interface ProgressReport {
  readonly kind: "progress";
  readonly supervisor: Pid;
  readonly started: Readonly<Record<string, unknown>>;
}

/** An error that no process owns, or whose process was dead already. */
export interface OrphanErrorReport {
  readonly kind: "orphan_error";
  readonly error: unknown;
  readonly pid: Pid | undefined;
}

/** One turn kept the thread for longer than `longTurnMs`. */
export interface LongTurnReport {
  readonly kind: "long_turn";
  readonly pid: Pid;
  readonly label: unknown;
  readonly callback: string;
  readonly durationMs: number;
}

/** A mailbox has grown beyond the bound its process was given. */
export interface LongQueueReport {
  readonly kind: "long_queue";
  readonly pid: Pid;
  readonly label: unknown;
  readonly length: number;
  readonly size: number;
  readonly action: "kill" | "report";
}

/** The runtime itself is at fault: the thread ends, so that no restart hides it. */
export interface RuntimeBugReport {
  readonly kind: "runtime_bug";
  readonly error: unknown;
}

/** So many reports of a kind were left out, because they came faster than `reportsPerSecond`. */
export interface SuppressedReport {
  readonly kind: "suppressed";
  readonly of: Report["kind"];
  /** Their level. */
  readonly level: LogLevel;
  readonly count: number;
}

/** Anything else worth a log line, such as a message no callback expected. */
export interface NoticeReport {
  readonly kind: "notice";
  readonly level: LogLevel;
  readonly text: string;
  readonly pid: Pid | undefined;
  readonly metadata: Readonly<Record<string, unknown>>;
}

export type Report =
  | CrashReport
  | ServerReport
  | SupervisorReport
  | ProgressReport
  | OrphanErrorReport
  | LongTurnReport
  | LongQueueReport
  | RuntimeBugReport
  | SuppressedReport
  | NoticeReport;

/** The level at which a report is usually logged. */
export function reportLevel(report: Report): LogLevel {
  switch (report.kind) {
    case "progress":
      return "debug";
    case "long_turn":
    case "long_queue":
      return "warning";
    case "suppressed":
      // Not to know of errors is an error; not to know of progress is not.
      return report.level;
    case "notice":
      return report.level;
    default:
      return "error";
  }
}

/** The default sink: one line on stderr for warnings and errors. */
export function logToStderr(report: Report): void {
  const level = reportLevel(report);
  if (level === "warning" || level === "error") console.error(`[simurgh] ${level}: ${report.kind}`, report);
}
