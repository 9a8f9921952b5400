//! An analyzer in this process, on a free port, with an embedded store; and spans to tell it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use prometheus::Registry;
use raceway_analyzer::Parts;
use raceway_analyzer::analysis::View;
use raceway_analyzer::ingest::{Ingest, otlp_router};
use raceway_analyzer::live::{Live, Warmup};
use raceway_analyzer::store::SpanStore;
use raceway_analyzer::store::embedded::{Embedded, Options};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// An analyzer.
pub(crate) struct Analyzer {
    address: SocketAddr,
    dir: tempfile::TempDir,
    tasks: JoinSet<()>,
}

impl Analyzer {
    pub(crate) async fn start() -> Self {
        Self::start_in(tempfile::tempdir().unwrap()).await
    }

    async fn start_in(dir: tempfile::TempDir) -> Self {
        let registry = Registry::new();
        let opened = Instant::now();
        // The one before may still be letting go of the folder.
        let store = loop {
            match Embedded::open(dir.path(), Options::default(), &registry) {
                Ok(store) => break Arc::new(store),
                Err(error) => assert!(opened.elapsed() < Duration::from_secs(30), "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        let view = Arc::new(View::default());
        view.observe_edges(&store.edges().unwrap());
        for portion in store.replay().unwrap() {
            view.observe(&portion.unwrap());
        }
        let ingest = Ingest::new(store.clone(), view.clone(), &registry).unwrap();
        let warmup = Arc::new(Warmup::default());
        let parts = Parts { store, ingest: ingest.clone(), registry, warmup, started: Instant::now() };
        let router = raceway_analyzer::api::router(parts, view).merge(otlp(ingest));
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, dir, tasks }
    }

    /// Ends it and starts another on the same data.
    pub(crate) async fn restart(mut self) -> Self {
        self.tasks.shutdown().await;
        Self::start_in(self.dir).await
    }

    /// Tells it spans, over OTLP.
    pub(crate) async fn tell(&self, spans: &[Told]) {
        let resource_spans: Vec<Value> = spans.iter().map(Told::json).collect();
        let (status, _, body) =
            self.request("POST", "/v1/traces", &json!({"resourceSpans": resource_spans}).to_string(), "").await;
        assert_eq!((status, String::from_utf8(body).unwrap().as_str()), (200, "{}"));
    }

    /// Posts JSON.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let (status, _, body) = self.request("POST", path, &body.to_string(), "").await;
        (status, serde_json::from_slice(&body).unwrap())
    }

    /// What a route answers, in the type that describes it.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> T {
        let (status, body) = self.ask(path).await;
        assert_eq!((status, &body["success"], &body["error"]), (200, &json!(true), &Value::Null), "{path}: {body}");
        serde_json::from_value(body["data"].clone()).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// Status and body of a route that answers JSON.
    pub(crate) async fn ask(&self, path: &str) -> (u16, Value) {
        let (status, _, body) = self.request("GET", path, "", "").await;
        (status, serde_json::from_slice(&body).unwrap_or_else(|_| panic!("{path}: {}", String::from_utf8_lossy(&body))))
    }

    /// Status, head in lower case and body of any request.
    pub(crate) async fn request(&self, method: &str, path: &str, body: &str, header: &str) -> (u16, String, Vec<u8>) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-type: application/json\r\n\
             {header}content-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        let end = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("a head");
        let head = String::from_utf8(answer[..end].to_vec()).unwrap().to_lowercase();
        let status = head.split_whitespace().nth(1).unwrap().parse().unwrap();
        (status, head, answer.split_off(end + 4))
    }
}

/// The doors for OTLP, without their fallback, which would clash with the page's.
fn otlp(ingest: Arc<Ingest>) -> axum::Router {
    axum::Router::new().route("/v1/traces", axum::routing::post_service(otlp_router(ingest)))
}

/// A span to tell.
pub(crate) struct Told {
    pub(crate) trace: u128,
    pub(crate) service: &'static str,
    /// `service.namespace` and `deployment.environment.name`.
    pub(crate) home: Option<(&'static str, &'static str)>,
    pub(crate) server: bool,
    pub(crate) id: u64,
    pub(crate) parent: u64,
    pub(crate) start_ms: f64,
    pub(crate) end_ms: f64,
    /// Attributes beside those that every span has.
    pub(crate) more: Value,
    pub(crate) error: bool,
    /// Trace and span ids of requests that may have caused it.
    pub(crate) candidates: Vec<(u128, u64)>,
}

/// `frontend server 1<0 0-850`: service, kind, ids in decimal (parent 0 for none), ms. `frontend@shop/live`: with
/// namespace and environment.
pub(crate) fn told(trace: u128, line: &'static str, more: Value) -> Told {
    let mut words = line.split_whitespace();
    let mut word = || words.next().unwrap();
    let (service, kind, ids, times) = (word(), word(), word(), word());
    let (service, home) = service.split_once('@').map_or((service, None), |(name, home)| (name, Some(home)));
    let (id, parent) = ids.split_once('<').unwrap();
    let (start, end) = times.split_once('-').unwrap();
    Told {
        trace,
        service,
        home: home.map(|home| home.split_once('/').unwrap()),
        server: kind == "server",
        id: id.parse().unwrap(),
        parent: parent.parse().unwrap(),
        start_ms: start.parse().unwrap(),
        end_ms: end.parse().unwrap(),
        more,
        error: false,
        candidates: Vec::new(),
    }
}

/// Where the spans' milliseconds count from: a minute ago, once per process.
pub(crate) fn epoch_ns() -> u64 {
    static EPOCH: std::sync::OnceLock<u64> = std::sync::OnceLock::new();
    *EPOCH.get_or_init(|| {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        (now.as_secs() - 60) * 1_000_000_000
    })
}

impl Told {
    fn json(&self) -> Value {
        let time = |ms: f64| (epoch_ns() + (ms * 1e6) as u64).to_string();
        let attribute = |(name, value): (&String, &Value)| match value {
            Value::String(text) => json!({"key": name, "value": {"stringValue": text}}),
            Value::Number(number) if number.is_i64() => json!({"key": name, "value": {"intValue": number.to_string()}}),
            number => json!({"key": name, "value": {"doubleValue": number}}),
        };
        let mut attributes = vec![json!({"key": "http.request.method", "value": {"stringValue": "GET"}})];
        attributes.extend(self.more.as_object().into_iter().flatten().map(attribute));
        let text = |name: &str, value: &str| json!({"key": name, "value": {"stringValue": value}});
        let mut span = json!({
            "traceId": format!("{:032x}", self.trace), "spanId": format!("{:016x}", self.id),
            "name": format!("GET /{}", self.service), "kind": if self.server { 2 } else { 3 },
            "startTimeUnixNano": time(self.start_ms), "endTimeUnixNano": time(self.end_ms),
            "attributes": attributes, "status": if self.error { json!({"code": 2, "message": "broken"}) } else { json!({}) },
        });
        let candidate = |(trace, span): &(u128, u64)| {
            json!({
                "traceId": format!("{trace:032x}"), "spanId": format!("{span:016x}"),
                "attributes": [{"key": "raceway.link", "value": {"stringValue": "candidate"}}],
            })
        };
        span["links"] = self.candidates.iter().map(candidate).collect();
        if self.parent > 0 {
            span["parentSpanId"] = json!(format!("{:016x}", self.parent));
        }
        let mut resource =
            vec![text("service.name", self.service), text("service.instance.id", &format!("{}-1", self.service))];
        if let Some((namespace, environment)) = self.home {
            resource.extend([text("service.namespace", namespace), text("deployment.environment.name", environment)]);
        }
        json!({
            "resource": {"attributes": resource},
            "scopeSpans": [{"scope": {"name": "raceway-proxy"}, "spans": [span]}],
        })
    }
}
