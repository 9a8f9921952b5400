// Beside the graph: the chosen service, the chosen call, or the whole.

import type { ReactNode } from "react";
import { usePolled } from "../api/poll";
import type { LinkCounts, Node, ServiceHealth, TraceList } from "../api/types";
import { ERRORS_DIFFER } from "../lib/errors";
import { bytes, clockTime, count, duration, percent, rate } from "../lib/format";
import { identityKey } from "../lib/identity";
import { Link, paths, useParams } from "../lib/router";
import { tracesHref } from "../traces/filters";
import { Icon } from "../ui/icons";
import { LinkBar } from "../ui/link-bar";
import { Figure, Health, ServiceName, TraceCertainty } from "../ui/parts";
import { useWindow } from "../ui/window-select";
import { graphHref, graphState } from "./address";
import { countedWords, edgeNamed, type Graph, type GraphEdge, type GraphNode, isMeant, nameOf } from "./model";
import "./panel.css";

export function Panel(props: { whole: Graph; links: LinkCounts; health: ServiceHealth[] }) {
  const { whole, links, health } = props;
  const [params] = useParams();
  const { service, edge } = graphState(params);
  const call = edgeNamed(whole, edge);
  const node = whole.nodes.find((one) => isMeant(one, service));
  return (
    <aside className="graph-panel card" aria-label="Details">
      {call ? (
        <CallPanel call={call} />
      ) : node ? (
        <ServicePanel
          of={node}
          whole={whole}
          health={health.find((one) => identityKey(one) === identityKey(node.node))}
        />
      ) : (
        <WholePanel whole={whole} links={links} />
      )}
    </aside>
  );
}

type Measured = Pick<Node, "rate" | "errors" | "error_rate" | "p50_ms" | "p95_ms" | "p99_ms">;

/** Rate, errors, duration. */
function Red({ of, total, totalName }: { of: Measured; total: number; totalName: string }) {
  return (
    <dl className="red">
      <Figure name={totalName}>{count(total)}</Figure>
      <Figure name="Rate">{rate(of.rate)}</Figure>
      <Figure name="Errors">
        <span className={of.errors > 0 ? "bad-text" : undefined}>{count(of.errors)}</span>{" "}
        <small>{percent(of.error_rate)}</small>
      </Figure>
      <Figure name="p50">{duration(of.p50_ms)}</Figure>
      <Figure name="p95">{duration(of.p95_ms)}</Figure>
      <Figure name="p99">{duration(of.p99_ms)}</Figure>
    </dl>
  );
}

function Head({
  kind,
  close,
  children,
}: {
  kind: string;
  close: Parameters<typeof graphHref>[0];
  children: ReactNode;
}) {
  return (
    <header className="panel-head">
      <div>
        <span className="soft">{kind}</span>
        <h2>{children}</h2>
      </div>
      <Link href={graphHref(close)} className="button bare square" aria-label={`Close ${kind.toLowerCase()}`}>
        <Icon name="close" />
      </Link>
    </header>
  );
}

function ServicePanel(props: { of: GraphNode; whole: Graph; health: ServiceHealth | undefined }) {
  const { of, whole, health } = props;
  const { node, entry } = of;
  const callers = whole.edges.filter((edge) => edge.to === of);
  const callees = whole.edges.filter((edge) => edge.from === of);
  return (
    <>
      <Head kind={node.virtual ? "Peer without sidecar" : "Service"} close={{ service: null, edge: null }}>
        <ServiceName name={node.name} words={of.id} virtual={node.virtual} />
      </Head>
      {!node.virtual && (
        <p>
          <Health status={node.status} />
        </p>
      )}
      {health?.findings.map((finding) => (
        <div key={finding.kind + finding.text} className={`finding ${node.status === "critical" ? "bad" : "warn"}`}>
          <b>{finding.text}</b>
          <p>{finding.action}</p>
          <p className="soft">{finding.evidence}</p>
        </div>
      ))}
      <Red of={node} total={node.requests} totalName={node.virtual ? "Calls" : "Requests"} />
      {node.virtual && (
        <p className="soft">
          Nothing in this peer reports; numbers are what its callers saw. A sidecar before it would show what it calls.
        </p>
      )}
      <Neighbours title="Called by" edges={callers} end="from">
        {entry && (
          <li>
            <span className="service">
              <Icon name="right" />
              <span>outside callers</span>
            </span>
            <span className="num">{count(entry.call_count)}</span>
            <span className="num soft">{duration(entry.p95_ms)}</span>
          </li>
        )}
      </Neighbours>
      <Neighbours title="Calls" edges={callees} end="to" />
      {!node.virtual && <RecentTraces service={node.name} several={of.id !== node.name} />}
    </>
  );
}

function Neighbours(props: { title: string; edges: GraphEdge[]; end: "from" | "to"; children?: ReactNode }) {
  const { title, edges, end, children } = props;
  return (
    <section>
      <h3>{title}</h3>
      {edges.length === 0 && !children ? (
        <p className="soft">Nobody, in this time window.</p>
      ) : (
        <ul className="neighbours">
          <li className="heads" aria-hidden="true">
            <span />
            <span className="num">calls</span>
            <span className="num">p95</span>
          </li>
          {children}
          {edges.map((edge) => (
            <li key={edge.id}>
              <Link href={graphHref({ edge: nameOf(edge) })} title="Show this call">
                <ServiceName name={edge[end].node.name} words={edge[end].id} virtual={edge[end].node.virtual} />
              </Link>
              <span className="num">
                <span className="hidden">calls: </span>
                {count(edge.edge.call_count)}
              </span>
              <span className="num soft">
                <span className="hidden">p95: </span>
                {duration(edge.edge.p95_ms)}
              </span>
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}

/** Traces of a service. They are found by its name alone: where `several` share it, of all of them. */
function RecentTraces({ service, several }: { service: string; several: boolean }) {
  const traces = usePolled<TraceList>(`/api/services/${encodeURIComponent(service)}/traces?page_size=8`, 5000);
  return (
    <section>
      <h3>
        Recent traces <Link href={tracesHref({ service })}>Show all</Link>
      </h3>
      {several && <p className="soft small">Of every service named {service}.</p>}
      {traces.data?.traces.length === 0 && <p className="soft">None is kept.</p>}
      <ul className={traces.stale ? "recent dim" : "recent"}>
        {traces.data?.traces.map((trace) => (
          <li key={trace.trace_id}>
            <Link href={paths.trace(trace.trace_id)}>
              <span className="soft num">{clockTime(new Date(trace.first_timestamp)).slice(0, 8)}</span>
              <span className="cut">
                {trace.root_peer && `→ ${trace.root_peer} `}
                {trace.root_operation}
              </span>
            </Link>
            {trace.error_count > 0 && (
              <span className="bad-text" title={`${trace.error_count} failed spans`}>
                <Icon name="error" />
                <span className="hidden">has errors</span>
              </span>
            )}
            <TraceCertainty trace={trace} />
            <span className="num">{duration(trace.duration_ms)}</span>
          </li>
        ))}
      </ul>
    </section>
  );
}

function CallPanel({ call }: { call: GraphEdge }) {
  const { from, to, edge } = call;
  const shown = useWindow();
  return (
    <>
      <Head kind="Call" close={{ edge: null }}>
        <Link href={graphHref({ service: from.id, edge: null })}>
          <ServiceName name={edge.from_service} words={from.id} />
        </Link>
        <span aria-hidden="true"> → </span>
        <span className="hidden"> calls </span>
        <Link href={graphHref({ service: to.id, edge: null })}>
          <ServiceName name={edge.to_service} words={to.id} virtual={to.node.virtual} />
        </Link>
      </Head>
      <Red of={edge} total={edge.call_count} totalName="Calls" />
      {edge.errors > 0 && (
        <p className="soft small" title={ERRORS_DIFFER}>
          Errors: 4xx and 5xx as the caller sees them, and calls without an answer. The called service counts 5xx alone.
        </p>
      )}
      <section>
        <h3>How surely each call is tied to the request that caused it</h3>
        <LinkBar links={edge.certainty} brief />
        <HopsAside />
      </section>
      <dl className="facts">
        <dt>Protocol</dt>
        <dd>{edge.protocols.join(", ") || edge.link_type}</dd>
        <dt>Bodies</dt>
        <dd>{bytes(edge.bytes)}</dd>
        <dt>Traces</dt>
        <dd>{count(edge.trace_count)}</dd>
        <dt>Last seen</dt>
        <dd>{clockTime(new Date(edge.last_seen))}</dd>
        <dt>Seen as spans</dt>
        <dd>
          {count(edge.spans_seen)} <span className="soft">{countedWords(edge)}</span>
        </dd>
      </dl>
      <p>
        <Link
          href={tracesHref({ caller: edge.from_service, callee: edge.to_service, window: shown.name })}
          className="button"
        >
          Traces with this call
        </Link>
      </p>
    </>
  );
}

/** What the bar above it leaves out: traces are full of hops that are certain. */
function HopsAside() {
  return <p className="soft small hops">Hops from sidecar to sidecar are always certain and not counted here.</p>;
}

function WholePanel({ whole, links }: { whole: Graph; links: LinkCounts }) {
  const entered = whole.nodes.filter((node) => node.entry);
  return (
    <>
      <header className="panel-head">
        <div>
          <span className="soft">Everything</span>
          <h2>All services</h2>
        </div>
      </header>
      <p className="soft">
        Choose a service to narrow the graph to it and its neighbours, or a call to see its numbers.
      </p>
      <section>
        <h3>How surely calls are tied to the requests that caused them</h3>
        <LinkBar links={links} brief />
        <HopsAside />
      </section>
      <section>
        <h3>Called from outside</h3>
        <ul className="neighbours">
          <li className="heads" aria-hidden="true">
            <span />
            <span className="num">calls</span>
            <span className="num">p95</span>
          </li>
          {entered.map(({ id, node, entry }) => (
            <li key={id}>
              <Link href={graphHref({ service: id, edge: null })}>
                <ServiceName name={node.name} words={id} />
              </Link>
              <span className="num">{count(entry?.call_count)}</span>
              <span className="num soft">{duration(entry?.p95_ms)}</span>
            </li>
          ))}
        </ul>
      </section>
      <section>
        <h3>Services</h3>
        <ul className="neighbours">
          {whole.nodes.map(({ id, node }) => (
            <li key={id}>
              <Link href={graphHref({ service: id, edge: null })}>
                <ServiceName name={node.name} words={id} virtual={node.virtual} />
              </Link>
              <span className="num soft">{rate(node.rate)}</span>
              {node.virtual ? <span className="num soft">no sidecar</span> : <Health status={node.status} />}
            </li>
          ))}
        </ul>
      </section>
    </>
  );
}
