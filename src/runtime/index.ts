/**
 * simurgh/runtime: processes, mailboxes, links, monitors, GenServers and supervisors, as in
 * Erlang/OTP.
 */

export {
  type CallResult,
  From,
  GenServer,
  type GenServerModule,
  type InitResult,
  type NoReply,
  type StartOptions,
  type StartResult,
} from "./gen-server/gen-server.js";
export { type Statistics, type SystemEvent, sys } from "./gen-server/sys.js";
export {
  mailboxStatistics,
  type ProcessInfo,
  processes,
  processInfo,
  type TopEntry,
  top,
} from "./introspect/process-info.js";
export { type TreeNode, tree } from "./introspect/supervision-tree.js";
export {
  type NodeStatistics,
  nodeStatistics,
  type SystemMonitorOptions,
  systemMonitor,
} from "./introspect/system-monitor.js";
export { alias, unalias } from "./kernel/aliases.js";
export { backoff } from "./kernel/backoff.js";
export {
  type Dest,
  demonitor,
  erase,
  exit,
  get,
  getLabel,
  isAlive,
  link,
  makeRef,
  maxQueue,
  monitor,
  onExit,
  parsePid,
  put,
  receive,
  register,
  registered,
  type SendOptions,
  send,
  setLabel,
  signal,
  spawn,
  spawnLink,
  spawnMonitor,
  trapExit,
  trySend,
  unlink,
  unregister,
  type ViaModule,
  type ViaName,
  whereis,
} from "./kernel/bifs.js";
export type { Clock } from "./kernel/clock.js";
export { outside, self, thisNode } from "./kernel/context.js";
export { BadArg, ExitSignal, NotAProcess, ProcessExited } from "./kernel/errors.js";
export { type ExitReason, isNormalClass } from "./kernel/exit-reason.js";
export { Global } from "./kernel/global.js";
export type { Isolation } from "./kernel/isolation.js";
export { type ConnectionStats, createNode, type NodeOptions, RuntimeNode } from "./kernel/node.js";
export { isPid, isRef, Pid, Ref } from "./kernel/pid.js";
export { type LogLevel, logToStderr, type Report, reportLevel } from "./kernel/reports.js";
export { cancelTimer, readTimer, sendAfter, sleep, startTimer, yieldNow } from "./kernel/send-after.js";
export * as telemetry from "./kernel/telemetry.js";
export type { AnswerTo, Call, ServerRef } from "./kernel/typed-messages.js";
export { DataCloneError } from "./kernel/wire-data.js";
export { Groups } from "./registry/process-groups.js";
export { Registry, type RegistryOptions } from "./registry/registry.js";
export {
  Application,
  type ApplicationSpec,
  defineApplication,
  type RunOptions,
  runApplications,
} from "./supervisor/application.js";
export {
  type ChildSpec,
  childSpec,
  type Restart,
  type Shutdown,
  type StartFunction,
} from "./supervisor/child-spec.js";
export {
  DynamicSupervisor,
  type DynamicSupervisorInit,
  type DynamicSupervisorModule,
  type DynamicSupervisorOptions,
} from "./supervisor/dynamic-supervisor.js";
export { PartitionSupervisor, type PartitionSupervisorOptions } from "./supervisor/partition-supervisor.js";
export {
  type ChildCount,
  type ChildInfo,
  type StartChildResult,
  type Strategy,
  Supervisor,
  type SupervisorFlags,
  type SupervisorInit,
  type SupervisorModule,
  type SupervisorOptions,
} from "./supervisor/supervisor.js";
export { asyncStream } from "./task/async-stream.js";
export { Task, type TaskResult } from "./task/task.js";
export { TaskSupervisor } from "./task/task-supervisor.js";
export { type MainWatchdogOptions, watchMainThread } from "./threads/main-watchdog.js";
export type { ThreadContext, ThreadTree } from "./threads/thread-main.js";
export { spawnOn, startThread, type ThreadOptions, threadSpec } from "./threads/thread-server.js";
