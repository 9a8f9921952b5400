//! The doors for spans, open on a free port, with a store behind them.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use prometheus::Registry;
use raceway_analyzer::ingest::{EdgeCounter, Ingest, otlp_router, raceway_events};
use raceway_analyzer::live::Live;
use raceway_analyzer::store::embedded::{Embedded, Options};
use raceway_analyzer::store::{Appended, Replay, SpanStore, StoreError, Totals, TracePage, TraceQuery};
use raceway_analyzer_client::Reported;
use raceway_trace::TraceId;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// All doors on one address.
pub(crate) struct Doors {
    pub(crate) address: SocketAddr,
    pub(crate) store: Arc<dyn SpanStore>,
    pub(crate) seen: Arc<Seen>,
    pub(crate) registry: Registry,
    _dir: Option<tempfile::TempDir>,
}

/// A live view that only remembers.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) spans: Mutex<Vec<Reported>>,
    pub(crate) edges: Mutex<Vec<EdgeCounter>>,
}

impl Live for Seen {
    fn observe(&self, fresh: &[Reported]) {
        self.spans.lock().unwrap().extend_from_slice(fresh);
    }

    fn observe_edges(&self, counters: &[EdgeCounter]) {
        self.edges.lock().unwrap().extend_from_slice(counters);
    }
}

impl Doors {
    /// With an empty embedded store.
    pub(crate) async fn open() -> Self {
        Self::open_with(Options::default()).await
    }

    pub(crate) async fn open_with(options: Options) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let registry = Registry::new();
        let store = Embedded::open(dir.path(), options, &registry).unwrap();
        Self { _dir: Some(dir), ..Self::open_on(Arc::new(store), registry).await }
    }

    /// With a store that refuses everything.
    pub(crate) async fn open_refusing(error: fn() -> StoreError) -> Self {
        Self::open_on(Arc::new(Refusing(error)), Registry::new()).await
    }

    async fn open_on(store: Arc<dyn SpanStore>, registry: Registry) -> Self {
        let seen = Arc::new(Seen::default());
        let ingest = Ingest::new(store.clone(), seen.clone(), &registry).unwrap();
        let router = otlp_router(ingest.clone()).merge(raceway_events::router(ingest));
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, store, seen, registry, _dir: None }
    }

    pub(crate) fn trace(&self, id: u128) -> Vec<Reported> {
        self.store.trace(TraceId::new(id).unwrap()).unwrap()
    }

    /// The value of a counter, all labels together.
    pub(crate) fn counted(&self, name: &str) -> f64 {
        let families = self.registry.gather();
        let family = families.iter().find(|family| family.name() == name);
        family.map_or(0.0, |family| family.get_metric().iter().map(|metric| metric.get_counter().get_value()).sum())
    }

    /// One request over HTTP/1, as it stands on the wire.
    pub(crate) async fn post(&self, path: &str, headers: &[&str], body: &[u8]) -> Answer {
        self.request("POST", path, headers, body).await
    }

    pub(crate) async fn request(&self, method: &str, path: &str, headers: &[&str], body: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let mut request = format!("{method} {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n");
        for header in headers {
            request += &format!("{header}\r\n");
        }
        request += &format!("content-length: {}\r\n\r\n", body.len());
        let mut bytes = request.into_bytes();
        bytes.extend_from_slice(body);
        // The other side may answer and close before it has read everything.
        let _ = stream.write_all(&bytes).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        Answer::read(&answer)
    }
}

/// An answer over HTTP/1.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    fn read(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("a head");
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap().to_lowercase();
        let status = head.split_whitespace().nth(1).unwrap().parse().unwrap();
        Self { status, headers: head, body: bytes[end + 4..].to_vec() }
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }
}

/// A store that has only one answer.
struct Refusing(fn() -> StoreError);

type Promise<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

impl SpanStore for Refusing {
    fn append(&self, _: Vec<Reported>) -> Promise<'_, Appended> {
        Box::pin(async { Err(self.0()) })
    }

    fn append_edges(&self, _: Vec<EdgeCounter>) -> Promise<'_, ()> {
        Box::pin(async { Err(self.0()) })
    }

    fn trace(&self, _: TraceId) -> Result<Vec<Reported>, StoreError> {
        Err(self.0())
    }

    fn traces(&self, _: &TraceQuery) -> Result<TracePage, StoreError> {
        Err(self.0())
    }

    fn totals(&self) -> Totals {
        Totals::default()
    }

    fn replay(&self) -> Result<Replay, StoreError> {
        Err(self.0())
    }

    fn edges(&self) -> Result<Vec<EdgeCounter>, StoreError> {
        Err(self.0())
    }
}
