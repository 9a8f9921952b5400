//! From what was worked out to what the API shows.

mod event;
mod graph;
mod path;
mod performance;
mod trace;

use std::sync::Arc;

pub(super) use event::events;
pub(super) use graph::{Wanted, dependencies_of, edge_list, health, hotspots, overflow, service_list};
pub(super) use path::critical_path;
pub(super) use performance::performance;
pub(super) use trace::{dependencies, json, order, summary, view};

/// What an identity says beside the name.
fn text(said: &Option<Arc<str>>) -> Option<String> {
    said.as_ref().map(|text| text.to_string())
}

/// ns as ms.
fn ms(ns: i64) -> f64 {
    ns as f64 / 1e6
}

/// A share of a whole, 0 where there is no whole.
fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}
