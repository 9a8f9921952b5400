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

impl Resource {
    /// A process of the service with this name.
    pub fn new(service_name: impl Into<Cow<'static, str>>) -> Self {
        Self::default().with("service.name", service_name.into())
    }

    /// The same with one attribute more.
    #[must_use]
    pub fn with(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Value<'static>>) -> Self {
        self.attributes.push((name.into(), value.into()));
        self
    }

    /// The value of an attribute; the first, should the name come twice.
    pub fn attribute(&self, name: &str) -> Option<&Value<'static>> {
        find(&self.attributes, name)
    }

    /// `service.name`; `None` where it is missing, empty or no text.
    pub fn service_name(&self) -> Option<&str> {
        self.text("service.name")
    }

    /// `service.namespace`, where there is one.
    pub fn service_namespace(&self) -> Option<&str> {
        self.text("service.namespace")
    }

    /// `service.version`, where there is one.
    pub fn service_version(&self) -> Option<&str> {
        self.text("service.version")
    }

    /// `service.instance.id`, where there is one.
    pub fn service_instance(&self) -> Option<&str> {
        self.text("service.instance.id")
    }

    /// `deployment.environment.name`, or `deployment.environment` as it was called before semantic conventions 1.27.
    pub fn environment(&self) -> Option<&str> {
        self.text("deployment.environment.name").or_else(|| self.text("deployment.environment"))
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.attribute(name).and_then(Value::as_str).filter(|text| !text.is_empty())
    }
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

impl<'a> Span<'a> {
    /// A span of no length that has nothing but its name yet; fields are filled in after.
    pub fn new(trace_id: TraceId, span_id: SpanId, kind: Kind, name: impl Into<Cow<'a, str>>, start_ns: u64) -> Self {
        Self {
            trace_id,
            span_id,
            parent_span_id: None,
            trace_state: Cow::Borrowed(""),
            flags: 0,
            kind,
            name: name.into(),
            start_ns,
            end_ns: start_ns,
            attributes: Vec::new(),
            events: Vec::new(),
            links: Vec::new(),
            status: Status::Unset,
        }
    }

    /// The value of an attribute; the first, should the name come twice.
    pub fn attribute(&self, name: &str) -> Option<&Value<'a>> {
        find(&self.attributes, name)
    }

    /// Adds an attribute.
    pub fn set(&mut self, name: impl Into<Cow<'a, str>>, value: impl Into<Value<'a>>) {
        self.attributes.push((name.into(), value.into()));
    }

    /// How long it took, in ns; 0 where the clock went backwards.
    pub fn duration_ns(&self) -> u64 {
        self.end_ns.saturating_sub(self.start_ns)
    }

    /// The same span, owning all of its text.
    pub fn into_owned(self) -> Span<'static> {
        Span {
            trace_id: self.trace_id,
            span_id: self.span_id,
            parent_span_id: self.parent_span_id,
            trace_state: owned(self.trace_state),
            flags: self.flags,
            kind: self.kind,
            name: owned(self.name),
            start_ns: self.start_ns,
            end_ns: self.end_ns,
            attributes: owned_pairs(self.attributes),
            events: self.events.into_iter().map(Event::into_owned).collect(),
            links: self.links.into_iter().map(Link::into_owned).collect(),
            status: self.status.into_owned(),
        }
    }
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

impl Kind {
    /// OTLP's number for it.
    pub const fn number(self) -> i32 {
        self as i32
    }

    /// The kind with OTLP's number; a number that nobody defined says nothing, hence [`Kind::Unspecified`].
    pub const fn from_number(number: i32) -> Self {
        match number {
            1 => Self::Internal,
            2 => Self::Server,
            3 => Self::Client,
            4 => Self::Producer,
            5 => Self::Consumer,
            _ => Self::Unspecified,
        }
    }

    /// `server`, `client` …, as people write it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::Internal => "internal",
            Self::Server => "server",
            Self::Client => "client",
            Self::Producer => "producer",
            Self::Consumer => "consumer",
        }
    }
}

/// An attribute's value, as in OTLP's `AnyValue`.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// Nothing: OTLP allows a value that is not set.
    Empty,
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

impl<'a> Value<'a> {
    /// The text, where it is text.
    pub fn as_str(&self) -> Option<&str> {
        if let Self::Str(text) = self { Some(text) } else { None }
    }

    /// The truth value, where it is one.
    pub fn as_bool(&self) -> Option<bool> {
        if let Self::Bool(value) = self { Some(*value) } else { None }
    }

    /// The whole number, where it is one.
    pub fn as_int(&self) -> Option<i64> {
        if let Self::Int(value) = self { Some(*value) } else { None }
    }

    /// The number, whole or not.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Int(value) => Some(*value as f64),
            Self::Double(value) => Some(*value),
            _ => None,
        }
    }

    /// The bytes, where it is bytes.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        if let Self::Bytes(bytes) = self { Some(bytes) } else { None }
    }

    /// The elements, where it is a list.
    pub fn as_array(&self) -> Option<&[Value<'a>]> {
        if let Self::Array(values) = self { Some(values) } else { None }
    }

    /// The same value, owning all of its text.
    pub fn into_owned(self) -> Value<'static> {
        match self {
            Self::Empty => Value::Empty,
            Self::Str(text) => Value::Str(owned(text)),
            Self::Bool(value) => Value::Bool(value),
            Self::Int(value) => Value::Int(value),
            Self::Double(value) => Value::Double(value),
            Self::Array(values) => Value::Array(values.into_iter().map(Value::into_owned).collect()),
            Self::Map(pairs) => Value::Map(owned_pairs(pairs)),
            Self::Bytes(bytes) => Value::Bytes(Cow::Owned(bytes.into_owned())),
        }
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Str(Cow::Borrowed(text))
    }
}

impl From<String> for Value<'_> {
    fn from(text: String) -> Self {
        Self::Str(Cow::Owned(text))
    }
}

impl<'a> From<Cow<'a, str>> for Value<'a> {
    fn from(text: Cow<'a, str>) -> Self {
        Self::Str(text)
    }
}

impl<'a> From<&'a [u8]> for Value<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Bytes(Cow::Borrowed(bytes))
    }
}

impl From<bool> for Value<'_> {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<f64> for Value<'_> {
    fn from(value: f64) -> Self {
        Self::Double(value)
    }
}

/// Whole numbers that always fit.
macro_rules! from_whole_number {
    ($($number:ty),*) => { $(
        impl From<$number> for Value<'_> {
            fn from(value: $number) -> Self {
                Self::Int(i64::from(value))
            }
        }
    )* };
}
from_whole_number!(i64, i32, u32, u16, u8);

impl From<u64> for Value<'_> {
    /// OTLP knows signed numbers only: what does not fit becomes the greatest that does.
    fn from(value: u64) -> Self {
        Self::Int(i64::try_from(value).unwrap_or(i64::MAX))
    }
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

impl<'a> Event<'a> {
    /// The value of an attribute; the first, should the name come twice.
    pub fn attribute(&self, name: &str) -> Option<&Value<'a>> {
        find(&self.attributes, name)
    }

    /// The same event, owning all of its text.
    pub fn into_owned(self) -> Event<'static> {
        Event { time_ns: self.time_ns, name: owned(self.name), attributes: owned_pairs(self.attributes) }
    }
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

impl<'a> Link<'a> {
    /// The value of an attribute; the first, should the name come twice.
    pub fn attribute(&self, name: &str) -> Option<&Value<'a>> {
        find(&self.attributes, name)
    }

    /// The same link, owning all of its text.
    pub fn into_owned(self) -> Link<'static> {
        Link { trace_id: self.trace_id, span_id: self.span_id, attributes: owned_pairs(self.attributes) }
    }
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

impl Status<'_> {
    /// Whether it failed.
    pub const fn is_error(&self) -> bool {
        matches!(self, Self::Error(_))
    }

    /// OTLP's number for it.
    pub const fn number(&self) -> i32 {
        match self {
            Self::Unset => 0,
            Self::Ok => 1,
            Self::Error(_) => 2,
        }
    }

    /// The same status, owning its text.
    pub fn into_owned(self) -> Status<'static> {
        match self {
            Self::Unset => Status::Unset,
            Self::Ok => Status::Ok,
            Self::Error(text) => Status::Error(owned(text)),
        }
    }
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

fn find<'s, 'a>(attributes: &'s [(Cow<'a, str>, Value<'a>)], name: &str) -> Option<&'s Value<'a>> {
    attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value)
}

fn owned(text: Cow<'_, str>) -> Cow<'static, str> {
    Cow::Owned(text.into_owned())
}

fn owned_pairs(pairs: Vec<(Cow<'_, str>, Value<'_>)>) -> Vec<(Cow<'static, str>, Value<'static>)> {
    pairs.into_iter().map(|(name, value)| (owned(name), value.into_owned())).collect()
}
