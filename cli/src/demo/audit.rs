//! Whether what the analyzer has is what happened: every trace of the run is read back and laid beside the services'
//! own log.

use std::collections::{HashMap, HashSet};
use std::time::{SystemTime, UNIX_EPOCH};

use raceway_analyzer::api::types::{Certainty, LinkCounts, SpanKind, SpanView, TraceList, TraceView};
use tokio::task::JoinSet;

use super::Failure;
use super::shop::Role;
use super::truth::{Expected, Truth};
use crate::client::{Client, ClientError};

/// Rows asked for at once: the most that the API gives.
const PAGE: usize = 1_000;
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
    let since = truth.since().map_or(began, |oldest| oldest.max(began));
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
            audit.compare(&trace, truth, &mut missing);
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

impl Audit {
    fn compare(&mut self, trace: &TraceView, truth: &Truth, missing: &mut HashSet<Expected>) {
        let by_id: HashMap<&str, &SpanView> = trace.spans.iter().map(|span| (span.span_id.as_str(), span)).collect();
        let (spans_before, linked_before, wrong_before) =
            (self.spans, self.links.certain + self.links.likely, self.wrong);
        for span in &trace.spans {
            let (Some(role), Some(path)) = (Role::named(&span.service), path(span)) else { continue };
            if !truth.knows(path) {
                continue;
            }
            self.spans += 1;
            let server = span.kind == SpanKind::Server;
            missing.remove(&Expected { role, server, path: path.to_owned() });
            if !server {
                match span.link.certainty {
                    Certainty::Certain => self.links.certain += 1,
                    Certainty::Likely => self.links.likely += 1,
                    Certainty::Unlinked => self.links.unlinked += 1,
                }
            }
            let parent = span.parent_span_id.as_deref().and_then(|id| by_id.get(id)).copied();
            if parent.is_some_and(|parent| !is_cause(parent, span, role, path, truth)) {
                self.wrong += 1;
            }
        }
        let spans = self.spans - spans_before;
        if spans == 0 {
            return;
        }
        self.traces += 1;
        let linked = self.links.certain + self.links.likely - linked_before;
        // A checkout is four calls between five requests; one with a declined card is not a typical one.
        if (spans, linked, self.wrong) == (9, 4, wrong_before) && trace.spans.iter().all(|span| !span.error) {
            self.whole_checkouts.push((trace.duration_ms, trace.trace_id.clone()));
        }
    }
}

/// Whether `parent` really caused `span`: the call that the request is the other end of, or the request that the
/// service made the call for.
fn is_cause(parent: &SpanView, span: &SpanView, role: Role, path: &str, truth: &Truth) -> bool {
    match span.kind {
        SpanKind::Server => parent.kind == SpanKind::Client && self::path(parent) == Some(path),
        _ => {
            let cause = truth.cause(role, path);
            parent.kind == SpanKind::Server
                && parent.service == span.service
                && cause.is_some()
                && self::path(parent) == cause
        }
    }
}

fn path(span: &SpanView) -> Option<&str> {
    span.attributes.get("url.path")?.as_str()
}
