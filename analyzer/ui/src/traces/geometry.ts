// A trace's waterfall as numbers: which rows there are, where bars begin and end, where the critical path runs.
// Everything is linear or n log n and free of recursion, so that ten thousand spans in one chain are no trouble.

import type { PathStep, SpanView } from "../api/types";
import { groupBy } from "../lib/group";

/** What the tree is built from. */
export type TreeSpan = Pick<SpanView, "span_id" | "parent_span_id" | "kind" | "start_ns" | "end_ns">;

/** Spans by their place in the list that the analyzer gave; `-1` stands for no parent. */
export type Tree = {
  parent: number[];
  children: number[][];
  depth: number[];
  /** All spans, parents before children, siblings by start. */
  order: number[];
};

/** Builds the tree. A span whose parent is missing, or that would be its own ancestor, stands at the root. */
export function buildTree(spans: readonly TreeSpan[]): Tree {
  const byId = groupBy(spans.keys(), (index) => spans[index]?.span_id ?? "");

  const parent = spans.map((span, index) => parentOf(span, index, spans, byId));
  cutCircles(parent);

  const children: number[][] = spans.map(() => []);
  const roots: number[] = [];
  parent.forEach((of, index) => {
    (of < 0 ? roots : (children[of] ?? roots)).push(index);
  });
  const byStart = (a: number, b: number) => (spans[a]?.start_ns ?? 0) - (spans[b]?.start_ns ?? 0) || a - b;
  roots.sort(byStart);
  for (const list of children) list.sort(byStart);

  const depth = new Array<number>(spans.length).fill(0);
  const order: number[] = [];
  const open = roots.toReversed();
  for (let index = open.pop(); index !== undefined; index = open.pop()) {
    order.push(index);
    const below = children[index] ?? [];
    for (let i = below.length - 1; i >= 0; i -= 1) {
      const child = below[i] ?? 0;
      depth[child] = (depth[index] ?? 0) + 1;
      open.push(child);
    }
  }
  return { parent, children, depth, order };
}

/** The parent's index. Where a client and a server share one id (Zipkin), calls hang below the server, servers below the client. */
function parentOf(
  span: TreeSpan,
  index: number,
  spans: readonly TreeSpan[],
  byId: ReadonlyMap<string, number[]>,
): number {
  const sharing = byId.get(span.span_id) ?? [];
  if (span.kind === "server" && sharing.length > 1) {
    const client = sharing.find((other) => other !== index && spans[other]?.kind === "client");
    if (client !== undefined) return client;
  }
  if (span.parent_span_id === null) return -1;
  const candidates = (byId.get(span.parent_span_id) ?? []).filter((other) => other !== index);
  const wanted = span.kind === "server" ? "client" : "server";
  return candidates.find((other) => spans[other]?.kind === wanted) ?? candidates[0] ?? -1;
}

/** Nonsense must not hang the page: whoever is reached again on the way up loses its parent. */
function cutCircles(parent: number[]) {
  const seenBy = new Array<number>(parent.length).fill(-1);
  for (let start = 0; start < parent.length; start += 1) {
    let at = start;
    while (at >= 0 && seenBy[at] === -1) {
      seenBy[at] = start;
      const next = parent[at] ?? -1;
      if (next >= 0 && seenBy[next] === start) parent[at] = -1;
      at = parent[at] ?? -1;
    }
  }
}

/** The spans to show, top to bottom: all but those below a closed one, or only those that `wanted` lets through. */
export function visibleRows(tree: Tree, closed: ReadonlySet<number>, wanted?: ReadonlySet<number>): number[] {
  const rows: number[] = [];
  let hiddenBelow = Number.POSITIVE_INFINITY;
  for (const index of tree.order) {
    const depth = tree.depth[index] ?? 0;
    if (depth > hiddenBelow) continue;
    hiddenBelow = closed.has(index) ? depth : Number.POSITIVE_INFINITY;
    if (!wanted || wanted.has(index)) rows.push(index);
  }
  return rows;
}

/** The spans and everything above them. */
export function withAncestors(tree: Tree, spans: Iterable<number>): Set<number> {
  const all = new Set<number>();
  for (const span of spans) {
    for (let at = span; at >= 0 && !all.has(at); at = tree.parent[at] ?? -1) all.add(at);
  }
  return all;
}

/** A stretch of the critical path on one span. */
export type Stretch = Pick<PathStep, "start_ns" | "end_ns" | "part"> & { span: number };

/** The critical path's steps with the spans they lie on, in the order of time. Steps of unknown spans are left out. */
export function stretches(path: readonly PathStep[], spans: readonly TreeSpan[]): Stretch[] {
  const byKey = new Map<string, number>();
  spans.forEach((span, index) => {
    byKey.set(`${span.span_id} ${span.kind}`, index);
    if (!byKey.has(span.span_id)) byKey.set(span.span_id, index);
  });
  const found: Stretch[] = [];
  for (const step of path) {
    const span = byKey.get(`${step.id} ${step.kind.toLowerCase()}`) ?? byKey.get(step.id);
    if (span !== undefined) found.push({ span, start_ns: step.start_ns, end_ns: step.end_ns, part: step.part });
  }
  return found;
}

/** Where the critical path steps from one row to another: a vertical line at `at_ns`. */
export type Hop = { at_ns: number; from: number; to: number };

/** The hops between rows. A span that is folded away is stood for by the nearest row above it. */
export function hops(path: readonly Stretch[], rows: readonly number[], tree: Tree): Hop[] {
  const rowOf = new Map(rows.map((span, row) => [span, row]));
  const shown = (span: number): number | undefined => {
    for (let at = span; at >= 0; at = tree.parent[at] ?? -1) {
      const row = rowOf.get(at);
      if (row !== undefined) return row;
    }
    return undefined;
  };
  const found: Hop[] = [];
  for (let i = 1; i < path.length; i += 1) {
    const before = path[i - 1];
    const after = path[i];
    if (!before || !after) continue;
    const from = shown(before.span);
    const to = shown(after.span);
    if (from !== undefined && to !== undefined && from !== to) found.push({ at_ns: after.start_ns, from, to });
  }
  return found;
}

/** Hops by the lower of their rows, so that scrolling need not look at all of them. */
export function hopsByLowerRow(all: readonly Hop[]): Map<number, Hop[]> {
  return groupBy(all, (hop) => Math.max(hop.from, hop.to));
}

/** With more hops than this, those that only pass by the rows in sight are left out: they would be a black wall. */
const PASSING_MAX = 200;

/** The hops to draw when the rows `from` to `to` are in sight. */
export function hopsInSight(
  all: readonly Hop[],
  byLowerRow: ReadonlyMap<number, readonly Hop[]>,
  from: number,
  to: number,
): Hop[] {
  if (all.length <= PASSING_MAX) {
    return all.filter((hop) => Math.max(hop.from, hop.to) >= from && Math.min(hop.from, hop.to) <= to);
  }
  const found: Hop[] = [];
  for (let row = from; row <= to; row += 1) found.push(...(byLowerRow.get(row) ?? []));
  return found;
}

/** The part of time that is shown, ns since the trace's first moment. */
export type Range = { from: number; to: number };

/** From the first start to the last end; never empty. */
export function extent(spans: readonly TreeSpan[]): Range {
  let from = Number.POSITIVE_INFINITY;
  let to = Number.NEGATIVE_INFINITY;
  for (const span of spans) {
    from = Math.min(from, span.start_ns);
    to = Math.max(to, span.end_ns);
  }
  if (!(from <= to)) return { from: 0, to: 1 };
  return to === from ? { from, to: from + 1 } : { from, to };
}

/** Where a time lies in the range, 0 at its begin, 1 at its end. */
export function position(range: Range, at: number): number {
  return (at - range.from) / (range.to - range.from);
}

/** A bar in parts of the width, cut off at the edges; `null` where it lies outside. */
export function bar(range: Range, start: number, end: number): { left: number; width: number } | null {
  const left = position(range, start);
  const right = position(range, end);
  if (right < 0 || left > 1) return null;
  const cut = Math.max(0, left);
  return { left: cut, width: Math.max(0, Math.min(1, right) - cut) };
}

/** The range, moved and cut so that it lies in `whole` and is at least `least` long. */
export function clampRange(range: Range, whole: Range, least = 1000): Range {
  const length = Math.min(whole.to - whole.from, Math.max(least, range.to - range.from));
  const from = Math.min(Math.max(range.from, whole.from), whole.to - length);
  return { from, to: from + length };
}

/** Zooms about a point: `factor` below 1 shows less. */
export function zoom(range: Range, whole: Range, factor: number, about = 0.5): Range {
  const length = (range.to - range.from) * factor;
  const at = range.from + (range.to - range.from) * about;
  return clampRange({ from: at - length * about, to: at + length * (1 - about) }, whole);
}

/** Round marks for an axis: at most `most` of them, all in one unit. */
export function ticks(range: Range, most: number): { at: number; label: string }[] {
  const length = range.to - range.from;
  const raw = length / Math.max(1, most);
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = ([1, 2, 5, 10].find((times) => power * times >= raw) ?? 10) * power;
  const far = Math.max(Math.abs(range.from), Math.abs(range.to));
  const [unit, size] = far >= 2e9 ? ["s", 1e9] : far >= 2e6 ? ["ms", 1e6] : far >= 2e3 ? ["µs", 1e3] : ["ns", 1];
  const decimals = Math.max(0, -Math.floor(Math.log10(step / size) + 1e-9));
  const marks: { at: number; label: string }[] = [];
  for (let n = Math.ceil(range.from / step - 1e-9); n * step <= range.to; n += 1) {
    const at = n * step;
    marks.push({ at, label: at === 0 ? "0" : `${(at / size).toFixed(decimals)} ${unit}` });
  }
  return marks;
}

/** Stretches by the row they are shown on, joined where the gap between two would be less than `gap_ns` wide. */
export function stretchesByRow(
  path: readonly Stretch[],
  rows: readonly number[],
  tree: Tree,
  gap_ns: number,
): Map<number, Stretch[]> {
  const rowOf = new Map(rows.map((span, row) => [span, row]));
  const found = new Map<number, Stretch[]>();
  for (const stretch of path) {
    let at = stretch.span;
    while (at >= 0 && !rowOf.has(at)) at = tree.parent[at] ?? -1;
    const row = rowOf.get(at);
    if (row === undefined) continue;
    const list = found.get(row);
    const last = list?.at(-1);
    if (!list || !last) found.set(row, [{ ...stretch }]);
    else if (stretch.start_ns - last.end_ns <= gap_ns && last.part === stretch.part) last.end_ns = stretch.end_ns;
    else list.push({ ...stretch });
  }
  return found;
}
