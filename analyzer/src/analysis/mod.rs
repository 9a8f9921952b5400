//! Working out what spans mean.

pub(crate) mod assemble;
mod cache;
mod critical_path;
pub(crate) mod facts;
pub(crate) mod graph;
pub(crate) mod health;
mod names;
#[cfg(test)]
pub(crate) mod notation;
pub(crate) mod order;
pub(crate) mod path;
mod sketch;
pub(crate) mod skew;
pub(crate) mod trace;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use raceway_analyzer_client::Reported;
use raceway_trace::TraceId;

use crate::ingest::EdgeCounter;
use crate::live::Live;
use cache::Cache;
use facts::Facts;
use graph::Graph;
use skew::TraceClocks;
use trace::Trace;

/// What is kept in memory about all spans.
#[derive(Debug)]
pub struct View {
    graph: Graph,
    cache: Cache,
}

impl Default for View {
    fn default() -> Self {
        Self { graph: Graph::new(now_ns), cache: Cache::default() }
    }
}

impl View {
    /// The live dependency graph.
    pub(crate) fn graph(&self) -> &Graph {
        &self.graph
    }

    /// A trace, worked out; `read` gives its spans if they are needed. `raw` leaves its times as they were reported.
    pub(crate) fn trace<E>(
        &self,
        id: TraceId,
        raw: bool,
        read: impl FnOnce() -> Result<Vec<Reported>, E>,
    ) -> Result<Arc<Trace>, E> {
        let clocks = |calls: &[(&Facts, &Facts)]| {
            let clocks = self.graph.skew(|skew| skew::correct(skew, calls));
            if raw { TraceClocks { corrections: BTreeMap::new(), ..clocks } } else { clocks }
        };
        self.cache.get((id, raw), || Ok(Trace::new(read()?, clocks)))
    }
}

impl Live for View {
    fn observe(&self, fresh: &[Reported]) {
        self.graph.observe(fresh);
        self.cache.forget(fresh.iter().map(|reported| reported.span.trace_id));
    }

    fn observe_edges(&self, counters: &[EdgeCounter]) {
        self.graph.observe_counters(counters);
    }
}

/// The time of day, ns since the epoch.
pub(crate) fn now_ns() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX)
}
