//! Working out what spans mean.

mod assemble;
mod critical_path;
mod facts;
mod graph;
#[cfg(test)]
mod notation;
mod order;
mod sketch;
mod skew;

use std::time::{SystemTime, UNIX_EPOCH};

use raceway_analyzer_client::Reported;

use crate::ingest::EdgeCounter;
use crate::live::Live;
use graph::Graph;

/// What is kept in memory about all spans.
#[derive(Debug)]
pub struct View {
    graph: Graph,
}

impl Default for View {
    fn default() -> Self {
        Self { graph: Graph::new(now_ns) }
    }
}

impl Live for View {
    fn observe(&self, fresh: &[Reported]) {
        self.graph.observe(fresh);
    }

    fn observe_edges(&self, counters: &[EdgeCounter]) {
        self.graph.observe_counters(counters);
    }
}

/// The time of day, ns since the epoch.
fn now_ns() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX)
}
