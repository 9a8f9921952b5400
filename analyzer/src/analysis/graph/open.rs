//! Traces that may still grow: what each of them adds to the numbers, and how that changes when more of it comes.
//!
//! A call counts as soon as one half of it is there, under what that half knows. Whenever spans of its trace come, the
//! trace is assembled again, and what it added is put right where it differs: the second half of a call moves it from
//! the virtual node to the service that answered. Traces are remembered until memory is needed for newer ones.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use raceway_trace::TraceId;

use super::cell::{EdgeKey, Sample};
use crate::analysis::assemble::{Assembled, Halves, assemble};
use crate::analysis::facts::{Facts, Identity};

/// Spans remembered in all, about 40 MB. At 2,000 spans a second that is more than a minute, several times the delay
/// between a sidecar's first attempt to send a span and its second.
const SPANS_MAX: usize = 150_000;
/// Traces remembered.
const TRACES_MAX: usize = 50_000;
/// Spans of one trace: beyond it what it added stands, and what comes later is seen as a trace of its own.
const TRACE_SPANS_MAX: usize = 25_000;
/// Up to so many spans a trace is assembled whenever some come; later, when it has grown by an eighth. So a trace of
/// n spans costs some n steps, however they arrive.
const SMALL_TRACE: usize = 64;
/// Services told apart when counting in how many traces a service took part.
const TRACE_SERVICES_MAX: usize = 64;
/// A trace that has to go this soon may still have had calls to join.
const EARLY_NS: u64 = 60_000_000_000;

/// What a sample is counted under.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Under {
    Edge(EdgeKey),
    Entry(Arc<Identity>),
    Request(Arc<Identity>),
}

/// What one span adds: the call or entry that is keyed by it, and the request that it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Added {
    pub(super) call: Option<(Under, Sample)>,
    pub(super) request: Option<(Under, Sample)>,
    /// Whether both halves of the call are there.
    joined: bool,
}

/// A correction to the numbers.
pub(super) enum Change {
    Add(Under, Sample),
    Remove(Under, Sample),
}

/// A call whose halves have just met.
pub(super) struct Joined<'a> {
    pub(super) client: &'a Facts,
    pub(super) server: &'a Facts,
}

#[derive(Debug, Default)]
struct Open {
    spans: Vec<Facts>,
    added: Vec<Added>,
    services: Vec<Arc<Identity>>,
    /// Its place in the order of arrival.
    touched: u64,
    touched_ns: u64,
}

/// All traces that may still grow.
#[derive(Debug, Default)]
pub(super) struct OpenTraces {
    traces: HashMap<TraceId, Open>,
    by_age: BTreeMap<u64, TraceId>,
    unsettled: HashSet<TraceId>,
    spans: usize,
    clock: u64,
}

impl OpenTraces {
    /// Takes a span; whether it is the first of its service in its trace.
    pub(super) fn push(&mut self, trace: TraceId, facts: Facts, now_ns: u64) -> bool {
        self.clock += 1;
        let open = self.traces.entry(trace).or_default();
        self.by_age.remove(&open.touched);
        (open.touched, open.touched_ns) = (self.clock, now_ns);
        self.by_age.insert(self.clock, trace);
        let known = open.services.iter().any(|service| service.is(&facts.service));
        if !known && open.services.len() < TRACE_SERVICES_MAX {
            open.services.push(facts.service.clone());
        }
        open.spans.push(facts);
        self.spans += 1;
        self.unsettled.insert(trace);
        !known
    }

    /// Works out what a trace adds now, if it has grown enough or `now` is wanted.
    pub(super) fn settle(
        &mut self,
        trace: TraceId,
        wanted: bool,
        now_ns: u64,
        mut change: impl FnMut(Change) -> bool,
        mut joined: impl FnMut(Joined<'_>),
    ) {
        let Some(open) = self.traces.get_mut(&trace) else { return };
        let grown = open.spans.len() - open.added.len();
        let full = open.spans.len() >= TRACE_SPANS_MAX;
        if !(wanted || full || open.spans.len() <= SMALL_TRACE || grown >= open.spans.len() / 8) {
            return;
        }
        self.unsettled.remove(&trace);
        open.settle(now_ns, &mut change, &mut joined);
        if full {
            self.spans -= open.spans.len();
            open.spans = Vec::new();
            open.added = Vec::new();
        }
    }

    /// Traces with spans that are not counted yet.
    pub(super) fn unsettled(&self) -> Vec<TraceId> {
        self.unsettled.iter().copied().collect()
    }

    /// The trace to be forgotten next, if there are too many.
    pub(super) fn too_many(&self) -> Option<TraceId> {
        let over = self.spans > SPANS_MAX || self.traces.len() > TRACES_MAX;
        self.by_age.first_key_value().filter(|_| over).map(|(_, trace)| *trace)
    }

    /// Forgets a trace; how many of its calls were still open though it was young.
    pub(super) fn forget(&mut self, trace: TraceId, now_ns: u64) -> u64 {
        let Some(open) = self.traces.remove(&trace) else { return 0 };
        self.by_age.remove(&open.touched);
        self.unsettled.remove(&trace);
        self.spans -= open.spans.len();
        let young = now_ns.saturating_sub(open.touched_ns) < EARLY_NS;
        let alone = |added: &&Added| matches!(added.call, Some((Under::Edge(_), _))) && !added.joined;
        if young { open.added.iter().filter(alone).count() as u64 } else { 0 }
    }
}

impl Open {
    fn settle(&mut self, now_ns: u64, change: &mut impl FnMut(Change) -> bool, joined: &mut impl FnMut(Joined<'_>)) {
        let assembled = assemble(&self.spans);
        let mut wanted = self.adds(&assembled, now_ns);
        for call in &assembled.calls {
            let Some((client, server)) = call.client.zip(call.server) else { continue };
            let was = self.added.get(client).is_some_and(|added| added.joined);
            if let Some(added) = wanted.get_mut(client) {
                added.joined = true;
            }
            if let (false, Some(client), Some(server)) = (was, self.spans.get(client), self.spans.get(server)) {
                joined(Joined { client, server });
            }
        }
        self.added.resize_with(wanted.len(), Added::default);
        for (was, is) in self.added.iter_mut().zip(wanted) {
            put_right(&mut was.call, is.call, change);
            put_right(&mut was.request, is.request, change);
            was.joined = is.joined;
        }
    }

    fn adds(&self, assembled: &Assembled, now_ns: u64) -> Vec<Added> {
        let mut adds = vec![Added::default(); self.spans.len()];
        let mut met = HashSet::new();
        let mut sample = |under: &Under, client: Option<&Facts>, server: Option<&Facts>| {
            let seen = client.or(server)?;
            Some(Sample {
                time_ns: seen.end_ns.min(now_ns),
                latency_ns: seen.duration_ns(),
                error: seen.error,
                bytes: client.map_or(0, |half| half.bytes).max(server.map_or(0, |half| half.bytes)),
                protocol: seen.protocol.clone().or_else(|| server.and_then(|half| half.protocol.clone())),
                certainty: Some(seen.link.certainty),
                first_of_trace: met.insert(under.clone()),
            })
        };
        for call in &assembled.calls {
            let Halves { client, server, from, to } = call;
            let half = |at: &Option<usize>| at.and_then(|at| self.spans.get(at));
            let (first, second) = (half(client), half(server));
            let medium = first.or(second).map_or_else(Default::default, |half| half.medium);
            let under = Under::Edge(EdgeKey { from: from.clone(), to: to.clone(), medium });
            if let Some(added) = client.or(*server).and_then(|at| adds.get_mut(at)) {
                let mut sample = sample(&under, first, second);
                if let Some(sample) = sample.as_mut().filter(|_| !assembled.says_its_link(call)) {
                    sample.certainty = None;
                }
                added.call = sample.map(|sample| (under, sample));
            }
        }
        for &at in &assembled.entries {
            let Some((span, added)) = self.spans.get(at).zip(adds.get_mut(at)) else { continue };
            let under = Under::Entry(span.service.clone());
            added.call = sample(&under, None, Some(span)).map(|sample| (under, sample));
        }
        let flags = assembled.inner.iter().zip(&assembled.conflicting);
        for ((span, added), (inner, conflicting)) in self.spans.iter().zip(&mut adds).zip(flags) {
            if span.answers() && !inner && !conflicting {
                let under = Under::Request(span.service.clone());
                added.request = sample(&under, None, Some(span)).map(|sample| (under, sample));
            }
        }
        adds
    }
}

fn put_right(was: &mut Option<(Under, Sample)>, is: Option<(Under, Sample)>, change: &mut impl FnMut(Change) -> bool) {
    if *was == is {
        return;
    }
    if let Some((under, sample)) = was.take() {
        change(Change::Remove(under, sample));
    }
    if let Some((under, sample)) = is
        && change(Change::Add(under.clone(), sample.clone()))
    {
        *was = Some((under, sample));
    }
}
