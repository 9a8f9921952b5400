// Insights → Dependency Graph: who calls whom, how often, how fast, how surely known.

import { lazy, Suspense, useMemo } from "react";
import { usePolled } from "../api/poll";
import type { EdgeList, ServiceHealth, ServiceList } from "../api/types";
import { CALLERS_ERRORS, ERRORS_DIFFER, SERVICES_ERRORS } from "../lib/errors";
import { count, plural } from "../lib/format";
import { Link, useParams } from "../lib/router";
import { FirstSteps } from "../ui/first-steps";
import { Icon } from "../ui/icons";
import { Problem, Waiting } from "../ui/parts";
import { useWindow, WindowSelect } from "../ui/window-select";
import { graphHref, graphParams, graphState } from "./address";
import { around, edgeNamed, environments, type Graph, graphOf } from "./model";
import { Panel } from "./panel";
import { CallsTable, ServicesTable } from "./tables";
import "./page.css";

// The drawing brings dagre and React Flow along; the table view does without.
const Canvas = lazy(() => import("./canvas"));

const EVERY_MS = 4000;

export default function GraphPage() {
  const shown = useWindow();
  const [params, change] = useParams();
  const state = graphState(params);
  const within = `?time_window_minutes=${shown.minutes}`;
  const edges = usePolled<EdgeList>(`/api/distributed/edges${within}`, EVERY_MS);
  const health = usePolled<ServiceHealth[]>(`/api/services/health${within}`, EVERY_MS);
  const services = usePolled<ServiceList>(state.table ? `/api/services${within}` : null, EVERY_MS);
  const whole = useMemo(() => edges.data && graphOf(edges.data, state.environment), [edges.data, state.environment]);
  const names = whole?.nodes.map((node) => node.id) ?? [];
  const places = edges.data ? environments(edges.data) : [];

  return (
    <>
      <title>Dependency Graph · Raceway</title>
      <div className="page-head">
        <h1>Dependency Graph</h1>
        <div className="controls">
          <label>
            <span className="hidden">Show only this service and its neighbours</span>
            <select
              className="input"
              value={state.service ?? ""}
              onChange={(event) => change(graphParams({ service: event.target.value || null, edge: null }))}
            >
              <option value="">All services</option>
              {state.service !== null && !names.includes(state.service) && <option>{state.service}</option>}
              {names.map((name) => (
                <option key={name}>{name}</option>
              ))}
            </select>
          </label>
          {(places.length > 1 || state.environment !== null) && (
            <label>
              <span className="hidden">Environment</span>
              <select
                className="input"
                value={state.environment ?? ""}
                onChange={(event) =>
                  change(graphParams({ environment: event.target.value || null, service: null, edge: null }))
                }
              >
                <option value="">All environments</option>
                {places.map((name) => (
                  <option key={name}>{name}</option>
                ))}
              </select>
            </label>
          )}
          <WindowSelect />
          <fieldset className="segmented">
            <legend className="hidden">Show as</legend>
            {[false, true].map((table) => (
              <button
                key={String(table)}
                type="button"
                className="button"
                aria-pressed={state.table === table}
                onClick={() => change(graphParams({ table }))}
              >
                {table ? "Table" : "Graph"}
              </button>
            ))}
          </fieldset>
        </div>
      </div>
      <Problem error={edges.error} retry={edges.refresh} />
      {!edges.data || !whole ? (
        !edges.error && <Waiting what="graph" />
      ) : edges.data.nodes.length === 0 ? (
        <Nothing words={shown.words} longest={shown.name === "7d"} showAll={() => change({ window: "7d" })} />
      ) : (
        <div className={edges.stale ? "graph-view dim" : "graph-view"}>
          <Body answer={edges.data} whole={whole} services={services.data} health={health.data ?? []} />
        </div>
      )}
    </>
  );
}

function Nothing({ words, longest, showAll }: { words: string; longest: boolean; showAll: () => void }) {
  if (longest) return <FirstSteps />;
  return (
    <div className="notice">
      <span>No service was seen in the {words.toLowerCase()}.</span>
      <button type="button" className="button" onClick={showAll}>
        Show the last 7 days
      </button>
    </div>
  );
}

function Body(props: { answer: EdgeList; whole: Graph; services: ServiceList | undefined; health: ServiceHealth[] }) {
  const { answer, whole, services, health } = props;
  const [params] = useParams();
  const state = graphState(params);
  const graph = around(whole, state.service);
  const selected = edgeNamed(whole, state.edge)?.id ?? null;
  const missing = state.service !== null && graph.nodes.length === 0;

  return (
    <>
      <div className="graph-main card">
        <Filter service={state.service} graph={graph} whole={whole} missing={missing} />
        {missing ? null : state.table ? (
          <div className="graph-tables">
            <h2>Services</h2>
            <ServicesTable graph={graph} services={services?.services ?? []} health={health} selected={state.service} />
            <h2>Calls</h2>
            <CallsTable graph={graph} selected={selected} />
          </div>
        ) : (
          <Suspense fallback={<Waiting what="drawing" />}>
            <Canvas graph={graph} service={state.service} selected={selected} />
            <Legend />
          </Suspense>
        )}
      </div>
      <Panel whole={whole} links={answer.links} health={health} />
    </>
  );
}

/** What is shown of how much, and the way back to everything. */
function Filter(props: { service: string | null; graph: Graph; whole: Graph; missing: boolean }) {
  const { service, graph, whole, missing } = props;
  if (service === null) {
    return (
      <div className="graph-filter" role="status">
        {plural(whole.nodes.length, "service")}, {plural(whole.edges.length, "edge")}
      </div>
    );
  }
  return (
    <div className="graph-filter" role="status">
      {missing ? (
        <span>
          <b>{service}</b> was not seen in this time window.
        </span>
      ) : (
        <span>
          <b>{service}</b> and its neighbours: {count(graph.nodes.length)} of {plural(whole.nodes.length, "service")},{" "}
          {count(graph.edges.length)} of {plural(whole.edges.length, "edge")}
        </span>
      )}
      <Link href={graphHref({ service: null, edge: null })} className="button">
        <Icon name="close" />
        Show all
      </Link>
    </div>
  );
}

/** What kinds of line and box there are. */
function Legend() {
  return (
    <dl className="graph-legend">
      {LINES.map(([kind, words]) => (
        <div key={kind}>
          <dt>
            <span className={`line-sample ${kind}`} />
          </dt>
          <dd>{words}</dd>
        </div>
      ))}
      <div>
        <dt>
          <span className="box-sample" />
        </dt>
        <dd>no sidecar: seen by its callers only</dd>
      </div>
      <div title={ERRORS_DIFFER}>
        <dt className="word">Errors</dt>
        <dd>
          of calls: {CALLERS_ERRORS}; of services: {SERVICES_ERRORS}
        </dd>
      </div>
      <div className="brief-only">
        <dt>a · b · c ms</dt>
        <dd>p50, p95, p99</dd>
      </div>
    </dl>
  );
}

const LINES = [
  ["certain", "all links certain"],
  ["likely", "links likely, or mixed"],
  ["unlinked", "most calls unlinked"],
] as const;
