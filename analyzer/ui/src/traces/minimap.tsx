// The whole trace in a strip: where the critical path runs, which part of time the waterfall shows. Dragging chooses.

import { type PointerEvent, useEffect, useRef, useState } from "react";
import type { TraceView } from "../api/types";
import { useMedia } from "../lib/media";
import { useServiceColour } from "../lib/services";
import { useTheme } from "../lib/theme";
import { clampRange, position, type Range, type Stretch, type Tree } from "./geometry";

type Props = {
  trace: TraceView;
  tree: Tree;
  path: readonly Stretch[];
  whole: Range;
  range: Range;
  setRange: (range: Range) => void;
};

const HEIGHT = 48;

export function Minimap({ trace, tree, path, whole, range, setRange }: Props) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const colour = useServiceColour();
  const theme = useTheme();
  const dark = useMedia("(prefers-color-scheme: dark)");
  const [width, setWidth] = useState(0);
  const [drag, setDrag] = useState<Range | null>(null);

  useEffect(() => {
    const observer = new ResizeObserver(([entry]) => entry && setWidth(entry.contentRect.width));
    if (canvas.current) observer.observe(canvas.current);
    return () => observer.disconnect();
  }, []);

  // biome-ignore lint/correctness/useExhaustiveDependencies: a change of theme changes what the colours resolve to.
  useEffect(() => {
    if (canvas.current && width > 0) draw(canvas.current, width, trace, tree, path, whole, colour);
  }, [width, trace, tree, path, whole, theme, dark, colour]);

  const timeAt = (event: PointerEvent<HTMLElement>) => {
    const box = event.currentTarget.getBoundingClientRect();
    return whole.from + ((event.clientX - box.left) / box.width) * (whole.to - whole.from);
  };
  const onDown = (event: PointerEvent<HTMLElement>) => {
    if (event.button !== 0) return;
    event.currentTarget.setPointerCapture(event.pointerId);
    const at = timeAt(event);
    setDrag({ from: at, to: at });
  };
  const onMove = (event: PointerEvent<HTMLElement>) => {
    if (drag) setDrag({ from: drag.from, to: timeAt(event) });
  };
  const onUp = () => {
    if (!drag) return;
    setDrag(null);
    const [from, to] = drag.from < drag.to ? [drag.from, drag.to] : [drag.to, drag.from];
    // A click without a drag is no choice of a range.
    if (to - from > (whole.to - whole.from) / 200) setRange(clampRange({ from, to }, whole));
  };

  const marked = drag ? { from: Math.min(drag.from, drag.to), to: Math.max(drag.from, drag.to) } : range;
  const left = 100 * position(whole, marked.from);
  const right = 100 * (1 - position(whole, marked.to));
  return (
    <div
      className="minimap"
      aria-hidden="true"
      title="Drag to zoom, double-click to show everything"
      onPointerDown={onDown}
      onPointerMove={onMove}
      onPointerUp={onUp}
      onPointerCancel={() => setDrag(null)}
      onDoubleClick={() => setRange(whole)}
    >
      <canvas ref={canvas} style={{ height: HEIGHT }} />
      <i className="shade" style={{ left: 0, width: `${Math.max(0, left)}%` }} />
      <i className="shade" style={{ right: 0, width: `${Math.max(0, right)}%` }} />
    </div>
  );
}

function draw(
  canvas: HTMLCanvasElement,
  width: number,
  trace: TraceView,
  tree: Tree,
  path: readonly Stretch[],
  whole: Range,
  colour: (service: string) => string,
) {
  const context = canvas.getContext("2d");
  if (!context) return;
  const scale = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(HEIGHT * scale);
  context.scale(scale, scale);
  context.clearRect(0, 0, width, HEIGHT);

  const resolve = resolver(canvas);
  const rows = tree.order.length;
  const step = Math.min(5, (HEIGHT - 4) / Math.max(1, rows));
  const thick = Math.max(1, step * 0.6);
  const rowOf = new Array<number>(rows);
  const x = (at: number) => position(whole, at) * width;

  context.globalAlpha = 0.55;
  tree.order.forEach((index, row) => {
    rowOf[index] = row;
    const span = trace.spans[index];
    if (!span) return;
    context.fillStyle = resolve(colour(span.service));
    context.fillRect(x(span.start_ns), 2 + row * step, Math.max(1, x(span.end_ns) - x(span.start_ns)), thick);
  });
  context.globalAlpha = 1;
  context.fillStyle = resolve("var(--ink)");
  for (const stretch of path) {
    const top = 2 + (rowOf[stretch.span] ?? 0) * step;
    context.fillRect(
      x(stretch.start_ns),
      top,
      Math.max(0.5, x(stretch.end_ns) - x(stretch.start_ns)),
      Math.max(1, thick),
    );
  }
}

/** A canvas knows no CSS variables: the element's own colour is set to each, and read back. */
function resolver(element: HTMLElement): (value: string) => string {
  const known = new Map<string, string>();
  return (value) => {
    let found = known.get(value);
    if (found === undefined) {
      element.style.color = value;
      found = getComputedStyle(element).color;
      known.set(value, found);
    }
    return found;
  };
}
