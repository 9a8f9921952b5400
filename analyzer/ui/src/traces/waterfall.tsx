// The waterfall: a tree of spans over a time axis, with the critical path drawn through it. Only rows in sight exist in
// the document, so ten thousand spans scroll like ten.

import { useVirtualizer } from "@tanstack/react-virtual";
import { type CSSProperties, type KeyboardEvent, useContext, useEffect, useMemo, useRef, useState } from "react";
import type { TraceView } from "../api/types";
import { type Identity, ServiceNames, serviceOf } from "../lib/identity";
import { useMedia } from "../lib/media";
import { useParams } from "../lib/router";
import {
  clampRange,
  extent,
  hops,
  hopsByLowerRow,
  hopsInSight,
  position,
  type Range,
  stretches,
  stretchesByRow,
  type Tree,
  ticks,
  visibleRows,
  withAncestors,
  zoom,
} from "./geometry";
import { commandOf } from "./keys";
import { isCall } from "./link-chip";
import { Minimap } from "./minimap";
import { Hops, Marks } from "./overlay";
import { SpanRow } from "./span-row";
import { Toolbar } from "./toolbar";
import { rangeOf, rangeText } from "./zoom";
import "./waterfall.css";

type Props = { trace: TraceView; tree: Tree; selected: number; select: (index: number) => void };

/** Two stretches of the path closer than this part of the width are drawn as one: less than a pixel of a wide screen. */
const GAP = 1 / 2500;

export function Waterfall({ trace, tree, selected, select }: Props) {
  const [params, change] = useParams();
  const onlyPath = params.get("show") === "path";
  const [closed, setClosed] = useState<ReadonlySet<number>>(new Set());
  const scroller = useRef<HTMLDivElement>(null);
  const rowHeight = useMedia("(pointer: coarse)") ? 36 : 28;

  const whole = useMemo(() => extent(trace.spans), [trace]);
  const zoomed = params.get("zoom");
  const range = useMemo(() => clampRange(rangeOf(zoomed) ?? whole, whole), [zoomed, whole]);
  const setRange = (next: Range) => {
    const all = next.from <= whole.from && next.to >= whole.to;
    change({ zoom: all ? null : rangeText(next) }, { replace: true });
  };

  const path = useMemo(() => stretches(trace.critical_path?.path ?? [], trace.spans), [trace]);
  const onPath = useMemo(() => withAncestors(tree, new Set(path.map((stretch) => stretch.span))), [tree, path]);
  const rows = useMemo(
    () => visibleRows(tree, closed, onlyPath ? onPath : undefined),
    [tree, closed, onlyPath, onPath],
  );
  const critical = useMemo(
    () => stretchesByRow(path, rows, tree, (range.to - range.from) * GAP),
    [path, rows, tree, range],
  );
  const jumps = useMemo(() => hops(path, rows, tree), [path, rows, tree]);
  const jumpsByRow = useMemo(() => hopsByLowerRow(jumps), [jumps]);
  const nameOf = useContext(ServiceNames);
  const targets = useMemo(() => callTargets(trace, nameOf), [trace, nameOf]);
  const marks = useTicks(range, scroller);

  const virtual = useVirtualizer({
    count: rows.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => rowHeight,
    // Rows below the axis, which stays in sight while they scroll.
    scrollPaddingStart: AXIS_HEIGHT,
    overscan: 10,
  });
  // biome-ignore lint/correctness/useExhaustiveDependencies: sizes are measured anew when the row height changes.
  useEffect(() => virtual.measure(), [rowHeight]);

  const selectedRow = useMemo(() => (selected < 0 ? -1 : rows.indexOf(selected)), [rows, selected]);
  // A link to a span shows that span: what folds it away is opened, and it is scrolled to.
  useEffect(() => {
    if (selected < 0) return;
    const above = withAncestors(tree, [tree.parent[selected] ?? -1]);
    setClosed((old) => (old.isDisjointFrom(above) ? old : old.difference(above)));
  }, [selected, tree]);
  useEffect(() => {
    if (selectedRow >= 0) virtual.scrollToIndex(selectedRow, { align: "auto" });
  }, [selectedRow, virtual]);

  const toggle = (index: number) =>
    setClosed((old) => (old.has(index) ? old.difference(new Set([index])) : old.union(new Set([index]))));

  const zoomBy = (factor: number | null) =>
    setRange(factor === null ? whole : zoom(range, whole, factor, focus(range, trace, selected)));
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.metaKey || event.ctrlKey || event.altKey) return;
    const page = Math.max(1, Math.floor((scroller.current?.clientHeight ?? 0) / rowHeight) - 2);
    const command = commandOf(event.key, { tree, rows, closed, selected, page });
    if (!command) return;
    event.preventDefault();
    if ("select" in command) select(command.select);
    else if ("toggle" in command) toggle(command.toggle);
    else zoomBy(command.zoom);
  };

  const shown = virtual.getVirtualItems();
  const sight = { from: shown[0]?.index ?? 0, to: shown.at(-1)?.index ?? 0, rowHeight };
  const isShown = shown.some((item) => item.index === selectedRow);
  return (
    <section className="card waterfall" aria-labelledby="waterfall">
      <Toolbar
        spans={trace.spans.length}
        shown={rows.length}
        onlyPath={onlyPath}
        hasPath={path.length > 0}
        zoomed={range.from > whole.from || range.to < whole.to}
        showPath={(only) => change({ show: only ? "path" : null }, { replace: true })}
        fold={(all) => setClosed(all ? new Set(tree.order.filter((index) => tree.children[index]?.length)) : new Set())}
        zoom={zoomBy}
      />
      <Minimap trace={trace} tree={tree} path={path} whole={whole} range={range} setRange={setRange} />
      <div
        ref={scroller}
        className="rows"
        role="treegrid"
        tabIndex={0}
        aria-labelledby="waterfall"
        aria-rowcount={rows.length + 1}
        aria-activedescendant={isShown ? `span-${selected}` : undefined}
        onKeyDown={onKeyDown}
        style={{ "--row": `${rowHeight}px` } as CSSProperties}
      >
        <div className="axis" role="row" aria-rowindex={1}>
          <span role="columnheader">Service and operation</span>
          <span role="columnheader" className="link">
            Link
          </span>
          <span role="columnheader" className="time">
            <span className="hidden">Time</span>
            {marks.map((mark) => (
              <i key={mark.at} style={{ left: `${100 * position(range, mark.at)}%` }}>
                {mark.label}
              </i>
            ))}
          </span>
        </div>
        <div className="sheet" role="presentation" style={{ height: virtual.getTotalSize() }}>
          <Marks marks={marks} range={range} sight={sight} />
          <Hops hops={hopsInSight(jumps, jumpsByRow, sight.from, sight.to)} range={range} sight={sight} />
          {shown.map((item) => {
            const index = rows[item.index] ?? 0;
            const span = trace.spans[index];
            if (!span) return null;
            return (
              <SpanRow
                key={index}
                index={index}
                row={item.index}
                top={item.start}
                span={span}
                target={targets.get(index)}
                depth={tree.depth[index] ?? 0}
                childCount={tree.children[index]?.length ?? 0}
                open={!closed.has(index)}
                selected={index === selected}
                range={range}
                critical={critical.get(item.index)}
                select={select}
                toggle={toggle}
              />
            );
          })}
        </div>
      </div>
    </section>
  );
}

const AXIS_HEIGHT = 28;

/** Whom each call goes to, by its place in the list of spans. */
function callTargets(trace: TraceView, nameOf: (one: Identity) => string): Map<number, string> {
  const answers = new Map<string, string>();
  for (const span of trace.spans) {
    if (span.kind === "server" || span.kind === "consumer") answers.set(span.span_id, nameOf(serviceOf(span)));
  }
  const called = new Map(
    trace.edges.map((call) => [call.client_span_id, answers.get(call.server_span_id ?? "") ?? call.to]),
  );
  const found = new Map<number, string>();
  trace.spans.forEach((span, index) => {
    if (!isCall(span)) return;
    const peer = called.get(span.span_id) ?? span.attributes["peer.service"] ?? span.attributes["server.address"];
    found.set(index, typeof peer === "string" ? peer : "");
  });
  return found;
}

/** Zooming keeps the selected span's middle in its place, else the middle of what is shown. */
function focus(range: Range, trace: TraceView, selected: number): number {
  const span = trace.spans[selected];
  if (!span) return 0.5;
  const at = position(range, (span.start_ns + span.end_ns) / 2);
  return at >= 0 && at <= 1 ? at : 0.5;
}

/** Marks on the axis, fewer where there is less room. */
function useTicks(range: Range, scroller: React.RefObject<HTMLDivElement | null>) {
  const [width, setWidth] = useState(800);
  useEffect(() => {
    const observer = new ResizeObserver(([entry]) => entry && setWidth(entry.contentRect.width));
    if (scroller.current) observer.observe(scroller.current);
    return () => observer.disconnect();
  }, [scroller]);
  return useMemo(() => ticks(range, Math.max(2, Math.floor(width / 150))), [range, width]);
}
