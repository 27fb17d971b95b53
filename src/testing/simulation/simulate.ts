/**
 * Runs a scenario under many seeds.
 *
 *     test("a call is answered or fails, whatever happens to the other thread", () =>
 *       simulate({ threads: 1, runs: 200 }, async (sim) => {
 *         const server = …;
 *         if (sim.random.chance(0.5)) await sim.kill(1);
 *         …
 *       }));
 *
 * The scenario runs as a process of the main thread. When it throws, `simulate` rejects with the
 * seed and the last steps; `{ seed }`, or SIMURGH_SEED in the environment, runs that one alone and
 * takes exactly the same steps.
 */
import { Simulation, type WorldOptions } from "./simulation.js";

export interface SimulateOptions extends WorldOptions {
  /** Runs just this one. */
  readonly seed?: number;
  /** How many seeds to run. Default 100. */
  readonly runs?: number;
  /** The first of them. Default 1; a fixed default keeps a suite the same from day to day. */
  readonly from?: number;
}

/** How many of the last steps a failure shows. */
const SHOWN_STEPS = 30;

export class SimulationFailed extends Error {
  override readonly name = "SimulationFailed";
  readonly seed: number;
  readonly trace: readonly string[];

  constructor(seed: number, trace: readonly string[], cause: unknown) {
    const what = cause instanceof Error ? cause.message : String(cause);
    const steps = trace.slice(-SHOWN_STEPS);
    super(
      `seed ${seed}: ${what}\n\nRun it alone with { seed: ${seed} } or SIMURGH_SEED=${seed}. Its last ${steps.length} of ${trace.length} steps:\n${steps.join("\n")}`,
      { cause },
    );
    this.seed = seed;
    this.trace = trace;
  }
}

/**
 * Runs `scenario` under each seed. Gives the trace of the last run. Rejects with `SimulationFailed`
 * at the first failure.
 */
export async function simulate(
  options: SimulateOptions,
  scenario: (sim: Simulation) => unknown,
): Promise<readonly string[]> {
  const forced = process.env.SIMURGH_SEED;
  const single = forced === undefined || forced === "" ? options.seed : Number(forced);
  const { runs = 100, from = 1 } = options;
  if (!Number.isInteger(runs) || runs < 1)
    throw new RangeError(`runs must be a positive integer, got ${runs}`);
  const seeds = single === undefined ? Array.from({ length: runs }, (_, n) => from + n) : [single];
  let trace: readonly string[] = [];
  for (const seed of seeds) {
    const sim = new Simulation(seed, options);
    try {
      await sim.drive(sim.on(0, async () => void (await scenario(sim))));
    } catch (error) {
      throw new SimulationFailed(seed, sim.trace, error);
    } finally {
      await sim.end();
    }
    trace = sim.trace;
  }
  return trace;
}
