//! What the store counts.

use prometheus::{Histogram, HistogramOpts, IntCounter, IntGauge, Registry};

/// The store's metrics.
pub(super) struct Metrics {
    pub(super) spans: IntCounter,
    pub(super) repeated: IntCounter,
    pub(super) conflicting: IntCounter,
    pub(super) over_limit: IntCounter,
    pub(super) edges_refused: IntCounter,
    pub(super) commits: Histogram,
    pub(super) failures: IntCounter,
    pub(super) overloaded: IntCounter,
    pub(super) damaged: IntCounter,
    pub(super) partitions_dropped: IntCounter,
    pub(super) spans_dropped: IntCounter,
    pub(super) queue_bytes: IntGauge,
    pub(super) disk_bytes: IntGauge,
    pub(super) partitions: IntGauge,
}

impl Metrics {
    /// Registers them.
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let counter = |name: &str, help: &str| {
            let counter = IntCounter::new(format!("raceway_analyzer_store_{name}"), help)?;
            registry.register(Box::new(counter.clone()))?;
            prometheus::Result::Ok(counter)
        };
        let gauge = |name: &str, help: &str| {
            let gauge = IntGauge::new(format!("raceway_analyzer_store_{name}"), help)?;
            registry.register(Box::new(gauge.clone()))?;
            prometheus::Result::Ok(gauge)
        };
        // From an SSD's fsync to a disk that cannot keep up.
        let buckets = vec![0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5];
        let commits = Histogram::with_opts(
            HistogramOpts::new("raceway_analyzer_store_commit_seconds", "Time of a commit with its fsync")
                .buckets(buckets),
        )?;
        registry.register(Box::new(commits.clone()))?;
        Ok(Self {
            commits,
            spans: counter("spans_total", "Spans kept")?,
            repeated: counter("spans_repeated_total", "Spans that were there already")?,
            conflicting: counter("spans_conflicting_total", "Spans whose key was there with other content")?,
            over_limit: counter("spans_over_limit_total", "Spans refused because their trace has too many")?,
            edges_refused: counter("edge_counters_refused_total", "Edge counters refused because there are too many")?,
            failures: counter("failures_total", "Commits that failed")?,
            overloaded: counter("overloaded_total", "Batches refused because too much waits to be written")?,
            damaged: counter("damaged_total", "Entries on disk that could not be read and were left out")?,
            partitions_dropped: counter("partitions_dropped_total", "Partitions deleted by retention")?,
            spans_dropped: counter("spans_expired_total", "Spans deleted by retention")?,
            queue_bytes: gauge("queue_bytes", "Bytes that wait to be written")?,
            disk_bytes: gauge("disk_bytes", "Bytes on disk")?,
            partitions: gauge("partitions", "Partitions of time that are kept")?,
        })
    }
}
