use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::analysis::notation::{EPOCH_NS, MS, spans};
use crate::ingest::Latency;

fn now() -> u64 {
    EPOCH_NS + 1000 * MS
}

fn rows(snapshot: &Snapshot) -> Vec<String> {
    let edges = snapshot.edges.iter().map(|row| format!("{} -> {}: {}", row.from.name, row.to.name, row.calls));
    let entries = snapshot.entries.iter().map(|(service, cell)| format!("-> {}: {}", service.name, cell.calls));
    edges.chain(entries).collect()
}

fn whole(graph: &Graph) -> Vec<String> {
    rows(&graph.snapshot(Window::default()))
}

#[test]
fn the_second_half_of_a_call_moves_it_off_the_virtual_node() {
    let graph = Graph::new(now);
    let [client, server] = spans("a client 2 1-98 host=b.svc error\n b server 3<2 2-97").try_into().unwrap();
    graph.observe(&[client]);
    assert_eq!(whole(&graph), ["a -> b.svc: 1"]);
    graph.observe(&[server]);
    assert_eq!(whole(&graph), ["a -> b: 1"]);
    let snapshot = graph.snapshot(Window::default());
    assert_eq!((snapshot.edges[0].errors, snapshot.edges[0].seen.traces), (1, 1));
}

#[test]
fn the_first_half_of_a_call_takes_an_entry_point_away() {
    let graph = Graph::new(now);
    let [client, server] = spans("a client 2 1-98\n b server 3<2 2-47").try_into().unwrap();
    graph.observe(&[server]);
    assert_eq!(whole(&graph), ["-> b: 1"]);
    graph.observe(&[client]);
    assert_eq!(whole(&graph), ["a -> b: 1"]);
    let latency = graph.snapshot(Window::default()).edges[0].seen.latency.quantile_ms(0.5).unwrap();
    assert!((latency - 97.0).abs() < 1.0, "{latency} ms is not the caller's view");
}

#[test]
fn any_order_of_arrival_gives_the_same_numbers() {
    let trace = spans(
        "front server 1   0-99
         front client 2<1 1-98
         api   server 3<2 2-97 app=77
         api   client 4<77 5-30 sdk
         api   client 5<4 6-29
         auth  server 6<5 7-28
         auth  server 7<6 8-27
         api   client 8<3 40-90 peer=ext error",
    );
    let expected = ["api -> auth: 1", "api -> ext: 1", "front -> api: 1", "-> front: 1"];
    for rotation in 0..trace.len() {
        let graph = Graph::new(now);
        let mut spans = trace.clone();
        spans.rotate_left(rotation);
        for span in spans {
            graph.observe(&[span]);
        }
        assert_eq!(whole(&graph), expected, "rotated by {rotation}");
        let snapshot = graph.snapshot(Window::default());
        let requests: Vec<u64> = snapshot.services.iter().map(|(_, cell)| cell.requests.calls).collect();
        assert_eq!(requests, [1, 1, 1], "api, auth (the inner one is not another request), front");
    }
}

#[test]
fn a_sidecar_and_an_sdk_that_says_less_are_one_service() {
    let graph = Graph::new(now);
    graph.observe(&spans(
        "a client 2 1-98 ns=shop env=live\n b server 3<2 2-97 ns=shop env=live\n b server 4<3 3-96 sdk",
    ));
    graph.observe(&spans("a client 12 1-98 peer=b ns=shop env=live"));
    assert_eq!(whole(&graph), ["a -> b: 2"]);
    assert_eq!(graph.snapshot(Window::default()).services.len(), 2);
}

static LATER_NS: AtomicU64 = AtomicU64::new(0);

#[test]
fn windows_are_told_apart_by_minutes_then_hours_then_not_at_all() {
    const MINUTE: u64 = 60_000 * MS;
    let graph = Graph::new(|| EPOCH_NS + LATER_NS.load(Ordering::Relaxed));
    for step in 0..10 {
        LATER_NS.store(step * MINUTE, Ordering::Relaxed);
        let mut span = spans("a client 2 0-1 peer=b").remove(0);
        span.span.span_id = raceway_trace::SpanId::new(step + 1).unwrap();
        span.span.start_ns += step * MINUTE;
        span.span.end_ns += step * MINUTE;
        graph.observe(&[span]);
    }
    let since = |minutes: u64| {
        let window = Window { since_ns: Some(EPOCH_NS + minutes * MINUTE), until_ns: None };
        graph.snapshot(window).edges.first().map_or(0, |row| row.calls)
    };
    assert_eq!((since(0), since(7), since(20)), (10, 3, 0));
    LATER_NS.store(5 * 60 * MINUTE, Ordering::Relaxed);
    assert_eq!((since(0), since(7)), (10, 10), "within one hour");
    LATER_NS.store(30 * 24 * 60 * MINUTE, Ordering::Relaxed);
    assert_eq!(since(0), 0, "gone from every window");
    assert_eq!(whole(&graph), ["a -> b: 10"], "but not from the whole");
    let too_late = spans("a client 99 0-1 peer=b");
    graph.observe(&too_late);
    assert_eq!(whole(&graph), ["a -> b: 11"]);
}

fn counter(to: &str, calls: u64, errors: u64) -> EdgeCounter {
    let key = CounterName { service: "a".into(), start_ns: EPOCH_NS, to: to.into(), ..CounterName::default() };
    EdgeCounter { key, time_ns: EPOCH_NS + 5 * MS, calls, errors, latency: Latency::default() }
}

#[test]
fn counters_correct_the_numbers_of_edges_that_spans_have_shown() {
    let graph = Graph::new(now);
    graph.observe_counters(&[counter("bee", 10, 1), counter("nobody", 5, 0)]);
    assert_eq!(whole(&graph), [""; 0], "spans decide which edges there are");
    graph.observe(&spans("a client 2 1-98 peer=bee\n b server 3<2 2-97"));
    assert_eq!(whole(&graph), ["a -> b: 10"], "the route's name for it is known from the call");
    graph.observe_counters(&[counter("bee", 12, 2), counter("bee", 12, 2), counter("bee", 11, 2)]);
    let snapshot = graph.snapshot(Window::default());
    assert_eq!((snapshot.edges[0].calls, snapshot.edges[0].errors, snapshot.edges[0].seen.calls), (12, 2, 1));
    let minute = Window { since_ns: Some(EPOCH_NS), until_ns: None };
    assert_eq!(graph.snapshot(minute).edges[0].calls, 12);
}

#[test]
fn a_flood_of_names_is_bounded_and_counted() {
    let graph = Graph::new(now);
    let template = spans("a client 2 1-98").remove(0);
    for batch in 0..60 {
        let flood: Vec<Reported> = (0..1000u64)
            .map(|at| {
                let mut span = template.clone();
                let number = batch * 1000 + at + 1;
                span.span.trace_id = raceway_trace::TraceId::new(u128::from(number)).unwrap();
                span.span.set("peer.service", format!("peer-{number}"));
                span
            })
            .collect();
        graph.observe(&flood);
    }
    let snapshot = graph.snapshot(Window::default());
    assert_eq!(snapshot.edges.len() as u64 + snapshot.overflow.edges, 60_000);
    assert!(snapshot.overflow.edges > 0);
    assert_eq!(snapshot.services[0].1.spans, 60_000, "the service that was there already still counts");
}

#[test]
fn one_endless_trace_costs_no_more_than_many() {
    let graph = Graph::new(now);
    let template = spans("a client 2<fffff 1-98 peer=b").remove(0);
    for number in 1..=40_000u64 {
        let mut span = template.clone();
        span.span.span_id = raceway_trace::SpanId::new(number).unwrap();
        graph.observe(&[span]);
    }
    assert_eq!(whole(&graph), ["a -> b: 40000"]);
}
