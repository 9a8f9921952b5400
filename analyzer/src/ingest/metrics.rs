//! What ingest counts.

use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

/// Ingest's metrics; `protocol` is `grpc`, `http_protobuf`, `http_json` or `raceway`.
pub(super) struct Metrics {
    /// By protocol and outcome: `ok`, `partial`, or why not ([`super::refusal::Refusal::label`]).
    pub(super) requests: IntCounterVec,
    pub(super) bytes: IntCounterVec,
    pub(super) spans: IntCounterVec,
    pub(super) spans_rejected: IntCounterVec,
    pub(super) left_out: IntCounter,
    pub(super) edge_counters: IntCounter,
    pub(super) edge_points_rejected: IntCounter,
    pub(super) metrics_ignored: IntCounter,
}

impl Metrics {
    /// Registers them; fails if the registry has them already.
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let by = |name: &str, help: &str, labels: &[&str]| {
            let counters = IntCounterVec::new(Opts::new(format!("raceway_analyzer_ingest_{name}"), help), labels)?;
            registry.register(Box::new(counters.clone()))?;
            prometheus::Result::Ok(counters)
        };
        let counter = |name: &str, help: &str| {
            let counter = IntCounter::new(format!("raceway_analyzer_ingest_{name}"), help)?;
            registry.register(Box::new(counter.clone()))?;
            prometheus::Result::Ok(counter)
        };
        Ok(Self {
            requests: by("requests_total", "Requests by outcome", &["protocol", "outcome"])?,
            bytes: by("bytes_total", "Bytes of bodies, as they came", &["protocol"])?,
            spans: by("spans_total", "Spans read, new or not", &["protocol"])?,
            spans_rejected: by("spans_rejected_total", "Spans that were malformed or over a limit", &["protocol"])?,
            left_out: counter("left_out_total", "Attributes, events and links left out or cut")?,
            edge_counters: counter("edge_counters_total", "Edge counters taken in")?,
            edge_points_rejected: counter("edge_points_rejected_total", "Data points of edges that made no sense")?,
            metrics_ignored: counter("metrics_ignored_total", "Metrics that are not about edges")?,
        })
    }
}
