//! What a span costs on its way in: `cargo bench -p raceway-analyzer --bench ingest [-- SPANS]`.
//!
//! Batches of 512 spans as sidecars send them (about 326 B each in OTLP, zstd), ten spans per trace over five services,
//! go through the door for OTLP/HTTP into the embedded store. CPU time is that of the whole process: decompression,
//! decoding, the live view, the writer with its fsyncs, and compaction.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    missing_docs,
    reason = "a benchmark may panic"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use http::Request;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use raceway_analyzer::ingest::{Ingest, otlp_router};
use raceway_analyzer::live::Live;
use raceway_analyzer::store::embedded::{Embedded, Options};
use raceway_analyzer::store::{SpanStore, TraceQuery};
use raceway_analyzer_client::Reported;

const BATCH: u64 = 512;
const SERVICES: [&str; 5] = ["frontend", "api", "auth", "order", "payment"];
const SENDERS: usize = 8;

struct NoView;

impl Live for NoView {
    fn observe(&self, _: &[Reported]) {}
}

fn pair(key: &str, value: Any) -> KeyValue {
    KeyValue { key: key.into(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

/// A sidecar's span: the first of a trace's two per service is SERVER, the second CLIENT.
fn span(trace: u64, service: usize, client: bool) -> Span {
    let text = |text: &str| Any::StringValue(text.into());
    let mixed = u128::from(trace + 1) * 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;
    let id = (mixed as u64) ^ (service as u64 * 2 + u64::from(client) + 1);
    let start = 1_793_527_200_000_000_000 + trace * 1_000_000 + service as u64 * 1000;
    Span {
        trace_id: mixed.to_be_bytes().to_vec(),
        span_id: id.to_be_bytes().to_vec(),
        parent_span_id: if service == 0 && !client { Vec::new() } else { (id ^ 1).to_be_bytes().to_vec() },
        name: "GET /checkout/{id}".into(),
        kind: if client { 3 } else { 2 },
        start_time_unix_nano: start,
        end_time_unix_nano: start + 700_000,
        attributes: vec![
            pair("http.request.method", text("GET")),
            pair("url.path", text("/checkout/1234")),
            pair("http.route", text("/checkout/{id}")),
            pair("http.response.status_code", Any::IntValue(200)),
            pair("network.peer.address", text("127.0.0.1")),
            pair("raceway.strand", text(&format!("{}#host-0a1b2c3d~{}", SERVICES[service], trace % 100_000))),
            pair("raceway.parent.method", text("sole")),
        ],
        flags: 3,
        ..Span::default()
    }
}

fn batch(number: u64) -> Vec<u8> {
    let (service, first) = ((number % 5) as usize, number / 5 * BATCH / 2);
    let spans = (0..BATCH).map(|n| span(first + n / 2, service, n % 2 == 1)).collect();
    let instance = format!("{}-0a1b2c3d", SERVICES[service]);
    let attributes = vec![
        pair("service.name", Any::StringValue(SERVICES[service].into())),
        pair("service.instance.id", Any::StringValue(instance)),
        pair("host.name", Any::StringValue("host".into())),
    ];
    let scope = Some(InstrumentationScope { name: "raceway-proxy".into(), ..InstrumentationScope::default() });
    let resource = Some(Resource { attributes, ..Resource::default() });
    let scope_spans = vec![ScopeSpans { scope, spans, ..ScopeSpans::default() }];
    let resource_spans = vec![ResourceSpans { resource, scope_spans, ..ResourceSpans::default() }];
    ExportTraceServiceRequest { resource_spans }.encode_to_vec()
}

/// User and system time of this process: fields 14 and 15 of its stat, in hundredths of a second.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    Duration::from_millis(10 * (fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()))
}

fn main() {
    let wanted = std::env::args().filter_map(|arg| arg.parse::<u64>().ok()).next().unwrap_or(500_000);
    let batches = wanted.div_ceil(BATCH * 5) * 5;
    let spans = batches * BATCH;
    let plain = batch(0).len();
    let bodies: Vec<Vec<u8>> = (0..batches).map(|n| zstd::encode_all(&*batch(n), 3).unwrap()).collect();
    println!("{spans} spans of {} B, {} B with zstd", plain / 512, bodies[0].len() / 512);

    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let registry = prometheus::Registry::new();
    let store: Arc<dyn SpanStore> = Arc::new(Embedded::open(dir.path(), Options::default(), &registry).unwrap());
    let ingest = Ingest::new(store.clone(), Arc::new(NoView), &registry).unwrap();
    let door = TowerToHyperService::new(otlp_router(ingest));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let (wall, before) = (Instant::now(), cpu());
    runtime.block_on(async {
        let mut senders = tokio::task::JoinSet::new();
        for sender in 0..SENDERS {
            let own: Vec<Vec<u8>> = bodies.iter().skip(sender).step_by(SENDERS).cloned().collect();
            let door = door.clone();
            senders.spawn(async move {
                for body in own {
                    let request = Request::post("/v1/traces")
                        .header("content-type", "application/x-protobuf")
                        .header("content-encoding", "zstd")
                        .body(Body::from(body))
                        .unwrap();
                    assert_eq!(door.call(request).await.unwrap().status(), 200);
                }
            });
        }
        senders.join_all().await;
    });
    let (wall, used) = (wall.elapsed(), cpu() - before);
    let per_span = |time: Duration| time.as_secs_f64() * 1e6 / spans as f64;
    println!(
        "in: {:.2} µs CPU per span, {:.0} spans/s by the clock",
        per_span(used),
        spans as f64 / wall.as_secs_f64()
    );

    let totals = store.totals();
    assert_eq!(totals.spans, spans);
    println!("on disk: {} B per span with the journal", totals.bytes / spans);
    let began = Instant::now();
    let back: usize = store.replay().unwrap().map(|portion| portion.unwrap().len()).sum();
    println!("back: {:.2} µs per span", began.elapsed().as_secs_f64() * 1e6 / back as f64);
    let timed = |what: &str, query: TraceQuery| {
        let began = Instant::now();
        let page = store.traces(&query).unwrap();
        println!("{what}: {:.1} ms, {} rows of {}", began.elapsed().as_secs_f64() * 1e3, page.rows.len(), page.total);
    };
    timed("newest page", TraceQuery { limit: 50, ..TraceQuery::default() });
    timed("a filter that nothing matches", TraceQuery { limit: 50, error: Some(true), ..TraceQuery::default() });
    let began = Instant::now();
    let row = store.traces(&TraceQuery { limit: 1, ..TraceQuery::default() }).unwrap().rows.remove(0);
    let trace = store.trace(row.trace_id).unwrap();
    println!("one trace: {:.2} ms, {} spans", began.elapsed().as_secs_f64() * 1e3, trace.len());
    if let Ok(status) = std::fs::read_to_string("/proc/self/status") {
        let peak = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default();
        println!("memory at most, with {} MiB of requests: {peak}", bodies.iter().map(Vec::len).sum::<usize>() >> 19);
    }
}
