import { useEffect, useState } from "preact/hooks";

/**
 * Re-renders when an outside value changes. (Preact has the same in its compat layer, which the
 * shell does without.)
 */
export function useSyncExternalStore<T>(subscribe: (listener: () => void) => () => void, read: () => T): T {
  const [value, setValue] = useState(read);
  useEffect(() => {
    const update = (): void => setValue(() => read());
    update();
    return subscribe(update);
  }, [subscribe, read]);
  return value;
}
