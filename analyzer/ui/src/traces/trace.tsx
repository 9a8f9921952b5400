// One trace: what it was, what made it slow, and every span of it.

import { useMemo } from "react";
import { usePolled } from "../api/poll";
import type { TraceView } from "../api/types";
import { count, dateTime, duration, plural, shortId } from "../lib/format";
import { identityKey, serviceOf } from "../lib/identity";
import { Link, paths, useParams } from "../lib/router";
import { Icon, type IconName } from "../ui/icons";
import { Problem, Service, Waiting } from "../ui/parts";
import { CriticalPathCard } from "./critical-path";
import { Details } from "./details";
import { buildTree } from "./geometry";
import { isCall } from "./link-chip";
import { Waterfall } from "./waterfall";
import "./trace.css";

/** Spans of a trace come from several sidecars, each in its own time: a young trace may still grow. */
const YOUNG_MS = 60_000;

export default function TracePage({ id }: { id: string }) {
  const [params] = useParams();
  const raw = params.get("raw") === "1";
  const path = `/api/traces/${encodeURIComponent(id)}${raw ? "?raw=1" : ""}`;
  const first = usePolled<TraceView>(path, 0);
  const ended = first.data ? Date.parse(first.data.started_at) + first.data.duration_ms : 0;
  const young = first.data !== undefined && Date.now() - ended < YOUNG_MS;
  const later = usePolled<TraceView>(young ? path : null, 5000);
  const trace = (!later.stale && later.data) || first.data;

  return (
    <>
      <title>{`Trace ${shortId(id)} · Raceway`}</title>
      {first.error?.status === 404 ? (
        <Unknown id={id} />
      ) : (
        <Problem error={first.error ?? later.error} retry={first.refresh} />
      )}
      {trace ? <Trace trace={trace} raw={raw} /> : !first.error && <Waiting what="trace" />}
    </>
  );
}

function Unknown({ id }: { id: string }) {
  return (
    <>
      <div className="page-head">
        <h1>Trace not found</h1>
      </div>
      <p>
        No trace <code>{id}</code> is kept: it may be too old, or its spans are still on their way.{" "}
        <Link href={paths.traces}>See all traces</Link>.
      </p>
    </>
  );
}

function Trace({ trace, raw }: { trace: TraceView; raw: boolean }) {
  const [params, change] = useParams();
  const tree = useMemo(() => buildTree(trace.spans), [trace]);
  const chosen = params.get("span");
  const kind = params.get("kind");
  const selected = useMemo(() => {
    if (chosen === null) return -1;
    const same = trace.spans.findIndex((span) => span.span_id === chosen && span.kind === kind);
    return same >= 0 ? same : trace.spans.findIndex((span) => span.span_id === chosen);
  }, [trace, chosen, kind]);

  const select = (index: number) => {
    const span = trace.spans[index];
    const shared = span && trace.spans.some((other) => other !== span && other.span_id === span.span_id);
    change({ span: span?.span_id ?? null, kind: shared ? span.kind : null }, { replace: true });
  };

  return (
    <>
      <Head trace={trace} raw={raw} />
      <UnknownOrigin trace={trace} select={select} />
      <Remarks trace={trace} />
      {trace.critical_path && <CriticalPathCard path={trace.critical_path} />}
      <div className={selected >= 0 ? "trace-body with-details" : "trace-body"}>
        <Waterfall trace={trace} tree={tree} selected={selected} select={select} />
        {selected >= 0 && (
          <Details trace={trace} tree={tree} index={selected} select={select} close={() => select(-1)} />
        )}
      </div>
    </>
  );
}

function Head({ trace, raw }: { trace: TraceView; raw: boolean }) {
  const [, change] = useParams();
  const root = trace.spans.find((span) => span.span_id === trace.root_span_id) ?? trace.spans[0];
  const peer = root && isCall(root) && trace.edges.find((call) => call.client_span_id === root.span_id)?.to;
  const services = new Set((trace.dependencies?.services ?? trace.spans.map(serviceOf)).map(identityKey));
  const errors = trace.spans.filter((span) => span.error).length;
  const { certain, likely, unlinked } = trace.links;
  return (
    <header className="trace-head">
      <p className="crumbs">
        <Link href={paths.traces}>Traces</Link>
        <Icon name="right" />
        <span className="mono">{trace.trace_id}</span>
      </p>
      <div className="page-head">
        <h1>
          {root ? (
            <>
              <Service of={serviceOf(root)} /> {peer && `→ ${peer} `}
              {root.name}
            </>
          ) : (
            "Trace without spans"
          )}
        </h1>
        <div className="controls">
          <button
            type="button"
            className="button"
            aria-pressed={raw}
            title="As the sidecars reported it: no parent mended, no span moved, no clock corrected"
            onClick={() => change({ raw: raw ? null : "1" })}
          >
            As reported
          </button>
        </div>
      </div>
      <dl className="trace-facts">
        <div>
          <dt>Duration</dt>
          <dd>{duration(trace.duration_ms)}</dd>
        </div>
        <div>
          <dt>Began</dt>
          <dd>{dateTime(new Date(trace.started_at))}</dd>
        </div>
        <div>
          <dt>Spans</dt>
          <dd>{count(trace.spans.length)}</dd>
        </div>
        <div>
          <dt>Services</dt>
          <dd>{count(services.size)}</dd>
        </div>
        <div>
          <dt>Errors</dt>
          <dd className={errors > 0 ? "bad-text" : undefined}>{count(errors)}</dd>
        </div>
        <div>
          <dt>Origin</dt>
          <dd className="trace-links">
            <OriginChip trace={trace} />
          </dd>
        </div>
        <div>
          <dt>Links of calls</dt>
          <dd className="trace-links">
            {certain > 0 && <LinkCount kind="certain" n={certain} />}
            {likely > 0 && <LinkCount kind="likely" n={likely} />}
            {unlinked > 0 && <LinkCount kind="unlinked" n={unlinked} />}
            {certain + likely + unlinked === 0 && "no calls"}
          </dd>
        </div>
      </dl>
    </header>
  );
}

function LinkCount({ kind, n }: { kind: "certain" | "likely" | "unlinked"; n: number }) {
  return (
    <span className={`chip ${kind}`}>
      <Icon name={kind} />
      {count(n)} {kind}
    </span>
  );
}

function OriginChip({ trace }: { trace: TraceView }) {
  const root = trace.spans.find((span) => span.span_id === trace.root_span_id);
  const asked = root?.kind === "server" || root?.kind === "consumer";
  const { kind, icon, words } = ORIGINS[trace.origin === "entry" && !asked ? "own" : trace.origin];
  return (
    <span className={`chip ${kind}`}>
      <Icon name={icon} />
      {words}
    </span>
  );
}

const ORIGINS = {
  entry: { kind: "plain", icon: "enter", words: "from outside" },
  own: { kind: "plain", icon: "enter", words: "the service itself" },
  unlinked: { kind: "unlinked", icon: "unlinked", words: "unknown" },
  missing: { kind: "warn", icon: "unlinked", words: "not reported" },
} as const satisfies Record<TraceView["origin"] | "own", { kind: string; icon: IconName; words: string }>;

/** A trace that begins with a call: what may have caused it, and the way there. */
function UnknownOrigin({ trace, select }: { trace: TraceView; select: (index: number) => void }) {
  const index = trace.spans.findIndex((span) => span.span_id === trace.root_span_id && isCall(span));
  const root = trace.spans[index];
  if (trace.origin !== "unlinked" || !root) return null;
  const candidates = root.links.length;
  return (
    <div className="notice warn">
      <span>
        Nobody knows which request to <b>{root.service}</b> caused the call that this trace begins with.{" "}
        {candidates > 0 ? `${plural(candidates, "request")} in flight may have.` : "No candidate was in flight."}
      </span>
      {candidates > 0 && (
        <button type="button" className="button" onClick={() => select(index)}>
          Show {candidates === 1 ? "the candidate" : "the candidates"}
        </button>
      )}
    </div>
  );
}

/** What the reader must know before trusting the picture. */
function Remarks({ trace }: { trace: TraceView }) {
  const orphans = trace.spans.filter((span) => span.orphan).length;
  const corrections = trace.clocks.corrections;
  const remarks: string[] = [];
  if (orphans > 0) {
    remarks.push(
      `${plural(orphans, "span")} name${orphans === 1 ? "s" : ""} a parent that never came, and stand${orphans === 1 ? "s" : ""} as roots: a sidecar may be missing or still sending.`,
    );
  }
  if (corrections.length > 0) {
    const words = corrections.map(
      (one) => `${one.service} by ${one.correction_ms > 0 ? "+" : "−"}${duration(Math.abs(one.correction_ms))}`,
    );
    remarks.push(`Clocks disagree: times are shown corrected for ${words.join(", ")}.`);
  }
  if (trace.moved_in.length > 0) {
    remarks.push(`${plural(trace.moved_in.length, "span")} came from other traces, where they had been reported.`);
  }
  if (trace.moved_out.length > 0) {
    remarks.push(`${plural(trace.moved_out.length, "span")} reported here belong elsewhere, and are shown there.`);
  }
  return remarks.map((remark) => (
    <p key={remark} className="notice warn">
      {remark}
    </p>
  ));
}
