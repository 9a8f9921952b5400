// Places for nodes, labels and lines, by dagre. Both directions are tried: the one that is drawn larger wins, so that a
// telephone gets a tall graph and a wide screen a wide one.

import dagre from "@dagrejs/dagre";
import type { Graph } from "./model";

/** Sizes of nodes and labels, pixels at 100%. */
export type Sizes = { node: Size; label: Size };
/** With room for every word. */
export const FULL: Sizes = { node: { width: 220, height: 70 }, label: { width: 216, height: 50 } };
/** For telephones: numbers below each other, units once. */
export const COMPACT: Sizes = { node: { width: 152, height: 66 }, label: { width: 128, height: 60 } };

export type Size = { width: number; height: number };
export type Point = { x: number; y: number };

/** Where everything goes, by the ids of the graph's nodes and edges; points are centres, except those of `lines`, which run from border to border. */
export type Layout = {
  direction: "LR" | "TB";
  width: number;
  height: number;
  nodes: Map<string, Point>;
  labels: Map<string, Point>;
  lines: Map<string, Point[]>;
};

/** Lays the graph out in one direction. The same graph gives the same picture, in whatever order it came. */
export function layout(graph: Graph, direction: "LR" | "TB", sizes: Sizes = FULL): Layout {
  const g = new dagre.graphlib.Graph({ multigraph: true });
  g.setGraph({
    rankdir: direction,
    // dagre puts half of it on either side of a label.
    ranksep: sizes === COMPACT ? 32 : 48,
    nodesep: direction === "LR" ? 24 : 30,
    edgesep: 24,
    marginx: 12,
    marginy: 12,
  });
  for (const id of graph.nodes.map((node) => node.id).sort()) g.setNode(id, { ...sizes.node });
  for (const edge of graph.edges.toSorted((a, b) => (a.id < b.id ? -1 : 1))) {
    g.setEdge(edge.from.id, edge.to.id, { ...sizes.label, labelpos: "c" }, edge.id);
  }
  dagre.layout(g);

  const nodes = new Map(g.nodes().map((name) => [name, { x: g.node(name).x, y: g.node(name).y }]));
  const labels = new Map<string, Point>();
  const lines = new Map<string, Point[]>();
  for (const { v, w, name } of g.edges()) {
    const placed = g.edge(v, w, name) as { x: number; y: number; points: Point[] };
    labels.set(name ?? "", { x: placed.x, y: placed.y });
    lines.set(name ?? "", placed.points);
  }
  const size = g.graph() as { width?: number; height?: number };
  return { direction, width: size.width ?? 0, height: size.height ?? 0, nodes, labels, lines };
}

/** How large the layout is drawn in a space: 1 for full size, at most `most`. */
export function scaleIn(placed: Pick<Layout, "width" | "height">, space: Size, most = 1): number {
  return Math.min(most, space.width / Math.max(1, placed.width), space.height / Math.max(1, placed.height));
}

/** The layout in the direction that is drawn larger in this space. */
export function bestLayout(graph: Graph, space: Size, sizes: Sizes = FULL): Layout {
  const across = layout(graph, "LR", sizes);
  const down = layout(graph, "TB", sizes);
  return scaleIn(across, space) >= scaleIn(down, space) ? across : down;
}

/** A smooth line through the points, as SVG path data. */
export function smoothPath(points: readonly Point[]): string {
  const [first, ...rest] = points;
  if (!first) return "";
  let path = `M${place(first)}`;
  rest.forEach((point, i) => {
    const next = rest[i + 1];
    // Between two bends the curve passes through the middle; the bends themselves pull it.
    if (next)
      path +=
        i === rest.length - 2 ? `Q${place(point)} ${place(next)}` : `Q${place(point)} ${place(middle(point, next))}`;
    else if (rest.length === 1) path += `L${place(point)}`;
  });
  return path;
}

/** The triangle at a line's end. */
export function arrowHead(points: readonly Point[], size = 8): string {
  const tip = points.at(-1);
  const before = points.at(-2);
  if (!tip || !before) return "";
  const length = Math.hypot(tip.x - before.x, tip.y - before.y) || 1;
  const along = { x: (tip.x - before.x) / length, y: (tip.y - before.y) / length };
  const foot = { x: tip.x - along.x * size, y: tip.y - along.y * size };
  const half = size * 0.55;
  const left = { x: foot.x - along.y * half, y: foot.y + along.x * half };
  const right = { x: foot.x + along.y * half, y: foot.y - along.x * half };
  return `M${place(tip)}L${place(left)}L${place(right)}Z`;
}

function middle(a: Point, b: Point): Point {
  return { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 };
}

function place(point: Point): string {
  return `${Math.round(point.x * 10) / 10},${Math.round(point.y * 10) / 10}`;
}
