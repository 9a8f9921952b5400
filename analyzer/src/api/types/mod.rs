//! Everything the REST API answers, one type per shape; the OpenAPI document and the page's TypeScript come from these.
//!
//! Fields that the Raceway server's API has keep its names and meanings; the others are ours, on top.
//! Durations end in their unit; `…_ns` are nanoseconds since the trace's first moment, so that a browser's
//! numbers hold them exactly; absolute times are RFC 3339 text.

mod clock;
mod event;
mod path;
mod performance;
mod service;
mod trace;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use clock::*;
pub use event::*;
pub use path::*;
pub use performance::*;
pub use service::*;
pub use trace::*;

/// What wraps every answer.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Envelope<T> {
    /// Whether `data` is there.
    pub success: bool,
    /// The answer; `null` on failure.
    #[schema(required)]
    pub data: Option<T>,
    /// What went wrong and what to do; `null` on success.
    #[schema(required)]
    pub error: Option<String>,
}

/// A refusal or failure: `success` is `false`, `data` is `null`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Failure {
    /// Always `false`.
    pub success: bool,
    /// Always `null`.
    #[schema(required, value_type = Option<Object>)]
    pub data: Option<()>,
    /// What went wrong and what to do.
    pub error: String,
}

/// How the analyzer is.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Status {
    /// The analyzer's version.
    pub version: String,
    /// Seconds since it started.
    pub uptime_seconds: u64,
    /// Events kept: two for a span (its request and its response), one for an event of an SDK.
    pub events_captured: u64,
    /// Traces kept.
    pub traces_active: u64,
    /// How far the rebuilding of what lives in memory is.
    pub warmup: Warmup,
    /// Spans kept.
    pub spans: u64,
    /// Bytes on disk.
    pub bytes_on_disk: u64,
    /// Calls by how sure their cause is, since the oldest span kept.
    pub links: LinkCounts,
    /// What was left out of the live graph because a bound was reached.
    pub overflow: Overflow,
}

/// How far the rebuilding of what lives in memory (graph, health) from the kept spans is.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Warmup {
    /// Where it stands.
    pub phase: WarmupPhase,
    /// Whether it is over: the numbers are whole.
    pub ready: bool,
    /// Spans kept when it started.
    pub total_spans: u64,
    /// Spans read back so far.
    pub processed_spans: u64,
    /// When it started, RFC 3339.
    #[schema(required)]
    pub started_at: Option<String>,
}

/// Where the rebuilding stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum WarmupPhase {
    /// Reading back.
    Replaying,
    /// Over.
    Completed,
}

/// What did not fit into the bounded memory of the live graph. All zero unless something is far out of the ordinary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Overflow {
    /// Calls whose edge was not counted because there were too many different edges in one minute.
    pub edges: u64,
    /// Spans whose service was not counted because there were too many different services.
    pub services: u64,
    /// Calls that were given up within a minute of their first half, because too many were open.
    pub open_calls: u64,
    /// Sidecars' counters that were not kept because there were too many.
    pub counters: u64,
}

/// Calls by how sure it is which request caused them. One whose caller has not reported counts for none: its caller
/// would know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LinkCounts {
    /// Proven: the application forwarded a context, or a carrier did.
    pub certain: u64,
    /// Inferred, with a probability.
    pub likely: u64,
    /// Nobody knows: a trace of its own, with links to the candidates.
    pub unlinked: u64,
}
