/** Something that a page shows once it has come: loading, failed with what to say, ready. */
import { useCallback, useEffect, useState } from "preact/hooks";
import { ApiError, messageOf } from "../fetch-json.js";

export type Loading<T> =
  | { readonly state: "loading"; readonly before?: T | undefined }
  | { readonly state: "failed"; readonly message: string; readonly status: number }
  | { readonly state: "ready"; readonly value: T };

/** What there is to show: while it is loaded again, what was there before. */
export const shownOf = <T>(loading: Loading<T>): T | undefined =>
  loading.state === "ready" ? loading.value : loading.state === "loading" ? loading.before : undefined;

/**
 * Loads with `load`, again whenever `key` changes; returns how to try again. What was there before
 * stays in `before`.
 */
export function useLoading<T>(
  key: string,
  load: (signal: AbortSignal) => Promise<T>,
): readonly [Loading<T>, () => void] {
  const [loading, setLoading] = useState<Loading<T>>({ state: "loading" });
  const [attempt, setAttempt] = useState(0);
  // `load` is new at each rendering; what it loads is what `key` says.
  useEffect(() => {
    const abort = new AbortController();
    setLoading((now) => ({ state: "loading", before: shownOf(now) }));
    load(abort.signal).then(
      (value) => !abort.signal.aborted && setLoading({ state: "ready", value }),
      (error: unknown) => {
        if (abort.signal.aborted) return;
        const status = error instanceof ApiError ? error.status : 0;
        setLoading({ state: "failed", message: messageOf(error), status });
      },
    );
    return () => abort.abort();
  }, [key, attempt]);
  return [loading, useCallback(() => setAttempt((n) => n + 1), [])];
}
