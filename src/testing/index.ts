/**
 * simurgh/testing: what tests of programs on Simurgh need. See docs/testing.md.
 */

export { ChannelTest, type ChannelTestOptions, channelTest } from "./channel-test.js";
export { matches, type Pattern } from "./match.js";
export { Random } from "./simulation/random.js";
export { type SimulateOptions, SimulationFailed, simulate } from "./simulation/simulate.js";
export { Simulation, type WorldOptions } from "./simulation/simulation.js";
export { VirtualClock } from "./simulation/virtual-clock.js";
