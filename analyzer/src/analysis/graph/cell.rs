//! What is counted under one key in one stretch of time.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::analysis::facts::{Certainty, Identity, Medium};
use crate::analysis::sketch::Sketch;

/// Protocols told apart on one edge; there are only a handful.
const PROTOCOLS_MAX: usize = 8;
/// Instances named per service, for the eye; more are not.
const INSTANCES_MAX: usize = 64;

/// Whose calls to whom.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct EdgeKey {
    pub(crate) from: Arc<Identity>,
    pub(crate) to: Arc<Identity>,
    pub(crate) medium: Medium,
}

/// Whose calls to what the caller calls it, as its sidecar counts them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct CounterKey {
    pub(crate) from: Arc<Identity>,
    pub(crate) to: Arc<str>,
}

/// What all cells can do.
pub(crate) trait Keyed: Default {
    /// Adds all that `other` counted.
    fn merge(&mut self, other: &Self);
}

/// One call as it is counted, and as it is taken back.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sample {
    /// When it ended, ns since the epoch, never in the future.
    pub(crate) time_ns: u64,
    pub(crate) latency_ns: u64,
    pub(crate) error: bool,
    pub(crate) bytes: u64,
    pub(crate) protocol: Option<Arc<str>>,
    /// `None` where the caller, who would know, has not reported.
    pub(crate) certainty: Option<Certainty>,
    /// Whether it is the first such call of its trace.
    pub(crate) first_of_trace: bool,
}

/// Calls.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cell {
    pub(crate) calls: u64,
    pub(crate) errors: u64,
    pub(crate) latency: Sketch,
    pub(crate) bytes: u64,
    pub(crate) protocols: Vec<(Arc<str>, u64)>,
    pub(crate) certain: u64,
    pub(crate) likely: u64,
    pub(crate) unlinked: u64,
    pub(crate) traces: u64,
    pub(crate) last_ns: u64,
}

impl Cell {
    pub(crate) fn add(&mut self, sample: &Sample) {
        self.calls += 1;
        self.errors += u64::from(sample.error);
        self.latency.add(sample.latency_ns);
        self.bytes = self.bytes.saturating_add(sample.bytes);
        if let Some(certain) = self.certainty(sample) {
            *certain += 1;
        }
        self.traces += u64::from(sample.first_of_trace);
        self.last_ns = self.last_ns.max(sample.time_ns);
        if let Some(protocol) = &sample.protocol {
            self.spoken(protocol, 1);
        }
    }

    /// Takes back what [`Cell::add`] counted. `last_ns` stays: a late half does not make a call unseen.
    pub(crate) fn remove(&mut self, sample: &Sample) {
        self.calls = self.calls.saturating_sub(1);
        self.errors = self.errors.saturating_sub(u64::from(sample.error));
        self.latency.remove(sample.latency_ns);
        self.bytes = self.bytes.saturating_sub(sample.bytes);
        if let Some(certain) = self.certainty(sample) {
            *certain = certain.saturating_sub(1);
        }
        self.traces = self.traces.saturating_sub(u64::from(sample.first_of_trace));
        if let Some((_, count)) = self.protocols.iter_mut().find(|(name, _)| Some(name) == sample.protocol.as_ref()) {
            *count = count.saturating_sub(1);
        }
    }

    fn certainty(&mut self, sample: &Sample) -> Option<&mut u64> {
        Some(match sample.certainty? {
            Certainty::Certain => &mut self.certain,
            Certainty::Likely => &mut self.likely,
            Certainty::Unlinked => &mut self.unlinked,
        })
    }

    fn spoken(&mut self, protocol: &Arc<str>, times: u64) {
        if let Some((_, count)) = self.protocols.iter_mut().find(|(name, _)| name == protocol) {
            *count += times;
        } else if self.protocols.len() < PROTOCOLS_MAX {
            self.protocols.push((protocol.clone(), times));
        }
    }
}

impl Keyed for Cell {
    fn merge(&mut self, other: &Self) {
        self.calls += other.calls;
        self.errors += other.errors;
        self.latency.merge(&other.latency);
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.certain += other.certain;
        self.likely += other.likely;
        self.unlinked += other.unlinked;
        self.traces += other.traces;
        self.last_ns = self.last_ns.max(other.last_ns);
        for (protocol, times) in &other.protocols {
            self.spoken(protocol, *times);
        }
    }
}

/// One service.
#[derive(Clone, Debug, Default)]
pub(crate) struct ServiceCell {
    /// Requests it answered.
    pub(crate) requests: Cell,
    pub(crate) events: u64,
    pub(crate) spans: u64,
    pub(crate) traces: u64,
    pub(crate) last_ns: u64,
    pub(crate) version: Option<Arc<str>>,
    pub(crate) instances: BTreeSet<Arc<str>>,
}

impl ServiceCell {
    pub(crate) fn seen_on(&mut self, instance: &Arc<str>) {
        if self.instances.len() < INSTANCES_MAX && !self.instances.contains(instance) {
            self.instances.insert(instance.clone());
        }
    }
}

impl Keyed for ServiceCell {
    fn merge(&mut self, other: &Self) {
        self.requests.merge(&other.requests);
        self.events += other.events;
        self.spans += other.spans;
        self.traces += other.traces;
        if other.last_ns >= self.last_ns {
            self.version = other.version.clone().or_else(|| self.version.take());
        }
        self.last_ns = self.last_ns.max(other.last_ns);
        other.instances.iter().for_each(|instance| self.seen_on(instance));
    }
}

/// Calls as a sidecar counted them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) calls: u64,
    pub(crate) errors: u64,
}

impl Keyed for Tally {
    fn merge(&mut self, other: &Self) {
        self.calls += other.calls;
        self.errors += other.errors;
    }
}
