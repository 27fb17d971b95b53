/**
 * What the layers above need of the runtime and users do not. Not exported by the package: the
 * other layers import it as `#runtime`.
 */

export { processInfoAt } from "./introspect/process-info.js";
export { inProcess } from "./kernel/bifs.js";
export { context } from "./kernel/context.js";
export { fnv1a } from "./kernel/hash.js";
export { registerMessageClass } from "./kernel/message-class.js";
export { NamedTable } from "./kernel/named-table.js";
export type { Process } from "./kernel/process.js";
export type { RunQueue } from "./kernel/scheduler.js";
export { show, showTerm } from "./kernel/show.js";
export { SmallMap } from "./kernel/small-map.js";
export { partitionOf } from "./supervisor/partition-supervisor.js";
export type { ConnectionPort } from "./threads/connection.js";
export { ThreadConnection } from "./threads/connection.js";
export { threadName } from "./threads/thread-server.js";
