// One span: when it ran, what caused it and how surely, what it carried, what its clock said.

import { Fragment } from "react";
import type { Link as SpanLink, SpanView, TraceView } from "../api/types";
import { dateTime, duration, percent, plural, probability, shortId } from "../lib/format";
import { serviceOf } from "../lib/identity";
import { Link, paths, withParams } from "../lib/router";
import { Icon } from "../ui/icons";
import { Service } from "../ui/parts";
import type { Tree } from "./geometry";
import { isEntry, LinkChip } from "./link-chip";
import "./details.css";

type Props = { trace: TraceView; tree: Tree; index: number; select: (index: number) => void; close: () => void };

export function Details({ trace, tree, index, select, close }: Props) {
  const span = trace.spans[index];
  if (!span) return null;
  const parent = trace.spans[tree.parent[index] ?? -1];
  return (
    <aside className="card details" aria-label="Span details">
      <header className="panel-head">
        <div>
          <span className="soft">
            <Service of={serviceOf(span)} />
          </span>
          <h2>{span.name}</h2>
        </div>
        <button type="button" className="button bare square" aria-label="Close details" onClick={close}>
          <Icon name="close" />
        </button>
      </header>

      {span.error && (
        <p className="notice bad">
          <Icon name="error" />
          {span.status_message || "This span failed."}
        </p>
      )}

      {span.conflicting && (
        <p className="notice warn">This contradicts an earlier report of the same span, and counts for nothing.</p>
      )}

      <dl className="facts">
        <dt>Duration</dt>
        <dd>
          <b>{duration(span.duration_ms)}</b>
        </dd>
        {span.critical_ms > 0 && (
          <>
            <dt>On the critical path</dt>
            <dd>
              {duration(span.critical_ms)}{" "}
              <span className="soft">
                {percent(span.critical_ms / (trace.critical_path?.total_duration_ms || 1))} of it
              </span>
            </dd>
          </>
        )}
        <dt>Starts at</dt>
        <dd>
          +{duration(span.start_ns / 1e6)} <span className="soft">{dateTime(new Date(span.timestamp))}</span>
        </dd>
        <dt>Kind</dt>
        <dd>{KINDS[span.kind]}</dd>
        {span.instance && (
          <>
            <dt>Instance</dt>
            <dd>{span.instance}</dd>
          </>
        )}
        {(span.namespace || span.environment) && (
          <>
            <dt>Environment</dt>
            <dd>{[span.environment, span.namespace].filter(Boolean).join(" / ")}</dd>
          </>
        )}
        <dt>Span</dt>
        <dd className="mono">{span.span_id}</dd>
        {parent && (
          <>
            <dt>Parent</dt>
            <dd>
              <button type="button" className="text-button" onClick={() => select(tree.parent[index] ?? -1)}>
                {parent.service} {parent.name}
              </button>
            </dd>
          </>
        )}
        {span.reported_parent_span_id && (
          <>
            <dt>Reported parent</dt>
            <dd className="mono">{span.reported_parent_span_id}</dd>
          </>
        )}
        <dt>Reported by</dt>
        <dd>{span.scope || "unknown"}</dd>
      </dl>

      <section>
        <h3>Link to its cause</h3>
        <p className="link-words">
          <LinkChip span={span} /> {linkWords(span)}
        </p>
        <Candidates span={span} trace={trace} select={select} />
      </section>

      <Attributes span={span} />
      <Events span={span} />
      <Clock span={span} />
    </aside>
  );
}

const KINDS: Record<SpanView["kind"], string> = {
  server: "server: a request answered",
  client: "client: a request made",
  internal: "internal: work inside the service",
  producer: "producer: a message sent",
  consumer: "consumer: a message taken",
  unspecified: "not said",
};

/** What told the sidecar which request caused this span. */
function linkWords(span: SpanView): string {
  const { link, orphan } = span;
  if (orphan) return "A parent is named, but it never came.";
  const among = link.candidates && link.candidates > 1 ? ` ${plural(link.candidates, "request")} were in flight.` : "";
  const sure = link.certainty === "likely" ? ` Right with probability ${probability(link.p)}.` : "";
  if (isEntry(span)) return "The request came without a context: the trace begins here.";
  return METHODS[link.method] + among + sure;
}

const METHODS: Record<SpanLink["method"], string> = {
  header: "A context came with the request.",
  carrier: "An agent in the runtime carried the context to the call.",
  process: "The process that called had one request in flight.",
  thread: "The thread that called was working on this request.",
  sole: "It was the only request in flight when the call was made.",
  bayes: "Timing and content point to this request.",
  root: "Which request caused this call is not known.",
};

function Candidates({ span, trace, select }: { span: SpanView; trace: TraceView; select: (index: number) => void }) {
  if (span.links.length === 0) return null;
  return (
    <ul className="candidates">
      {span.links.map((link) => {
        const here =
          link.trace_id === trace.trace_id ? trace.spans.findIndex((one) => one.span_id === link.span_id) : -1;
        const word = link.attributes["raceway.link"] === "candidate" ? "May have been caused by" : "Points to";
        return (
          <li key={`${link.trace_id} ${link.span_id}`}>
            {word}{" "}
            {here >= 0 ? (
              <button type="button" className="text-button" onClick={() => select(here)}>
                {trace.spans[here]?.service} {trace.spans[here]?.name}
              </button>
            ) : (
              <Link href={paths.trace(link.trace_id) + withParams("", { span: link.span_id })}>
                a span of trace <span className="mono">{shortId(link.trace_id)}</span>
              </Link>
            )}
          </li>
        );
      })}
    </ul>
  );
}

function Attributes({ span }: { span: SpanView }) {
  const entries = Object.entries(span.attributes).sort(
    ([a], [b]) => Number(isOurs(a)) - Number(isOurs(b)) || (a < b ? -1 : 1),
  );
  if (entries.length === 0) return null;
  return (
    <section>
      <h3>Attributes</h3>
      <dl className="attributes">
        {entries.map(([name, value]) => (
          <Fragment key={name}>
            <dt>{name}</dt>
            <dd>{typeof value === "string" ? value : JSON.stringify(value)}</dd>
          </Fragment>
        ))}
      </dl>
    </section>
  );
}

function isOurs(name: string): boolean {
  return name.startsWith("raceway.");
}

function Events({ span }: { span: SpanView }) {
  if (span.events.length === 0) return null;
  return (
    <section>
      <h3>Events</h3>
      <dl className="attributes">
        {span.events.map((event) => (
          <Fragment key={`${event.time_ns} ${event.name}`}>
            <dt>+{duration(event.time_ns / 1e6)}</dt>
            <dd>
              {event.name}
              {Object.keys(event.attributes).length > 0 && (
                <span className="soft"> {JSON.stringify(event.attributes)}</span>
              )}
            </dd>
          </Fragment>
        ))}
      </dl>
    </section>
  );
}

/** The vector clock: what this span knew to have happened before it, and what had when it ended. */
function Clock({ span }: { span: SpanView }) {
  const { clock } = span;
  if (!clock) return null;
  const start = new Map(clock.start);
  const end = new Map(clock.end);
  const sure = new Map(clock.definite_end);
  const names = [...new Set([clock.strand, ...start.keys(), ...end.keys()])];
  return (
    <section>
      <h3>Vector clock</h3>
      <p className="soft small">
        Own tick {clock.start_tick} at the start, {clock.end_tick} at the end.
      </p>
      <table className="clock">
        <caption className="hidden">Events of each strand known at the span's start and end</caption>
        <thead>
          <tr>
            <th scope="col">Strand</th>
            <th scope="col" className="num">
              Start
            </th>
            <th scope="col" className="num">
              End
            </th>
            <th scope="col">Known</th>
          </tr>
        </thead>
        <tbody>
          {names.map((name) => (
            <tr key={name}>
              <th scope="row" className="mono">
                {name}
                {name === clock.strand && <span className="soft"> own</span>}
              </th>
              <td className="num">{start.get(name) ?? "–"}</td>
              <td className="num">{end.get(name) ?? "–"}</td>
              <td>{(sure.get(name) ?? 0) >= (end.get(name) ?? 0) ? "for certain" : "likely"}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}
