//! What an exporter has done so far, for its owner to show.

use std::time::SystemTime;

use crate::endpoint::Compression;
pub use crate::queue::Dropped;

/// The state of one endpoint at one moment.
///
/// `spans_recorded + spans_recovered = spans_sent + spans_rejected + dropped.total() + spans_waiting + spans_in_flight +
/// spans_on_disk`, always.
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
    /// Spans that wait on disk, those of an earlier process included.
    pub spans_on_disk: u64,
    /// Spans that an earlier process left on disk.
    pub spans_recovered: u64,
    /// Memory held by waiting spans and those under way.
    pub queue_bytes: usize,
    /// The bound on it.
    pub queue_bytes_max: usize,
    /// The files, where there is a folder for them.
    pub spill: Option<SpillStats>,
    /// What the sender has done.
    pub progress: Progress,
}

/// Spans on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpillStats {
    /// Bytes in files.
    pub bytes: u64,
    /// The bound on them.
    pub bytes_max: u64,
    /// Files.
    pub files: u64,
    /// Spans that wait in them.
    pub spans: u64,
    /// Spans written by this process.
    pub spilled: u64,
    /// Spans found at the start.
    pub recovered: u64,
    /// Spans that were sent, or refused, out of files.
    pub sent: u64,
    /// Spans dropped because newer ones needed their room.
    pub overflowed: u64,
    /// Spans that could not be read again.
    pub unreadable: u64,
    /// Files in which something could not be read.
    pub damaged: u64,
    /// Attempts to write that failed.
    pub write_errors: u64,
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
