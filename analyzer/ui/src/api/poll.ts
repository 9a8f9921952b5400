// Live data by polling: asks again after a while, rests while nobody looks, and keeps what it has when an answer fails.

import { useCallback, useEffect, useRef, useState, useSyncExternalStore } from "react";
import { type Answer, ApiError, get } from "./client";

/** What a view knows of one route. */
export type Polled<T> = {
  /** The newest answer; that of the previous address until the first one of a new address has come. */
  data: T | undefined;
  /** Whether `data` belongs to another address than the one asked for now. */
  stale: boolean;
  /** Why the newest attempt failed. */
  error: ApiError | undefined;
  /** Asks now. */
  refresh: () => void;
};

/** Going back to a view shows its last answer at once; so many of them are kept. */
const KEPT_MAX = 24;
const kept = new Map<string, Answer>();

function keep(path: string, answer: Answer) {
  kept.delete(path);
  kept.set(path, answer);
  for (const oldest of kept.keys()) {
    if (kept.size <= KEPT_MAX) break;
    kept.delete(oldest);
  }
}

const liveChanged = new EventTarget();
let live = true;

/** Whether views ask again by themselves; the switch in the page's head. */
export function setLive(on: boolean) {
  live = on;
  liveChanged.dispatchEvent(new Event("change"));
}

function subscribeLive(notify: () => void) {
  liveChanged.addEventListener("change", notify);
  return () => liveChanged.removeEventListener("change", notify);
}

export function useLive(): boolean {
  return useSyncExternalStore(subscribeLive, () => live);
}

function subscribeVisible(notify: () => void) {
  document.addEventListener("visibilitychange", notify);
  return () => document.removeEventListener("visibilitychange", notify);
}

/** After failures the pauses double up to this, so that a stopped analyzer is not met by a crowd of tabs. */
const PAUSE_MAX_MS = 30_000;

type State<T> = { path: string | null; data: T | undefined; text: string; error: ApiError | undefined };

/**
 * The data of `path`, asked for again `everyMs` after each answer while the tab is visible and the page is live.
 * `null` asks for nothing; `everyMs` 0 asks once. Where what is asked moves with the clock ("the last hour"), `path`
 * only names it and `address` gives the address of the moment: a function that stays the same, of `path` and the clock alone.
 */
export function usePolled<T>(path: string | null, everyMs: number, address?: (path: string) => string): Polled<T> {
  const [state, setState] = useState<State<T>>(() => {
    const answer = path === null ? undefined : kept.get(path);
    return { path, data: answer?.data as T | undefined, text: answer?.text ?? "", error: undefined };
  });
  const isLive = useLive();
  const isVisible = useSyncExternalStore(subscribeVisible, () => document.visibilityState === "visible");
  const [attempt, setAttempt] = useState(0);
  const failures = useRef(0);
  // What the newest answer was for: an address, and how often asking had been demanded.
  const answered = useRef<{ path: string; attempt: number } | null>(null);

  useEffect(() => {
    if (path === null || !isVisible) return;
    // A paused page still gets its first answer, and one whenever it is demanded.
    const hasAnswer = answered.current?.path === path && answered.current.attempt === attempt;
    if (hasAnswer && (!isLive || everyMs === 0)) return;
    const abort = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;

    const ask = async () => {
      let wait = everyMs;
      try {
        const answer = await get(address?.(path) ?? path, abort.signal);
        if (abort.signal.aborted) return;
        keep(path, answer);
        failures.current = 0;
        answered.current = { path, attempt };
        setState((old) =>
          old.path === path && old.text === answer.text && old.error === undefined
            ? old
            : { path, data: answer.data as T, text: answer.text, error: undefined },
        );
      } catch (error) {
        if (abort.signal.aborted) return;
        failures.current += 1;
        wait = Math.min(PAUSE_MAX_MS, Math.max(everyMs, 1000) * 2 ** Math.min(failures.current, 6));
        const reason = error instanceof ApiError ? error : new ApiError(String(error), 0);
        setState((old) => ({ ...old, path, data: old.path === path ? old.data : undefined, error: reason }));
      }
      if (isLive && everyMs > 0) timer = setTimeout(ask, wait);
    };
    void ask();
    return () => {
      abort.abort();
      clearTimeout(timer);
    };
  }, [path, everyMs, address, isLive, isVisible, attempt]);

  const refresh = useCallback(() => setAttempt((n) => n + 1), []);
  const answer = state.path !== path && path !== null ? kept.get(path) : undefined;
  if (answer !== undefined) return { data: answer.data as T, stale: false, error: undefined, refresh };
  return {
    data: state.data,
    stale: state.path !== path,
    error: state.path === path ? state.error : undefined,
    refresh,
  };
}
