//! Numbers by time: a bucket per minute for two hours, per hour for a week, and one for all before.
//!
//! Memory is bounded by the number of cells (an edge or a service in one bucket). When there are too many, the oldest
//! minutes are told apart by hours only, then the oldest hours not at all: totals stay whole, windows grow coarser.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::cell::{Cell, CounterKey, EdgeKey, Keyed, ServiceCell, Tally};
use crate::analysis::facts::Identity;

const MINUTE_NS: u64 = 60_000_000_000;
const HOUR_NS: u64 = 60 * MINUTE_NS;
/// Enough for "the last two hours" by the minute.
const MINUTES_MAX: u64 = 120;
/// A week.
const HOURS_MAX: u64 = 7 * 24;
/// At about 1.5 kB a cell, 75 MB when every one is in use. A hundred services with 300 edges use 30,000 minute cells
/// in two hours.
const CELLS_MAX: usize = 50_000;

/// What happened within one stretch of time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bucket {
    pub(crate) edges: HashMap<EdgeKey, Cell>,
    /// Requests from outside, by the service that answered.
    pub(crate) entries: HashMap<Arc<Identity>, Cell>,
    pub(crate) services: HashMap<Arc<Identity>, ServiceCell>,
    pub(crate) counted: HashMap<CounterKey, Tally>,
}

impl Bucket {
    fn cells(&self) -> usize {
        self.edges.len() + self.entries.len() + self.services.len() + self.counted.len()
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        fn each<K: Clone + Eq + std::hash::Hash, C: Keyed>(ours: &mut HashMap<K, C>, theirs: &HashMap<K, C>) {
            for (key, cell) in theirs {
                ours.entry(key.clone()).or_default().merge(cell);
            }
        }
        each(&mut self.edges, &other.edges);
        each(&mut self.entries, &other.entries);
        each(&mut self.services, &other.services);
        each(&mut self.counted, &other.counted);
    }
}

/// All buckets.
#[derive(Debug, Default)]
pub(crate) struct Timeline {
    minutes: BTreeMap<u64, Bucket>,
    hours: BTreeMap<u64, Bucket>,
    older: Bucket,
    /// Minutes before this one are told apart by hours only.
    minutes_from: u64,
    /// Hours before this one are not told apart.
    hours_from: u64,
    cells: usize,
}

impl Timeline {
    /// Counts in the bucket of a moment. `None` where a cell is needed and there is no room: the caller says what was lost.
    ///
    /// Taking back goes the same way, so it finds what was counted, wherever it has been moved since.
    pub(crate) fn change<R>(&mut self, time_ns: u64, change: impl FnOnce(&mut Bucket, bool) -> Option<R>) -> Option<R> {
        while self.cells >= CELLS_MAX && self.coarsen() {}
        let room = self.cells < CELLS_MAX;
        let bucket = self.bucket(time_ns);
        let before = bucket.cells();
        let result = change(bucket, room);
        let after = bucket.cells();
        self.cells = (self.cells + after).saturating_sub(before);
        result
    }

    fn bucket(&mut self, time_ns: u64) -> &mut Bucket {
        let (minute, hour) = (time_ns / MINUTE_NS, time_ns / HOUR_NS);
        if minute >= self.minutes_from {
            self.minutes.entry(minute).or_default()
        } else if hour >= self.hours_from {
            self.hours.entry(hour).or_default()
        } else {
            &mut self.older
        }
    }

    /// Moves what has grown old.
    pub(crate) fn roll(&mut self, now_ns: u64) {
        self.minutes_from = self.minutes_from.max((now_ns / MINUTE_NS).saturating_sub(MINUTES_MAX));
        self.hours_from = self.hours_from.max((now_ns / HOUR_NS).saturating_sub(HOURS_MAX));
        self.settle();
    }

    fn settle(&mut self) {
        let kept = self.minutes.split_off(&self.minutes_from);
        for (minute, bucket) in std::mem::replace(&mut self.minutes, kept) {
            let target = match minute / 60 {
                hour if hour >= self.hours_from => self.hours.entry(hour).or_default(),
                _ => &mut self.older,
            };
            self.cells = (self.cells + Self::move_into(target, &bucket)).saturating_sub(bucket.cells());
        }
        let kept = self.hours.split_off(&self.hours_from);
        for (_, bucket) in std::mem::replace(&mut self.hours, kept) {
            self.cells = (self.cells + Self::move_into(&mut self.older, &bucket)).saturating_sub(bucket.cells());
        }
    }

    /// How many cells the target has more.
    fn move_into(target: &mut Bucket, bucket: &Bucket) -> usize {
        let before = target.cells();
        target.merge(bucket);
        target.cells() - before
    }

    /// Makes room, at the price of telling fewer moments apart; `false` if there is none to be made.
    fn coarsen(&mut self) -> bool {
        if let Some((&minute, _)) = self.minutes.first_key_value() {
            self.minutes_from = minute + 1;
        } else if let Some((&hour, _)) = self.hours.first_key_value() {
            self.hours_from = hour + 1;
        } else {
            return false;
        }
        self.settle();
        true
    }

    /// The buckets that touch a window, with the moment each begins; the one for all before only where the window has
    /// no begin.
    pub(crate) fn window(&self, since_ns: Option<u64>, until_ns: u64) -> impl Iterator<Item = (u64, &Bucket)> {
        let since = since_ns.unwrap_or(0);
        let hours = self.hours.range(since / HOUR_NS..).map(|(&hour, bucket)| (hour * HOUR_NS, bucket));
        let minutes = self.minutes.range(since / MINUTE_NS..).map(|(&minute, bucket)| (minute * MINUTE_NS, bucket));
        let told_apart = hours.chain(minutes).filter(move |&(start, _)| start < until_ns);
        since_ns.is_none().then_some((0, &self.older)).into_iter().chain(told_apart)
    }
}
