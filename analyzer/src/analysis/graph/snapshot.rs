//! The numbers of one window, as the API shows them: buckets added up, services under one name each.

use std::collections::HashMap;
use std::sync::Arc;

use super::cell::{Cell, CounterKey, EdgeKey, Keyed, ServiceCell, Tally};
use super::timeline::Bucket;
use super::{Inner, Links, Overflow};
use crate::analysis::facts::{Identity, Medium};
use crate::analysis::names::Names;

/// Which time is asked about.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Window {
    /// From here; everything where it is `None`. Rounded down to the minute, to the hour where only hours are told apart.
    pub(crate) since_ns: Option<u64>,
    /// Until here; now where it is `None`.
    pub(crate) until_ns: Option<u64>,
}

/// The numbers of one window.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    pub(crate) since_ns: u64,
    pub(crate) until_ns: u64,
    /// By caller and callee.
    pub(crate) edges: Vec<EdgeRow>,
    /// Requests from outside, by the service that answered.
    pub(crate) entries: Vec<(Arc<Identity>, Cell)>,
    /// Services that report, by name.
    pub(crate) services: Vec<(Arc<Identity>, ServiceCell)>,
    pub(crate) links: Links,
    pub(crate) overflow: Overflow,
}

/// One edge.
#[derive(Debug)]
pub(crate) struct EdgeRow {
    pub(crate) from: Arc<Identity>,
    pub(crate) to: Arc<Identity>,
    pub(crate) medium: Medium,
    /// What was seen as spans.
    pub(crate) seen: Cell,
    /// What the sidecars counted.
    pub(crate) counted: Option<Tally>,
    /// The better of both.
    pub(crate) calls: u64,
    pub(crate) errors: u64,
}

impl Snapshot {
    pub(super) fn of(inner: &Inner, window: Window, now_ns: u64) -> Self {
        let until_ns = window.until_ns.unwrap_or(now_ns).min(now_ns);
        let mut sum = Bucket::default();
        let mut first_bucket = None;
        for (start_ns, bucket) in inner.timeline.window(window.since_ns, window.until_ns.unwrap_or(u64::MAX)) {
            first_bucket = first_bucket.or(Some(start_ns)).filter(|&start| start > 0).or(Some(start_ns));
            sum.merge(bucket);
        }
        let known_from = inner.first_ns.unwrap_or(until_ns);
        let since_ns = window.since_ns.or(first_bucket).unwrap_or(until_ns).max(known_from).min(until_ns);
        let names = Names::new(sum.services.keys());
        let mut shown = Self { since_ns, until_ns, overflow: inner.overflow, ..Self::default() };
        shown.services = folded(sum.services.iter().map(|(service, cell)| (names.of(service), cell)));
        shown.entries = folded(sum.entries.iter().map(|(service, cell)| (names.of(service), cell)));
        let edges = folded(sum.edges.iter().map(|(key, cell)| {
            let key = EdgeKey { from: names.of(&key.from), to: names.of(&key.to), medium: key.medium };
            (key, cell)
        }));
        for (key, seen) in edges.into_iter().filter(|(_, seen)| seen.calls > 0) {
            shown.links.certain += seen.certain;
            shown.links.likely += seen.likely;
            shown.links.unlinked += seen.unlinked;
            let (calls, errors) = (seen.calls, seen.errors);
            let EdgeKey { from, to, medium } = key;
            shown.edges.push(EdgeRow { from, to, medium, seen, counted: None, calls, errors });
        }
        shown.entries.retain(|(_, cell)| cell.calls > 0);
        shown.correct(&sum, &names, &inner.aliases, window.since_ns.is_none() && window.until_ns.is_none());
        shown
    }

    /// Lets the sidecars' own counts speak where they know of more calls than came as spans.
    fn correct(&mut self, sum: &Bucket, names: &Names, aliases: &HashMap<CounterKey, Arc<Identity>>, whole: bool) {
        let mut rows: HashMap<(&Arc<Identity>, &str), usize> = HashMap::new();
        for (at, row) in self.edges.iter().enumerate() {
            let best = rows.entry((&row.from, &row.to.name)).or_insert(at);
            if self.edges.get(*best).is_some_and(|best| best.seen.calls < row.seen.calls) {
                *best = at;
            }
        }
        let mut counted: HashMap<usize, Tally> = HashMap::new();
        for (key, tally) in &sum.counted {
            let from = names.of(&key.from);
            let alias = || aliases.get(key).map(|to| names.of(to));
            let row = rows.get(&(&from, &*key.to)).copied();
            let row = row.or_else(|| alias().and_then(|to| rows.get(&(&from, &*to.name)).copied()));
            if let Some(row) = row {
                counted.entry(row).or_default().merge(tally);
            }
        }
        for (at, tally) in counted {
            let Some(row) = self.edges.get_mut(at) else { continue };
            row.counted = Some(tally);
            // Counters come every few seconds and spans in between: at the edge of a window a few calls more or less
            // say nothing.
            let slack = if whole { 0 } else { row.seen.calls / 10 + 5 };
            if tally.calls > row.seen.calls + slack {
                row.calls = tally.calls;
                row.errors = row.errors.max(tally.errors);
            }
        }
    }
}

/// Adds up what falls under one key, sorted.
fn folded<'a, K: Ord, C: Keyed + 'a>(cells: impl Iterator<Item = (K, &'a C)>) -> Vec<(K, C)> {
    let mut all = std::collections::BTreeMap::new();
    for (key, cell) in cells {
        all.entry(key).or_insert_with(C::default).merge(cell);
    }
    all.into_iter().collect()
}
