//! One trace, worked out: what the API shows of it.

use std::collections::{HashMap, HashSet};

use raceway_analyzer_client::{Kind, Reported};
use raceway_trace::SpanId;

use super::assemble::{Assembled, Halves, Parent, assemble};
use super::critical_path::{Timed, Tree};
use super::facts::{Certainty, Facts, Processes};
use super::names::Names;
use super::order::Orders;
use super::skew::{TraceClocks, instance};
use crate::store::Origin;

/// Times further apart than this (36 years) are the sender's mistake; cutting them keeps sums from overflowing.
const APART_MAX_NS: i64 = 1 << 60;

/// More different services than this stay as they were reported, instead of being compared with each other.
const SERVICES_MAX: usize = 256;

/// A trace.
#[derive(Debug)]
pub(crate) struct Trace {
    pub(crate) reported: Vec<Reported>,
    pub(crate) facts: Vec<Facts>,
    pub(crate) assembled: Assembled,
    pub(crate) orders: Orders,
    pub(crate) clocks: TraceClocks,
    /// Its first moment, ns since the epoch: where `times` count from.
    pub(crate) first_ns: u64,
    /// From there to its last moment, ns.
    pub(crate) length_ns: i64,
    /// Each span's begin and end, clock correction included.
    pub(crate) times: Vec<(i64, i64)>,
    /// The root, where it has come; else the longest span whose parent has not.
    pub(crate) root: Option<usize>,
    /// Each span's distance from its root.
    pub(crate) depths: Vec<u32>,
}

impl Trace {
    /// Works out a trace from its spans. `clocks` says what is known about the clocks of instances that call each other.
    pub(crate) fn new(reported: Vec<Reported>, clocks: impl FnOnce(&[(&Facts, &Facts)]) -> TraceClocks) -> Self {
        let mut processes = Processes::default();
        let facts: Vec<Facts> = reported.iter().map(|reported| processes.facts(reported)).collect();
        let assembled = assemble(&facts);
        let half = |at: Option<usize>| at.and_then(|at| facts.get(at));
        let mut joined: Vec<(&Facts, &Facts)> =
            assembled.calls.iter().filter_map(|call| half(call.client).zip(half(call.server))).collect();
        joined.sort_by_key(|(client, _)| client.start_ns);
        let clocks = clocks(&joined);
        let orders = Orders::new(&reported, &facts, &assembled);
        let (first_ns, times) = times(&facts, &clocks);
        let length_ns = times.iter().map(|&(_, end)| end).max().unwrap_or(0);
        let mut trace =
            Self { reported, facts, assembled, orders, clocks, first_ns, length_ns, times, root: None, depths: vec![] };
        trace.root = trace.find_root();
        trace.depths = depths(&trace.assembled.parents);
        trace
    }

    /// Where the span with an id is: the callee's half where two share it.
    pub(crate) fn find(&self, id: SpanId) -> Option<usize> {
        let with_id = self.facts.iter().enumerate().filter(|(_, span)| span.span_id == id);
        with_id.max_by_key(|(at, span)| (span.answers(), std::cmp::Reverse(*at))).map(|(at, _)| at)
    }

    /// The spans below the root, ready for the critical path.
    pub(crate) fn tree(&self) -> Option<Tree> {
        let spans = self.facts.iter().zip(&self.times).zip(&self.assembled.parents).zip(&self.assembled.conflicting);
        let timed = spans.map(|(((span, &(start, end)), parent), conflicting)| Timed {
            start,
            end,
            parent: parent.span(),
            awaited: span.kind != Kind::Consumer && !conflicting,
        });
        Some(Tree::new(&timed.collect::<Vec<_>>(), self.root?))
    }

    /// Each call by the span that keys it.
    pub(crate) fn call_of(&self) -> HashMap<usize, &Halves> {
        self.assembled.calls.iter().filter_map(|call| Some((call.client.or(call.server)?, call))).collect()
    }

    /// Who its services are.
    pub(crate) fn names(&self) -> Names {
        let different: HashSet<_> = self.facts.iter().map(|span| &span.service).collect();
        if different.len() > SERVICES_MAX { Names::default() } else { Names::new(different) }
    }

    /// Where it begins.
    pub(crate) fn origin(&self) -> Origin {
        let root = self.root.and_then(|root| self.facts.get(root).zip(self.assembled.parents.get(root)));
        match root {
            Some((span, Parent::Root)) if span.calls() && span.link.certainty == Certainty::Unlinked => {
                Origin::Unlinked
            }
            Some((_, Parent::Root)) => Origin::Entry,
            Some((_, Parent::Span(_) | Parent::Missing)) | None => Origin::Missing,
        }
    }

    fn find_root(&self) -> Option<usize> {
        let spans = self.assembled.parents.iter().zip(&self.times).zip(&self.assembled.conflicting).enumerate();
        let roots = spans.filter(|(_, ((parent, _), conflicting))| parent.span().is_none() && !**conflicting);
        let best = roots.max_by_key(|&(at, ((parent, &(start, end)), _))| {
            (*parent == Parent::Root, end - start, std::cmp::Reverse(start), std::cmp::Reverse(at))
        });
        best.map(|(at, _)| at)
    }
}

/// The first moment, and every span's begin and end after it.
fn times(facts: &[Facts], clocks: &TraceClocks) -> (u64, Vec<(i64, i64)>) {
    let correction = |span: &Facts| {
        let correction = instance(span).and_then(|instance| clocks.corrections.get(&instance).copied());
        i128::from(correction.unwrap_or(0))
    };
    let corrected: Vec<(i128, i128)> = facts
        .iter()
        .map(|span| (i128::from(span.start_ns) + correction(span), i128::from(span.end_ns) + correction(span)))
        .collect();
    let first = corrected.iter().map(|&(start, _)| start).min().unwrap_or(0).max(0);
    let since = |time: i128| {
        let ns = (time - first).clamp(i128::from(-APART_MAX_NS), i128::from(APART_MAX_NS));
        i64::try_from(ns).unwrap_or(APART_MAX_NS)
    };
    let times = corrected.into_iter().map(|(start, end)| (since(start), since(end).max(since(start)))).collect();
    (u64::try_from(first).unwrap_or(u64::MAX), times)
}

fn depths(parents: &[Parent]) -> Vec<u32> {
    let mut depths: Vec<Option<u32>> = vec![None; parents.len()];
    let mut path = Vec::new();
    for start in 0..parents.len() {
        let mut at = start;
        let mut depth = loop {
            if let Some(depth) = depths.get(at).copied().flatten() {
                break depth + 1;
            }
            path.push(at);
            match parents.get(at).and_then(|parent| parent.span()) {
                Some(parent) => at = parent,
                None => break 0,
            }
        };
        while let Some(at) = path.pop() {
            if let Some(slot) = depths.get_mut(at) {
                *slot = Some(depth);
            }
            depth += 1;
        }
    }
    depths.into_iter().map(Option::unwrap_or_default).collect()
}
