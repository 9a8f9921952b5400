//! What lives in memory beside the store: views that are fed as spans arrive, and rebuilt from the store at the start.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use raceway_analyzer_client::Reported;

use crate::ingest::EdgeCounter;

/// A view that is kept up to date by being shown everything that became durable.
pub trait Live: Send + Sync + 'static {
    /// Sees spans that were not there before, after they are durable and before the client has its answer.
    ///
    /// Called from several threads at once, in no particular order of time; must not block on IO. Spans kept by an
    /// earlier run come the same way while [`Warmup`] lasts, mixed with new ones; no span comes twice.
    fn observe(&self, fresh: &[Reported]);

    /// Sees the newest values of edge counters, old values of which may have been seen before.
    fn observe_edges(&self, counters: &[EdgeCounter]) {
        let _ = counters;
    }
}

/// How far the rebuilding of what lives in memory has come.
#[derive(Debug, Default)]
pub struct Warmup {
    spans: AtomicU64,
    spans_total: AtomicU64,
    ready: AtomicBool,
}

impl Warmup {
    /// Spans read back so far.
    pub fn spans(&self) -> u64 {
        self.spans.load(Ordering::Relaxed)
    }

    /// Spans there were to read back.
    pub fn spans_total(&self) -> u64 {
        self.spans_total.load(Ordering::Relaxed)
    }

    /// Whether everything kept has been read back.
    pub fn ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    /// `replaying` or `ready`.
    pub fn phase(&self) -> &'static str {
        if self.ready() { "ready" } else { "replaying" }
    }

    pub(crate) fn begin(&self, spans_total: u64) {
        self.spans_total.store(spans_total, Ordering::Relaxed);
    }

    pub(crate) fn advance(&self, spans: u64) {
        self.spans.fetch_add(spans, Ordering::Relaxed);
    }

    pub(crate) fn finish(&self) {
        self.ready.store(true, Ordering::Release);
    }
}
