import { useSyncExternalStore } from "../ui/store.js";

/** The same width as in room.css: below it the parts of the room are tabs. */
const query = matchMedia("(min-width: 52.0625rem)");

const subscribe = (listener: () => void): (() => void) => {
  query.addEventListener("change", listener);
  return () => query.removeEventListener("change", listener);
};
const read = (): boolean => query.matches;

/** Whether there is room for the code beside the rest. */
export const useWide = (): boolean => useSyncExternalStore(subscribe, read);
