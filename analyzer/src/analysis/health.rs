//! Whether a service is well, from what it answered and when.
//!
//! Simple and the same for all, until every service has a baseline of its own: failures are judged from twenty
//! requests on (below, one failure says nothing about a rate), silence only of a service that was busy.

use super::facts::Identity;
use super::graph::{ServiceCell, Snapshot};

/// One failure in a hundred is what availability targets of 99% allow.
const ERRORS_WARNING: f64 = 0.01;
/// One in ten is what users notice without being told.
const ERRORS_CRITICAL: f64 = 0.10;
/// Fewer requests than this make no rate.
const REQUESTS_MIN: u64 = 20;
/// Ten minutes without a span, of a service that had one at least every minute: several scrapes and retries long.
const SILENT_NS: u64 = 600_000_000_000;
/// What "busy" means: spans per minute.
const BUSY_PER_MINUTE: f64 = 1.0;

/// How bad something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verdict {
    Warning,
    Critical,
}

/// Something wrong, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) kind: &'static str,
    pub(crate) verdict: Verdict,
    pub(crate) text: String,
    pub(crate) action: String,
    pub(crate) evidence: String,
}

/// What is wrong with a service in the window of `snapshot`; the worst finding is the verdict.
pub(crate) fn findings(service: &Identity, cell: &ServiceCell, snapshot: &Snapshot, now_ns: u64) -> Vec<Finding> {
    let mut findings = Vec::new();
    let (calls, errors) = (cell.requests.calls, cell.requests.errors);
    let rate = errors as f64 / calls.max(1) as f64;
    if calls >= REQUESTS_MIN && rate >= ERRORS_WARNING {
        let critical = rate >= ERRORS_CRITICAL;
        findings.push(Finding {
            kind: "errors",
            verdict: if critical { Verdict::Critical } else { Verdict::Warning },
            text: format!("{:.1}% of its requests fail", rate * 100.0),
            action: blame(service, snapshot),
            evidence: format!("{errors} of {calls} requests"),
        });
    }
    let silent_ns = snapshot.until_ns.min(now_ns).saturating_sub(cell.last_ns);
    let active_minutes = cell.last_ns.saturating_sub(snapshot.since_ns) as f64 / 60e9;
    if silent_ns >= SILENT_NS && active_minutes >= 1.0 && cell.spans as f64 / active_minutes >= BUSY_PER_MINUTE {
        let minutes = silent_ns / 60_000_000_000;
        findings.push(Finding {
            kind: "silent",
            verdict: Verdict::Warning,
            text: format!("nothing heard of it for {minutes} minutes"),
            action:
                "check that it and its sidecar run, that requests reach it, and that the sidecar reaches the analyzer"
                    .to_owned(),
            evidence: format!("{} spans before that", cell.spans),
        });
    }
    findings
}

/// Where to look for the cause of failures: a callee that fails as much, else the service itself.
fn blame(service: &Identity, snapshot: &Snapshot) -> String {
    let failing = snapshot
        .edges
        .iter()
        .filter(|edge| *edge.from == *service && edge.calls >= REQUESTS_MIN)
        .map(|edge| (edge.errors as f64 / edge.calls as f64, &edge.to.name))
        .filter(|(rate, _)| *rate >= ERRORS_WARNING)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    match failing {
        Some((rate, callee)) => {
            format!("look at {callee} first: {:.1}% of the calls to it fail", rate * 100.0)
        }
        None => format!("look at failed traces of {}: none of the services that it calls fails as much", service.name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::graph::{Graph, Window};
    use crate::analysis::notation::{EPOCH_NS, MS, spans};

    /// The verdict and the kinds of findings on `b`, called by `a` so often, failing so often, now.
    fn judged(calls: u64, errors: u64, now: fn() -> u64) -> (Option<Verdict>, Vec<&'static str>) {
        let graph = Graph::new(now);
        let template = spans("b server 2 0-10").remove(0);
        for number in 1..=calls {
            let mut span = template.clone();
            span.span.trace_id = raceway_trace::TraceId::new(u128::from(number)).unwrap();
            span.span.start_ns += number * 100 * MS;
            span.span.end_ns += number * 100 * MS;
            if number <= errors {
                span.span.status = raceway_analyzer_client::Status::Error("".into());
            }
            graph.observe(&[span]);
        }
        let snapshot = graph.snapshot(Window::default());
        let (service, cell) = &snapshot.services[0];
        let findings = findings(service, cell, &snapshot, now());
        let worst = findings.iter().map(|finding| finding.verdict).max();
        (worst, findings.iter().map(|finding| finding.kind).collect())
    }

    #[test]
    fn services_are_judged_by_failures_and_silence() {
        fn soon() -> u64 {
            EPOCH_NS + 200_000 * MS
        }
        fn later() -> u64 {
            EPOCH_NS + 2_000_000 * MS
        }
        assert_eq!(judged(1000, 0, soon), (None, vec![]));
        assert_eq!(judged(1000, 9, soon), (None, vec![]));
        assert_eq!(judged(1000, 10, soon), (Some(Verdict::Warning), vec!["errors"]));
        assert_eq!(judged(1000, 100, soon), (Some(Verdict::Critical), vec!["errors"]));
        assert_eq!(judged(19, 19, soon), (None, vec![]), "too few to tell");
        assert_eq!(judged(1000, 0, later), (Some(Verdict::Warning), vec!["silent"]));
    }
}
