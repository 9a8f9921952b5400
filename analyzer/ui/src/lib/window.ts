// The time window that counts and rates are taken over, as it stands in the address.

/** Names in the address, minutes, words; shortest first. */
export const WINDOWS = [
  { name: "5m", minutes: 5, words: "Last 5 minutes" },
  { name: "15m", minutes: 15, words: "Last 15 minutes" },
  { name: "1h", minutes: 60, words: "Last hour" },
  { name: "6h", minutes: 360, words: "Last 6 hours" },
  { name: "24h", minutes: 1440, words: "Last 24 hours" },
  { name: "7d", minutes: 10_080, words: "Last 7 days" },
] as const;

export type Window = (typeof WINDOWS)[number];

/** What views of counts and rates show when the address names no window. */
export const USUAL: Window = WINDOWS[2];

/** The window of a name; `undefined` for none and for nonsense. */
export function windowNamed(name: string | null): Window | undefined {
  return WINDOWS.find((window) => window.name === name);
}
