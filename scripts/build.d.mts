/** Builds what is out of date; the names of what was built. */
export function build(options?: { force?: boolean }): string[];
/** Puts a Brotli and a gzip file beside each file of a folder that is smaller so. */
export function compress(folder: string): void;
