// What the dependency graph shows of the analyzer's answer: who is who, which part a filter leaves, and the words.

import type { Certainty, Edge, EdgeList, EntryPoint, LinkCounts, Node } from "../api/types";
import { count, countShort, percent, sameUnit } from "../lib/format";
import { groupBy } from "../lib/group";
import { identityKey, namer, serviceOf } from "../lib/identity";

/** A node. Two services may share a name in different namespaces or environments. */
export type GraphNode = {
  /** In the address and on the page: the name, with namespace and environment where it alone is not enough. */
  id: string;
  node: Node;
  /** Calls from outside, where there were any. */
  entry: EntryPoint | undefined;
};

/** Calls of one kind from one node to another. */
export type GraphEdge = { id: string; from: GraphNode; to: GraphNode; edge: Edge };

/** Nodes and edges of one view of the graph. */
export type Graph = { nodes: GraphNode[]; edges: GraphEdge[] };

/** The names that tell an edge from others in the address; `link` only where there are several kinds of call. */
export type EdgeName = { from: string; to: string; link: string | null };

/** The graph of an answer; with `environment`, of that one alone. */
export function graphOf(answer: EdgeList, environment: string | null = null): Graph {
  const wanted = (of: string | null) => environment === null || of === null || of === environment;
  const shown = answer.nodes.filter((node) => wanted(node.environment));
  const nameOf = namer(shown);
  const entries = new Map(answer.entry_points.map((entry) => [identityKey(serviceOf(entry)), entry]));
  const nodes = shown.map((node): GraphNode => ({ id: nameOf(node), node, entry: entries.get(identityKey(node)) }));

  const nodesByName = groupBy(nodes, (node) => node.node.name);
  const drawn: Omit<GraphEdge, "id">[] = [];
  for (const edge of answer.edges) {
    if (!wanted(edge.environment)) continue;
    const from = best(nodesByName.get(edge.from_service), edge.from_namespace, edge.environment);
    const to = best(nodesByName.get(edge.to_service), edge.to_namespace, edge.to_environment);
    if (from && to) drawn.push({ from, to, edge });
  }
  const between = groupBy(drawn, ({ from, to }) => `${from.id}\n${to.id}`);
  const edges = [...between].flatMap(([id, kinds]) =>
    kinds.map((one): GraphEdge => ({ id: kinds.length > 1 ? `${id}\n${one.edge.link_type}` : id, ...one })),
  );
  // Nodes of another environment that are there only as callees without a sidecar.
  const touched = new Set(edges.flatMap((edge) => [edge.from, edge.to]));
  return {
    nodes: environment === null ? nodes : nodes.filter((node) => !node.node.virtual || touched.has(node)),
    edges,
  };
}

/** Of nodes that share a name the one that fits best. */
function best(nodes: GraphNode[] | undefined, namespace: string | null, environment: string | null) {
  const closeness = ({ node }: GraphNode) =>
    Number(node.namespace === namespace) * 2 + Number(node.environment === environment);
  return nodes?.toSorted((a, b) => closeness(b) - closeness(a))[0];
}

/** Whether the address means this node: by its id here, or by its bare name. */
export function isMeant(node: GraphNode, service: string | null): boolean {
  return service !== null && (node.id === service || node.node.name === service);
}

/** Of the graph only a service, its neighbours, and the edges that touch it; everything where none is given. */
export function around(graph: Graph, service: string | null): Graph {
  if (service === null) return graph;
  const edges = graph.edges.filter((edge) => isMeant(edge.from, service) || isMeant(edge.to, service));
  const near = new Set(edges.flatMap((edge) => [edge.from, edge.to]));
  return { nodes: graph.nodes.filter((node) => near.has(node) || isMeant(node, service)), edges };
}

/** What names an edge in the address. */
export function nameOf({ from, to, id, edge }: GraphEdge): EdgeName {
  return { from: from.id, to: to.id, link: id.endsWith(`\n${edge.link_type}`) ? edge.link_type : null };
}

/** The edge that the address means. */
export function edgeNamed(graph: Graph, name: EdgeName | null): GraphEdge | undefined {
  if (name === null) return undefined;
  const fits = graph.edges.filter((edge) => isMeant(edge.from, name.from) && isMeant(edge.to, name.to));
  return fits.find((edge) => edge.edge.link_type === name.link) ?? fits[0];
}

/** The environments that services said they are in. */
export function environments(answer: EdgeList): string[] {
  return [...new Set(answer.nodes.flatMap((node) => node.environment ?? []))].sort();
}

/** How sure the links of most calls are: what kind of line an edge gets. Even a few guessed calls make it dashed. */
export function edgeCertainty(links: LinkCounts): Certainty {
  const all = links.certain + links.likely + links.unlinked;
  if (all === 0 || links.unlinked * 2 > all) return "unlinked";
  return links.likely + links.unlinked > 0 ? "likely" : "certain";
}

/** Of calls whose callers have not reported: only they would know what caused them. */
const NOT_REPORTED = "cause not reported";

/** `98% certain, 2% likely`; kinds that do not occur are left out. */
export function certaintyWords(links: LinkCounts): string {
  const all = links.certain + links.likely + links.unlinked;
  if (all === 0) return NOT_REPORTED;
  const kinds = ["certain", "likely", "unlinked"] as const;
  const present = kinds.filter((kind) => links[kind] > 0);
  if (present.length === 1) return `all ${present[0]}`;
  return present.map((kind) => `${percent(links[kind] / all)} ${kind}`).join(", ");
}

/** `96% likely`: the kind of link that most calls have. */
function commonest(links: LinkCounts): string {
  const all = links.certain + links.likely + links.unlinked;
  const [kind] = (["certain", "likely", "unlinked"] as const).toSorted((a, b) => links[b] - links[a]);
  return all > 0 && kind ? `${percent(links[kind] / all)} ${kind}` : NOT_REPORTED;
}

/** How many calls the sidecars counted, beside those seen as spans. Spans arrive at once and counters every few seconds,
 * so that for a moment there are more spans: then the counters are behind, and no share of them is shown. */
export function countedWords({ spans_seen, counted }: Pick<Edge, "spans_seen" | "counted">): string {
  if (counted === null) return "";
  if (counted >= spans_seen) return `of ${count(counted)} counted by sidecars`;
  return `(sidecars' counters follow every few seconds: ${count(counted)} so far)`;
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

/** `p50 12 · p95 40.1 · p99 88 ms`, or `12 · 40.1 · 88 ms`. */
export function latencyWords(of: Pick<Edge, "p50_ms" | "p95_ms" | "p99_ms">, brief = false): string {
  const { values, unit } = sameUnit([of.p50_ms, of.p95_ms, of.p99_ms]);
  if (brief) return `${values.join(" · ")} ${unit}`;
  return `p50 ${values[0]} · p95 ${values[1]} · p99 ${values[2]} ${unit}`;
}
