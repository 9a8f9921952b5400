// The drawing. dagre says where everything goes; React Flow moves and zooms it. Nodes are links and labels are links, so
// that the picture is as usable by keyboard as the table.

import {
  BaseEdge,
  EdgeLabelRenderer,
  type EdgeProps,
  type Edge as FlowEdge,
  type Node as FlowNode,
  Panel as FlowPanel,
  Handle,
  type NodeProps,
  Position,
  ReactFlow,
  ReactFlowProvider,
  useReactFlow,
} from "@xyflow/react";
import "@xyflow/react/dist/base.css";
import { type CSSProperties, useEffect, useMemo, useRef, useState } from "react";
import { CALLERS_ERRORS, SERVICES_ERRORS } from "../lib/errors";
import { countShort, percent, rate } from "../lib/format";
import { Link } from "../lib/router";
import { useServiceColour } from "../lib/services";
import { Icon } from "../ui/icons";
import { Health } from "../ui/parts";
import { graphHref } from "./address";
import {
  arrowHead,
  bestLayout,
  COMPACT,
  FULL,
  type Layout,
  type Point,
  type Sizes,
  scaleIn,
  smoothPath,
} from "./layout";
import {
  edgeCertainty,
  edgeLabel,
  type Graph,
  type GraphEdge,
  type GraphNode,
  isMeant,
  latencyWords,
  nameOf,
} from "./model";
import "./canvas.css";

type ServiceNode = FlowNode<{ of: GraphNode; brief: boolean; selected: boolean }, "service">;
type CallEdge = FlowEdge<
  { of: GraphEdge; points: Point[]; label: Point; sizes: Sizes; selected: boolean; dimmed: boolean },
  "call"
>;

const nodeTypes = { service: ServiceBox };
const edgeTypes = { call: CallLine };

type Props = { graph: Graph; service: string | null; selected: string | null };

export default function Canvas(props: Props) {
  const box = useRef<HTMLElement>(null);
  const [space, setSpace] = useState<{ width: number; height: number } | null>(null);

  useEffect(() => {
    const observer = new ResizeObserver(([entry]) => {
      if (!entry) return;
      const { width, height } = entry.contentRect;
      setSpace((old) => (old?.width === width && old.height === height ? old : { width, height }));
    });
    if (box.current) observer.observe(box.current);
    return () => observer.disconnect();
  }, []);

  return (
    <section className="graph-canvas" ref={box} aria-label="Dependency graph, drawn. The table has the same data.">
      {space && (
        <ReactFlowProvider>
          <Flow {...props} space={space} />
        </ReactFlowProvider>
      )}
    </section>
  );
}

function Flow({ graph, service, selected, space }: Props & { space: { width: number; height: number } }) {
  const sizes = space.width < COMPACT_BELOW ? COMPACT : FULL;
  // A narrow picture would lie below the buttons: it ends above them.
  const free = sizes === COMPACT ? { ...space, height: space.height - BUTTONS_HEIGHT } : space;
  // Places depend on names alone: new numbers every few seconds must not make the picture jump.
  const shape = [...graph.nodes.map((node) => node.id), "", ...graph.edges.map((edge) => edge.id)].join("\n");
  // biome-ignore lint/correctness/useExhaustiveDependencies: `shape` stands for the graph's names.
  const placed = useMemo(() => bestLayout(graph, free, sizes), [shape, space, sizes]);
  const flow = useReactFlow();
  const fitted = wholeView(placed, free);

  // biome-ignore lint/correctness/useExhaustiveDependencies: a new layout is shown whole; the reader's own zoom stays else.
  useEffect(() => {
    void flow.setViewport(fitted);
  }, [flow, placed]);

  return (
    <ReactFlow<ServiceNode, CallEdge>
      nodes={flowNodes(graph, placed, service, sizes)}
      edges={flowEdges(graph, placed, selected, sizes)}
      nodeTypes={nodeTypes}
      edgeTypes={edgeTypes}
      nodesDraggable={false}
      nodesConnectable={false}
      nodesFocusable={false}
      edgesFocusable={false}
      elementsSelectable={false}
      elevateEdgesOnSelect={false}
      minZoom={ZOOM_MIN}
      maxZoom={1.75}
      defaultViewport={fitted}
      proOptions={{ hideAttribution: true }}
    >
      <FlowPanel position="bottom-right" className="graph-zoom">
        <button type="button" className="button square" aria-label="Zoom in" onClick={() => void flow.zoomIn()}>
          <Icon name="plus" />
        </button>
        <button type="button" className="button square" aria-label="Zoom out" onClick={() => void flow.zoomOut()}>
          <Icon name="minus" />
        </button>
        <button
          type="button"
          className="button square"
          aria-label="Show the whole graph"
          onClick={() => void flow.setViewport(fitted)}
        >
          <Icon name="fit" />
        </button>
      </FlowPanel>
    </ReactFlow>
  );
}

/** The whole layout in the middle. React Flow's own fitting knows nodes alone, and would cut labels off. */
function wholeView(placed: Layout, space: { width: number; height: number }) {
  const zoom = Math.max(ZOOM_MIN, scaleIn(placed, space, 1.2));
  return { x: (space.width - placed.width * zoom) / 2, y: (space.height - placed.height * zoom) / 2, zoom };
}

const ZOOM_MIN = 0.2;

/** Narrower pictures have smaller nodes and labels of more, shorter lines. */
const COMPACT_BELOW = 560;

/** Of the zoom buttons with their margin. */
const BUTTONS_HEIGHT = 48;

function flowNodes(graph: Graph, placed: Layout, service: string | null, sizes: Sizes): ServiceNode[] {
  return graph.nodes.map((of) => {
    const at = placed.nodes.get(of.id) ?? { x: 0, y: 0 };
    return {
      id: of.id,
      type: "service",
      position: { x: at.x - sizes.node.width / 2, y: at.y - sizes.node.height / 2 },
      ...sizes.node,
      data: { of, brief: sizes === COMPACT, selected: isMeant(of, service) },
    };
  });
}

function flowEdges(graph: Graph, placed: Layout, selected: string | null, sizes: Sizes): CallEdge[] {
  const found: CallEdge[] = [];
  for (const of of graph.edges) {
    const points = placed.lines.get(of.id);
    const label = placed.labels.get(of.id);
    if (!points || !label) continue;
    const isSelected = of.id === selected;
    const data = { of, points, label, sizes, selected: isSelected, dimmed: selected !== null && !isSelected };
    found.push({ id: of.id, type: "call", source: of.from.id, target: of.to.id, data });
  }
  // The chosen one is drawn last, on top.
  return selected === null ? found : found.sort((a, b) => Number(a.data?.selected) - Number(b.data?.selected));
}

function ServiceBox({ data: { of, brief, selected } }: NodeProps<ServiceNode>) {
  const { node, entry, id } = of;
  const colour = useServiceColour();
  const kind = ["graph-node", node.virtual && "virtual", selected && "selected", node.status ?? "none"];
  return (
    <>
      <Handle type="target" position={Position.Left} isConnectable={false} />
      <Link
        href={graphHref({ service: selected ? null : id, edge: null })}
        className={`${kind.filter(Boolean).join(" ")} nopan`}
        style={{ "--hue": colour(node.name) } as CSSProperties}
        title={selected ? "Show all services" : "Show only this service and its neighbours"}
        draggable={false}
      >
        <span className="first">
          <b className="cut" title={id}>
            {id}
          </b>
          {entry && (
            <span
              className={brief ? "hidden" : "chip plain"}
              title={`${countShort(entry.call_count)} calls from outside`}
            >
              entry
            </span>
          )}
          {node.virtual ? (
            <span className={brief ? "hidden" : "chip plain"}>no sidecar</span>
          ) : (
            <Health status={node.status} terse />
          )}
        </span>
        <span>
          <span className="hidden">, </span>
          {rate(node.rate)} ·{" "}
          <span
            className={node.errors > 0 ? "bad-text" : undefined}
            title={node.virtual ? CALLERS_ERRORS : SERVICES_ERRORS}
          >
            {percent(node.error_rate)}
            <span className={brief ? "hidden" : undefined}> errors</span>
          </span>
        </span>
        <span className="latency">{latencyWords(node, brief)}</span>
      </Link>
      <Handle type="source" position={Position.Right} isConnectable={false} />
    </>
  );
}

function CallLine({ id, data }: EdgeProps<CallEdge>) {
  if (!data) return null;
  const { of, points, label, sizes, selected, dimmed } = data;
  const { edge } = of;
  const brief = sizes === COMPACT;
  const certainty = edgeCertainty(edge.certainty);
  const words = edgeLabel(edge, brief);
  const state = [certainty, edge.error_rate >= 0.05 && "failing", selected && "selected", dimmed && "dimmed"];
  const kind = state.filter(Boolean).join(" ");
  // Ten times the calls make the line a pixel wider.
  const width = 1.25 + Math.min(3, Math.log10(Math.max(1, edge.call_count)) * 0.5);
  return (
    <>
      <BaseEdge
        id={id}
        path={smoothPath(points)}
        className={`graph-line ${kind}`}
        style={{ strokeWidth: width }}
        interactionWidth={0}
      />
      <path d={arrowHead(points, 6 + width * 1.5)} className={`graph-arrow ${kind}`} />
      <EdgeLabelRenderer>
        <Link
          href={graphHref({ edge: selected ? null : nameOf(of) })}
          className={`graph-label nopan ${kind}`}
          style={{
            ...sizes.label,
            transform: `translate(-50%, -50%) translate(${label.x}px, ${label.y}px)`,
          }}
          data-calls={edge.call_count}
          data-edge={`${of.from.id} -> ${of.to.id}`}
        >
          <span className="calls">
            <span className="hidden">
              {of.from.id} calls {of.to.id}:{" "}
            </span>
            <b>{words.calls}</b>
            {brief ? <br /> : " · "}
            <span className={edge.errors > 0 ? "bad-text" : undefined} title={CALLERS_ERRORS}>
              {words.errors}
            </span>
          </span>{" "}
          <span>{words.latency}</span>{" "}
          <span className="certainty">
            <span className="hidden">links: </span>
            {words.certainty}
          </span>
        </Link>
      </EdgeLabelRenderer>
    </>
  );
}
