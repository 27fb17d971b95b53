/**
 * simurgh/runtime: processes, mailboxes, links, monitors, GenServers and supervisors, as in Erlang/OTP.
 */

export { type AliasMode, alias, unalias } from "./alias.js";
export {
  Application,
  type ApplicationResult,
  type ApplicationSpec,
  type ApplicationType,
  defineApplication,
  type RunOptions,
  runApplications,
} from "./application.js";
export { backoff } from "./backoff.js";
export {
  type AutoShutdown,
  type ChildSpec,
  type ChildType,
  childSpec,
  type FullChildSpec,
  type Restart,
  type Shutdown,
  type StartFunction,
} from "./child-spec.js";
export { type Clock, systemClock } from "./clock.js";
export { context, outside, self, thisNode } from "./context.js";
export {
  DynamicSupervisor,
  type DynamicSupervisorInit,
  type DynamicSupervisorModule,
  type DynamicSupervisorOptions,
} from "./dynamic-supervisor.js";
export { BadArg, ExitSignal, NotAProcess, ProcessExited } from "./errors.js";
export { type ExitReason, isNormalClass, sameReason } from "./exit-reason.js";
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
} from "./gen-server.js";
export { Global } from "./global-names.js";
export { Groups } from "./groups.js";
export { fnv1a } from "./hash.js";
export type { Isolation } from "./isolation.js";
export { type MainWatchdogOptions, watchMainThread } from "./main-watchdog.js";
export { registerMessageClass } from "./message-class.js";
export { createNode, type NodeOptions, type RoadStats, RuntimeNode } from "./node.js";
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
} from "./operations.js";
export { PartitionSupervisor, type PartitionSupervisorOptions, partitionOf } from "./partition-supervisor.js";
export { isPid, isRef, Pid, Ref } from "./pid.js";
export type { MaxQueue, Process } from "./process.js";
export {
  mailboxStatistics,
  type ProcessInfo,
  processes,
  processInfo,
  processInfoAt,
  type TopEntry,
  top,
} from "./process-info.js";
export { cancelTimer, readTimer, sendAfter, sleep, startTimer, yieldNow } from "./process-timers.js";
export type { AnswerTo, Call, OpenDest, PidOf, RequestOf, ServerRef } from "./protocol.js";
export { Registry, type RegistryOptions } from "./registry.js";
export * from "./reports.js";
export type { RunQueue, SchedulerOptions } from "./scheduler.js";
export { show, showTerm } from "./show.js";
export { SmallMap } from "./small-map.js";
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
} from "./supervisor.js";
export { type Statistics, type SystemEvent, sys } from "./sys.js";
export {
  type NodeStatistics,
  nodeStatistics,
  type SystemMonitorOptions,
  systemMonitor,
} from "./system-monitor.js";
export { Task, type TaskResult, type YieldManyOptions } from "./task.js";
export { type AsyncStreamOptions, asyncStream } from "./task-stream.js";
export { TaskSupervisor } from "./task-supervisor.js";
export * as telemetry from "./telemetry.js";
export type { Encoding } from "./threads/outbox.js";
export type { RoadLimits, RoadPort } from "./threads/road.js";
export { ThreadRoad } from "./threads/road.js";
export type { ThreadContext, ThreadTree } from "./threads/thread-main.js";
export { spawnOn, startThread, type ThreadOptions, threadName, threadSpec } from "./threads/thread-server.js";
export { DataCloneError } from "./threads/wire-data.js";
export { type TreeNode, tree } from "./tree.js";
