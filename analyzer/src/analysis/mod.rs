//! Working out what spans mean.

pub(crate) mod assemble;
mod critical_path;
pub(crate) mod facts;
pub(crate) mod graph;
pub(crate) mod health;
#[cfg(test)]
pub(crate) mod notation;
pub(crate) mod order;
pub(crate) mod path;
mod sketch;
pub(crate) mod skew;
pub(crate) mod trace;

use std::time::{SystemTime, UNIX_EPOCH};

use raceway_analyzer_client::Reported;

use crate::ingest::EdgeCounter;
use crate::live::Live;
use graph::Graph;
use skew::TraceClocks;
use trace::Trace;

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

impl View {
    /// The live dependency graph.
    pub(crate) fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Works out a trace. `raw` leaves its times as they were reported.
    pub(crate) fn trace(&self, reported: Vec<Reported>, raw: bool) -> Trace {
        Trace::new(reported, |calls| {
            let clocks = self.graph.skew(|skew| skew::correct(skew, calls));
            if raw { TraceClocks { corrections: Default::default(), ..clocks } } else { clocks }
        })
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
pub(crate) fn now_ns() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX)
}
