//! The span model that sidecars fill and analyzers read: OpenTelemetry's, without the parts nobody here uses.

use std::borrow::Cow;
use std::sync::Arc;

use raceway_trace::{SpanId, TraceId};

/// Who reports: the resource that all spans of one process share.
///
/// The **identity** of a service is (deployment.environment.name, service.namespace, service.name);
/// version, instance and everything else are attributes of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resource {
    /// Resource attributes by OpenTelemetry's names (`service.name`, `service.instance.id`, `k8s.pod.name` …).
    pub attributes: Vec<(Cow<'static, str>, Value<'static>)>,
}

/// One timed operation.
///
/// Times are nanoseconds since the Unix epoch. Text is borrowed where the writer still owns it, so that
/// recording a span costs one allocation (the list of attributes).
#[derive(Clone, Debug, PartialEq)]
pub struct Span<'a> {
    /// The trace it belongs to.
    pub trace_id: TraceId,
    /// Its own id.
    pub span_id: SpanId,
    /// The span that caused it; `None` for a root.
    pub parent_span_id: Option<SpanId>,
    /// W3C `tracestate`, as text; empty for none.
    pub trace_state: Cow<'a, str>,
    /// W3C trace flags (bit 0 sampled, bit 1 random).
    pub flags: u8,
    /// Which side of which kind of operation.
    pub kind: Kind,
    /// `GET /orders/{id}`.
    pub name: Cow<'a, str>,
    /// Start, ns since the Unix epoch.
    pub start_ns: u64,
    /// End, ns since the Unix epoch; never before the start.
    pub end_ns: u64,
    /// By OpenTelemetry's semantic conventions; ours are under `raceway.`.
    pub attributes: Vec<(Cow<'a, str>, Value<'a>)>,
    /// Points in time within the span.
    pub events: Vec<Event<'a>>,
    /// Spans that may have caused it, or that it has to do with.
    pub links: Vec<Link<'a>>,
    /// How it ended.
    pub status: Status<'a>,
}

/// OpenTelemetry's span kinds, with OTLP's numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Not said.
    #[default]
    Unspecified = 0,
    /// Work inside a service.
    Internal = 1,
    /// A request answered.
    Server = 2,
    /// A request made.
    Client = 3,
    /// A message put into a queue.
    Producer = 4,
    /// A message taken from a queue.
    Consumer = 5,
}

/// An attribute's value, as in OTLP's `AnyValue`.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// UTF-8 text.
    Str(Cow<'a, str>),
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number with a fraction.
    Double(f64),
    /// A list.
    Array(Vec<Value<'a>>),
    /// Named values.
    Map(Vec<(Cow<'a, str>, Value<'a>)>),
    /// Raw bytes.
    Bytes(Cow<'a, [u8]>),
}

/// A named point in time.
#[derive(Clone, Debug, PartialEq)]
pub struct Event<'a> {
    /// ns since the Unix epoch.
    pub time_ns: u64,
    /// What happened.
    pub name: Cow<'a, str>,
    /// Details.
    pub attributes: Vec<(Cow<'a, str>, Value<'a>)>,
}

/// A pointer to another span, perhaps of another trace.
#[derive(Clone, Debug, PartialEq)]
pub struct Link<'a> {
    /// The other span's trace.
    pub trace_id: TraceId,
    /// The other span.
    pub span_id: SpanId,
    /// What the link says.
    pub attributes: Vec<(Cow<'a, str>, Value<'a>)>,
}

/// How an operation ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Status<'a> {
    /// Nothing wrong was noticed.
    #[default]
    Unset,
    /// Declared fine.
    Ok,
    /// Failed; the text may be empty.
    Error(Cow<'a, str>),
}

/// A span with the process and library that reported it: what travels, what is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Reported {
    /// The process.
    pub resource: Arc<Resource>,
    /// The instrumentation scope's name; [`SCOPE`] for a sidecar.
    pub scope: Arc<str>,
    /// What it reported.
    pub span: Span<'static>,
}

/// The instrumentation scope under which sidecars report.
pub const SCOPE: &str = "raceway-proxy";
