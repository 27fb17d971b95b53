/** Time in a page that draws pictures. */
import type { PaceClock } from "../sync/pace.js";

export const pageClock: PaceClock = {
  now: () => performance.now(),
  frame(run, withinMs) {
    const cancel = () => {
      cancelAnimationFrame(frame);
      clearTimeout(timer);
    };
    const once = () => {
      cancel();
      run();
    };
    const frame = requestAnimationFrame(once);
    // A tab in the background draws nothing.
    const timer = setTimeout(once, withinMs);
    return cancel;
  },
  later(run, ms) {
    const timer = setTimeout(run, ms);
    return () => clearTimeout(timer);
  },
};
