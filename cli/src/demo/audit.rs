//! Whether what the analyzer has is what happened: every trace of the run is read back and laid beside the services'
//! own log.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use raceway_analyzer::api::types::{Certainty, LinkCounts, SpanKind, SpanView, TraceList, TraceView};
use tokio::task::JoinSet;

use super::Failure;
use super::shop::Role;
use super::truth::{Expected, Truth};
use crate::client::{Client, ClientError};

/// Rows asked for at once: the most that the API gives.
const PAGE: usize = 1_000;
/// How much sooner than its services' first line a trace may have begun: a busy machine's hiccup, many times over.
const SLACK: Duration = Duration::from_secs(60);
/// Traces read at once: enough to keep the analyzer busy, few enough to keep it responsive for the page.
const AT_ONCE: usize = 8;

/// What the comparison found.
#[derive(Debug, Default)]
pub(super) struct Audit {
    /// Traces stored.
    pub(super) traces: u64,
    /// Spans stored.
    pub(super) spans: u64,
    /// Spans there should be: one per request served and per call made, by the services' own count.
    pub(super) spans_expected: u64,
    /// Of those, how many are not stored.
    pub(super) spans_lost: u64,
    /// Calls by what their sidecar said about their cause.
    pub(super) links: LinkCounts,
    /// Spans whose parent, as stored, is not what caused them.
    pub(super) wrong: u64,
    /// Checkouts of which every call is in one trace: duration and trace id.
    pub(super) whole_checkouts: Vec<(f64, String)>,
}

/// Reads back every trace since `began`.
pub(super) async fn audit(client: &Client, truth: &Truth, began: SystemTime) -> Result<Audit, Failure> {
    // A trace begins before its services write about it; traces of orders that are forgotten count for nothing.
    let since = truth.forgotten_before().map_or(began, |oldest| oldest - SLACK);
    let since_ms = since.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    let mut audit = Audit::default();
    let mut missing: HashSet<Expected> = truth.expected().collect();
    audit.spans_expected = missing.len() as u64;

    let mut cursor = String::new();
    loop {
        let page: TraceList = client.get(&format!("/api/traces?page_size={PAGE}&from={since_ms}{cursor}")).await?;
        let mut rows = page.traces.into_iter();
        let mut reading: JoinSet<Result<TraceView, ClientError>> = JoinSet::new();
        loop {
            while reading.len() < AT_ONCE
                && let Some(row) = rows.next()
            {
                let client = client.clone();
                reading.spawn(async move { client.get(&format!("/api/traces/{}", row.trace_id)).await });
            }
            let Some(trace) = reading.join_next().await else { break };
            let trace =
                trace.map_err(|error| Failure::System { what: "reading traces back", source: error.into() })??;
            let spans: Vec<Found> = trace.spans.into_iter().map(Found::of).collect();
            if audit.compare(&spans, truth, &mut missing) {
                audit.whole_checkouts.push((trace.duration_ms, trace.trace_id));
            }
        }
        match page.next_cursor {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    audit.spans_lost = missing.len() as u64;
    audit.whole_checkouts.sort_by(|a, b| a.0.total_cmp(&b.0));
    Ok(audit)
}

/// What the comparison looks at in a span.
#[derive(Clone, Debug, PartialEq)]
struct Found {
    id: String,
    parent: Option<String>,
    service: String,
    kind: SpanKind,
    path: String,
    certainty: Certainty,
    error: bool,
}

impl Found {
    fn of(span: SpanView) -> Self {
        let path = span.attributes.get("url.path").and_then(|path| path.as_str()).unwrap_or_default().to_owned();
        Self {
            id: span.span_id,
            parent: span.parent_span_id,
            service: span.service,
            kind: span.kind,
            path,
            certainty: span.link.certainty,
            error: span.error,
        }
    }
}

impl Audit {
    /// Lays one trace beside the log. Returns whether it is a checkout, paid, of which every call is linked.
    fn compare(&mut self, spans: &[Found], truth: &Truth, missing: &mut HashSet<Expected>) -> bool {
        let by_id: HashMap<&str, &Found> = spans.iter().map(|span| (span.id.as_str(), span)).collect();
        let (mut known, mut linked, mut wrong) = (0, 0, 0);
        for span in spans {
            let Some(role) = Role::named(&span.service) else { continue };
            if !truth.knows(&span.path) {
                continue;
            }
            known += 1;
            let server = span.kind == SpanKind::Server;
            missing.remove(&Expected { role, server, path: span.path.clone() });
            if !server {
                match span.certainty {
                    Certainty::Certain => self.links.certain += 1,
                    Certainty::Likely => self.links.likely += 1,
                    Certainty::Unlinked => self.links.unlinked += 1,
                }
                linked += u64::from(span.certainty != Certainty::Unlinked);
            }
            let parent = span.parent.as_deref().and_then(|id| by_id.get(id)).copied();
            wrong += u64::from(parent.is_some_and(|parent| !is_cause(parent, span, role, truth)));
        }
        self.traces += u64::from(known > 0);
        self.spans += known;
        self.wrong += wrong;
        // Four calls between five requests; a declined card is an error, and not typical.
        (known, linked, wrong) == (9, 4, 0) && spans.iter().all(|span| !span.error)
    }
}

/// Whether `parent` really caused `span`: the call that the request is the other end of, or the request that the
/// service made the call for.
fn is_cause(parent: &Found, span: &Found, role: Role, truth: &Truth) -> bool {
    match span.kind {
        SpanKind::Server => parent.kind == SpanKind::Client && parent.path == span.path,
        _ => {
            parent.kind == SpanKind::Server
                && parent.service == span.service
                && truth.cause(role, &span.path) == Some(parent.path.as_str())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `id kind service path < parent`, with `?` for a likely link and `!` for an error.
    fn spans(text: &str) -> Vec<Found> {
        let span = |line: &str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [id, kind, service, path, ..] = words[..] else { panic!("{line}") };
            let certainty = match (kind, words.contains(&"?"), words.contains(&"<")) {
                ("client", true, _) => Certainty::Likely,
                ("client", _, false) => Certainty::Unlinked,
                _ => Certainty::Certain,
            };
            Found {
                id: id.to_owned(),
                parent: words.iter().position(|word| *word == "<").map(|place| words[place + 1].to_owned()),
                service: service.to_owned(),
                kind: if kind == "client" { SpanKind::Client } else { SpanKind::Server },
                path: path.to_owned(),
                certainty,
                error: words.contains(&"!"),
            }
        };
        text.lines().map(str::trim).filter(|line| !line.is_empty()).map(span).collect()
    }

    fn truth() -> Truth {
        let mut truth = Truth::default();
        for (role, line) in [
            (Role::Frontend, "served /checkout/7"),
            (Role::Frontend, "called /checkouts/7 because /checkout/7"),
            (Role::Api, "served /checkouts/7"),
            (Role::Api, "called /sessions/7 because /checkouts/7"),
            (Role::Auth, "served /sessions/7"),
            (Role::Api, "called /orders/7 because /checkouts/7"),
            (Role::Order, "served /orders/7"),
            (Role::Order, "called /payments/7 because /orders/7"),
            (Role::Payment, "served /payments/7"),
            (Role::Api, "served /refunds/8"),
            (Role::Api, "called /payouts/8 because /refunds/8"),
        ] {
            truth.note(role, line);
        }
        truth
    }

    const CHECKOUT: &str = "
        1 server frontend /checkout/7
        2 client frontend /checkouts/7 < 1 ?
        3 server api /checkouts/7 < 2
        4 client api /sessions/7 < 3 ?
        5 server auth /sessions/7 < 4
        6 client api /orders/7 < 3 ?
        7 server order /orders/7 < 6
        8 client order /payments/7 < 7 ?
        9 server payment /payments/7 < 8";

    #[test]
    fn a_checkout_linked_from_end_to_end_is_found() {
        let (mut audit, truth) = (Audit::default(), truth());
        let mut missing: HashSet<Expected> = truth.expected().collect();
        assert!(audit.compare(&spans(CHECKOUT), &truth, &mut missing));
        assert_eq!((audit.traces, audit.spans, audit.wrong), (1, 9, 0));
        assert_eq!(audit.links, LinkCounts { certain: 0, likely: 4, unlinked: 0 });
        assert_eq!(missing.len(), 2, "the refund has not come: {missing:?}");
        let declined = CHECKOUT.to_owned() + " !";
        assert!(!audit.compare(&spans(&declined), &truth, &mut missing), "a declined one is not typical");
    }

    #[test]
    fn links_to_another_cause_than_the_log_names_are_wrong() {
        for (wrong, flaw) in [
            ("6 client api /orders/7 < 3 ?", "6 client api /payouts/8 < 3 ?"),
            ("8 client order /payments/7 < 7 ?", "8 client order /payments/7 < 3 ?"),
            ("7 server order /orders/7 < 6", "7 server order /orders/7 < 4"),
            ("4 client api /sessions/7 < 3 ?", "4 client api /sessions/9 < 3 ?\n 4b client api /orders/7 < 5"),
        ] {
            let (mut audit, truth) = (Audit::default(), truth());
            let whole = audit.compare(&spans(&CHECKOUT.replace(wrong, flaw)), &truth, &mut HashSet::new());
            assert!(audit.wrong >= 1 && !whole, "{flaw}: {audit:?}");
        }
    }

    #[test]
    fn an_unlinked_call_is_not_wrong_and_other_spans_are_not_ours() {
        let (mut audit, truth) = (Audit::default(), truth());
        let mut missing: HashSet<Expected> = truth.expected().collect();
        audit.compare(&spans("1 client api /payouts/8"), &truth, &mut missing);
        audit.compare(&spans("1 server api /refunds/99\n2 server stock /items/7"), &truth, &mut missing);
        assert_eq!((audit.traces, audit.spans, audit.wrong, audit.links.unlinked), (1, 1, 0, 1));
        assert_eq!(missing.len(), 10);
    }
}
