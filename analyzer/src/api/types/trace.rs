//! Traces: the list, and all that is known of one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::{
    Anomaly, Clocks, CriticalPath, Event, LinkCounts, SpanClock, TraceAnalysis, TraceDependencies, VariableAccess,
};

/// One page of traces, newest first.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TraceList {
    /// Traces that match.
    pub total_traces: u64,
    /// Whether counting stopped early: at least `total_traces` match.
    pub total_is_lower_bound: bool,
    /// This page's number, from 1.
    pub page: u64,
    /// At most so many rows.
    pub page_size: u64,
    /// How many pages there are.
    pub total_pages: u64,
    /// The rows.
    pub traces: Vec<TraceSummary>,
    /// Give this as `cursor` for the rows that follow; `null` on the last page.
    #[schema(required)]
    pub next_cursor: Option<String>,
}

/// One page of a service's traces, newest first.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ServiceTraceList {
    /// The service.
    pub service_name: String,
    /// Its traces.
    #[serde(flatten)]
    pub list: TraceList,
}

/// One row of the list of traces.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TraceSummary {
    /// UUID text.
    pub trace_id: String,
    /// Events in it so far.
    pub event_count: u64,
    /// Its first moment, RFC 3339.
    pub first_timestamp: String,
    /// Its last moment, RFC 3339.
    pub last_timestamp: String,
    /// How many services took part.
    pub service_count: u64,
    /// Which, sorted.
    pub services: Vec<String>,
    /// From the first moment to the last.
    pub duration_ms: f64,
    /// Spans in it so far.
    pub span_count: u64,
    /// Spans that ended in an error.
    pub error_count: u64,
    /// The root's service.
    pub root_service: String,
    /// The root's name.
    pub root_operation: String,
    /// Whom the root calls, where it is a call: as its service knows the peer; `null` for any other root.
    #[schema(required)]
    pub root_peer: Option<String>,
    /// `service.namespace` of the root's service; `null` where nobody said.
    #[schema(required)]
    pub root_namespace: Option<String>,
    /// `deployment.environment.name` of the root's service; `null` where nobody said.
    #[schema(required)]
    pub root_environment: Option<String>,
    /// Where it begins.
    pub origin: Origin,
    /// The smallest probability among its links; 1 when all are certain. Says nothing of unlinked calls.
    pub certainty: f64,
    /// Calls in it of which nobody knows the cause.
    pub unlinked_calls: u64,
}

/// Where a trace begins, as far as is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// With a request from outside, or with work that a service began by itself.
    Entry,
    /// With a call of which nobody knows which request caused it; the links of its span name the candidates.
    Unlinked,
    /// The root has not come: a parent is named that nobody reported.
    Missing,
}

/// All that is known of one trace.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TraceView {
    /// UUID text.
    pub trace_id: String,
    /// Its first moment, RFC 3339: where `…_ns` count from.
    pub started_at: String,
    /// From the first moment to the last.
    pub duration_ms: f64,
    /// The root's span id; `null` while it has not come.
    #[schema(required)]
    pub root_span_id: Option<String>,
    /// Where it begins.
    pub origin: Origin,
    /// Its events in causal order; a span is a pair of request and response.
    pub events: Vec<Event>,
    /// Accesses to shared data, by variable.
    pub audit_trails: BTreeMap<String, Vec<VariableAccess>>,
    /// Races and other oddities.
    pub analysis: TraceAnalysis,
    /// What made it as slow as it was; `null` without a span.
    #[schema(required)]
    pub critical_path: Option<CriticalPath>,
    /// Events that took unusually long.
    pub anomalies: Vec<Anomaly>,
    /// Who called whom.
    #[schema(required)]
    pub dependencies: Option<TraceDependencies>,
    /// Its spans as a tree laid flat: every span before its children, siblings by start.
    pub spans: Vec<SpanView>,
    /// Its calls, client and server half joined.
    pub edges: Vec<Call>,
    /// What is known about the clocks of the machines.
    pub clocks: Clocks,
    /// Its calls by how sure their cause is.
    pub links: LinkCounts,
    /// Spans that other traces held and that belong here.
    pub moved_in: Vec<Moved>,
    /// Spans that were reported under this trace and belong elsewhere.
    pub moved_out: Vec<Moved>,
}

/// One span as the trace view shows it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct SpanView {
    /// 16 hex digits. Two spans share one only where the sender's protocol does so (Zipkin's client and server).
    pub span_id: String,
    /// The parent, mended where the sender named a stand-in; `null` for a root.
    #[schema(required)]
    pub parent_span_id: Option<String>,
    /// The parent as reported, where it was mended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reported_parent_span_id: Option<String>,
    /// A parent is named, but never came: this span stands as a root of its own.
    pub orphan: bool,
    /// It says otherwise what an earlier span of the same key already said; it counts for nothing.
    pub conflicting: bool,
    /// Distance from its root, 0 for a root.
    pub depth: u32,
    /// Which side of which kind of operation.
    pub kind: SpanKind,
    /// `GET /orders/{id}`.
    pub name: String,
    /// The service.
    pub service: String,
    /// Its instance, where it said.
    #[schema(required)]
    pub instance: Option<String>,
    /// `service.namespace`, where it said.
    #[schema(required)]
    pub namespace: Option<String>,
    /// `deployment.environment.name`, where it said.
    #[schema(required)]
    pub environment: Option<String>,
    /// The instrumentation scope; `raceway-proxy` for a sidecar.
    pub scope: String,
    /// Start as reported, RFC 3339.
    pub timestamp: String,
    /// Start, ns since the trace's first moment, clock correction included.
    pub start_ns: i64,
    /// End, ns since the trace's first moment, clock correction included.
    pub end_ns: i64,
    /// Time from start to end.
    pub duration_ms: f64,
    /// Whether it failed.
    pub error: bool,
    /// The status text of a failed span.
    #[schema(required)]
    pub status_message: Option<String>,
    /// Attributes by OpenTelemetry's names.
    pub attributes: BTreeMap<String, Value>,
    /// Points in time within it.
    pub events: Vec<SpanEvent>,
    /// Spans it points at; of an unlinked call: the requests that may have caused it.
    pub links: Vec<SpanLink>,
    /// How it was tied to its parent.
    pub link: Link,
    /// Its vector clock; `null` where none was reported.
    #[schema(required)]
    pub clock: Option<SpanClock>,
    /// Time of it that lies on the critical path, its children's excluded.
    pub critical_ms: f64,
}

/// OpenTelemetry's span kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SpanKind {
    /// Not said.
    Unspecified,
    /// Work inside a service.
    Internal,
    /// A request answered.
    Server,
    /// A request made.
    Client,
    /// A message put into a queue.
    Producer,
    /// A message taken from a queue.
    Consumer,
}

/// A named point in time within a span.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct SpanEvent {
    /// ns since the trace's first moment.
    pub time_ns: i64,
    /// What happened.
    pub name: String,
    /// Details.
    pub attributes: BTreeMap<String, Value>,
}

/// A pointer to another span, perhaps of another trace.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct SpanLink {
    /// UUID text.
    pub trace_id: String,
    /// 16 hex digits.
    pub span_id: String,
    /// What the link says (`raceway.link`: `candidate`).
    pub attributes: BTreeMap<String, Value>,
}

/// How a span was tied to its parent, and how sure that is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Link {
    /// Certain, likely or unlinked.
    pub certainty: Certainty,
    /// What told.
    pub method: LinkMethod,
    /// The probability of this single link.
    pub p: f64,
    /// How many requests were in flight when the call was made, where the sidecar said.
    #[schema(required)]
    pub candidates: Option<u32>,
}

/// How sure it is which request caused a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Certainty {
    /// Proven.
    Certain,
    /// Inferred, with a probability.
    Likely,
    /// Nobody knows.
    Unlinked,
}

/// What tied a span to its parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum LinkMethod {
    /// A header that was forwarded; also what spans of SDKs count as.
    Header,
    /// An agent in the runtime carried it.
    Carrier,
    /// One process, one request in flight.
    Process,
    /// One thread.
    Thread,
    /// The only request in flight.
    Sole,
    /// The statistical model.
    Bayes,
    /// Nothing: it stands at the root.
    Root,
}

/// One call, client and server half joined.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Call {
    /// Its key: the CLIENT span's id; the SERVER's where the caller's sidecar could not see the call.
    pub span_id: String,
    /// The CLIENT span; `null` where it has not come.
    #[schema(required)]
    pub client_span_id: Option<String>,
    /// The SERVER span; `null` where the callee has no sidecar, or its span has not come.
    #[schema(required)]
    pub server_span_id: Option<String>,
    /// The caller.
    pub from: String,
    /// The callee.
    pub to: String,
    /// Whether the callee is known by name or address only.
    #[serde(rename = "virtual")]
    pub is_virtual: bool,
    /// `GET /orders/{id}`.
    pub operation: String,
    /// What was spoken: `http/1.1`, `http/2`, …
    #[schema(required)]
    pub protocol: Option<String>,
    /// Whether it failed, seen from the caller where it reported.
    pub error: bool,
    /// As the caller saw it, else as the callee did.
    pub duration_ms: f64,
    /// Bytes of request and response bodies.
    pub bytes: u64,
    /// How it was tied to the request that caused it.
    pub link: Link,
}

/// A span that was moved between traces after the fact.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Moved {
    /// The span.
    pub span_id: String,
    /// The trace that holds it now, or did: UUID text.
    pub other_trace_id: String,
    /// How sure that is.
    pub p: f64,
}
