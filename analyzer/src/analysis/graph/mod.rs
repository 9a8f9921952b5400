//! The live dependency graph: who calls whom, how often, how fast and how well, by time, fed as spans arrive.

mod cell;
mod open;
mod snapshot;
#[cfg(test)]
mod tests;
mod timeline;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use raceway_analyzer_client::{Reported, Resource};

use super::facts::{Facts, Identity, Process, Words};
use super::skew::Skew;
use crate::ingest::{EdgeCounter, EdgeKey as CounterName};
use cell::{Cell, CounterKey};
use open::{Change, Joined, OpenTraces, Under};
use timeline::Timeline;

pub(crate) use cell::{Cell as CallCell, ServiceCell};
pub(crate) use snapshot::{EdgeRow, Snapshot, Window};

/// Counting processes remembered, to tell what is new in their running totals.
const COUNTERS_MAX: usize = 20_000;
/// Names that callers have for services.
const ALIASES_MAX: usize = 10_000;
/// A process that started this long before its first counter was seen has counted before this analyzer watched.
const FRESH_NS: u64 = 600_000_000_000;

/// The live dependency graph.
#[derive(Debug)]
pub(crate) struct Graph {
    inner: Mutex<Inner>,
    /// The time of day, ns since the epoch.
    now: fn() -> u64,
}

#[derive(Debug, Default)]
struct Inner {
    timeline: Timeline,
    open: OpenTraces,
    words: Words,
    skew: Skew,
    /// The newest values of every counter.
    counters: HashMap<CounterName, (u64, u64)>,
    /// What services are called by their callers, where that is not their name.
    aliases: HashMap<CounterKey, Arc<Identity>>,
    events: u64,
    /// The earliest moment counted, so that a rate is not one over hours without an analyzer.
    first_ns: Option<u64>,
    overflow: Overflow,
}

/// Adds what one cell counted to another.
pub(crate) fn merge(into: &mut CallCell, other: &CallCell) {
    cell::Keyed::merge(into, other);
}

/// What did not fit.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Overflow {
    pub(crate) edges: u64,
    pub(crate) services: u64,
    pub(crate) open_calls: u64,
    pub(crate) counters: u64,
}

/// Calls by how sure it is what caused them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Links {
    pub(crate) certain: u64,
    pub(crate) likely: u64,
    pub(crate) unlinked: u64,
}

/// Running totals.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct GraphTotals {
    pub(crate) events: u64,
    pub(crate) links: Links,
    pub(crate) overflow: Overflow,
}

impl Graph {
    /// An empty graph that reads the time from `now`.
    pub(crate) fn new(now: fn() -> u64) -> Self {
        Self { inner: Mutex::default(), now }
    }

    /// Counts spans that were not there before.
    pub(crate) fn observe(&self, fresh: &[Reported]) {
        let now_ns = (self.now)();
        let mut inner = self.lock();
        inner.timeline.roll(now_ns);
        let mut processes: HashMap<*const Resource, Process> = HashMap::new();
        let mut traces = HashSet::new();
        for reported in fresh {
            let process = processes
                .entry(Arc::as_ptr(&reported.resource))
                .or_insert_with(|| Process::of(&reported.resource, &mut inner.words));
            let facts = Facts::of(reported, process.service.clone(), process.instance.clone(), &mut inner.words);
            inner.count(reported.span.trace_id, facts, process, now_ns);
            traces.insert(reported.span.trace_id);
        }
        for trace in traces {
            inner.settle(trace, false, now_ns);
        }
        while let Some(trace) = inner.open.too_many() {
            inner.settle(trace, true, now_ns);
            inner.overflow.open_calls += inner.open.forget(trace, now_ns);
        }
    }

    /// Counts what is new in running totals.
    pub(crate) fn observe_counters(&self, counters: &[EdgeCounter]) {
        let now_ns = (self.now)();
        let mut inner = self.lock();
        inner.timeline.roll(now_ns);
        for counter in counters {
            inner.count_counter(counter, now_ns);
        }
    }

    /// The numbers of a window. Costs time: call it where blocking is allowed.
    pub(crate) fn snapshot(&self, window: Window) -> Snapshot {
        let now_ns = (self.now)();
        let mut inner = self.lock();
        inner.timeline.roll(now_ns);
        for trace in inner.open.unsettled() {
            inner.settle(trace, true, now_ns);
        }
        Snapshot::of(&inner, window, now_ns)
    }

    /// Running totals, cheaply.
    pub(crate) fn totals(&self) -> GraphTotals {
        let inner = self.lock();
        let mut links = Links::default();
        for cell in inner.timeline.window(None, u64::MAX).flat_map(|(_, bucket)| bucket.edges.values()) {
            links.certain += cell.certain;
            links.likely += cell.likely;
            links.unlinked += cell.unlinked;
        }
        GraphTotals { events: inner.events, links, overflow: inner.overflow }
    }

    /// What is known of the clocks of two instances around a moment.
    pub(crate) fn skew<R>(&self, read: impl FnOnce(&Skew) -> R) -> R {
        read(&self.lock().skew)
    }

    /// A panic while the lock was held leaves numbers that are off by a little, which beats no numbers.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn count(&mut self, trace: raceway_trace::TraceId, facts: Facts, process: &Process, now_ns: u64) {
        let (events, time_ns) = (facts.events(), facts.end_ns.min(now_ns));
        self.events += events;
        self.first_ns = Some(self.first_ns.map_or(time_ns, |first| first.min(time_ns)));
        let first = self.open.push(trace, facts, now_ns);
        let counted = self.timeline.change(time_ns, |bucket, room| {
            let cell = match bucket.services.get_mut(&process.service) {
                Some(cell) => cell,
                None if room => bucket.services.entry(process.service.clone()).or_default(),
                None => return None,
            };
            cell.spans += 1;
            cell.events += events;
            cell.traces += u64::from(first);
            if time_ns >= cell.last_ns {
                cell.last_ns = time_ns;
                cell.version = process.version.clone().or_else(|| cell.version.take());
            }
            if let Some(instance) = &process.instance {
                cell.seen_on(instance);
            }
            Some(())
        });
        self.overflow.services += u64::from(counted.is_none());
    }

    fn settle(&mut self, trace: raceway_trace::TraceId, wanted: bool, now_ns: u64) {
        let Self { timeline, open, skew, aliases, overflow, .. } = self;
        let change = |change: Change| match change {
            Change::Add(under, sample) => {
                let added = timeline
                    .change(sample.time_ns, |bucket, room| cell(bucket, &under, room).map(|cell| cell.add(&sample)));
                overflow.edges += u64::from(added.is_none());
                added.is_some()
            }
            Change::Remove(under, sample) => timeline
                .change(sample.time_ns, |bucket, _| {
                    let cell = cell(bucket, &under, false)?;
                    cell.remove(&sample);
                    if cell.calls == 0 {
                        match &under {
                            Under::Edge(key) => drop(bucket.edges.remove(key)),
                            Under::Entry(service) => drop(bucket.entries.remove(service)),
                            Under::Request(_) => {}
                        }
                    }
                    Some(())
                })
                .is_some(),
        };
        let joined = |Joined { client, server }: Joined<'_>| {
            skew.learn(client, server);
            if let Some(peer) = client.peer.as_ref().filter(|peer| **peer != server.service.name) {
                let key = CounterKey { from: client.service.clone(), to: peer.clone() };
                if aliases.len() < ALIASES_MAX || aliases.contains_key(&key) {
                    aliases.insert(key, server.service.clone());
                }
            }
        };
        open.settle(trace, wanted, now_ns, change, joined);
    }

    fn count_counter(&mut self, counter: &EdgeCounter, now_ns: u64) {
        let known = self.counters.get(&counter.key).copied();
        if known.is_none() && self.counters.len() >= COUNTERS_MAX {
            self.overflow.counters += 1;
            return;
        }
        let (calls, errors) = known.unwrap_or_default();
        let new = (counter.calls.saturating_sub(calls), counter.errors.saturating_sub(errors));
        self.counters.insert(counter.key.clone(), (counter.calls.max(calls), counter.errors.max(errors)));
        if new == (0, 0) {
            return;
        }
        let since_start = counter.time_ns.saturating_sub(counter.key.start_ns);
        // Nobody knows when what was counted before happened; only totals should have it.
        let time_ns = if known.is_none() && since_start > FRESH_NS { 0 } else { counter.time_ns.min(now_ns) };
        let mut optional = |text: &str| Some(text).filter(|text| !text.is_empty()).map(|text| self.words.word(text));
        let from = Identity {
            environment: optional(&counter.key.environment),
            namespace: optional(&counter.key.namespace),
            name: counter.key.service.as_str().into(),
        };
        let key = CounterKey { from: Arc::new(from), to: counter.key.to.as_str().into() };
        let counted = self.timeline.change(time_ns, |bucket, room| {
            if !room && !bucket.counted.contains_key(&key) {
                return None;
            }
            let tally = bucket.counted.entry(key).or_default();
            tally.calls += new.0;
            tally.errors += new.1;
            Some(())
        });
        self.overflow.counters += u64::from(counted.is_none());
    }
}

fn cell<'a>(bucket: &'a mut timeline::Bucket, under: &Under, room: bool) -> Option<&'a mut Cell> {
    fn known<'a, K: Clone + Eq + std::hash::Hash, C: Default>(
        cells: &'a mut HashMap<K, C>,
        key: &K,
        room: bool,
    ) -> Option<&'a mut C> {
        if room { Some(cells.entry(key.clone()).or_default()) } else { cells.get_mut(key) }
    }
    match under {
        Under::Edge(key) => known(&mut bucket.edges, key, room),
        Under::Entry(service) => known(&mut bucket.entries, service, room),
        Under::Request(service) => known(&mut bucket.services, service, room).map(|service| &mut service.requests),
    }
}
