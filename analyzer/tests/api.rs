//! The API over real HTTP, with a real store: what was told comes out as what it means.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod shop;

use raceway_analyzer::api::types::*;
use serde_json::{Value, json};
use shop::{Analyzer, Told, told};

const CHECKOUT: u128 = 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736;
const UUID: &str = "4bf92f35-77b3-4da6-a3ce-929d0e0e4736";

/// One checkout: five services in turn, with own times of 50, 100, 150, 300 and 250 ms.
fn checkout(trace: u128) -> Vec<Told> {
    let plain = |line| told(trace, line, json!({}));
    vec![
        plain("frontend server 1<0 0-850"),
        told(
            trace,
            "frontend client 2<1 25-825",
            json!({"raceway.parent.method": "sole", "raceway.parent.p": 0.99, "raceway.parent.candidates": 1}),
        ),
        plain("api server 3<2 25-825"),
        told(trace, "api client 4<3 75-225", json!({"raceway.parent.method": "header"})),
        plain("auth server 5<4 75-225"),
        told(trace, "api client 6<3 225-775", json!({"raceway.parent.method": "sole", "raceway.parent.p": 0.98})),
        plain("order server 7<6 225-775"),
        told(trace, "order client 8<7 525-775", json!({"raceway.parent.method": "header"})),
        plain("payment server 9<8 525-775"),
    ]
}

#[tokio::test]
async fn a_checkout_comes_out_as_graph_trace_and_critical_path() {
    let analyzer = Analyzer::start().await;
    let mut spans = checkout(CHECKOUT);
    let late = spans.split_off(4);
    analyzer.tell(&spans).await;
    analyzer.tell(&late).await;

    let graph: EdgeList = analyzer.get("/api/distributed/edges").await;
    let rows = |graph: &EdgeList| -> Vec<String> {
        graph
            .edges
            .iter()
            .map(|edge| format!("{} -> {}: {}", edge.from_service, edge.to_service, edge.call_count))
            .collect()
    };
    assert_eq!(rows(&graph), ["api -> auth: 1", "api -> order: 1", "frontend -> api: 1", "order -> payment: 1"]);
    assert_eq!(graph.links, LinkCounts { certain: 2, likely: 2, unlinked: 0 });
    assert_eq!(graph.entry_points.iter().map(|entry| &*entry.service).collect::<Vec<_>>(), ["frontend"]);
    assert!(graph.nodes.iter().all(|node| !node.is_virtual && node.requests == 1), "{:?}", graph.nodes);
    let to_auth = &graph.edges[0];
    assert!((to_auth.p50_ms.unwrap() - 150.0).abs() < 1.6 && to_auth.certainty.certain == 1, "{to_auth:?}");
    for (filter, count) in [
        ("service=api", 3),
        ("from=api", 2),
        ("to=api", 1),
        ("time_window_minutes=5", 4),
        ("until=2020-01-01T00:00:00Z", 0),
        ("environment=live", 0),
    ] {
        let graph: EdgeList = analyzer.get(&format!("/api/distributed/edges?{filter}")).await;
        assert_eq!(graph.total_edges, count, "{filter}");
    }

    for id in [UUID, &UUID.replace('-', ""), &UUID.to_uppercase()] {
        let path: CriticalPath = analyzer.get(&format!("/api/traces/{id}/critical-path")).await;
        let shares: Vec<String> =
            path.services.iter().map(|share| format!("{} {:.0}", share.service, share.self_ms)).collect();
        assert_eq!(shares, ["order 300", "payment 250", "auth 150", "api 100", "frontend 50"]);
        assert_eq!((path.total_duration_ms, path.percentage_of_total, path.certainty), (850.0, 100.0, 0.98));
        let tiled = path.path.windows(2).all(|pair| pair[0].end_ns == pair[1].start_ns);
        assert!(tiled && path.path[0].start_ns == 0, "{:?}", path.path);
        assert_eq!((path.savings[0].service.as_str(), path.savings[0].saved_if_zero_ms), ("order", 300.0));
    }

    let trace: TraceView = analyzer.get(&format!("/api/traces/{UUID}")).await;
    assert_eq!((trace.trace_id.as_str(), trace.root_span_id.as_deref()), (UUID, Some("0000000000000001")));
    assert_eq!((trace.spans.len(), trace.events.len(), trace.edges.len()), (9, 18, 4));
    let flat: Vec<&str> = trace.spans.iter().map(|span| &span.span_id[15..]).collect();
    assert_eq!(flat, ["1", "2", "3", "4", "5", "6", "7", "8", "9"]);
    assert_eq!(trace.spans[8].depth, 6);
    assert_eq!((trace.links, trace.moved_in.len()), (LinkCounts { certain: 2, likely: 2, unlinked: 0 }, 0));
    let first = &trace.events[0];
    assert_eq!(first.kind["HttpRequest"]["method"], "GET");
    assert!(trace.events[17].kind.contains_key("HttpResponse"));
    assert_eq!(trace.events[17].parent_id.as_ref(), Some(&first.id));
    assert_eq!(trace.dependencies.as_ref().unwrap().dependencies.len(), 4);
    let again: TraceView = analyzer.get(&format!("/api/traces/{UUID}")).await;
    assert_eq!(again.events[3].id, trace.events[3].id, "ids of events stay the same");

    let list: TraceList = analyzer.get("/api/traces").await;
    let row = &list.traces[0];
    assert_eq!((row.trace_id.as_str(), row.event_count, row.service_count), (UUID, 18, 5));
    assert_eq!((row.root_service.as_str(), row.duration_ms, row.certainty), ("frontend", 850.0, 0.98));
    for (caller, callee, count) in
        [("order", "payment", 1), ("api", "auth", 1), ("api", "payment", 0), ("payment", "order", 0), ("api", "api", 0)]
    {
        let list: TraceList = analyzer.get(&format!("/api/traces?caller={caller}&callee={callee}")).await;
        assert_eq!(list.traces.len(), count, "{caller} -> {callee}");
    }
    let services: ServiceList = analyzer.get("/api/services").await;
    assert_eq!(services.total_services, 5);
    assert!(services.services.iter().all(|service| service.trace_count == 1 && service.requests == 1));
    let health: Vec<ServiceHealth> = analyzer.get("/api/services/health?time_window_minutes=60").await;
    assert!(health.iter().all(|service| service.status == HealthStatus::Healthy) && health.len() == 5);
    let neighbours: ServiceDependencies = analyzer.get("/api/services/api/dependencies").await;
    assert_eq!((neighbours.calls_to.len(), neighbours.called_by[0].to.as_str()), (2, "frontend"));
    let traces: ServiceTraceList = analyzer.get("/api/services/auth/traces").await;
    assert_eq!((traces.service_name.as_str(), traces.list.total_traces), ("auth", 1));
    let status: Status = analyzer.get("/status").await;
    assert_eq!((status.spans, status.events_captured, status.traces_active), (9, 18, 1));
    let global: GlobalAnalysis = analyzer.get("/api/analyze/global").await;
    assert_eq!((global.total_traces, global.total_events, global.potential_races), (1, 18, 0));
    let hotspots: Hotspots = analyzer.get("/api/distributed/hotspots?limit=2").await;
    assert_eq!(hotspots.top_service_calls.len(), 2);
    let performance: PerformanceMetrics = analyzer.get("/api/performance/metrics").await;
    assert_eq!(performance.trace_latency.p50_ms, 850.0);
    let _: TraceAnomalies = analyzer.get(&format!("/api/traces/{UUID}/anomalies")).await;
    let _: GlobalRaces = analyzer.get("/api/distributed/global-races").await;

    // What lives in memory comes back from the store.
    let analyzer = analyzer.restart().await;
    let graph: EdgeList = analyzer.get("/api/distributed/edges").await;
    assert_eq!(rows(&graph).len(), 4);
    assert_eq!(graph.edges[0].call_count, 1);
}

#[tokio::test]
async fn a_peer_without_sidecar_is_a_virtual_node_and_failures_count() {
    let analyzer = Analyzer::start().await;
    let mut call = told(
        CHECKOUT,
        "order client 2<1 10-90",
        json!({"server.address": "ledger.internal:443", "raceway.parent.method": "root"}),
    );
    call.error = true;
    analyzer.tell(&[told(CHECKOUT, "order server 1<0 0-100", json!({})), call]).await;
    let graph: EdgeList = analyzer.get("/api/distributed/edges").await;
    assert_eq!((graph.edges[0].to_service.as_str(), graph.edges[0].errors), ("ledger.internal", 1));
    let node = graph.nodes.iter().find(|node| node.name == "ledger.internal").unwrap();
    assert!(node.is_virtual && node.status.is_none() && node.requests == 1);
    assert_eq!(graph.links, LinkCounts { certain: 0, likely: 0, unlinked: 1 });
    let path: CriticalPath = analyzer.get(&format!("/api/traces/{UUID}/critical-path")).await;
    let parts: Vec<PathPart> = path.path.iter().map(|step| step.part).collect();
    assert_eq!(parts, [PathPart::Own, PathPart::Remote, PathPart::Own]);
}

#[tokio::test]
async fn a_trace_that_begins_with_a_call_of_unknown_cause_is_no_certain_one() {
    let analyzer = Analyzer::start().await;
    let mut call = told(
        2,
        "order client 2<0 10-90",
        json!({"raceway.parent.method": "root", "raceway.parent.candidates": 2, "peer.service": "payment"}),
    );
    call.candidates = vec![(1, 1), (4, 1)];
    analyzer
        .tell(&[
            told(1, "order server 1<0 0-100", json!({"raceway.parent.method": "root"})),
            call,
            told(2, "payment server 3<2 12-88", json!({"raceway.parent.method": "header"})),
            told(3, "payment server 3<2 13-88", json!({"raceway.parent.method": "header"})),
        ])
        .await;
    let analyzer = analyzer.restart().await;
    let list: TraceList = analyzer.get("/api/traces").await;
    let mut rows: Vec<_> =
        list.traces.iter().map(|row| (row.trace_id.as_str(), row.origin, row.unlinked_calls, row.certainty)).collect();
    rows.sort_by_key(|(id, ..)| *id);
    let peers: Vec<_> = list.traces.iter().filter_map(|row| row.root_peer.as_deref()).collect();
    assert_eq!(peers, ["payment"]);
    let uuid = |number: u32| format!("00000000-0000-0000-0000-{number:012}");
    let expected = [(Origin::Entry, 0), (Origin::Unlinked, 1), (Origin::Missing, 0)];
    for ((row, (origin, unlinked)), number) in rows.iter().zip(expected).zip(1..) {
        assert_eq!(*row, (uuid(number).as_str(), origin, unlinked, 1.0));
        let trace: TraceView = analyzer.get(&format!("/api/traces/{}", uuid(number))).await;
        assert_eq!((trace.origin, trace.links.unlinked), (origin, unlinked), "{number}");
    }
    let trace: TraceView = analyzer.get(&format!("/api/traces/{}", uuid(2))).await;
    let candidates: Vec<&str> = trace.spans[0].links.iter().map(|link| link.trace_id.as_str()).collect();
    assert_eq!(candidates, [uuid(1), uuid(4)]);
}

#[tokio::test]
async fn a_call_whose_caller_has_not_reported_is_none_of_certain_likely_and_unlinked() {
    let analyzer = Analyzer::start().await;
    let named = json!({"raceway.parent.method": "header", "raceway.caller.service": "order"});
    analyzer.tell(&[told(CHECKOUT, "payment server 3<2 12-88", named)]).await;
    let links = async |analyzer: &Analyzer| {
        let graph: EdgeList = analyzer.get("/api/distributed/edges").await;
        let trace: TraceView = analyzer.get(&format!("/api/traces/{UUID}")).await;
        assert_eq!((graph.total_edges, graph.edges[0].call_count), (1, 1));
        assert_eq!(graph.links, trace.links);
        trace.links
    };
    assert_eq!(links(&analyzer).await, LinkCounts::default());
    let guessed = json!({"raceway.parent.method": "sole", "raceway.parent.p": 0.99});
    analyzer.tell(&[told(CHECKOUT, "order client 2<1 10-90", guessed)]).await;
    assert_eq!(links(&analyzer).await, LinkCounts { likely: 1, ..LinkCounts::default() });
}

#[tokio::test]
async fn services_of_one_name_are_told_apart_by_namespace_and_environment() {
    let analyzer = Analyzer::start().await;
    let mut spans = Vec::new();
    for number in 1..=25u128 {
        for (trace, request, call, answer) in [
            (
                number,
                "orders@shop/live server 1<0 0-100",
                "orders@shop/live client 2<1 10-90",
                "payment@shop/live server 3<2 12-88",
            ),
            (
                number + 100,
                "orders@shop/staging server 1<0 0-40",
                "orders@shop/staging client 2<1 10-30",
                "payment@shop/staging server 3<2 12-28",
            ),
        ] {
            let mut request = told(trace, request, json!({}));
            request.error = trace > 100;
            spans.extend([request, told(trace, call, json!({"raceway.parent.method": "header"}))]);
            spans.push(told(trace, answer, json!({})));
        }
    }
    analyzer.tell(&spans).await;
    let home = |namespace: &Option<String>, environment: &Option<String>| {
        format!("{}/{}", namespace.as_deref().unwrap_or("-"), environment.as_deref().unwrap_or("-"))
    };

    let graph: EdgeList = analyzer.get("/api/distributed/edges").await;
    let entries: Vec<_> = graph
        .entry_points
        .iter()
        .map(|entry| {
            (entry.service.as_str(), home(&entry.namespace, &entry.environment), entry.call_count, entry.errors)
        })
        .collect();
    assert_eq!(entries, [("orders", "shop/live".to_owned(), 25, 0), ("orders", "shop/staging".to_owned(), 25, 25)]);
    let edges: Vec<_> = graph
        .edges
        .iter()
        .map(|edge| (home(&edge.from_namespace, &edge.environment), home(&edge.to_namespace, &edge.to_environment)))
        .collect();
    assert_eq!(edges, ["shop/live", "shop/staging"].map(|home| (home.to_owned(), home.to_owned())));

    let health: Vec<ServiceHealth> = analyzer.get("/api/services/health").await;
    let verdicts: Vec<_> = health
        .iter()
        .map(|one| (one.name.as_str(), home(&one.namespace, &one.environment), one.status, one.trace_count))
        .collect();
    assert_eq!(verdicts[0], ("orders", "shop/staging".to_owned(), HealthStatus::Critical, 25));
    assert_eq!(verdicts[1], ("orders", "shop/live".to_owned(), HealthStatus::Healthy, 25));
    assert_eq!(verdicts.len(), 4);

    let both: ServiceDependencies = analyzer.get("/api/services/orders/dependencies").await;
    let one: ServiceDependencies = analyzer.get("/api/services/orders/dependencies?environment=staging").await;
    let callees = |of: &ServiceDependencies| -> Vec<String> {
        of.calls_to
            .iter()
            .map(|to| format!("{} {} {}", to.to, home(&to.namespace, &to.environment), to.total_calls))
            .collect()
    };
    assert_eq!(callees(&both), ["payment shop/live 25", "payment shop/staging 25"]);
    assert_eq!(callees(&one), ["payment shop/staging 25"]);
    assert_eq!(analyzer.ask("/api/services/orders/dependencies?environment=nowhere").await.0, 404);

    let hotspots: Hotspots = analyzer.get("/api/distributed/hotspots").await;
    let calls = hotspots.top_service_calls.iter();
    let calls: Vec<_> =
        calls.map(|call| (home(&call.from_namespace, &call.from_environment), call.call_count)).collect();
    assert_eq!(calls, [("shop/live".to_owned(), 25), ("shop/staging".to_owned(), 25)]);
    let performance: PerformanceMetrics = analyzer.get("/api/performance/metrics").await;
    assert_eq!(performance.service_latency.len(), 4);
    assert_eq!(performance.service_latency[0].environment.as_deref(), Some("live"), "the slowest first");

    let list: TraceList = analyzer.get("/api/traces?page_size=100&error=true").await;
    assert!(list.traces.iter().all(|row| home(&row.root_namespace, &row.root_environment) == "shop/staging"));
    assert_eq!(list.traces.len(), 25);
}

#[tokio::test]
async fn a_trace_through_two_services_of_one_name_keeps_them_apart() {
    let analyzer = Analyzer::start().await;
    analyzer
        .tell(&[
            told(CHECKOUT, "orders@shop/live server 1<0 0-100", json!({})),
            // What says less than its sidecar is still the same service.
            told(CHECKOUT, "orders client 2<1 10-90", json!({"raceway.parent.method": "header"})),
            told(CHECKOUT, "stock@shop/live server 3<2 10-90", json!({})),
            told(CHECKOUT, "stock@shop/live client 4<3 20-80", json!({"raceway.parent.method": "header"})),
            told(CHECKOUT, "stock@depot/live server 5<4 20-80", json!({})),
        ])
        .await;
    let trace: TraceView = analyzer.get(&format!("/api/traces/{UUID}")).await;
    let dependencies = trace.dependencies.unwrap();
    let said = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let services: Vec<_> = dependencies
        .services
        .iter()
        .map(|one| format!("{} {} {}", one.name, said(&one.namespace), one.event_count))
        .collect();
    assert_eq!(services, ["orders shop 4", "stock depot 2", "stock shop 4"]);
    let calls: Vec<_> = dependencies
        .dependencies
        .iter()
        .map(|one| format!("{} {} -> {} {}", one.from, said(&one.from_namespace), one.to, said(&one.to_namespace)))
        .collect();
    assert_eq!(calls, ["orders shop -> stock shop", "stock shop -> stock depot"]);
    let path = trace.critical_path.unwrap();
    let shares: Vec<_> =
        path.services.iter().map(|one| format!("{} {} {}", one.service, said(&one.namespace), one.self_ms)).collect();
    assert_eq!(shares, ["stock depot 60", "orders shop 20", "stock shop 20"]);
    let saving = &path.savings[0];
    assert_eq!((saving.service.as_str(), saving.namespace.as_deref()), ("stock", Some("depot")));
}

#[tokio::test]
async fn a_wrong_clock_is_corrected_and_shown() {
    let analyzer = Analyzer::start().await;
    let first_byte = |ms: i64| json!({"raceway.first_byte_ns": ms * 1_000_000});
    analyzer
        .tell(&[
            told(CHECKOUT, "a server 1<0 100-200", first_byte(95)),
            told(CHECKOUT, "a client 2<1 110-190", first_byte(70)),
            // The machine of b is 50 ms behind.
            told(CHECKOUT, "b server 3<2 70-130", first_byte(50)),
        ])
        .await;
    let trace: TraceView = analyzer.get(&format!("/api/traces/{UUID}")).await;
    let callee = trace.spans.iter().find(|span| span.service == "b").unwrap();
    assert_eq!((callee.start_ns, callee.end_ns), (20_000_000, 80_000_000));
    assert_eq!((trace.clocks.corrections.len(), trace.clocks.corrections[0].correction_ms), (1, 50.0));
    let pair = &trace.clocks.pairs[0];
    assert!(pair.skewed && !pair.inconsistent, "{pair:?}");
    assert_eq!((pair.theta_min_ms, pair.theta_max_ms), (Some(-60.0), Some(-40.0)));
    let raw: TraceView = analyzer.get(&format!("/api/traces/{UUID}?raw=1")).await;
    let callee = raw.spans.iter().find(|span| span.service == "b").unwrap();
    assert_eq!((callee.start_ns, raw.clocks.corrections.len()), (0, 0));
    assert!(raw.clocks.pairs[0].skewed, "what is known is shown all the same");
}

#[tokio::test]
async fn two_spans_are_put_in_order() {
    let analyzer = Analyzer::start().await;
    let clock = |strand: &str, other: Value| {
        let mut all = json!({"raceway.strand": strand});
        all.as_object_mut().unwrap().extend(other.as_object().unwrap().clone());
        all
    };
    analyzer
        .tell(&[
            told(CHECKOUT, "a server 1<0 0-100", clock("a#x~1", json!({"raceway.clock.end": 9}))),
            told(CHECKOUT, "a client 2<1 10-30", clock("a#x~1", json!({"raceway.clock.send": "[[\"a#x~1\",3]]", "raceway.clock.reply": "[[\"a#x~1\",4]]", "raceway.clock.end": 5}))),
            told(CHECKOUT, "a client 3<1 40-60", clock("a#x~1", json!({"raceway.clock.send": "[[\"a#x~1\",7]]", "raceway.clock.end": 8}))),
        ])
        .await;
    let ask = |a: u64, b: u64| format!("/api/traces/{UUID}/order?a={a:016x}&b={b:016X}");
    let order: OrderView = analyzer.get(&ask(2, 3)).await;
    assert_eq!((order.order, order.certainty), (OrderWord::Before, OrderCertainty::Definite));
    let order: OrderView = analyzer.get(&ask(1, 3)).await;
    assert_eq!(order.order, OrderWord::Concurrent);
    assert_eq!(analyzer.ask(&ask(2, 77)).await.0, 404);
    let trace: TraceView = analyzer.get(&format!("/api/traces/{UUID}")).await;
    let clock = trace.spans[2].clock.as_ref().unwrap();
    assert_eq!((clock.start_tick, clock.definite_start.as_slice()), (6, &[("a#x~1".to_owned(), 6)][..]));
}

#[tokio::test]
async fn pages_and_cursors_list_every_trace_once() {
    let analyzer = Analyzer::start().await;
    for number in 1..=25u128 {
        let mut span = told(number, "a server 1<0 0-5", json!({}));
        span.start_ms += number as f64;
        span.end_ms += number as f64;
        span.error = number % 5 == 0;
        analyzer.tell(&[span]).await;
    }
    let mut seen = Vec::new();
    for page in 1..=3 {
        let list: TraceList = analyzer.get(&format!("/api/traces?page={page}&page_size=10")).await;
        assert_eq!((list.total_traces, list.total_pages, list.page), (25, 3, page));
        assert_eq!(list.next_cursor.is_some(), page < 3);
        seen.extend(list.traces.into_iter().map(|row| row.trace_id));
    }
    let mut by_cursor = Vec::new();
    let mut query = "/api/traces?page_size=10".to_owned();
    loop {
        let list: TraceList = analyzer.get(&query).await;
        by_cursor.extend(list.traces.into_iter().map(|row| row.trace_id));
        let Some(cursor) = list.next_cursor else { break };
        query = format!("/api/traces?page_size=10&cursor={cursor}");
    }
    assert_eq!(seen, by_cursor);
    assert_eq!((seen.len(), seen[0].as_str()), (25, "00000000-0000-0000-0000-000000000019"), "newest first");
    for (filter, count) in [
        ("error=true", 5),
        ("error=false", 20),
        ("service=a", 25),
        ("service=b", 0),
        ("operation=GET%20/a", 25),
        ("operation=get", 25),
        ("operation=/b", 0),
        ("min_duration_ms=5", 25),
        ("min_duration_ms=5.1", 0),
        ("max_duration_ms=4.9", 0),
        ("min_events=2", 25),
        ("min_events=3", 0),
        ("to=2020-01-01T00:00:00Z", 0),
        ("from=2020-01-01T00:00:00Z", 25),
        ("attribute=http.request.method%3DGET", 25),
        ("attribute=http.request.method%3DPUT", 0),
        ("attribute=service.instance.id%3Da-1", 25),
        ("attribute=http.route", 0),
    ] {
        let list: TraceList = analyzer.get(&format!("/api/traces?page_size=100&{filter}")).await;
        assert_eq!(list.traces.len(), count, "{filter}");
    }
}

#[tokio::test]
async fn events_of_an_sdk_come_back_as_they_were() {
    let analyzer = Analyzer::start().await;
    let event = |id: u32, parent: Value, kind: Value, ms: u32| {
        json!({
            "id": format!("{id:08x}-0000-4000-8000-000000000000"), "trace_id": UUID, "parent_id": parent,
            "timestamp": format!("2026-11-22T10:00:00.{ms:03}+00:00"), "kind": kind,
            "metadata": {"thread_id": "main", "process_id": 7, "service_name": "bank", "environment": "test", "tags": {"sdk_language": "rust"},
                "duration_ns": null, "instance_id": "bank-1", "distributed_span_id": "00000000000000aa"},
            "causality_vector": [["bank#bank-1", id]], "lock_set": ["ledger"],
        })
    };
    let request =
        event(1, Value::Null, json!({"HttpRequest": {"method": "PUT", "url": "/pay", "headers": {}, "body": null}}), 0);
    let change = event(
        2,
        request["id"].clone(),
        json!({"StateChange": {"variable": "balance", "old_value": 1, "new_value": 2, "location": "a.rs:1", "access_type": "Write"}}),
        1,
    );
    let (status, answer) = analyzer.post("/events", &json!({"events": [request, change]})).await;
    assert_eq!((status, &answer["data"]), (200, &json!("Ingested 2 events")));
    let (_, answer) = analyzer.ask(&format!("/api/traces/{UUID}")).await;
    assert_eq!(answer["data"]["events"], json!([request, change]));
    let status: Status = analyzer.get("/status").await;
    assert_eq!(status.events_captured, 2);
}

#[tokio::test]
async fn refusals_say_what_is_wrong() {
    let analyzer = Analyzer::start().await;
    for (path, status, told) in [
        ("/api/traces/xyz", 400, "no trace id"),
        ("/api/traces/00000000000000000000000000000000", 400, "not all zero"),
        ("/api/traces/0123456789abcdef0123456789abcdef", 404, "no trace 01234567-89ab-cdef-0123-456789abcdef"),
        ("/api/traces/0123456789abcdef0123456789abcdef/critical-path", 404, "no trace"),
        ("/api/traces/0123456789abcdef0123456789abcdef/dependencies", 404, "no trace"),
        ("/api/traces/0123456789abcdef0123456789abcdef/order?a=1&b=2", 400, "no span id"),
        ("/api/traces/0123456789abcdef0123456789abcdef/order", 400, "?a=SPAN&b=SPAN"),
        ("/api/traces?caller=api", 400, "give both"),
        ("/api/traces?page=0", 400, "counted from 1"),
        ("/api/traces?page=x", 400, "page"),
        ("/api/traces?page_size=0", 400, "page_size must be 1 to 1000"),
        ("/api/traces?page_size=100000", 400, "page_size must be 1 to 1000"),
        ("/api/traces?cursor=here", 400, "cursor"),
        ("/api/traces?page=2&cursor=1-1", 400, "not both"),
        ("/api/traces?from=yesterday", 400, "no time"),
        ("/api/traces?min_duration_ms=-1", 400, "no duration"),
        ("/api/traces?min_duration=1", 400, "unknown field `min_duration`"),
        ("/api/traces?attribute=", 400, "attribute"),
        ("/api/traces/0123456789abcdef0123456789abcdef?raw=maybe", 400, "neither 1 nor 0"),
        ("/api/services/nobody/traces", 404, "no service `nobody`"),
        ("/api/services/nobody/dependencies", 404, "no service `nobody`"),
        ("/api/services/%ff/dependencies", 400, "UTF-8"),
        ("/api/services?time_window_minutes=0", 400, "at least 1"),
        ("/api/distributed/edges?since=2026-01-02T00:00:00Z&until=2026-01-01T00:00:00Z", 400, "window is empty"),
        ("/api/distributed/edges?since=2026-01-02T00:00:00Z&time_window_minutes=1", 400, "not both"),
        ("/api/performance/metrics?limit=0", 400, "limit must be"),
        ("/api/nothing", 404, "no route /api/nothing"),
        ("/jaeger/api/services", 404, "no route"),
    ] {
        let (answered, body) = analyzer.ask(path).await;
        assert_eq!(
            (answered, &body["success"], &body["data"]),
            (status, &json!(false), &Value::Null),
            "{path}: {body}"
        );
        assert!(body["error"].as_str().unwrap().contains(told), "{path}: {body}");
    }
    let (status, body) = analyzer.post("/api/traces", &json!({})).await;
    assert_eq!((status, &body["error"]), (405, &json!("POST is not allowed here")));
}

#[tokio::test]
async fn the_page_the_document_and_the_metrics_are_served() {
    let analyzer = Analyzer::start().await;
    let (status, document) = analyzer.ask("/api/openapi.json").await;
    assert_eq!((status, &document["info"]["title"]), (200, &json!("Raceway analyzer")));
    let (status, head, text) = analyzer.request("GET", "/metrics", "", "").await;
    assert!(status == 200 && head.contains("text/plain") && text.starts_with(b"# HELP"), "{head}");
    assert_eq!(analyzer.ask("/health").await.0, 200);

    let (status, head, page) = analyzer.request("GET", "/", "", "").await;
    assert!(status == 200 && head.contains("text/html") && head.contains("content-security-policy"), "{head}");
    let (_, _, view) = analyzer.request("GET", "/insights/graph?service=api", "", "").await;
    assert_eq!(page, view, "views of the page have addresses of their own");
    let (status, ..) = analyzer.request("GET", "/assets/no-such-file.js", "", "").await;
    assert_eq!(status, 404);
    let (status, ..) = analyzer.request("POST", "/", "", "").await;
    assert_eq!(status, 405);
    let tag = head.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap().to_owned();
    let (status, _, body) = analyzer.request("GET", "/", "", &format!("if-none-match: {tag}\r\n")).await;
    assert_eq!((status, body.len()), (304, 0));

    let text = String::from_utf8(page).unwrap();
    let Some(script) = text.split('"').find(|part| part.starts_with("/assets/") && part.ends_with(".js")) else {
        eprintln!("skipped: this build has no page (npm was missing), so no script to ask for");
        return;
    };
    let (status, head, plain) = analyzer.request("GET", script, "", "").await;
    assert!(status == 200 && head.contains("immutable") && !head.contains("content-encoding"), "{head}");
    for (accepted, encoding) in [("gzip", "gzip"), ("gzip, br", "br"), ("br;q=0, gzip", "gzip")] {
        let (_, head, body) = analyzer.request("GET", script, "", &format!("accept-encoding: {accepted}\r\n")).await;
        assert!(head.contains(&format!("content-encoding: {encoding}")) && body.len() < plain.len() / 2, "{head}");
    }
}
