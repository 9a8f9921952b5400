//! Edge counters: cumulative numbers of calls that sidecars report as OTLP metrics `raceway.edge.*`.
//!
//! Spans decide which edges exist and what they are called; counters only correct their numbers, since they also
//! know the calls whose spans were not sampled or were dropped.

use std::borrow::Cow;
use std::collections::HashMap;

use raceway_analyzer_client::{Resource, Value};

use super::limits::{NAME_BYTES_MAX, cut};

/// Buckets of a histogram: three times what sidecars send.
pub(super) const BUCKETS_MAX: usize = 64;

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

/// Which of the three metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Measure {
    Calls,
    Errors,
    Duration,
}

impl Measure {
    pub(super) fn from_name(name: &str) -> Option<Self> {
        match name {
            "raceway.edge.calls" => Some(Self::Calls),
            "raceway.edge.errors" => Some(Self::Errors),
            "raceway.edge.duration" => Some(Self::Duration),
            _ => None,
        }
    }
}

/// A data point, of a sum or of a histogram.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Point {
    pub(super) start_ns: u64,
    pub(super) time_ns: u64,
    pub(super) count: u64,
    pub(super) sum_s: f64,
    pub(super) bounds_s: Vec<f64>,
    pub(super) buckets: Vec<u64>,
}

/// Puts the points of the three metrics of a request together.
#[derive(Debug, Default)]
pub(super) struct Collector {
    counters: HashMap<EdgeKey, EdgeCounter>,
    /// Metrics that are none of ours.
    pub(super) ignored: u64,
    /// Points of ours that cannot be used: they do not say of which edge they are, or their buckets do not add up.
    pub(super) rejected: u64,
}

impl Collector {
    /// Takes a point in.
    pub(super) fn add(
        &mut self,
        measure: Measure,
        resource: &Resource,
        attributes: &[(Cow<'static, str>, Value<'static>)],
        point: Point,
    ) {
        let to = attributes.iter().find(|(name, _)| name == "raceway.edge.to").and_then(|(_, to)| to.as_str());
        let fits = point.buckets.is_empty() || point.buckets.len() == point.bounds_s.len() + 1;
        let (Some(to), Some(service), true) = (to.filter(|to| !to.is_empty()), resource.service_name(), fits) else {
            self.rejected += 1;
            return;
        };
        let text = |text: Option<&str>| cut(text.unwrap_or_default(), NAME_BYTES_MAX).to_owned();
        let key = EdgeKey {
            environment: text(resource.environment()),
            namespace: text(resource.service_namespace()),
            service: text(Some(service)),
            instance: text(resource.service_instance()),
            start_ns: point.start_ns,
            to: text(Some(to)),
        };
        let counter = match self.counters.get_mut(&key) {
            Some(counter) => counter,
            None => {
                let new = EdgeCounter { key: key.clone(), ..EdgeCounter::default() };
                self.counters.entry(key).or_insert(new)
            }
        };
        counter.time_ns = counter.time_ns.max(point.time_ns);
        match measure {
            Measure::Calls => counter.calls = counter.calls.max(point.count),
            Measure::Errors => counter.errors = counter.errors.max(point.count),
            Measure::Duration => {
                let Point { count, sum_s, bounds_s, buckets, .. } = point;
                counter.latency = Latency { bounds_s, buckets, count, sum_s };
            }
        }
    }

    /// What was put together.
    pub(super) fn into_counters(self) -> Vec<EdgeCounter> {
        self.counters.into_values().collect()
    }
}
