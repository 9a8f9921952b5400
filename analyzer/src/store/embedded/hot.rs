//! Traces that are being written to: what the writer knows of them without asking the disk.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use raceway_trace::TraceId;

use super::partition::Partition;
use super::row::Row;

/// Traces per generation. The spans of a trace mostly arrive within seconds: at 10,000 new traces a second this is
/// six seconds, and whoever comes later costs a few reads.
const TRACES_MAX: usize = 64 * 1024;

/// Remembered keys per generation (16 B each): bounds what a few enormous traces can take.
const KEYS_MAX: usize = 1024 * 1024;

/// A trace as the writer knows it.
pub(super) struct Trace {
    pub(super) partition: Arc<Partition>,
    pub(super) row: Row,
    /// The time in the key of the row as it is on disk; `None` if it is not.
    pub(super) stored_first_ns: Option<u64>,
    /// Hashes of all its spans' keys; `None` where only the disk knows them all.
    pub(super) keys: Option<HashSet<u64>>,
    /// Whether the row must be written with the commit that is being put together.
    pub(super) touched: bool,
}

/// Two generations: whoever is looked up moves to the young one; when that is full, the old one is forgotten.
#[derive(Default)]
pub(super) struct Hot {
    young: HashMap<TraceId, Trace>,
    old: HashMap<TraceId, Trace>,
    keys: usize,
}

impl Hot {
    /// The trace, if it is known.
    pub(super) fn get(&mut self, id: TraceId) -> Option<&mut Trace> {
        if !self.young.contains_key(&id)
            && let Some(trace) = self.old.remove(&id)
        {
            self.insert(id, trace);
        }
        self.young.get_mut(&id)
    }

    /// Makes a trace known.
    pub(super) fn insert(&mut self, id: TraceId, trace: Trace) {
        self.keys += trace.keys.as_ref().map_or(0, HashSet::len);
        self.young.insert(id, trace);
    }

    /// Counts a key that was added to a trace.
    pub(super) fn count_key(&mut self) {
        self.keys += 1;
    }

    /// Forgets the oldest if there are too many. Not while a commit is being put together.
    pub(super) fn age(&mut self) {
        if self.young.len() > TRACES_MAX || self.keys > KEYS_MAX {
            self.old = std::mem::take(&mut self.young);
            self.keys = 0;
        }
    }

    /// Forgets the traces of a partition that is going away.
    pub(super) fn forget(&mut self, partition: u32) {
        self.young.retain(|_, trace| trace.partition.number != partition);
        self.old.retain(|_, trace| trace.partition.number != partition);
    }
}
