//! A real OTLP receiver that does as it is told, on a port of its own.
#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic here is a test that fails")]

use std::collections::{HashMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use raceway_analyzer_client::{Endpoint, Exporter, Kind, Protocol, Resource, Retry, Settings, Span, Stats, Status};
use raceway_trace::{SpanId, TraceId};
use tokio::runtime::Runtime;
use tokio::sync::Notify;

pub(crate) mod grpc;
pub(crate) mod http;

/// What a receiver answers to one request for spans.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// Takes all of it.
    Ok,
    /// Takes all but so many.
    Partial(i64, &'static str),
    /// A gRPC code with a message.
    Code(tonic::Code, &'static str),
    /// `RESOURCE_EXHAUSTED` with a `RetryInfo`.
    RetryInfo(Duration),
    /// An HTTP status with a `Retry-After`.
    Status(u16, Option<&'static str>),
    /// Takes all of it, but only when [`Ledger::release`] is called.
    Hold,
}

/// What receivers were sent, across all that share it.
#[derive(Default)]
pub(crate) struct Ledger {
    seen: Mutex<Seen>,
    changed: Notify,
    released: Notify,
    script: Mutex<VecDeque<Reply>>,
}

/// One request for spans, as it came.
#[derive(Clone, Debug)]
pub(crate) struct Came {
    pub(crate) at: Instant,
    pub(crate) encoding: Option<String>,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) path: String,
}

#[derive(Default)]
pub(crate) struct Seen {
    /// Requests for spans, answered well or not.
    pub(crate) came: Vec<Came>,
    /// Spans that were taken, by number; how often.
    pub(crate) spans: HashMap<u64, usize>,
    /// Names of those that were taken, in the order in which they came.
    pub(crate) order: Vec<u64>,
    pub(crate) resources: Vec<String>,
    pub(crate) metrics: Vec<ExportMetricsServiceRequest>,
}

impl Ledger {
    /// The next requests for spans are answered so; those after them are taken.
    pub(crate) fn script(&self, replies: impl IntoIterator<Item = Reply>) {
        self.script.lock().unwrap().extend(replies);
    }

    /// Lets held requests go on.
    pub(crate) fn release(&self) {
        self.released.notify_waiters();
    }

    /// Waits until something holds true of what came; fails with a look at it if that takes far too long.
    pub(crate) async fn until<T>(&self, what: &str, mut check: impl FnMut(&Seen) -> Option<T>) -> T {
        let wait = async {
            loop {
                let changed = self.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                if let Some(found) = check(&self.seen.lock().unwrap()) {
                    return found;
                }
                changed.await;
            }
        };
        match tokio::time::timeout(PATIENCE, wait).await {
            Ok(found) => found,
            Err(_) => {
                let seen = self.seen.lock().unwrap();
                panic!("waited in vain until {what}: {} spans in {} requests", seen.spans.len(), seen.came.len());
            }
        }
    }

    /// Waits until all spans of a range were taken.
    pub(crate) async fn until_spans(&self, numbers: std::ops::Range<u64>) {
        let what = format!("spans {numbers:?} came");
        self.until(&what, |seen| numbers.clone().all(|n| seen.spans.contains_key(&n)).then_some(())).await;
    }

    /// Waits until so many requests for spans came.
    pub(crate) async fn until_requests(&self, count: usize) -> Vec<Came> {
        self.until("requests came", |seen| (seen.came.len() >= count).then(|| seen.came.clone())).await
    }

    pub(crate) fn look<T>(&self, at: impl FnOnce(&Seen) -> T) -> T {
        at(&self.seen.lock().unwrap())
    }

    /// What to answer to a request that has just come.
    async fn came(&self, came: Came) -> Reply {
        let reply = self.script.lock().unwrap().pop_front().unwrap_or(Reply::Ok);
        let released = self.released.notified();
        tokio::pin!(released);
        released.as_mut().enable();
        self.seen.lock().unwrap().came.push(came);
        self.changed.notify_waiters();
        if matches!(reply, Reply::Hold) {
            released.await;
        }
        reply
    }

    fn take(&self, request: &ExportTraceServiceRequest) {
        let mut seen = self.seen.lock().unwrap();
        for in_resource in &request.resource_spans {
            seen.resources.push(format!("{:?}", in_resource.resource));
            for span in in_resource.scope_spans.iter().flat_map(|scope| &scope.spans) {
                let number = u64::from_be_bytes(span.span_id[..].try_into().expect("eight bytes"));
                *seen.spans.entry(number).or_default() += 1;
                seen.order.push(number);
            }
        }
        drop(seen);
        self.changed.notify_waiters();
    }

    fn take_metrics(&self, request: ExportMetricsServiceRequest) {
        self.seen.lock().unwrap().metrics.push(request);
        self.changed.notify_waiters();
    }
}

/// Longer than anything here takes on a machine that does something else as well.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A receiver on a runtime of its own, so that ending it ends every connection as a killed process would.
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    runtime: Option<Runtime>,
}

impl Receiver {
    fn start(address: SocketAddr, serve: impl FnOnce(tokio::net::TcpListener) -> ServeFuture) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = std::net::TcpListener::bind(address).expect("the address is free");
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let inside = runtime.enter();
        runtime.spawn(serve(tokio::net::TcpListener::from_std(listener).unwrap()));
        drop(inside);
        Self { address, runtime: Some(runtime) }
    }

    /// Ends it at once, in the midst of whatever it does.
    pub(crate) fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Waited for elsewhere, since a runtime must not be waited for inside of another one.
            std::thread::spawn(move || runtime.shutdown_timeout(PATIENCE)).join().expect("it ends");
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.end();
    }
}

pub(crate) type ServeFuture = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

/// An address where nothing listens, and where nobody else of these tests will: each has its own loopback address.
pub(crate) fn free_address() -> SocketAddr {
    static NEXT: AtomicU8 = AtomicU8::new(2);
    let [high, low] = (std::process::id() as u16).to_be_bytes();
    let ip = Ipv4Addr::new(127, high, low, NEXT.fetch_add(1, Ordering::Relaxed));
    std::net::TcpListener::bind((ip, 0))
        .and_then(|listener| listener.local_addr())
        .expect("loopback has many addresses")
}

/// Settings for tests: retries that come soon, batches that wait for nothing else.
pub(crate) fn settings(address: SocketAddr, protocol: Protocol) -> Settings {
    let endpoint = Endpoint::parse(&format!("http://{address}"), protocol).unwrap();
    Settings {
        batch_age_max: Duration::from_millis(5),
        retry: Retry {
            connect_first: Duration::from_millis(5),
            connect_max: Duration::from_millis(50),
            busy_first: Duration::from_millis(5),
            busy_max: Duration::from_millis(50),
            factor: 1.5,
        },
        ..Settings::new(endpoint, Resource::new("orders"))
    }
}

/// The span with this number.
pub(crate) fn span(number: u64) -> Span<'static> {
    let trace = TraceId::new(u128::from(number) + 1).unwrap();
    let mut span = Span::new(trace, SpanId::new(number).expect("numbers begin at 1"), Kind::Server, "GET /", 1);
    span.set("http.request.method", "GET");
    span
}

pub(crate) fn failed(number: u64) -> Span<'static> {
    Span { status: Status::Error("500".into()), ..span(number) }
}

pub(crate) fn record(exporter: &Exporter, numbers: std::ops::Range<u64>) {
    numbers.for_each(|number| exporter.record(&span(number)));
}

/// Waits until the exporter's own figures say so.
pub(crate) async fn until(exporter: &Exporter, what: &str, check: impl Fn(&Stats) -> bool) -> Stats {
    let seen = async {
        loop {
            let stats = exporter.stats().remove(0);
            if check(&stats) {
                return stats;
            }
            tokio::task::yield_now().await;
        }
    };
    match tokio::time::timeout(PATIENCE, seen).await {
        Ok(stats) => stats,
        Err(_) => panic!("waited in vain until {what}: {:?}", exporter.stats()),
    }
}

/// Ends the exporter, and checks what must be true of any that has ended: every span is accounted for, none is held.
pub(crate) async fn stop(exporter: &Exporter, within: Duration) -> Stats {
    let stats = exporter.stop(within).await;
    for stats in &stats {
        let ended = stats.spans_sent + stats.spans_rejected + stats.dropped.total() + stats.spans_on_disk;
        assert_eq!(stats.spans_recorded + stats.spans_recovered, ended, "{stats:?}");
        assert_eq!((stats.spans_waiting, stats.spans_in_flight, stats.queue_bytes), (0, 0, 0), "{stats:?}");
        assert!(!stats.progress.connected);
    }
    stats.into_iter().next().expect("there is an endpoint")
}
