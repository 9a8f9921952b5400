// The shown range of time as it stands in the address: `zoom=61.5-214.5`, ms since the trace's first moment.

import type { Range } from "./geometry";

/** Reads a range; `null` for none and for nonsense. */
export function rangeOf(text: string | null): Range | null {
  const [, from, to] = /^(-?\d+(?:\.\d+)?)-(\d+(?:\.\d+)?)$/.exec(text ?? "") ?? [];
  if (from === undefined || to === undefined) return null;
  const range = { from: Number(from) * 1e6, to: Number(to) * 1e6 };
  return range.from < range.to ? range : null;
}

/** Writes a range, to the microsecond. */
export function rangeText({ from, to }: Range): string {
  const ms = (ns: number) => Number((ns / 1e6).toFixed(3));
  return `${ms(from)}-${ms(to)}`;
}
