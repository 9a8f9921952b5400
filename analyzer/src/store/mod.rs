//! Keeping spans: one trait, so that everything above it neither knows nor cares where they lie.

pub mod embedded;

use std::future::Future;
use std::pin::Pin;

use raceway_analyzer_client::Reported;
use raceway_trace::TraceId;

use crate::ingest::EdgeCounter;

/// A place that keeps spans for as long as they are wanted.
///
/// Reading methods block on the disk: call them from `spawn_blocking`.
pub trait SpanStore: Send + Sync + 'static {
    /// Keeps a batch. Resolves when every span of it is durable, and not before: the answer may be acknowledged.
    ///
    /// A span is known by (trace id, span id, kind, service, instance). The same span again changes nothing;
    /// the same key with other content is kept beside the first.
    fn append(&self, batch: Vec<Reported>) -> Pin<Box<dyn Future<Output = Result<Appended, StoreError>> + Send + '_>>;

    /// All spans of a trace, in order of their start; empty if there is none. As they came: events of Raceway's SDKs are
    /// a span each, which [`crate::ingest::raceway_events::fold`] puts together for showing.
    fn trace(&self, id: TraceId) -> Result<Vec<Reported>, StoreError>;

    /// One page of traces, newest first.
    fn traces(&self, query: &TraceQuery) -> Result<TracePage, StoreError>;

    /// How much is kept.
    fn totals(&self) -> Totals;

    /// Every span kept at the moment of the call, oldest partition first; what is appended later does not appear.
    /// For rebuilding what lives in memory.
    fn replay(&self) -> Result<Replay, StoreError>;

    /// Keeps the newest values of edge counters; older values than those kept change nothing. Durable when it resolves.
    fn append_edges(
        &self,
        counters: Vec<EdgeCounter>,
    ) -> Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send + '_>>;

    /// The newest values of all edge counters whose process reported within the time that spans are kept.
    fn edges(&self) -> Result<Vec<EdgeCounter>, StoreError>;
}

/// Spans in portions that fit into memory.
pub type Replay = Box<dyn Iterator<Item = Result<Vec<Reported>, StoreError>> + Send>;

/// What became of a batch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Appended {
    /// The spans that were not there before, in the order they came: what live views should count.
    pub fresh: Vec<Reported>,
    /// Spans that were there already, to the letter.
    pub repeated: usize,
    /// Spans whose key was there with other content; kept too, and in `fresh`.
    pub conflicting: usize,
    /// Spans that were not kept, because their trace (or their key) has as many as one may have.
    pub over_limit: usize,
}

/// Set by a store, when reading, on a span whose key was there before with other content: the how-manieth it is.
pub const CONFLICT: &str = "raceway.conflict";

/// Why a store did not answer.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk or the database failed; the text names what to look at.
    #[error("{0}")]
    Failed(String),
    /// No room on the disk: nothing is written until there is some, what was kept stays readable.
    #[error("{0}")]
    Full(String),
    /// Too much is waiting to be written: try again after a moment.
    #[error("the store is overloaded; try again in {retry_after:?}")]
    Overloaded {
        /// When to try again.
        retry_after: std::time::Duration,
    },
}

/// Which traces to list. Every field narrows; the default asks for all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TraceQuery {
    /// Only traces in which this service took part.
    pub service: Option<String>,
    /// Only traces with a span whose name contains this text, in upper or lower case: `checkout` finds
    /// `POST /checkout`.
    pub operation: Option<String>,
    /// Only traces at least this long, ns.
    pub duration_min_ns: Option<u64>,
    /// Only traces at most this long, ns.
    pub duration_max_ns: Option<u64>,
    /// Only traces with (`true`) or without (`false`) an error.
    pub error: Option<bool>,
    /// Only traces that began at or after this time, ns since the epoch.
    pub from_ns: Option<u64>,
    /// Only traces that began before this time, ns since the epoch.
    pub to_ns: Option<u64>,
    /// Only traces with at least this many spans.
    pub spans_min: Option<u64>,
    /// Go on after this trace (its row's first time and id).
    pub after: Option<(u64, TraceId)>,
    /// Skip so many matching traces (for numbered pages).
    pub skip: usize,
    /// At most so many rows.
    pub limit: usize,
}

/// One page of the list of traces.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TracePage {
    /// The rows, newest first.
    pub rows: Vec<TraceRow>,
    /// How many traces match in all.
    pub total: u64,
    /// Whether `total` was cut short because counting on would have cost too much.
    pub total_is_lower_bound: bool,
    /// Where to go on ([`TraceQuery::after`]); `None` at the end. A page may have fewer rows than asked for, even none,
    /// and still go on: a call looks at a bounded number of traces.
    pub next: Option<(u64, TraceId)>,
}

/// What the list of traces shows of one.
#[derive(Clone, Debug, PartialEq)]
pub struct TraceRow {
    /// The trace.
    pub trace_id: TraceId,
    /// Spans in it so far.
    pub spans: u64,
    /// Earliest start, ns since the epoch.
    pub first_ns: u64,
    /// Latest end, ns since the epoch.
    pub last_ns: u64,
    /// Services that took part, sorted.
    pub services: Vec<String>,
    /// Spans that ended in an error.
    pub errors: u64,
    /// The root's service, or that of the earliest span where no root has come.
    pub root_service: String,
    /// The root's name.
    pub root_operation: String,
    /// Whom the root calls, where it is a call: as its service knows the peer.
    pub root_peer: Option<String>,
    /// `service.namespace` of the root's service, where it said.
    pub root_namespace: Option<String>,
    /// `deployment.environment.name` of the root's service, where it said.
    pub root_environment: Option<String>,
    /// Where it begins.
    pub origin: Origin,
    /// The smallest single link in it, 1 for certain (`raceway.parent.p`).
    pub certainty: f64,
    /// Calls of which nobody knows the cause; `certainty` is not about them.
    pub unlinked_calls: u64,
}

/// Where a trace begins, as far as is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// With a request from outside, or with work that a service began by itself.
    Entry,
    /// With a call of which nobody knows the cause.
    Unlinked,
    /// The root has not come.
    #[default]
    Missing,
}

/// How much is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Traces.
    pub traces: u64,
    /// Spans.
    pub spans: u64,
    /// Bytes on disk.
    pub bytes: u64,
}
