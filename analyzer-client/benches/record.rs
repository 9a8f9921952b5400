//! What a span costs on the request path and behind it: `cargo bench -p raceway-analyzer-client`.
//!
//! Minima over rounds, since machines that are shared only ever add to a figure.
#![allow(clippy::print_stdout, reason = "the figures are what it is for")]

use std::hint::black_box;
use std::time::{Duration, Instant, SystemTime};

use raceway_analyzer_client::{EdgeCounters, Endpoint, Exporter, Kind, Protocol, Resource, Settings, Span};
use raceway_trace::{SpanId, TraceId};

const SPANS: u64 = 20_000;

/// As a sidecar records it: 15 attributes, some 600 bytes.
fn server_span<'a>(n: u64, path: &'a str, clock: &'a str) -> Span<'a> {
    let trace = TraceId::new(u128::from(n) << 64 | 0x9e37_79b9_7f4a_7c15).expect("not zero");
    let mut span = Span::new(trace, SpanId::new(n + 1).expect("not zero"), Kind::Server, "GET /orders/{id}", n);
    span.attributes.reserve_exact(15);
    span.parent_span_id = SpanId::new(n + 7);
    span.end_ns = n + 1_250_000;
    span.set("http.request.method", "GET");
    span.set("url.path", path);
    span.set("url.scheme", "http");
    span.set("http.route", "/orders/{id}");
    span.set("http.response.status_code", 200);
    span.set("server.address", "orders");
    span.set("server.port", 8080);
    span.set("client.address", "10.1.2.3");
    span.set("network.peer.port", 51_234);
    span.set("network.protocol.version", "1.1");
    span.set("raceway.strand", "orders#orders-7d9f-1a2b3c4d~17");
    span.set("raceway.clock.receive", clock);
    span.set("raceway.clock.end", 4);
    span.set("raceway.parent.method", "header");
    span.set("raceway.first_byte_ns", 1_100_000);
    span
}

fn least(name: &str, rounds: u32, mut round: impl FnMut()) {
    let best = (0..rounds).map(|_| {
        let start = Instant::now();
        round();
        start.elapsed()
    });
    let best = best.min().unwrap_or(Duration::ZERO);
    println!("{name:<44} {:>8.1} ns", best.as_nanos() as f64 / SPANS as f64);
}

fn main() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    // Nothing listens there: spans are queued, and the oldest dropped.
    let endpoint = Endpoint::parse("http://127.0.0.1:1", Protocol::Grpc).expect("it is valid");
    let exporter = Exporter::start_on(Settings::new(endpoint, Resource::new("orders")), runtime.handle());
    let clock = r#"[["frontend#f-1~3",4],["api#a-1~9",6],["orders#orders-7d9f-1a2b3c4d~17",1]]"#;

    least("build a span with 15 attributes", 30, || {
        (0..SPANS).for_each(|n| drop(black_box(server_span(n, "/orders/1234567", clock))));
    });
    let span = server_span(1, "/orders/1234567", clock);
    least("record it (encode, queue)", 30, || (0..SPANS).for_each(|_| exporter.record(black_box(&span))));
    for stats in exporter.stats() {
        let each = stats.queue_bytes as u64 / stats.spans_waiting.max(1);
        println!("{:<44} {each:>8} B", "its share of the queue");
    }

    let edges = EdgeCounters::new(SystemTime::now());
    least("count a call by its callee's name", 30, || {
        (0..SPANS).for_each(|n| edges.record(black_box("payment"), Duration::from_micros(n), false));
    });
    let edge = edges.edge("payment");
    least("count a call on a kept edge", 30, || (0..SPANS).for_each(|n| edge.record(Duration::from_micros(n), false)));
    runtime.block_on(exporter.stop(Duration::ZERO));
}
