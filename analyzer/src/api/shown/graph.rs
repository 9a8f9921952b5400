//! The dependency graph: services, edges, health.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{share, text};
use crate::analysis::facts::Identity;
use crate::analysis::graph::{CallCell, EdgeRow, ServiceCell, Snapshot, merge};
use crate::analysis::health::{self, Verdict};
use crate::api::time::rfc3339;
use crate::api::types::*;

/// Hotspots shown where nobody says how many.
const HOTSPOTS_MAX: usize = 20;

/// Which edges are asked for.
#[derive(Clone, Debug, Default)]
pub(in crate::api) struct Wanted {
    pub(in crate::api) service: Option<String>,
    pub(in crate::api) from: Option<String>,
    pub(in crate::api) to: Option<String>,
    pub(in crate::api) environment: Option<String>,
    pub(in crate::api) namespace: Option<String>,
}

impl Wanted {
    fn edge(&self, row: &EdgeRow) -> bool {
        let is = |wanted: &Option<String>, name: &str| wanted.as_deref().is_none_or(|wanted| wanted == name);
        is(&self.from, &row.from.name)
            && is(&self.to, &row.to.name)
            && (is(&self.service, &row.from.name) || is(&self.service, &row.to.name))
            && (self.home(&row.from) || self.home(&row.to))
    }

    fn node(&self, identity: &Identity) -> bool {
        let named = [&self.service, &self.from, &self.to].into_iter().flatten().any(|name| **name == *identity.name);
        let any = self.service.is_none() && self.from.is_none() && self.to.is_none();
        (any || named) && self.home(identity)
    }

    fn home(&self, identity: &Identity) -> bool {
        let is = |wanted: &Option<String>, said: &Option<Arc<str>>| {
            wanted.as_deref().is_none_or(|wanted| said.as_deref() == Some(wanted))
        };
        is(&self.environment, &identity.environment) && is(&self.namespace, &identity.namespace)
    }
}

/// The graph as far as it is wanted.
pub(in crate::api) fn edge_list(snapshot: &Snapshot, wanted: &Wanted, now_ns: u64) -> EdgeList {
    let seconds = seconds(snapshot);
    let rows: Vec<&EdgeRow> = snapshot.edges.iter().filter(|row| wanted.edge(row)).collect();
    let services: BTreeMap<&Arc<Identity>, &ServiceCell> =
        snapshot.services.iter().map(|(service, cell)| (service, cell)).collect();
    let touched = rows.iter().flat_map(|row| [&row.from, &row.to]);
    let alone = services.keys().copied().filter(|service| wanted.node(service));
    let names: BTreeSet<&Arc<Identity>> = touched.chain(alone).collect();
    let mut links = LinkCounts::default();
    for row in &rows {
        links.certain += row.seen.certain;
        links.likely += row.seen.likely;
        links.unlinked += row.seen.unlinked;
    }
    EdgeList {
        total_edges: rows.len() as u64,
        edges: rows.iter().map(|row| edge(row, seconds)).collect(),
        nodes: names
            .iter()
            .map(|&name| match services.get(name) {
                Some(cell) => node(name, &cell.requests, false, Some(verdict(name, cell, snapshot, now_ns)), seconds),
                None => {
                    let mut calls = CallCell::default();
                    for row in snapshot.edges.iter().filter(|row| row.to == *name) {
                        merge(&mut calls, &row.seen);
                    }
                    node(name, &calls, true, None, seconds)
                }
            })
            .collect(),
        entry_points: snapshot
            .entries
            .iter()
            .filter(|(service, _)| names.contains(service))
            .map(|(service, cell)| EntryPoint {
                service: service.name.to_string(),
                namespace: text(&service.namespace),
                environment: text(&service.environment),
                call_count: cell.calls,
                errors: cell.errors,
                p50_ms: cell.latency.quantile_ms(0.50),
                p95_ms: cell.latency.quantile_ms(0.95),
                p99_ms: cell.latency.quantile_ms(0.99),
                last_seen: rfc3339(cell.last_ns),
            })
            .collect(),
        links,
        since: rfc3339(snapshot.since_ns),
        until: rfc3339(snapshot.until_ns),
        overflow: overflow(snapshot.overflow),
    }
}

pub(in crate::api) fn overflow(lost: crate::analysis::graph::Overflow) -> Overflow {
    Overflow { edges: lost.edges, services: lost.services, open_calls: lost.open_calls, counters: lost.counters }
}

/// The window's length, at least one second so that no rate is out of proportion.
fn seconds(snapshot: &Snapshot) -> f64 {
    (snapshot.until_ns.saturating_sub(snapshot.since_ns) as f64 / 1e9).max(1.0)
}

fn edge(row: &EdgeRow, seconds: f64) -> Edge {
    let mut protocols = row.seen.protocols.clone();
    protocols.sort_by_key(|(_, times)| std::cmp::Reverse(*times));
    Edge {
        from_service: row.from.name.to_string(),
        to_service: row.to.name.to_string(),
        environment: text(&row.from.environment),
        from_namespace: text(&row.from.namespace),
        to_namespace: text(&row.to.namespace),
        to_environment: text(&row.to.environment),
        link_type: row.medium.word().to_owned(),
        call_count: row.calls,
        errors: row.errors,
        error_rate: share(row.errors, row.calls),
        rate: row.calls as f64 / seconds,
        p50_ms: row.seen.latency.quantile_ms(0.50),
        p95_ms: row.seen.latency.quantile_ms(0.95),
        p99_ms: row.seen.latency.quantile_ms(0.99),
        bytes: row.seen.bytes,
        protocols: protocols.into_iter().filter(|(_, times)| *times > 0).map(|(name, _)| name.to_string()).collect(),
        certainty: LinkCounts { certain: row.seen.certain, likely: row.seen.likely, unlinked: row.seen.unlinked },
        trace_count: row.seen.traces,
        last_seen: rfc3339(row.seen.last_ns),
        spans_seen: row.seen.calls,
        counted: row.counted.map(|tally| tally.calls),
    }
}

fn node(name: &Identity, calls: &CallCell, is_virtual: bool, status: Option<HealthStatus>, seconds: f64) -> Node {
    Node {
        name: name.name.to_string(),
        environment: text(&name.environment),
        namespace: text(&name.namespace),
        is_virtual,
        requests: calls.calls,
        errors: calls.errors,
        error_rate: share(calls.errors, calls.calls),
        rate: calls.calls as f64 / seconds,
        p50_ms: calls.latency.quantile_ms(0.50),
        p95_ms: calls.latency.quantile_ms(0.95),
        p99_ms: calls.latency.quantile_ms(0.99),
        status,
    }
}

/// All services.
pub(in crate::api) fn service_list(snapshot: &Snapshot) -> ServiceList {
    let seconds = seconds(snapshot);
    let services = snapshot.services.iter().map(|(name, cell)| Service {
        name: name.name.to_string(),
        event_count: cell.events,
        trace_count: cell.traces,
        requests: cell.requests.calls,
        errors: cell.requests.errors,
        rate: cell.requests.calls as f64 / seconds,
        error_rate: share(cell.requests.errors, cell.requests.calls),
        p50_ms: cell.requests.latency.quantile_ms(0.50),
        p95_ms: cell.requests.latency.quantile_ms(0.95),
        p99_ms: cell.requests.latency.quantile_ms(0.99),
        last_seen: rfc3339(cell.last_ns),
        environment: text(&name.environment),
        namespace: text(&name.namespace),
        version: text(&cell.version),
        instances: cell.instances.iter().map(|text| text.to_string()).collect(),
    });
    let services: Vec<Service> = services.collect();
    ServiceList { total_services: services.len() as u64, services }
}

fn verdict(name: &Identity, cell: &ServiceCell, snapshot: &Snapshot, now_ns: u64) -> HealthStatus {
    let findings = health::findings(name, cell, snapshot, now_ns);
    status(findings.iter().map(|finding| finding.verdict).max())
}

fn status(worst: Option<Verdict>) -> HealthStatus {
    match worst {
        None => HealthStatus::Healthy,
        Some(Verdict::Warning) => HealthStatus::Warning,
        Some(Verdict::Critical) => HealthStatus::Critical,
    }
}

/// The health of every service, the worst first.
pub(in crate::api) fn health(snapshot: &Snapshot, now_ns: u64) -> Vec<ServiceHealth> {
    let seconds = seconds(snapshot);
    let services = snapshot.services.iter().map(|(name, cell)| {
        let findings = health::findings(name, cell, snapshot, now_ns);
        ServiceHealth {
            name: name.name.to_string(),
            namespace: text(&name.namespace),
            environment: text(&name.environment),
            status: status(findings.iter().map(|finding| finding.verdict).max()),
            trace_count: cell.traces,
            last_activity: rfc3339(cell.last_ns),
            avg_events_per_trace: share(cell.events, cell.traces),
            minutes_since_last_activity: now_ns.saturating_sub(cell.last_ns) / 60_000_000_000,
            rate: cell.requests.calls as f64 / seconds,
            error_rate: share(cell.requests.errors, cell.requests.calls),
            p50_ms: cell.requests.latency.quantile_ms(0.50),
            p95_ms: cell.requests.latency.quantile_ms(0.95),
            p99_ms: cell.requests.latency.quantile_ms(0.99),
            baseline: None,
            findings: findings
                .into_iter()
                .map(|finding| Finding {
                    kind: finding.kind.to_owned(),
                    text: finding.text,
                    action: finding.action,
                    evidence: finding.evidence,
                })
                .collect(),
        }
    });
    let mut services: Vec<ServiceHealth> = services.collect();
    // Stable: services of one name stay in the order of their namespaces and environments.
    services.sort_by(|a, b| b.status.cmp(&a.status).then_with(|| a.name.cmp(&b.name)));
    services
}

/// The neighbours of a service; `None` where nobody knows it.
pub(in crate::api) fn dependencies_of(snapshot: &Snapshot, wanted: &Wanted) -> Option<ServiceDependencies> {
    let is_it = |identity: &Arc<Identity>| wanted.service.as_deref() == Some(&*identity.name) && wanted.home(identity);
    let known = snapshot.services.iter().any(|(service, _)| is_it(service))
        || snapshot.edges.iter().any(|row| is_it(&row.from) || is_it(&row.to));
    known.then(|| ServiceDependencies {
        service_name: wanted.service.clone().unwrap_or_default(),
        calls_to: neighbours(snapshot.edges.iter().filter(|row| is_it(&row.from)).map(|row| (&row.to, row))),
        called_by: neighbours(snapshot.edges.iter().filter(|row| is_it(&row.to)).map(|row| (&row.from, row))),
    })
}

/// Each neighbour once, whatever was spoken with it.
fn neighbours<'a>(edges: impl Iterator<Item = (&'a Arc<Identity>, &'a EdgeRow)>) -> Vec<ServiceDependency> {
    let mut neighbours: BTreeMap<&Arc<Identity>, (u64, u64, CallCell)> = BTreeMap::new();
    for (neighbour, row) in edges {
        let (calls, errors, seen) = neighbours.entry(neighbour).or_default();
        *calls += row.calls;
        *errors += row.errors;
        merge(seen, &row.seen);
    }
    let shown = neighbours.into_iter().map(|(neighbour, (calls, errors, seen))| ServiceDependency {
        to: neighbour.name.to_string(),
        namespace: text(&neighbour.namespace),
        environment: text(&neighbour.environment),
        total_calls: calls,
        trace_count: seen.traces,
        errors,
        error_rate: share(errors, calls),
        p50_ms: seen.latency.quantile_ms(0.50),
        p95_ms: seen.latency.quantile_ms(0.95),
        p99_ms: seen.latency.quantile_ms(0.99),
        last_seen: rfc3339(seen.last_ns),
    });
    shown.collect()
}

/// The calls that are made most.
pub(in crate::api) fn hotspots(snapshot: &Snapshot, limit: Option<usize>) -> Hotspots {
    let mut calls: BTreeMap<(&Arc<Identity>, &Arc<Identity>), u64> = BTreeMap::new();
    for row in &snapshot.edges {
        *calls.entry((&row.from, &row.to)).or_default() += row.calls;
    }
    let shown = calls.into_iter().map(|((from, to), call_count)| ServiceCallHotspot {
        from_service: from.name.to_string(),
        to_service: to.name.to_string(),
        from_namespace: text(&from.namespace),
        from_environment: text(&from.environment),
        to_namespace: text(&to.namespace),
        to_environment: text(&to.environment),
        call_count,
    });
    let mut calls: Vec<ServiceCallHotspot> = shown.collect();
    calls.sort_by_key(|call| std::cmp::Reverse(call.call_count));
    calls.truncate(limit.unwrap_or(HOTSPOTS_MAX));
    Hotspots { top_variables: Vec::new(), top_service_calls: calls }
}
