//! Sends a trace of two spans and the counters of their edge, then says what became of them:
//!
//! ```text
//! cargo run -p raceway-analyzer-client --example send -- http://127.0.0.1:4317
//! ```
//!
//! Works with an analyzer and with any OTLP collector; `OTEL_EXPORTER_OTLP_*` is read where no address is given.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for the terminal")]

use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use raceway_analyzer_client::{
    EdgeCounters, Endpoint, Exporter, InvalidEndpoint, Kind, Protocol, Resource, Settings, Span, SpanId, Status,
    TraceId,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let endpoint = match endpoint() {
        Ok(endpoint) => endpoint,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    println!("sending to {endpoint}");
    let edges = EdgeCounters::new(SystemTime::now());
    let resource = Resource::new("orders").with("service.instance.id", "example-1");
    let exporter = Exporter::start(Settings { edges: Some(edges.clone()), ..Settings::new(endpoint, resource) });

    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
    let trace = TraceId::new(u128::from(now) << 64 | 1).expect("now is not zero");
    let (caller, callee) = (SpanId::new(now).expect("not zero"), SpanId::new(now + 1).expect("not zero"));

    let mut request = Span::new(trace, caller, Kind::Server, "GET /orders/{id}", now);
    request.end_ns = now + 5_000_000;
    request.set("http.request.method", "GET");
    request.set("http.response.status_code", 502);
    request.status = Status::Error("payment answered 500".into());
    exporter.record(&request);

    let mut call = Span::new(trace, callee, Kind::Client, "POST", now + 1_000_000);
    call.parent_span_id = Some(caller);
    call.end_ns = now + 4_000_000;
    call.set("peer.service", "payment");
    call.set("http.response.status_code", 500);
    call.status = Status::Error("500".into());
    exporter.record(&call);
    edges.record("payment", Duration::from_millis(3), true);

    let mut all_sent = true;
    for stats in exporter.stop(Duration::from_secs(5)).await {
        println!("{stats:#?}");
        all_sent &= stats.spans_sent == stats.spans_recorded;
    }
    if all_sent { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn endpoint() -> Result<Endpoint, InvalidEndpoint> {
    if let Some(url) = std::env::args().nth(1) {
        return Endpoint::parse(&url, Protocol::Grpc);
    }
    match Endpoint::from_otel(|name| std::env::var(name).ok())? {
        Some(endpoint) => Ok(endpoint),
        None => Endpoint::parse("http://127.0.0.1:4317", Protocol::Grpc),
    }
}
