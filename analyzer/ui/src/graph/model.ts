// What the dependency graph shows of the analyzer's answer: which nodes and edges a filter leaves, and their words.

import type { Certainty, Edge, EdgeList, EntryPoint, LinkCounts, Node } from "../api/types";
import { countShort, percent, sameUnit } from "../lib/format";

/** Nodes and edges of one view of the graph. */
export type Graph = { nodes: Node[]; edges: Edge[]; entries: Map<string, EntryPoint> };

/** The graph of an answer. With `service`, only that service, its neighbours, and the edges that touch it. */
export function graphOf(answer: EdgeList, service: string | null): Graph {
  const entries = new Map(answer.entry_points.map((entry) => [entry.service, entry]));
  if (service === null) return { nodes: answer.nodes, edges: answer.edges, entries };
  const edges = answer.edges.filter((edge) => edge.from_service === service || edge.to_service === service);
  const near = new Set([service, ...edges.flatMap((edge) => [edge.from_service, edge.to_service])]);
  return { nodes: answer.nodes.filter((node) => near.has(node.name)), edges, entries };
}

/** Names an edge; names of services hold no line breaks. */
export function edgeKey(edge: Pick<Edge, "from_service" | "to_service">): string {
  return `${edge.from_service}\n${edge.to_service}`;
}

/** How sure the links of most calls are: what kind of line an edge gets. Even a few guessed calls make it dashed. */
export function edgeCertainty(links: LinkCounts): Certainty {
  const all = links.certain + links.likely + links.unlinked;
  if (links.unlinked * 2 > all) return "unlinked";
  return links.likely + links.unlinked > 0 ? "likely" : "certain";
}

/** `98% certain, 2% likely`; kinds that do not occur are left out. */
export function certaintyWords(links: LinkCounts): string {
  const all = links.certain + links.likely + links.unlinked;
  if (all === 0) return "no links";
  const kinds = ["certain", "likely", "unlinked"] as const;
  const present = kinds.filter((kind) => links[kind] > 0);
  if (present.length === 1) return `all ${present[0]}`;
  return present.map((kind) => `${percent(links[kind] / all)} ${kind}`).join(", ");
}

/** The lines of an edge's label. */
export type EdgeLabel = { calls: string; errors: string; latency: string; certainty: string };

/** The label of an edge: calls, error rate, p50/p95/p99, certainty; `brief` where there is little room. */
export function edgeLabel(edge: Edge, brief = false): EdgeLabel {
  return {
    calls: `${countShort(edge.call_count)} ${edge.call_count === 1 ? "call" : "calls"}`,
    errors: `${percent(edge.error_rate)} errors`,
    latency: latencyWords(edge, brief),
    certainty: brief ? commonest(edge.certainty) : certaintyWords(edge.certainty),
  };
}

/** `96% likely`: the kind of link that most calls have. */
function commonest(links: LinkCounts): string {
  const all = links.certain + links.likely + links.unlinked;
  const [kind] = (["certain", "likely", "unlinked"] as const).toSorted((a, b) => links[b] - links[a]);
  return all > 0 && kind ? `${percent(links[kind] / all)} ${kind}` : "no links";
}

/** `p50 12 · p95 40.1 · p99 88 ms`, or `12 · 40.1 · 88 ms`. */
export function latencyWords(of: Pick<Edge, "p50_ms" | "p95_ms" | "p99_ms">, brief = false): string {
  const { values, unit } = sameUnit([of.p50_ms, of.p95_ms, of.p99_ms]);
  if (brief) return `${values.join(" · ")} ${unit}`;
  return `p50 ${values[0]} · p95 ${values[1]} · p99 ${values[2]} ${unit}`;
}
