//! Critical paths.

use super::{ms, text};
use crate::analysis::assemble::Parent;
use crate::analysis::path::{Part, Path};
use crate::analysis::trace::Trace;
use crate::api::time::rfc3339;
use crate::api::types::{CriticalPath, OrphanRoot, PathPart, PathShare, PathStep, Saving};

/// The path of a trace.
pub(in crate::api) fn critical_path(trace: &Trace, path: &Path) -> CriticalPath {
    let steps = path.sections.iter().filter_map(|&(section, part)| {
        let (facts, reported) = trace.facts.get(section.span).zip(trace.reported.get(section.span))?;
        let length = ms(section.end - section.start);
        Some(PathStep {
            id: reported.span.span_id.to_string(),
            kind: reported.span.kind.word().to_owned(),
            location: reported.span.name.clone().into_owned(),
            timestamp: rfc3339(trace.first_ns.saturating_add_signed(section.start)),
            duration_ms: length,
            service: facts.service.name.to_string(),
            self_ms: length,
            start_ns: section.start,
            end_ns: section.end,
            part: shown(part),
        })
    });
    let steps: Vec<PathStep> = steps.collect();
    let percentage = |ns: i64, of: i64| if of > 0 { ns as f64 / of as f64 * 100.0 } else { 0.0 };
    CriticalPath {
        trace_id: trace_id(trace),
        path_events: steps.len() as u64,
        total_duration_ms: ms(path.total_ns),
        trace_total_duration_ms: ms(trace.length_ns),
        percentage_of_total: percentage(path.total_ns, trace.length_ns),
        path: steps,
        services: path
            .shares
            .iter()
            .map(|(service, ns)| PathShare {
                service: service.name.to_string(),
                namespace: text(&service.namespace),
                environment: text(&service.environment),
                self_ms: ms(*ns),
                percentage: percentage(*ns, path.total_ns),
            })
            .collect(),
        savings: path
            .savings
            .iter()
            .map(|saving| Saving {
                service: saving.service.name.to_string(),
                namespace: text(&saving.service.namespace),
                environment: text(&saving.service.environment),
                operation: saving.operation.clone(),
                part: shown(saving.part),
                self_ms: ms(saving.self_ns),
                saved_if_zero_ms: ms(saving.saved_ns),
                slack_ms: ms(saving.slack_ns),
            })
            .collect(),
        certainty: path.certainty,
        orphans: orphans(trace),
    }
}

/// Subtrees beside the root's: nobody knows where on the path they belong.
fn orphans(trace: &Trace) -> Vec<OrphanRoot> {
    let spans = trace.facts.iter().zip(&trace.reported).zip(&trace.assembled.parents).enumerate();
    let roots = spans.filter(|(at, (_, parent))| parent.span().is_none() && trace.root != Some(*at));
    roots
        .map(|(_, ((facts, reported), parent))| OrphanRoot {
            span_id: reported.span.span_id.to_string(),
            service: facts.service.name.to_string(),
            operation: reported.span.name.clone().into_owned(),
            duration_ms: facts.duration_ns() as f64 / 1e6,
            parent_missing: *parent == Parent::Missing,
        })
        .collect()
}

fn shown(part: Part) -> PathPart {
    match part {
        Part::Own => PathPart::Own,
        Part::Network => PathPart::Network,
        Part::Remote => PathPart::Remote,
    }
}

pub(super) fn trace_id(trace: &Trace) -> String {
    trace.reported.first().map(|reported| reported.span.trace_id.uuid().to_string()).unwrap_or_default()
}
