/**
 * `channelTest` as the suites use it: what is to come may take as long as a machine with other
 * things to do takes.
 */
import { channelTest as impatient } from "simurgh/testing";

export const channelTest: typeof impatient = (definition, fn, options = {}) =>
  impatient(definition, fn, { timeout: 10_000, ...options });
