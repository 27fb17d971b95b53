/**
 * What the layers above need of the runtime and users do not. Not exported by the package: the
 * other layers import it as `#runtime`.
 */
export { NamedTable } from "./kernel/named-table.js";
