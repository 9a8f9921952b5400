//! Edge counters: cumulative numbers of calls that sidecars report as OTLP metrics `raceway.edge.*`.
//!
//! Spans decide which edges exist and what they are called; counters only correct their numbers, since they also
//! know the calls whose spans were not sampled or were dropped.

/// Which counter: one process's calls to one peer.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EdgeKey {
    /// `deployment.environment.name` of the caller.
    pub environment: String,
    /// `service.namespace` of the caller.
    pub namespace: String,
    /// `service.name` of the caller.
    pub service: String,
    /// `service.instance.id` of the caller.
    pub instance: String,
    /// When the counting process started, ns since the epoch: a restart counts from zero under a key of its own.
    pub start_ns: u64,
    /// `raceway.edge.to`: the peer as the caller knows it.
    pub to: String,
}

/// The newest values under a key.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EdgeCounter {
    /// Which counter.
    pub key: EdgeKey,
    /// When these values were read, ns since the epoch.
    pub time_ns: u64,
    /// Calls since `key.start_ns`.
    pub calls: u64,
    /// Those of them that failed.
    pub errors: u64,
    /// How long they took.
    pub latency: Latency,
}

/// A histogram of durations.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Latency {
    /// Upper bounds of the buckets but the last, seconds, rising.
    pub bounds_s: Vec<f64>,
    /// Calls per bucket, one more than there are bounds.
    pub buckets: Vec<u64>,
    /// Calls in all buckets.
    pub count: u64,
    /// Sum of all durations, seconds.
    pub sum_s: f64,
}
