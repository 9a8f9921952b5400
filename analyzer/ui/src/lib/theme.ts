// Light, dark, or as the system says. The choice is kept on this device; the colours are in styles/tokens.css.

import { useSyncExternalStore } from "react";

export type Theme = "system" | "light" | "dark";

const KEY = "raceway.theme";
const changed = new EventTarget();
let current: Theme = read();

function read(): Theme {
  try {
    const kept = window.localStorage.getItem(KEY);
    return kept === "light" || kept === "dark" ? kept : "system";
  } catch {
    // Storage may be forbidden; the choice then lasts as long as the page.
    return "system";
  }
}

/** Puts the kept choice into effect; once, before the first paint. */
export function applyTheme() {
  if (current === "system") delete document.documentElement.dataset["theme"];
  else document.documentElement.dataset["theme"] = current;
}

/** Chooses and keeps a theme. */
export function chooseTheme(theme: Theme) {
  current = theme;
  try {
    if (theme === "system") window.localStorage.removeItem(KEY);
    else window.localStorage.setItem(KEY, theme);
  } catch {
    // As in `read`.
  }
  applyTheme();
  changed.dispatchEvent(new Event("change"));
}

/** The chosen theme. */
export function useTheme(): Theme {
  return useSyncExternalStore(
    (notify) => {
      changed.addEventListener("change", notify);
      return () => changed.removeEventListener("change", notify);
    },
    () => current,
  );
}
