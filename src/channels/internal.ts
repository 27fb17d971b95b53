/**
 * What other layers need of channels and users do not. Not exported by the package: imported as
 * `#channels`.
 */

export { ChannelHarness, type HarnessFrame, type JoinOutcome } from "./channel/harness.js";
export { routeOf } from "./socket/define-socket.js";
