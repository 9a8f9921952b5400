// How sure a whole trace is: as sure as the least sure of its links.

import type { Link, TraceSummary } from "../api/types";
import { plural, probability } from "./format";

/** What a row of the list says of a trace's links. */
export type TraceLinks = Pick<TraceSummary, "certainty" | "origin" | "unlinked_calls" | "span_count">;

/** The least sure link of a trace, and in words what is unsure; `undefined` for a trace without a link. */
export function leastSure(trace: TraceLinks): (Pick<Link, "certainty" | "p"> & { words: string }) | undefined {
  const { certainty: p, origin, unlinked_calls, span_count } = trace;
  if (origin === "unlinked") return { certainty: "unlinked", p: 0, words: "begins with a call of unknown cause" };
  if (unlinked_calls > 0) {
    return { certainty: "unlinked", p: 0, words: `holds ${plural(unlinked_calls, "call")} of unknown cause` };
  }
  if (p < 1) return { certainty: "likely", p, words: `least sure link has probability ${probability(p)}` };
  if (span_count < 2) return undefined;
  return { certainty: "certain", p, words: "every link is proven" };
}
