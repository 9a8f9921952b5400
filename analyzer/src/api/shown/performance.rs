//! How fast everything is.

use super::{share, text};
use crate::analysis::graph::{CallCell, Snapshot, merge};
use crate::api::types::*;
use crate::store::TraceRow;

/// Slow traces shown.
const SLOWEST_MAX: usize = 10;

/// From the latest traces and the numbers of all services.
pub(in crate::api) fn performance(latest: &[TraceRow], snapshot: &Snapshot) -> PerformanceMetrics {
    let (mut requests, mut calls) = (CallCell::default(), CallCell::default());
    snapshot.services.iter().for_each(|(_, cell)| merge(&mut requests, &cell.requests));
    snapshot.edges.iter().for_each(|row| merge(&mut calls, &row.seen));
    let by_type = [("HttpRequest", &calls), ("HttpResponse", &requests)].map(|(kind, cell)| EventTypePerformance {
        kind: kind.to_owned(),
        count: cell.calls,
        avg_duration_ms: cell.latency.mean_ms(),
    });
    let services = snapshot.services.iter().map(|(name, cell)| ServiceLatency {
        service: name.name.to_string(),
        namespace: text(&name.namespace),
        environment: text(&name.environment),
        event_count: cell.events,
        avg_duration_ms: cell.requests.latency.mean_ms(),
    });
    let mut service_latency: Vec<ServiceLatency> = services.collect();
    service_latency.sort_by(|a, b| b.avg_duration_ms.total_cmp(&a.avg_duration_ms));
    PerformanceMetrics {
        trace_latency: trace_latency(latest),
        event_performance: EventPerformance { by_type: by_type.into() },
        service_latency,
        throughput: throughput(latest),
    }
}

fn trace_latency(latest: &[TraceRow]) -> TraceLatency {
    let length = |row: &TraceRow| row.last_ns.saturating_sub(row.first_ns);
    let mut rows: Vec<&TraceRow> = latest.iter().collect();
    rows.sort_by_key(|row| length(row));
    let quantile = |q: f64| {
        let rank = (q * rows.len().saturating_sub(1) as f64).round() as usize;
        rows.get(rank).map_or(0.0, |row| length(row) as f64 / 1e6)
    };
    let total_ns: u128 = rows.iter().map(|row| u128::from(length(row))).sum();
    TraceLatency {
        avg_ms: if rows.is_empty() { 0.0 } else { total_ns as f64 / rows.len() as f64 / 1e6 },
        p50_ms: quantile(0.50),
        p95_ms: quantile(0.95),
        p99_ms: quantile(0.99),
        slowest_traces: rows
            .iter()
            .rev()
            .take(SLOWEST_MAX)
            .map(|row| SlowTrace {
                trace_id: row.trace_id.uuid().to_string(),
                duration_ms: length(row) as f64 / 1e6,
                services: row.services.clone(),
            })
            .collect(),
    }
}

/// Over the time in which the latest traces began.
fn throughput(latest: &[TraceRow]) -> Throughput {
    let first = latest.iter().map(|row| row.first_ns).min().unwrap_or(0);
    let last = latest.iter().map(|row| row.first_ns).max().unwrap_or(0);
    let seconds = ((last - first) as f64 / 1e9).max(1.0);
    let events: u64 = latest.iter().map(|row| row.spans * 2).sum();
    Throughput {
        events_per_second: events as f64 / seconds,
        traces_per_second: share(latest.len() as u64, 1) / seconds,
        time_range_seconds: (last - first) as f64 / 1e9,
    }
}
