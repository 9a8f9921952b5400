// Lengths of the bars in the list of traces: one slow trace must not flatten all others.

/** Maps the largest value to 1 and the smallest to a little, by their logarithms. */
export function logScale(values: readonly number[]): (value: number) => number {
  const positive = values.filter((value) => value > 0);
  const low = Math.log(Math.min(...positive));
  const high = Math.log(Math.max(...positive));
  // Where all are nearly alike, the bars are too.
  const span = Math.max(high - low, Math.log(2));
  return (value) => (value > 0 ? Math.max(0.04, 1 - (high - Math.log(value)) / (span * 1.05)) : 0);
}
