// The dependency graph in words and numbers: for keyboards, for screen readers, and for whoever compares numbers.

import type { Edge, EdgeList, Service, ServiceHealth } from "../api/types";
import { ago, count, dateTime, duration, rate } from "../lib/format";
import { Link } from "../lib/router";
import { ErrorRate, Health, ServiceName } from "../ui/parts";
import { graphHref } from "./address";
import { certaintyWords, edgeCertainty, edgeKey } from "./model";
import "./tables.css";

function Latencies({ of }: { of: Pick<Edge, "p50_ms" | "p95_ms" | "p99_ms"> }) {
  return (
    <>
      <td className="num">{duration(of.p50_ms)}</td>
      <td className="num">{duration(of.p95_ms)}</td>
      <td className="num">{duration(of.p99_ms)}</td>
    </>
  );
}

const LATENCY_HEADS = ["p50", "p95", "p99"].map((name) => (
  <th key={name} scope="col" className="num">
    {name}
  </th>
));

function Seen({ at }: { at: string | undefined }) {
  if (at === undefined) return <td className="num rest">–</td>;
  const then = new Date(at);
  return (
    <td className="num rest soft" title={dateTime(then)}>
      {ago(then, new Date())}
    </td>
  );
}

/** A box that scrolls sideways when the table is wider; reachable by keyboard, as scrolling must be. */
function Scroll({ label, children }: { label: string; children: React.ReactNode }) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be scrollable by keyboard.
    <section className="scroll-x" tabIndex={0} aria-label={label}>
      {children}
    </section>
  );
}

/** Every node of the graph with its health, rate, errors and duration. */
export function ServicesTable(props: {
  graph: Pick<EdgeList, "nodes">;
  services: readonly Service[];
  health: readonly ServiceHealth[];
  selected?: string | null;
}) {
  const known = new Map(props.services.map((service) => [service.name, service]));
  const findings = new Map(props.health.map((one) => [one.name, one]));
  return (
    <Scroll label="Table of services">
      <table className="table">
        <caption className="hidden">Services with health, rate, errors and latency</caption>
        <thead>
          <tr>
            <th scope="col">Service</th>
            <th scope="col">Health</th>
            <th scope="col" className="num">
              Requests
            </th>
            <th scope="col" className="num rest">
              Rate
            </th>
            <th scope="col" className="num">
              Errors
            </th>
            {LATENCY_HEADS}
            <th scope="col" className="num rest">
              Last seen
            </th>
          </tr>
        </thead>
        <tbody>
          {props.graph.nodes.map((node) => (
            <tr key={node.name} className={node.name === props.selected ? "selected" : undefined}>
              <th scope="row">
                <Link href={graphHref({ service: node.name, edge: null })}>
                  <ServiceName name={node.name} virtual={node.virtual} />
                </Link>
              </th>
              <td
                title={
                  findings
                    .get(node.name)
                    ?.findings.map((finding) => finding.text)
                    .join("\n") || undefined
                }
              >
                {node.virtual ? <span className="soft">No sidecar</span> : <Health status={node.status} />}
              </td>
              <td className="num">{count(node.requests)}</td>
              <td className="num rest">{rate(node.rate)}</td>
              <td className="num">
                <ErrorRate share={node.error_rate} />
              </td>
              <Latencies of={node} />
              <Seen at={known.get(node.name)?.last_seen} />
            </tr>
          ))}
        </tbody>
      </table>
    </Scroll>
  );
}

/** Every edge of the graph. */
export function CallsTable(props: { graph: Pick<EdgeList, "nodes" | "edges">; selected?: string | null }) {
  const { graph, selected } = props;
  const silent = new Set(graph.nodes.filter((node) => node.virtual).map((node) => node.name));
  return (
    <Scroll label="Table of calls">
      <table className="table">
        <caption className="hidden">
          Calls between services with counts, errors, latency and certainty of the links
        </caption>
        <thead>
          <tr>
            <th scope="col">Caller</th>
            <th scope="col">Callee</th>
            <th scope="col" className="num">
              Calls
            </th>
            <th scope="col" className="num rest">
              Rate
            </th>
            <th scope="col" className="num">
              Errors
            </th>
            {LATENCY_HEADS}
            <th scope="col">Links</th>
            <th scope="col" className="num rest">
              Last seen
            </th>
          </tr>
        </thead>
        <tbody>
          {graph.edges.map((edge) => (
            <tr key={edgeKey(edge)} className={edgeKey(edge) === selected ? "selected" : undefined}>
              <th scope="row">
                <ServiceName name={edge.from_service} />
              </th>
              <td>
                <Link
                  href={graphHref({ edge })}
                  aria-label={`${edge.from_service} to ${edge.to_service}: show the call in the graph`}
                >
                  <ServiceName name={edge.to_service} virtual={silent.has(edge.to_service)} />
                </Link>
              </td>
              <td className="num">{count(edge.call_count)}</td>
              <td className="num rest">{rate(edge.rate)}</td>
              <td className="num">
                <ErrorRate share={edge.error_rate} />
              </td>
              <Latencies of={edge} />
              <td>
                <span className={`line-sample ${edgeCertainty(edge.certainty)}`} />
                {certaintyWords(edge.certainty)}
              </td>
              <Seen at={edge.last_seen} />
            </tr>
          ))}
        </tbody>
      </table>
    </Scroll>
  );
}
