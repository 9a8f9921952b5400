//! What working things out costs: `cargo bench -p raceway-analyzer --bench analysis`.
//!
//! First the live graph, per span, for traces of nine spans over five services whose halves come in batches apart, as
//! sidecars send them. Then whole answers about one trace of 1,000, 10,000 and 50,000 spans, JSON included.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    missing_docs,
    reason = "a benchmark may panic"
)]

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use axum::body::Body;
use http::Request;
use http_body_util::BodyExt;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use raceway_analyzer::Parts;
use raceway_analyzer::analysis::View;
use raceway_analyzer::ingest::{EdgeCounter, Ingest};
use raceway_analyzer::live::{Live, Warmup};
use raceway_analyzer::store::{Appended, Replay, SpanStore, StoreError, Totals, TracePage, TraceQuery};
use raceway_analyzer_client::{Kind, Reported, Resource, SCOPE, Span};
use raceway_trace::{SpanId, TraceId};

const SERVICES: [&str; 5] = ["frontend", "api", "auth", "order", "payment"];
/// Kind, service, own number and parent's of the spans of one checkout.
const CHECKOUT: [(Kind, usize, u64, u64); 9] = [
    (Kind::Server, 0, 1, 0),
    (Kind::Client, 0, 2, 1),
    (Kind::Server, 1, 3, 2),
    (Kind::Client, 1, 4, 3),
    (Kind::Server, 2, 5, 4),
    (Kind::Client, 1, 6, 3),
    (Kind::Server, 3, 7, 6),
    (Kind::Client, 3, 8, 7),
    (Kind::Server, 4, 9, 8),
];

fn now_ns() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos() as u64
}

struct Told {
    resources: Vec<Arc<Resource>>,
    scope: Arc<str>,
    start_ns: u64,
}

impl Told {
    fn new() -> Self {
        let resource = |name: &&str| {
            let name = (*name).to_owned();
            Arc::new(Resource::new(name.clone()).with("service.instance.id", format!("{name}-1a2b3c4d")))
        };
        Self {
            resources: SERVICES.iter().map(resource).collect(),
            scope: SCOPE.into(),
            start_ns: now_ns() - 60_000_000_000,
        }
    }

    /// One span of the `call`-th checkout, below `parent` where the checkout's own begins without one.
    fn span(&self, trace: u128, call: u64, at: usize, root: Option<u64>) -> Reported {
        let (kind, service, own, parent) = CHECKOUT[at];
        let id = |own: u64| SpanId::new(call * 16 + own).unwrap();
        let start = self.start_ns + call * 1_000 + own * 100;
        let mut span = Span::new(TraceId::new(trace).unwrap(), id(own), kind, "GET /checkout/{id}", start);
        span.end_ns = start + 100_000 - own * 1_000;
        span.parent_span_id = if parent > 0 { Some(id(parent)) } else { root.map(id) };
        let strand = format!("{}#{}-1a2b3c4d~{call}", SERVICES[service], SERVICES[service]);
        let clock = format!("[[\"{strand}\",{own}],[\"frontend#frontend-1a2b3c4d~{call}\",3]]");
        let (first, second) = if kind == Kind::Server { ("receive", "respond") } else { ("send", "reply") };
        span.set("http.request.method", "GET");
        span.set("url.path", "/checkout/17");
        span.set("http.response.status_code", 200i64);
        span.set("network.protocol.version", "1.1");
        span.set("server.address", SERVICES[service]);
        span.set("raceway.parent.method", "sole");
        span.set("raceway.parent.p", 0.99);
        span.set("raceway.first_byte_ns", 50_000i64);
        span.set("raceway.strand", strand);
        span.set(format!("raceway.clock.{first}"), clock.clone());
        span.set(format!("raceway.clock.{second}"), clock);
        span.set("raceway.clock.end", 9i64);
        Reported { resource: self.resources[service].clone(), scope: self.scope.clone(), span: span.into_owned() }
    }
}

/// A store that has one trace.
struct One(Vec<Reported>);

type Promise<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

impl SpanStore for One {
    fn append(&self, _: Vec<Reported>) -> Promise<'_, Appended> {
        Box::pin(async { Ok(Appended::default()) })
    }

    fn append_edges(&self, _: Vec<EdgeCounter>) -> Promise<'_, ()> {
        Box::pin(async { Ok(()) })
    }

    fn trace(&self, _: TraceId) -> Result<Vec<Reported>, StoreError> {
        Ok(self.0.clone())
    }

    fn traces(&self, _: &TraceQuery) -> Result<TracePage, StoreError> {
        Ok(TracePage::default())
    }

    fn totals(&self) -> Totals {
        Totals::default()
    }

    fn replay(&self) -> Result<Replay, StoreError> {
        Ok(Box::new(std::iter::empty()))
    }

    fn edges(&self) -> Result<Vec<EdgeCounter>, StoreError> {
        Ok(Vec::new())
    }
}

fn live_graph() {
    const TRACES: u64 = 50_000;
    let told = Told::new();
    let view = View::default();
    // Batches of one service each, 512 spans, as its sidecar sends them; services take turns.
    let mut batches: Vec<Vec<Reported>> = Vec::new();
    for first in (1..=TRACES).step_by(128) {
        for service in 0..SERVICES.len() {
            let spans = (first..(first + 128).min(TRACES + 1)).flat_map(|trace| {
                let own = (0..CHECKOUT.len()).filter(move |&at| CHECKOUT[at].1 == service);
                own.map(move |at| (trace, at))
            });
            batches.push(spans.map(|(trace, at)| told.span(u128::from(trace), trace, at, None)).collect());
        }
    }
    let spans: usize = batches.iter().map(Vec::len).sum();
    let began = Instant::now();
    batches.iter().for_each(|batch| view.observe(batch));
    let took = began.elapsed();
    println!("live graph: {spans} spans, {:.2} µs a span", took.as_secs_f64() * 1e6 / spans as f64);
}

async fn answers(size: usize) {
    let told = Told::new();
    let spans: Vec<Reported> =
        (0..size).map(|at| told.span(7, at as u64 / 9 + 1, at % 9, (at >= 9).then_some(16))).collect();
    let store: Arc<dyn SpanStore> = Arc::new(One(spans));
    let view = Arc::new(View::default());
    let registry = prometheus::Registry::new();
    let ingest = Ingest::new(store.clone(), view.clone(), &registry).unwrap();
    let parts = Parts { store, ingest, registry, warmup: Arc::new(Warmup::default()), started: Instant::now() };
    let service = TowerToHyperService::new(raceway_analyzer::api::router(parts, view));
    for route in ["", "/critical-path", "/dependencies"] {
        let uri = format!("/api/traces/{:032x}{route}", 7);
        let began = Instant::now();
        let answer = service.call(Request::get(&uri).body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(answer.status(), 200);
        let bytes = answer.into_body().collect().await.unwrap().to_bytes().len();
        let took = began.elapsed();
        println!("trace of {size} spans, {uri}: {:.1} ms, {:.1} MB", took.as_secs_f64() * 1e3, bytes as f64 / 1e6);
    }
}

#[tokio::main]
async fn main() {
    live_graph();
    for size in [1_000, 10_000, 50_000] {
        answers(size).await;
    }
}
