// The critical path between rows: vertical lines that join its stretches into one line through the waterfall.

import { type Hop, position, type Range } from "./geometry";

/** With more lines than this in sight, those that only pass by are left out: they would be a black wall. */
const PASSING_MAX = 60;

type Props = { hops: readonly Hop[]; range: Range; rowHeight: number; from: number; to: number };

export function Overlay({ hops, range, rowHeight, from, to }: Props) {
  const inTime = hops.filter((hop) => hop.at_ns >= range.from && hop.at_ns <= range.to);
  const inSight = inTime.filter((hop) => Math.max(hop.from, hop.to) >= from && Math.min(hop.from, hop.to) <= to);
  const touches = (row: number) => row >= from && row <= to;
  const drawn = inSight.length > PASSING_MAX ? inSight.filter((hop) => touches(Math.max(hop.from, hop.to))) : inSight;
  // The line runs along the lower edge of the bars, 6px below the middle of a row.
  const y = (row: number) => (row + 0.5) * rowHeight + 6;
  return (
    <svg className="lines hops" aria-hidden="true">
      {drawn.map((hop) => {
        const x = `${100 * position(range, hop.at_ns)}%`;
        const key = `${hop.at_ns} ${hop.from} ${hop.to}`;
        return <line key={key} x1={x} x2={x} y1={y(hop.from)} y2={y(hop.to)} />;
      })}
    </svg>
  );
}
