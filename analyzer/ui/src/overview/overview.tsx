// The landing page: who is there, who calls whom, how sure the links are, what was slow.

import { type ReactNode, useMemo } from "react";
import { usePolled } from "../api/poll";
import type { EdgeList, LinkCounts, PerformanceMetrics, ServiceHealth, ServiceList, Status } from "../api/types";
import { graphOf } from "../graph/model";
import { CallsTable, ServicesTable } from "../graph/tables";
import { CALLERS_ERRORS, ERRORS_DIFFER, SERVICES_ERRORS } from "../lib/errors";
import { ago, bytes, count, duration, percent, rate, shortId } from "../lib/format";
import { Link, paths } from "../lib/router";
import { FirstSteps } from "../ui/first-steps";
import { Icon } from "../ui/icons";
import { LinkBar } from "../ui/link-bar";
import { Figure, Problem, ServiceName, Waiting } from "../ui/parts";
import { useWindow, WindowSelect } from "../ui/window-select";
import "./overview.css";

const EVERY_MS = 5000;

export function Overview() {
  const shown = useWindow();
  const within = `?time_window_minutes=${shown.minutes}`;
  const status = usePolled<Status>("/status", EVERY_MS);
  const services = usePolled<ServiceList>(`/api/services${within}`, EVERY_MS);
  const health = usePolled<ServiceHealth[]>(`/api/services/health${within}`, EVERY_MS);
  const edges = usePolled<EdgeList>(`/api/distributed/edges${within}`, EVERY_MS);
  const speed = usePolled<PerformanceMetrics>("/api/performance/metrics", EVERY_MS);
  const first = [status, services, edges].find((part) => part.error);
  const graph = useMemo(() => edges.data && graphOf(edges.data), [edges.data]);
  const empty = status.data?.warmup.ready === true && status.data.spans === 0;

  return (
    <>
      <title>Overview · Raceway</title>
      <div className="page-head">
        <h1>Overview</h1>
        {!empty && (
          <div className="controls">
            <WindowSelect />
          </div>
        )}
      </div>
      <Problem
        error={first?.error}
        retry={() => [status, services, health, edges, speed].forEach((part) => void part.refresh())}
      />
      {empty ? (
        <FirstSteps />
      ) : !edges.data || !graph || !services.data ? (
        !first && <Waiting what="overview" />
      ) : (
        <div className={edges.stale ? "overview dim" : "overview"}>
          <Totals edges={edges.data} status={status.data} />
          <LinksCard links={edges.data.links} />
          <section className="card wide" aria-labelledby="services">
            <header>
              <h2 id="services">Services</h2>
              <span className="soft" title={ERRORS_DIFFER}>
                {shown.words.toLowerCase()}; errors: {SERVICES_ERRORS}
              </span>
            </header>
            {edges.data.nodes.length === 0 ? (
              <Quiet words={shown.words} />
            ) : (
              <ServicesTable graph={graph} services={services.data.services} health={health.data ?? []} />
            )}
          </section>
          <section className="card wide" aria-labelledby="calls">
            <header>
              <h2 id="calls">Calls between services</h2>
              <span className="soft" title={ERRORS_DIFFER}>
                errors: {CALLERS_ERRORS}
              </span>
              <Link href={paths.graph}>Open the dependency graph</Link>
            </header>
            {edges.data.edges.length === 0 ? <Quiet words={shown.words} /> : <CallsTable graph={graph} />}
          </section>
          <Slowest speed={speed.data} />
          <Analyzer status={status.data} />
        </div>
      )}
    </>
  );
}

function Quiet({ words }: { words: string }) {
  return <p className="waiting">Nothing in the {words.toLowerCase()}. Choose a longer time window above.</p>;
}

function Totals({ edges, status }: { edges: EdgeList; status: Status | undefined }) {
  const calls = edges.edges.reduce((sum, edge) => sum + edge.call_count, 0);
  const errors = edges.edges.reduce((sum, edge) => sum + edge.errors, 0);
  const perSecond = edges.edges.reduce((sum, edge) => sum + edge.rate, 0);
  const real = edges.nodes.filter((node) => !node.virtual).length;
  return (
    <section className="card totals" aria-label="Totals">
      <dl>
        <Figure name="Services">
          {count(real)}
          {edges.nodes.length > real && <small> + {count(edges.nodes.length - real)} without sidecar</small>}
        </Figure>
        <Figure name="Calls">
          {count(calls)} <small>{rate(perSecond)}</small>
        </Figure>
        <Figure name="Failed calls">
          <span className={errors > 0 ? "bad-text" : undefined}>{count(errors)}</span>{" "}
          <small>{calls > 0 ? percent(errors / calls) : ""}</small>
          <small className="says" title={ERRORS_DIFFER}>
            {CALLERS_ERRORS}
          </small>
        </Figure>
        <Figure name="Traces kept">{count(status?.traces_active)}</Figure>
        <Figure name="Spans kept">{count(status?.spans)}</Figure>
      </dl>
    </section>
  );
}

function LinksCard({ links }: { links: LinkCounts }) {
  return (
    <section className="card links" aria-labelledby="links">
      <header>
        <h2 id="links">Links between requests and the calls they caused</h2>
      </header>
      <LinkBar links={links} />
      <p className="soft small says">
        Counted is each call that a service makes: which of the requests it was serving caused it. The hop from one
        sidecar to the next carries its context along and is always certain; traces show it as such, and it is not
        counted here.
      </p>
    </section>
  );
}

function Slowest({ speed }: { speed: PerformanceMetrics | undefined }) {
  if (!speed) return null;
  const { trace_latency: latency } = speed;
  return (
    <section className="card" aria-labelledby="slowest">
      <header>
        <h2 id="slowest">Slowest traces of late</h2>
        <span className="soft">
          p50 {duration(latency.p50_ms)}, p95 {duration(latency.p95_ms)}
        </span>
      </header>
      <ol className="slowest">
        {latency.slowest_traces.slice(0, 5).map((trace) => (
          <li key={trace.trace_id}>
            <Link href={paths.trace(trace.trace_id)} className="mono">
              {shortId(trace.trace_id)}
            </Link>
            <span className="service-strip">
              {trace.services.map((name) => (
                <ServiceName key={name} name={name} />
              ))}
            </span>
            <b className="num">{duration(trace.duration_ms)}</b>
          </li>
        ))}
      </ol>
    </section>
  );
}

function Analyzer({ status }: { status: Status | undefined }) {
  if (!status) return null;
  const left = Object.values(status.overflow).reduce((sum, n) => sum + n, 0);
  const started = new Date(Date.now() - status.uptime_seconds * 1000);
  const facts: [string, ReactNode][] = [
    ["Version", status.version],
    ["Started", ago(started, new Date())],
    ["On disk", bytes(status.bytes_on_disk)],
    ["Events kept", `${count(status.events_captured)} (a span is two)`],
    ["Left out of the graph", left === 0 ? "nothing" : `${count(left)} (a bound was reached)`],
  ];
  if (!status.warmup.ready) {
    const { processed_spans, total_spans } = status.warmup;
    facts.push(["Reading back", `${count(processed_spans)} of ${count(total_spans)} spans; numbers are still growing`]);
  }
  return (
    <section className="card" aria-labelledby="analyzer">
      <header>
        <h2 id="analyzer">Analyzer</h2>
        <a href="/api/openapi.json">
          API <Icon name="external" />
        </a>
      </header>
      <dl className="facts">
        {facts.map(([name, value]) => (
          <div key={name} className="fact">
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
    </section>
  );
}
