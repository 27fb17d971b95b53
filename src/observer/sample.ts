/** A figure at this moment, as plain data that crosses threads. */
export interface Sample {
  /** As Prometheus has names: `simurgh_processes`; counters end in `_total`. */
  readonly name: string;
  readonly help: string;
  /** A counter only grows, until its thread begins anew. */
  readonly type: "gauge" | "counter";
  readonly value: number;
  readonly labels?: Readonly<Record<string, string>>;
}

/**
 * Where figures come from: asked at each scrape, in its own thread, inside a process. What it
 * throws leaves its figures out.
 */
export type Source = () => readonly Sample[] | Promise<readonly Sample[]>;

export const gauge = (name: string, help: string, value: number, labels?: Sample["labels"]): Sample => ({
  name,
  help,
  type: "gauge",
  value,
  ...(labels === undefined ? {} : { labels }),
});

export const counter = (name: string, help: string, value: number, labels?: Sample["labels"]): Sample => ({
  name,
  help,
  type: "counter",
  value,
  ...(labels === undefined ? {} : { labels }),
});
