//! The critical path of a trace in the words of services and operations.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::critical_path::Section;
use super::critical_path::savings::Plan;
use super::facts::Identity;
use super::trace::Trace;

/// Operations whose saving is worked out; each costs a walk over the trace.
const SAVINGS_MAX: usize = 50;
/// Steps that all those walks may take together: a tenth of a second.
const STEPS_MAX: usize = 5_000_000;

/// What a stretch of time went into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Part {
    /// The service's own work.
    Own,
    /// Between caller and callee.
    Network,
    /// In a peer that reports nothing.
    Remote,
}

/// The critical path of a trace.
pub(crate) struct Path {
    /// In the order of time, disjoint, covering the root.
    pub(crate) sections: Vec<(Section, Part)>,
    pub(crate) total_ns: i64,
    /// Each service's time on the path, the largest first.
    pub(crate) shares: Vec<(Arc<Identity>, i64)>,
    pub(crate) savings: Vec<Saving>,
    /// The smallest probability among the links that hold it together.
    pub(crate) certainty: f64,
}

/// What making one operation faster would win.
#[derive(Debug)]
pub(crate) struct Saving {
    pub(crate) service: Arc<Identity>,
    pub(crate) operation: String,
    pub(crate) part: Part,
    /// Its time on the path.
    pub(crate) self_ns: i64,
    /// How much sooner the trace would end if its own work took no time.
    pub(crate) saved_ns: i64,
    /// How much longer it could take.
    pub(crate) slack_ns: i64,
}

type Operation<'a> = (&'a Arc<Identity>, &'a str, Part);

impl Path {
    /// The path below the trace's root; `None` for a trace without spans.
    pub(crate) fn of(trace: &Trace) -> Option<Self> {
        let tree = trace.tree()?;
        let calls = trace.call_of();
        let part = |at: usize| match (trace.facts.get(at), calls.get(&at)) {
            (Some(span), _) if !span.calls() => Part::Own,
            (_, Some(call)) if call.server.is_none() => Part::Remote,
            _ => Part::Network,
        };
        let sections: Vec<(Section, Part)> =
            tree.sections().into_iter().map(|section| (section, part(section.span))).collect();
        let names = trace.names();
        let services: Vec<Arc<Identity>> = trace.facts.iter().map(|span| names.of(&span.service)).collect();
        let mut shares: BTreeMap<&Arc<Identity>, i64> = BTreeMap::new();
        for (section, _) in &sections {
            if let Some(service) = services.get(section.span) {
                *shares.entry(service).or_default() += section.end - section.start;
            }
        }
        let mut shares: Vec<(Arc<Identity>, i64)> = shares.into_iter().map(|(name, ns)| (name.clone(), ns)).collect();
        shares.sort_by_key(|&(_, ns)| std::cmp::Reverse(ns));
        Some(Self {
            total_ns: sections.iter().map(|(section, _)| section.end - section.start).sum(),
            savings: savings(trace, &services, &Plan::new(&tree), &sections, part),
            certainty: certainty(trace, &sections),
            sections,
            shares,
        })
    }
}

/// The smallest probability among the links that hold the path together: those of its spans and of all above them.
fn certainty(trace: &Trace, sections: &[(Section, Part)]) -> f64 {
    let mut seen = vec![false; trace.facts.len()];
    let mut least = 1.0f64;
    for (section, _) in sections {
        let mut at = Some(section.span);
        while let Some(here) = at
            && let Some(seen) = seen.get_mut(here)
            && !std::mem::replace(seen, true)
        {
            least = least.min(trace.facts.get(here).map_or(1.0, |span| span.link.p));
            at = trace.assembled.parents.get(here).and_then(|parent| parent.span());
        }
    }
    least
}

fn savings(
    trace: &Trace,
    services: &[Arc<Identity>],
    plan: &Plan<'_>,
    sections: &[(Section, Part)],
    part: impl Fn(usize) -> Part,
) -> Vec<Saving> {
    let operation = |at: usize| -> Option<Operation<'_>> {
        let (service, reported) = services.get(at).zip(trace.reported.get(at))?;
        Some((service, &reported.span.name, part(at)))
    };
    let of: Vec<Option<Operation<'_>>> = (0..trace.facts.len()).map(operation).collect();
    let mut own: BTreeMap<Operation<'_>, i64> = BTreeMap::new();
    for (section, _) in sections {
        if let Some(operation) = of.get(section.span).copied().flatten() {
            *own.entry(operation).or_default() += section.end - section.start;
        }
    }
    let mut slack: BTreeMap<Operation<'_>, i64> = BTreeMap::new();
    for (operation, span) in of.iter().zip(plan.slack()) {
        if let Some((operation, ns)) = operation.zip(span) {
            slack.entry(operation).and_modify(|least| *least = ns.min(*least)).or_insert(ns);
        }
    }
    let mut on_path: Vec<(Operation<'_>, i64)> = own.into_iter().collect();
    on_path.sort_by_key(|&(_, ns)| std::cmp::Reverse(ns));
    on_path.truncate(SAVINGS_MAX.min(STEPS_MAX / trace.facts.len().max(1)).max(1));
    let shown: BTreeSet<Operation<'_>> = on_path.iter().map(|(operation, _)| *operation).collect();
    let saving = |(service, name, part): Operation<'_>, self_ns, saved_ns, slack_ns| Saving {
        service: service.clone(),
        operation: name.to_owned(),
        part,
        self_ns,
        saved_ns,
        slack_ns,
    };
    let mut all: Vec<Saving> = on_path
        .into_iter()
        .map(|(operation, self_ns)| {
            let saved_ns = plan.saved(|at| of.get(at).copied().flatten() == Some(operation));
            saving(operation, self_ns, saved_ns, slack.get(&operation).copied().unwrap_or(0))
        })
        .collect();
    all.sort_by_key(|saving| std::cmp::Reverse((saving.saved_ns, saving.self_ns)));
    // What has slack, the least first: the next to become critical.
    let mut off_path: Vec<(Operation<'_>, i64)> =
        slack.into_iter().filter(|(operation, ns)| *ns > 0 && !shown.contains(operation)).collect();
    off_path.sort_by_key(|&(_, ns)| ns);
    let room = SAVINGS_MAX.saturating_sub(all.len());
    all.extend(off_path.into_iter().take(room).map(|(operation, ns)| saving(operation, 0, 0, ns)));
    all
}
