/**
 * Short messages that come by themselves: what was done, or what went wrong and what to do about
 * it. Those that say something went wrong stay until they are sent away.
 */
import { useSyncExternalStore } from "./store.js";

export interface Toast {
  readonly text: string;
  readonly tone: "error" | "info";
  readonly action?: { readonly label: string; readonly run: () => void };
}

interface Shown extends Toast {
  readonly id: number;
}

const SHOWN_MS = 6_000;
const MOST = 4;
const listeners = new Set<() => void>();
let toasts: readonly Shown[] = [];
let nextId = 1;

function changed(next: readonly Shown[]): void {
  toasts = next;
  for (const listener of [...listeners]) listener();
}

const dismiss = (id: number): void => changed(toasts.filter((toast) => toast.id !== id));

export function toast(toast: Toast): void {
  const id = nextId;
  nextId += 1;
  const others = toasts.filter(({ text }) => text !== toast.text);
  changed([...others.slice(-MOST + 1), { ...toast, id }]);
  if (toast.tone === "info") setTimeout(() => dismiss(id), SHOWN_MS);
}

const subscribe = (listener: () => void): (() => void) => {
  listeners.add(listener);
  return () => listeners.delete(listener);
};

/**
 * The place where they appear; once in the page, and there before the first one, so that they are
 * read out.
 */
export function Toasts() {
  const shown = useSyncExternalStore(subscribe, () => toasts);
  return (
    <div class="toasts" role="status" aria-live="polite">
      {shown.map(({ id, text, tone, action }) => (
        <div key={id} class={`toast ${tone}`}>
          <span>{text}</span>
          {action && (
            <button
              type="button"
              class="button"
              onClick={() => {
                dismiss(id);
                action.run();
              }}
            >
              {action.label}
            </button>
          )}
          <button
            type="button"
            class="button quiet"
            aria-label="Close this message"
            onClick={() => dismiss(id)}
          >
            ×
          </button>
        </div>
      ))}
    </div>
  );
}
