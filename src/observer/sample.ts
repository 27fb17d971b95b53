/** A sample is the value of a metric at this moment: plain data that is sent between threads. */
export interface Sample {
  /** The Prometheus name, such as `simurgh_processes`; counters end in `_total`. */
  readonly name: string;
  readonly help: string;
  /** A counter only grows, until its thread restarts. */
  readonly type: "gauge" | "counter";
  readonly value: number;
  readonly labels?: Readonly<Record<string, string>>;
}

/**
 * A function that returns samples, called at each scrape in its own thread, inside a process. When
 * it throws, its samples are left out.
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
