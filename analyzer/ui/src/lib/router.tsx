// The address bar is the page's state: which view, which filter, which span. A router of a hundred lines does for four
// views what a library would, and keeps the bundle small.

import { type AnchorHTMLAttributes, type MouseEvent, useCallback, useSyncExternalStore } from "react";

/** Which view an address asks for. */
export type Route =
  | { name: "overview" }
  | { name: "graph" }
  | { name: "traces" }
  | { name: "trace"; id: string }
  | { name: "unknown"; path: string };

/** Every view's address, in one place. */
export const paths = {
  overview: "/",
  graph: "/insights/dependency-graph",
  traces: "/traces",
  trace: (id: string) => `/traces/${encodeURIComponent(id)}`,
};

/** The view of a path; a trailing slash changes nothing. */
export function parseRoute(path: string): Route {
  const trimmed = path.replace(/\/+$/, "") || "/";
  if (trimmed === paths.overview) return { name: "overview" };
  if (trimmed === paths.graph) return { name: "graph" };
  if (trimmed === paths.traces) return { name: "traces" };
  const id = /^\/traces\/([^/]+)$/.exec(trimmed)?.[1];
  if (id !== undefined) {
    try {
      return { name: "trace", id: decodeURIComponent(id) };
    } catch {
      // A stray percent sign: not an address that we ever wrote.
    }
  }
  return { name: "unknown", path };
}

/** A search string in which `changes` have been made; `null` and "" take a name out. Names are kept in order. */
export function withParams(search: string, changes: Record<string, string | null>): string {
  const params = new URLSearchParams(search);
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || value === "") params.delete(name);
    else params.set(name, value);
  }
  const text = params.toString();
  return text === "" ? "" : `?${text}`;
}

const MOVED = "raceway:moved";

/** Goes to an address of this page. `replace` leaves no step for the back button: for typing, zooming, selecting. */
export function navigate(href: string, how: { replace?: boolean } = {}) {
  if (href === window.location.pathname + window.location.search) return;
  if (how.replace) window.history.replaceState(null, "", href);
  else window.history.pushState(null, "", href);
  window.dispatchEvent(new Event(MOVED));
}

function subscribe(changed: () => void) {
  window.addEventListener("popstate", changed);
  window.addEventListener(MOVED, changed);
  return () => {
    window.removeEventListener("popstate", changed);
    window.removeEventListener(MOVED, changed);
  };
}

/** The path now shown. */
export function usePath(): string {
  return useSyncExternalStore(subscribe, () => window.location.pathname);
}

/** The address's parameters, and a function that changes some of them. */
export function useParams(): [URLSearchParams, (changes: Record<string, string | null>, how?: Change) => void] {
  const search = useSyncExternalStore(subscribe, () => window.location.search);
  const change = useCallback((changes: Record<string, string | null>, how?: Change) => {
    navigate(window.location.pathname + withParams(window.location.search, changes), how);
  }, []);
  return [new URLSearchParams(search), change];
}

type Change = { replace?: boolean };

/** A link inside the page: an ordinary anchor, so that opening in a new tab and copying the address work. */
export function Link({ href, onClick, ...rest }: AnchorHTMLAttributes<HTMLAnchorElement> & { href: string }) {
  const follow = (event: MouseEvent<HTMLAnchorElement>) => {
    onClick?.(event);
    const plain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
    if (event.defaultPrevented || !plain) return;
    event.preventDefault();
    navigate(href);
  };
  return <a {...rest} href={href} onClick={follow} />;
}
