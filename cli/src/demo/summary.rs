//! What the demo found, for people and for scripts.

use std::fmt::{self, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use raceway_analyzer::api::types::{CriticalPath, EdgeList};
use serde::Serialize;

use super::Failure;
use super::audit::Audit;
use super::load::Tally;
use super::truth::Truth;
use crate::client::Client;

/// The result of a run. Serialized, it is the object that `--json` prints; scripts rely on its shape.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    url: String,
    requests: u64,
    failed: u64,
    traces: u64,
    spans: u64,
    spans_lost: u64,
    edges: Vec<Edge>,
    critical_path: Path,
    links: Links,
    #[serde(skip)]
    aside: Aside,
}

/// What only the text shows.
#[derive(Debug)]
struct Aside {
    took: Duration,
    declined: u64,
    spans_expected: u64,
    whole_checkouts: usize,
    /// How many orders were compared, where not all were.
    compared: Option<usize>,
    first_failure: Option<String>,
}

#[derive(Debug, Serialize)]
struct Edge {
    from: String,
    to: String,
    calls: u64,
    errors: u64,
    p50_ms: Option<f64>,
    p95_ms: Option<f64>,
    p99_ms: Option<f64>,
}

/// The critical path of the median checkout.
#[derive(Debug, Default, Serialize)]
struct Path {
    total_ms: f64,
    steps: Vec<Step>,
}

#[derive(Debug, Serialize)]
struct Step {
    service: String,
    self_ms: f64,
}

#[derive(Debug, Serialize)]
struct Links {
    certain: u64,
    likely: u64,
    unlinked: u64,
    wrong: u64,
}

/// Asks the analyzer for what the summary shows.
pub(super) async fn collect(
    client: &Client,
    url: String,
    took: Duration,
    tally: &Tally,
    truth: &Truth,
    audit: Audit,
    began: SystemTime,
) -> Result<Summary, Failure> {
    let since_ms = began.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    let graph: EdgeList = client.get(&format!("/api/distributed/edges?since={since_ms}")).await?;
    let edges = graph.edges.into_iter().map(|edge| Edge {
        from: edge.from_service,
        to: edge.to_service,
        calls: edge.call_count,
        errors: edge.errors,
        p50_ms: edge.p50_ms.map(microseconds),
        p95_ms: edge.p95_ms.map(microseconds),
        p99_ms: edge.p99_ms.map(microseconds),
    });
    let critical_path = match audit.whole_checkouts.get(audit.whole_checkouts.len() / 2) {
        Some((_, trace)) => by_service(&client.get(&format!("/api/traces/{trace}/critical-path")).await?),
        None => Path::default(),
    };
    Ok(Summary {
        url,
        requests: tally.sent(),
        failed: tally.failed(),
        traces: audit.traces,
        spans: audit.spans,
        spans_lost: audit.spans_lost,
        edges: edges.collect(),
        critical_path,
        links: Links {
            certain: audit.links.certain,
            likely: audit.links.likely,
            unlinked: audit.links.unlinked,
            wrong: audit.wrong,
        },
        aside: Aside {
            took,
            declined: tally.declined(),
            spans_expected: audit.spans_expected,
            whole_checkouts: audit.whole_checkouts.len(),
            compared: (!truth.is_whole()).then(|| truth.orders()),
            first_failure: tally.first_failure(),
        },
    })
}

/// Adds up each service's stretches, in the order in which the services come up.
fn by_service(path: &CriticalPath) -> Path {
    let mut steps: Vec<Step> = Vec::new();
    for stretch in &path.path {
        match steps.iter_mut().find(|step| step.service == stretch.service) {
            Some(step) => step.self_ms += stretch.self_ms,
            None => steps.push(Step { service: stretch.service.clone(), self_ms: stretch.self_ms }),
        }
    }
    for step in &mut steps {
        step.self_ms = microseconds(step.self_ms);
    }
    Path { total_ms: microseconds(path.total_duration_ms), steps }
}

/// `1 trace`, `2 traces`.
fn counted(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// Rounds milliseconds to whole microseconds: digits below say nothing.
fn microseconds(ms: f64) -> f64 {
    (ms * 1e3).round() / 1e3
}

impl Summary {
    /// The object that `--json` prints.
    pub(super) fn json(&self) -> String {
        // Only maps with odd keys and failing `Serialize`s can fail, and here is neither.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// What did not go as it should, if anything.
    pub(super) fn complaint(&self) -> Option<String> {
        if self.failed > 0 {
            let first = self.aside.first_failure.as_deref().unwrap_or("unknown");
            return Some(format!("{} of {} requests failed; the first: {first}", self.failed, self.requests));
        }
        (self.spans_lost > 0).then(|| {
            format!(
                "{} of {} spans were not stored; is the machine overloaded?",
                self.spans_lost, self.aside.spans_expected
            )
        })
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let aside = &self.aside;
        let seconds = aside.took.as_secs_f64();
        writeln!(
            f,
            "\n{} in {seconds:.1} s ({:.1}/s), {} failed; {} declined, as {} should be\n",
            counted(self.requests, "request"),
            self.requests as f64 / seconds.max(0.001),
            self.failed,
            counted(aside.declined, "card"),
            if aside.declined == 1 { "it" } else { "they" },
        )?;
        self.write_edges(f)?;
        self.write_path(f)?;
        self.write_links(f)?;
        write!(
            f,
            "Spans: {} expected by the services' own count, {} stored in {}, {} lost",
            aside.spans_expected,
            self.spans,
            counted(self.traces, "trace"),
            self.spans_lost
        )?;
        if let Some(compared) = aside.compared {
            write!(f, "\n(links and spans of the last {compared} requests; the services' log of older ones is gone)")?;
        }
        Ok(())
    }
}

impl Summary {
    fn write_edges(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |edge: &Edge| format!("{} → {}", edge.from, edge.to);
        let width = self.edges.iter().map(|edge| name(edge).chars().count()).max().unwrap_or(0).max(12);
        writeln!(
            f,
            "{:<width$}  {:>7}  {:>8}  {:>8}  {:>8}  {:>8}",
            "Who calls whom", "calls", "errors", "p50 ms", "p95 ms", "p99 ms"
        )?;
        for edge in &self.edges {
            let errors = format!("{:.1} %", edge.errors as f64 * 100.0 / edge.calls.max(1) as f64);
            write!(f, "{:<width$}  {:>7}  {errors:>8}", name(edge), edge.calls)?;
            for quantile in [edge.p50_ms, edge.p95_ms, edge.p99_ms] {
                let text = quantile.map_or_else(|| "–".to_owned(), |ms| format!("{ms:.1}"));
                write!(f, "  {text:>8}")?;
            }
            writeln!(f)?;
        }
        if self.edges.iter().any(|edge| edge.errors > 0) {
            writeln!(
                f,
                "(errors: 4xx and 5xx as callers see them. A declined card is a 402, an error to each caller on the way;\n \
                 the services themselves count 5xx alone, and are healthy)"
            )?;
        }
        writeln!(f)
    }

    fn write_path(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = &self.critical_path;
        if path.steps.is_empty() {
            return writeln!(f, "Critical path: no checkout was linked from end to end; a lower --rate helps\n");
        }
        writeln!(
            f,
            "Critical path of a typical checkout: {:.1} ms (the median of {} linked from end to end)",
            path.total_ms, self.aside.whole_checkouts
        )?;
        for step in &path.steps {
            let share = step.self_ms / path.total_ms.max(f64::MIN_POSITIVE);
            let mut bar = String::new();
            for _ in 0..(share * 40.0).round() as usize {
                bar.write_char('█')?;
            }
            writeln!(f, "  {:<10} {:>7.1} ms {:>4.0} %  {bar}", step.service, step.self_ms, share * 100.0)?;
        }
        writeln!(f)
    }

    fn write_links(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Links { certain, likely, unlinked, wrong } = self.links;
        let calls = certain + likely + unlinked;
        let linked = (certain + likely) as f64 * 100.0 / calls.max(1) as f64;
        writeln!(
            f,
            "Links: of {calls} calls {certain} certain, {likely} likely, {unlinked} unlinked ({linked:.0} % linked); \
             {wrong} wrong by the services' own log"
        )
    }
}
