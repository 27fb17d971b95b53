/**
 * simurgh/runtime: processes, mailboxes, links, monitors, GenServers and supervisors, as in
 * Erlang/OTP.
 */

export {
  type CallResult,
  type Extra,
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
  processInfoAt,
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
export { type AliasMode, alias, unalias } from "./kernel/aliases.js";
export { backoff } from "./kernel/backoff.js";
export {
  type Dest,
  demonitor,
  erase,
  exit,
  type GlobalName,
  get,
  getLabel,
  inProcess,
  isAlive,
  link,
  makeRef,
  maxQueue,
  monitor,
  type NodeName,
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
export { type Clock, systemClock } from "./kernel/clock.js";
export { context, outside, self, thisNode } from "./kernel/context.js";
export { BadArg, ExitSignal, NotAProcess, ProcessExited } from "./kernel/errors.js";
export { type ExitReason, isNormalClass, sameReason } from "./kernel/exit-reason.js";
export { Global } from "./kernel/global.js";
export { fnv1a } from "./kernel/hash.js";
export type { Isolation } from "./kernel/isolation.js";
export { registerMessageClass } from "./kernel/message-class.js";
export { type ConnectionStats, createNode, type NodeOptions, RuntimeNode } from "./kernel/node.js";
export { isPid, isRef, Pid, Ref } from "./kernel/pid.js";
export type { MaxQueue, Process } from "./kernel/process.js";
export * from "./kernel/reports.js";
export type { RunQueue, SchedulerOptions } from "./kernel/scheduler.js";
export { cancelTimer, readTimer, sendAfter, sleep, startTimer, yieldNow } from "./kernel/send-after.js";
export { show, showTerm } from "./kernel/show.js";
export { SmallMap } from "./kernel/small-map.js";
export * as telemetry from "./kernel/telemetry.js";
export type { AnswerTo, Call, OpenDest, PidOf, RequestOf, ServerRef } from "./kernel/typed-messages.js";
export { DataCloneError } from "./kernel/wire-data.js";
export { Groups } from "./registry/process-groups.js";
export { Registry, type RegistryOptions } from "./registry/registry.js";
export {
  Application,
  type ApplicationResult,
  type ApplicationSpec,
  type ApplicationType,
  defineApplication,
  type RunOptions,
  runApplications,
} from "./supervisor/application.js";
export {
  type AutoShutdown,
  type ChildSpec,
  type ChildType,
  childSpec,
  type FullChildSpec,
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
export {
  PartitionSupervisor,
  type PartitionSupervisorOptions,
  partitionOf,
} from "./supervisor/partition-supervisor.js";
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
export { type AsyncStreamOptions, asyncStream } from "./task/async-stream.js";
export { Task, type TaskResult, type YieldManyOptions } from "./task/task.js";
export { TaskSupervisor } from "./task/task-supervisor.js";
export type { ConnectionLimits, ConnectionPort } from "./threads/connection.js";
export { ThreadConnection } from "./threads/connection.js";
export { type MainWatchdogOptions, watchMainThread } from "./threads/main-watchdog.js";
export type { Encoding } from "./threads/send-buffer.js";
export type { ThreadContext, ThreadTree } from "./threads/thread-main.js";
export { spawnOn, startThread, type ThreadOptions, threadName, threadSpec } from "./threads/thread-server.js";
