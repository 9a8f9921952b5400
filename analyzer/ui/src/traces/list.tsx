// Traces: the list with its filters, newest first, one page at a time. All of its state stands in the address.

import { useEffect, useId, useRef, useState } from "react";
import { usePolled } from "../api/poll";
import type { ServiceList, TraceList as TraceListAnswer, TraceSummary } from "../api/types";
import { clockTime, count, dateTime, duration, plural, shortId } from "../lib/format";
import { Link, paths, useParams, withParams } from "../lib/router";
import { FirstSteps } from "../ui/first-steps";
import { Icon } from "../ui/icons";
import { Problem, Service, ServiceName, TraceCertainty, Waiting } from "../ui/parts";
import { WindowSelect } from "../ui/window-select";
import { addressOf, type Filters, filtersOf, listPath, narrows, PAGE_SIZE, typedDuration } from "./filters";
import { logScale } from "./scale";
import "./list.css";

export function TraceList() {
  const [params] = useParams();
  const filters = filtersOf(params);
  // Later pages stand still: rows that move while one reads them help nobody.
  const list = usePolled<TraceListAnswer>(listPath(filters), filters.page === 1 ? 4000 : 0, addressOf);
  const filtered = narrows(filters);

  return (
    <>
      <title>Traces · Raceway</title>
      <div className="page-head">
        <h1>Traces</h1>
        <p className="soft" role="status">
          {list.data && (
            <>
              {list.data.total_is_lower_bound && "at least "}
              {plural(list.data.total_traces, "trace")}
              {filtered && " match"}
            </>
          )}
        </p>
      </div>
      <FilterBar filters={filters} known={list.data?.traces ?? []} />
      <Problem error={list.error} retry={list.refresh} />
      {!list.data ? (
        !list.error && <Waiting what="traces" />
      ) : list.data.traces.length > 0 ? (
        <div className={list.stale ? "card trace-list dim" : "card trace-list"}>
          <Rows traces={list.data.traces} />
          <Pages list={list.data} />
        </div>
      ) : filtered || filters.page > 1 ? (
        <NoMatch />
      ) : (
        <FirstSteps />
      )}
    </>
  );
}

const NO_FILTERS = {
  service: null,
  operation: null,
  caller: null,
  callee: null,
  min: null,
  max: null,
  error: null,
  window: null,
  page: null,
};

function NoMatch() {
  const [, change] = useParams();
  return (
    <div className="notice">
      <span>No trace matches. Widen a filter, or take all of them away.</span>
      <button type="button" className="button" onClick={() => change(NO_FILTERS)}>
        Clear filters
      </button>
    </div>
  );
}

function FilterBar({ filters, known }: { filters: Filters; known: TraceSummary[] }) {
  const [, change] = useParams();
  const services = usePolled<ServiceList>("/api/services", 30_000);
  const names = new Set(services.data?.services.map((service) => service.name));
  if (filters.service) names.add(filters.service);
  const operations = [...new Set(known.map((trace) => trace.root_operation))].sort();
  const list = useId();

  return (
    <search className="filters">
      <label className="field">
        Service
        <select
          className="input"
          value={filters.service}
          onChange={(event) => change({ service: event.target.value, page: null })}
        >
          <option value="">Any</option>
          {[...names].sort().map((name) => (
            <option key={name}>{name}</option>
          ))}
        </select>
      </label>
      <TextFilter label="Operation" name="operation" value={filters.operation} hint="part of its name" list={list} />
      <datalist id={list}>
        {operations.map((operation) => (
          <option key={operation} value={operation} />
        ))}
      </datalist>
      <TextFilter label="At least" name="min" value={filters.min} hint="50 ms" check={typedDuration} />
      <TextFilter label="At most" name="max" value={filters.max} hint="1.5 s" check={typedDuration} />
      <label className="field">
        Errors
        <select
          className="input"
          value={filters.error}
          onChange={(event) => change({ error: event.target.value, page: null })}
        >
          <option value="">Any</option>
          <option value="true">With errors</option>
          <option value="false">Without errors</option>
        </select>
      </label>
      <div className="field">
        <span aria-hidden="true">Began</span>
        <WindowSelect any />
      </div>
      {filters.caller && (
        <button
          type="button"
          className="button"
          title="Show traces with other calls as well"
          onClick={() => change({ caller: null, callee: null, page: null })}
        >
          {filters.caller} → {filters.callee}
          <Icon name="close" />
        </button>
      )}
      {narrows(filters) && (
        <button type="button" className="button bare" onClick={() => change(NO_FILTERS)}>
          <Icon name="close" />
          Clear
        </button>
      )}
    </search>
  );
}

/** A filter that is typed: it goes into the address when the typing rests, or on Enter. */
function TextFilter(props: {
  label: string;
  name: string;
  value: string;
  hint: string;
  list?: string;
  check?: (text: string) => number | null | undefined;
}) {
  const { label, name, value, hint, list, check } = props;
  const [, change] = useParams();
  const [typed, setTyped] = useState(value);
  const sent = useRef(value);
  const wrong = check !== undefined && check(typed) === undefined;

  useEffect(() => {
    // The address changed by other means: the back button, "Clear".
    if (value !== sent.current) {
      sent.current = value;
      setTyped(value);
    }
  }, [value]);

  useEffect(() => {
    if (typed === sent.current || wrong) return;
    const timer = setTimeout(() => {
      sent.current = typed;
      change({ [name]: typed, page: null }, { replace: true });
    }, 350);
    return () => clearTimeout(timer);
  }, [typed, wrong, name, change]);

  return (
    <label className="field">
      {label}
      <input
        className="input"
        type="text"
        value={typed}
        placeholder={hint}
        list={list}
        autoComplete="off"
        spellCheck={false}
        aria-invalid={wrong}
        title={wrong ? "A number with ns, µs, ms, s or min; ms if none is given" : undefined}
        onChange={(event) => setTyped(event.target.value)}
      />
    </label>
  );
}

function Rows({ traces }: { traces: TraceSummary[] }) {
  const scale = logScale(traces.map((trace) => trace.duration_ms));
  return (
    <table className="table">
      <caption className="hidden">Traces, newest first</caption>
      <thead>
        <tr>
          <th scope="col" className="rest">
            Began
          </th>
          <th scope="col">Request</th>
          <th scope="col" className="num">
            Duration
          </th>
          <th scope="col">Links</th>
          <th scope="col" className="num">
            Errors
          </th>
          <th scope="col" className="num rest">
            Spans
          </th>
          <th scope="col" className="rest medium">
            Services
          </th>
          <th scope="col" className="rest wide">
            Trace
          </th>
        </tr>
      </thead>
      <tbody>
        {traces.map((trace) => (
          <Row key={trace.trace_id} trace={trace} share={scale(trace.duration_ms)} />
        ))}
      </tbody>
    </table>
  );
}

function Row({ trace, share }: { trace: TraceSummary; share: number }) {
  const began = new Date(trace.first_timestamp);
  const root = { name: trace.root_service, namespace: trace.root_namespace, environment: trace.root_environment };
  return (
    <tr>
      <td className="num rest soft" title={dateTime(began)}>
        {clockTime(began)}
      </td>
      <th scope="row">
        <Link href={paths.trace(trace.trace_id)} className="request">
          <Service of={root} />
          <span className="operation">
            {trace.root_peer && (
              <>
                <span aria-hidden="true">→ </span>
                <span className="hidden">calls </span>
                {trace.root_peer}{" "}
              </>
            )}
            {trace.root_operation}
          </span>
        </Link>
      </th>
      <td className="num took">
        <span className="took-bar" style={{ width: `calc((100% - 2 * var(--gap-2)) * ${share.toFixed(3)})` }} />
        <span>{duration(trace.duration_ms)}</span>
      </td>
      <td>
        <TraceCertainty trace={trace} />
      </td>
      <td className="num">
        {trace.error_count > 0 ? (
          <span className="chip bad">
            <Icon name="error" />
            {count(trace.error_count)}
          </span>
        ) : (
          <span className="soft">0</span>
        )}
      </td>
      <td className="num rest">{count(trace.span_count)}</td>
      <td className="rest medium">
        <span className="service-strip">
          {trace.services.slice(0, 5).map((name) => (
            <ServiceName key={name} name={name} />
          ))}
          {trace.service_count > 5 && <span className="soft">+{trace.service_count - 5}</span>}
        </span>
      </td>
      <td className="rest wide">
        <span className="mono soft">{shortId(trace.trace_id)}</span>
      </td>
    </tr>
  );
}

function Pages({ list }: { list: TraceListAnswer }) {
  const { page, total_pages, total_traces, traces } = list;
  const first = (page - 1) * PAGE_SIZE + 1;
  return (
    <nav className="pages" aria-label="Pages">
      <span className="soft num">
        {count(first)}–{count(first + traces.length - 1)} of {list.total_is_lower_bound && "at least "}
        {count(total_traces)}
      </span>
      <PageLink to={page - 1} enabled={page > 1}>
        <Icon name="left" />
        Newer
      </PageLink>
      <span className="soft num">
        Page {count(page)} of {count(total_pages)}
      </span>
      <PageLink to={page + 1} enabled={page < total_pages}>
        Older
        <Icon name="right" />
      </PageLink>
    </nav>
  );
}

function PageLink({ to, enabled, children }: { to: number; enabled: boolean; children: React.ReactNode }) {
  if (!enabled) {
    return (
      <span className="button" aria-disabled="true">
        {children}
      </span>
    );
  }
  const href = paths.traces + withParams(window.location.search, { page: to === 1 ? null : String(to) });
  return (
    <Link href={href} className="button">
      {children}
    </Link>
  );
}
