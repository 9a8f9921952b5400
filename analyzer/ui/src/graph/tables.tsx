// The dependency graph in words and numbers: for keyboards, for screen readers, and for whoever compares numbers.

import type { Edge, Node, Service, ServiceHealth } from "../api/types";
import { CALLERS_ERRORS, ERRORS_DIFFER, SERVICES_ERRORS } from "../lib/errors";
import { ago, count, dateTime, duration, rate } from "../lib/format";
import { identityKey } from "../lib/identity";
import { Link } from "../lib/router";
import { ErrorRate, Health, ServiceName } from "../ui/parts";
import { graphHref } from "./address";
import { certaintyWords, edgeCertainty, type Graph, isMeant, nameOf } from "./model";
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

function lastSeen(services: readonly Service[], node: Node): string | undefined {
  const key = identityKey(node);
  return services.find((one) => identityKey(one) === key)?.last_seen;
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
  graph: Graph;
  services: readonly Service[];
  health: readonly ServiceHealth[];
  selected?: string | null;
}) {
  const findings = new Map(props.health.map((one) => [identityKey(one), one]));
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
            <th scope="col" className="num" title={`${SERVICES_ERRORS}. ${ERRORS_DIFFER}`}>
              Errors
            </th>
            {LATENCY_HEADS}
            <th scope="col" className="num rest">
              Last seen
            </th>
          </tr>
        </thead>
        <tbody>
          {props.graph.nodes.map((one) => {
            const { id, node } = one;
            const found = findings.get(identityKey(node))?.findings ?? [];
            return (
              <tr key={id} className={isMeant(one, props.selected ?? null) ? "selected" : undefined}>
                <th scope="row">
                  <Link href={graphHref({ service: id, edge: null })}>
                    <ServiceName name={node.name} words={id} virtual={node.virtual} />
                  </Link>
                </th>
                <td title={found.map((finding) => finding.text).join("\n") || undefined}>
                  {node.virtual ? <span className="soft">No sidecar</span> : <Health status={node.status} />}
                </td>
                <td className="num">{count(node.requests)}</td>
                <td className="num rest">{rate(node.rate)}</td>
                <td className="num">
                  <ErrorRate share={node.error_rate} />
                </td>
                <Latencies of={node} />
                <Seen at={lastSeen(props.services, node)} />
              </tr>
            );
          })}
        </tbody>
      </table>
    </Scroll>
  );
}

/** Every edge of the graph. */
export function CallsTable(props: { graph: Graph; selected?: string | null }) {
  const { graph, selected } = props;
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
            <th scope="col" className="num" title={`${CALLERS_ERRORS}. ${ERRORS_DIFFER}`}>
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
          {graph.edges.map((one) => {
            const { id, from, to, edge } = one;
            return (
              <tr key={id} className={id === selected ? "selected" : undefined}>
                <th scope="row">
                  <ServiceName name={edge.from_service} words={from.id} />
                </th>
                <td>
                  <Link
                    href={graphHref({ edge: nameOf(one) })}
                    aria-label={`${to.id}: show the call from ${from.id} in the graph`}
                  >
                    <ServiceName name={edge.to_service} words={to.id} virtual={to.node.virtual} />
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
            );
          })}
        </tbody>
      </table>
    </Scroll>
  );
}
