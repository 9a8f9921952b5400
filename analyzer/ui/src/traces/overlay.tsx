// Lines across rows: the marks of the axis, and the critical path's steps from row to row, which join its stretches into
// one line through the waterfall. Only the rows in sight are covered: a drawing as tall as ten thousand rows is slow.

import { type Hop, position, type Range } from "./geometry";

/** Rows in sight, and how high each is. */
export type Sight = { from: number; to: number; rowHeight: number };

function place({ from, to, rowHeight }: Sight) {
  return { top: from * rowHeight, height: (to - from + 1) * rowHeight };
}

function across(range: Range, at: number): string {
  return `${100 * position(range, at)}%`;
}

/** The axis' marks, behind the rows. */
export function Marks({ marks, range, sight }: { marks: { at: number }[]; range: Range; sight: Sight }) {
  return (
    <svg className="lines" aria-hidden="true" style={place(sight)}>
      {marks.map(({ at }) => (
        <line key={at} x1={across(range, at)} x2={across(range, at)} y1="0" y2="100%" />
      ))}
    </svg>
  );
}

/** The critical path's steps between rows; behind the rows, so that no words are struck through. */
export function Hops({ hops, range, sight }: { hops: readonly Hop[]; range: Range; sight: Sight }) {
  const { from, to, rowHeight } = sight;
  const drawn = hops.filter((hop) => hop.at_ns >= range.from && hop.at_ns <= range.to);
  // The line runs along the lower edge of the bars, 6px below the middle of a row; beyond the sight it is cut.
  const y = (row: number) => (Math.min(to + 1, Math.max(from - 1, row)) - from + 0.5) * rowHeight + 6;
  return (
    <svg className="lines hops" aria-hidden="true" style={place(sight)}>
      {drawn.map((hop) => {
        const x = across(range, hop.at_ns);
        return <line key={`${hop.at_ns} ${hop.from} ${hop.to}`} x1={x} x2={x} y1={y(hop.from)} y2={y(hop.to)} />;
      })}
    </svg>
  );
}
