//! What an exporter has done so far, for its owner to show.

use std::time::SystemTime;

use crate::endpoint::Compression;
pub use crate::queue::Dropped;

/// The state of one endpoint at one moment.
///
/// `spans_recorded = spans_sent + spans_rejected + dropped.total() + spans_waiting + spans_in_flight`, always.
#[derive(Clone, Debug)]
pub struct Stats {
    /// Where to, as a URL.
    pub endpoint: String,
    /// Spans given to the exporter.
    pub spans_recorded: u64,
    /// Spans that the receiver took in.
    pub spans_sent: u64,
    /// Spans that the receiver said it did not take in, out of requests that it did (OTLP's partial success).
    pub spans_rejected: u64,
    /// Spans lost on this side, by reason.
    pub dropped: Dropped,
    /// Spans that wait to be sent.
    pub spans_waiting: u64,
    /// Spans in the request under way.
    pub spans_in_flight: u64,
    /// Memory held by waiting spans and those under way.
    pub queue_bytes: usize,
    /// The bound on it.
    pub queue_bytes_max: usize,
    /// What the sender has done.
    pub progress: Progress,
}

/// What the sender of one endpoint has done so far.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// Requests that the receiver took in, spans and metrics together.
    pub requests_accepted: u64,
    /// Requests that it refused for good.
    pub requests_refused: u64,
    /// Attempts that failed and are made again.
    pub retries: u64,
    /// Messages of edge counters that the receiver took in.
    pub metrics_sent: u64,
    /// Connections opened.
    pub connects: u64,
    /// Whether there is a connection now.
    pub connected: bool,
    /// What bodies are compressed with now; weaker than asked for where the receiver knew no better.
    pub compression: Compression,
    /// When the receiver last took something in.
    pub last_success: Option<SystemTime>,
    /// The latest failure, even if all is well since.
    pub last_error: Option<Problem>,
}

/// Something that went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// When.
    pub at: SystemTime,
    /// What, and what to look at.
    pub text: String,
}
