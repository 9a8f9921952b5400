// One colour per service, the same on every view. Twelve hues; a name has a favourite and moves on while it is taken, so
// that a handful of services never share one.

import { createContext, useCallback, useContext } from "react";

export const HUES = 12;

/** FNV-1a: spreads names that differ in one letter, and gives the same hue after every reload. */
function favourite(name: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < name.length; i += 1) {
    hash ^= name.charCodeAt(i);
    hash = Math.imul(hash, 0x01000193);
  }
  return (hash >>> 0) % HUES;
}

/** The hue of each service. With more than [`HUES`] services some share one; the name always stands beside it. */
export function assignHues(names: Iterable<string>): Map<string, number> {
  const hues = new Map<string, number>();
  const taken = new Set<number>();
  for (const name of [...new Set(names)].sort()) {
    let hue = favourite(name);
    if (taken.size === HUES) taken.clear();
    while (taken.has(hue)) hue = (hue + 1) % HUES;
    taken.add(hue);
    hues.set(name, hue);
  }
  return hues;
}

/** The hues of the services that the analyzer knows. */
export const ServiceHues = createContext<ReadonlyMap<string, number>>(new Map());

/** The colour of a service as a CSS value. */
export function useServiceColour(): (name: string) => string {
  const hues = useContext(ServiceHues);
  return useCallback((name) => `var(--service-${hues.get(name) ?? favourite(name)})`, [hues]);
}
