/** Moving between the pages of routes.ts with the History API, and nothing more. */
import { parseRoute, type Route } from "./routes.js";
import { useSyncExternalStore } from "./ui/store.js";

const listeners = new Set<() => void>();
const announce = (): void => {
  for (const listener of [...listeners]) listener();
};
window.addEventListener("popstate", announce);

export function navigate(path: string, options: { readonly replace?: boolean } = {}): void {
  if (options.replace) history.replaceState(null, "", path);
  else history.pushState(null, "", path);
  window.scrollTo(0, 0);
  announce();
}

const here = (): string => location.pathname + location.search + location.hash;
const subscribe = (listener: () => void): (() => void) => {
  listeners.add(listener);
  return () => listeners.delete(listener);
};

export function useRoute(): Route {
  useSyncExternalStore(subscribe, here);
  return parseRoute(location.pathname, location.search, location.hash);
}

/** For links: a plain click stays in the page, every other click is the browser's. */
export function follow(event: MouseEvent): void {
  const link = event.currentTarget as HTMLAnchorElement;
  if (event.defaultPrevented || event.button !== 0) return;
  if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey || link.target) return;
  event.preventDefault();
  navigate(link.pathname + link.search);
}
