/** Builds what is out of date; the names of what was built. */
export function build(options?: { force?: boolean }): string[];
