//! The analyzer's process, and what it says.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use raceway_analyzer::api::types::{CriticalPath, Edge, EdgeList, SpanKind, SpanView, Status, TraceList, TraceView};
use raceway_cli::Part;
use raceway_cli::child::{Child, Stdout};
use raceway_cli::client::Client;
use serde::Deserialize;
use tokio::time::{Instant, sleep};

use crate::{PATIENCE, program};

/// The instrumentation scope of a sidecar's spans.
const SCOPE: &str = "raceway-proxy";
/// Pause between two looks at something that is to change.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A running analyzer, or one that was stopped and can be started again on the same ports and data.
#[derive(Debug)]
pub struct Analyzer {
    child: Option<Child>,
    folder: PathBuf,
    addresses: Addresses,
    client: Client,
}

/// What the analyzer says when it listens.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Addresses {
    /// Page and API.
    pub listen: SocketAddr,
    /// OTLP over gRPC.
    pub otlp_grpc: SocketAddr,
    /// OTLP over HTTP.
    pub otlp_http: SocketAddr,
}

impl Analyzer {
    /// Starts one with its data below `folder`.
    pub async fn start(folder: &Path) -> Self {
        Self::start_at(folder, [127, 0, 0, 1].into()).await
    }

    /// Starts one that listens on this address.
    pub async fn start_at(folder: &Path, address: IpAddr) -> Self {
        let any = SocketAddr::new(address, 0);
        let (child, addresses) = launch(folder, Addresses { listen: any, otlp_grpc: any, otlp_http: any }).await;
        Self { child: Some(child), folder: folder.to_owned(), addresses, client: Client::new(addresses.listen) }
    }

    /// Starts it again where it was, with what it had stored.
    pub async fn start_again(&mut self) {
        assert!(self.child.is_none(), "it runs already");
        let (child, addresses) = launch(&self.folder, self.addresses).await;
        self.child = Some(child);
        // Not the connections of the former process.
        self.client = Client::new(addresses.listen);
    }

    /// Stops it in order; the test fails if it panicked or hangs.
    pub async fn stop(&mut self) {
        if let Some(child) = self.child.take() {
            end(child).await;
        }
    }

    /// Kills it as `kill -9` does.
    pub async fn kill(&mut self) {
        self.child.take().expect("it runs").kill().await;
    }

    /// Where it listens.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Its REST API.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// `data` of the answer to `GET path`.
    pub async fn ask<T: serde::de::DeserializeOwned>(&self, path: &str) -> T {
        self.client.get(path).await.unwrap_or_else(|error| panic!("{error}"))
    }

    /// Spans stored.
    pub async fn spans(&self) -> u64 {
        self.ask::<Status>("/status").await.spans
    }

    /// Waits until that many spans are stored. More are more than there should be.
    pub async fn settle(&self, spans: u64) {
        let until = Instant::now() + PATIENCE;
        loop {
            let stored = self.spans().await;
            if stored == spans {
                return;
            }
            assert!(stored < spans, "{stored} spans are stored where there should be {spans}: {}", self.told().await);
            assert!(Instant::now() < until, "{stored} of {spans} spans after {PATIENCE:?}: {}", self.told().await);
            sleep(LOOK_EVERY).await;
        }
    }

    /// Waits until that many spans of sidecars are stored, whatever SDKs report beside them.
    pub async fn settle_sidecars(&self, spans: usize) {
        let until = Instant::now() + PATIENCE;
        loop {
            let traces = self.traces().await;
            let sidecars = |trace: &TraceView| trace.spans.iter().filter(|span| span.scope == SCOPE).count();
            let stored: usize = traces.iter().map(sidecars).sum();
            if stored == spans {
                return;
            }
            let late = Instant::now() > until;
            assert!(stored < spans && !late, "{stored} of {spans} spans of sidecars: {}", self.told().await);
            sleep(LOOK_EVERY).await;
        }
    }

    /// Everything stored, one line per span, for messages of tests that fail.
    async fn told(&self) -> String {
        let mut text = String::new();
        for trace in self.traces().await {
            text += &format!("\ntrace {}", trace.trace_id);
            for span in &trace.spans {
                let path = span.attributes.get("url.path").and_then(|path| path.as_str()).unwrap_or("");
                text += &format!(
                    "\n  {} {:?} {} {path} parent {:?}",
                    span.span_id, span.kind, span.service, span.parent_span_id
                );
            }
        }
        text
    }

    /// The edges of the dependency graph as `caller -> callee`, sorted.
    pub async fn edges(&self) -> Vec<String> {
        let mut edges: Vec<String> =
            self.edge_list().await.iter().map(|edge| format!("{} -> {}", edge.from_service, edge.to_service)).collect();
        edges.sort();
        edges
    }

    /// The edges of the dependency graph with all that is known of them.
    pub async fn edge_list(&self) -> Vec<Edge> {
        self.ask::<EdgeList>("/api/distributed/edges").await.edges
    }

    /// All traces, newest first.
    pub async fn traces(&self) -> Vec<TraceView> {
        let list: TraceList = self.ask("/api/traces?page_size=1000").await;
        assert!(list.next_cursor.is_none(), "tests with more than 1000 traces read them page by page");
        let mut traces = Vec::new();
        for row in list.traces {
            traces.push(self.ask(&format!("/api/traces/{}", row.trace_id)).await);
        }
        traces
    }

    /// All traces, once each of them is as wanted.
    pub async fn traces_when(&self, wanted: impl Fn(&TraceView) -> bool) -> Vec<TraceView> {
        let until = Instant::now() + PATIENCE;
        loop {
            let traces = self.traces().await;
            if traces.iter().all(&wanted) {
                return traces;
            }
            assert!(Instant::now() < until, "not as wanted after {PATIENCE:?}: {traces:?}");
            sleep(LOOK_EVERY).await;
        }
    }

    /// The only trace.
    pub async fn only_trace(&self) -> TraceView {
        let mut traces = self.traces().await;
        assert_eq!(traces.len(), 1, "not one trace: {}", self.told().await);
        traces.remove(0)
    }

    /// A trace by its id, as UUID or 32 hex digits.
    pub async fn trace(&self, id: &str) -> TraceView {
        self.ask(&format!("/api/traces/{id}")).await
    }

    /// The critical path of a trace.
    pub async fn critical_path(&self, trace_id: &str) -> CriticalPath {
        self.ask(&format!("/api/traces/{trace_id}/critical-path")).await
    }
}

async fn launch(folder: &Path, at: Addresses) -> (Child, Addresses) {
    let data = folder.join("data");
    let args = [
        Part::Analyzer.word().to_owned(),
        format!("--data-dir={}", data.display()),
        format!("--listen={}", at.listen),
        format!("--otlp-grpc={}", at.otlp_grpc),
        format!("--otlp-http={}", at.otlp_http),
    ];
    let mut child =
        Child::start(&program(), args, "analyzer", folder, Stdout::Log).unwrap_or_else(|error| panic!("{error}"));
    let addresses = child.ready().await.unwrap_or_else(|error| panic!("{error}"));
    (child, addresses)
}

/// Ends a process in order: it must end in time, by itself, with 0, and must not have panicked meanwhile.
pub(crate) async fn end(child: Child) {
    let name = child.name().to_owned();
    let log = child.log_file().to_owned();
    let status = child.stop(PATIENCE).await.unwrap_or_else(|error| panic!("{error}"));
    let said = std::fs::read_to_string(log).unwrap_or_default();
    assert!(status.success(), "{name} ended with {status}:\n{said}");
    assert!(!said.contains("panicked at"), "{name} panicked:\n{said}");
}

/// Questions about a trace that tests ask often.
pub trait TraceExt {
    /// The only span of a service of this kind.
    fn span(&self, service: &str, kind: SpanKind) -> &SpanView;
    /// All spans of a service of this kind, by start.
    fn spans_of(&self, service: &str, kind: SpanKind) -> Vec<&SpanView>;
    /// The service and kind of each span's parent, or `-`: `["api server < frontend client", …]`, sorted.
    fn family(&self) -> Vec<String>;
}

impl TraceExt for TraceView {
    fn span(&self, service: &str, kind: SpanKind) -> &SpanView {
        let found = self.spans_of(service, kind);
        assert_eq!(found.len(), 1, "{kind:?} spans of {service} in {:?}", self.family());
        found.first().expect("there is one")
    }

    fn spans_of(&self, service: &str, kind: SpanKind) -> Vec<&SpanView> {
        let mut found: Vec<_> = self.spans.iter().filter(|span| span.service == service && span.kind == kind).collect();
        found.sort_by_key(|span| span.start_ns);
        found
    }

    fn family(&self) -> Vec<String> {
        let name = |span: &SpanView| format!("{} {}", span.service, format!("{:?}", span.kind).to_lowercase());
        let mut family: Vec<String> = self
            .spans
            .iter()
            .map(|span| {
                let parent = span.parent_span_id.as_ref();
                let parent = match parent.map(|id| self.spans.iter().find(|other| other.span_id == **id)) {
                    Some(Some(parent)) => name(parent),
                    Some(None) => "?".to_owned(),
                    None => "-".to_owned(),
                };
                format!("{} < {parent}", name(span))
            })
            .collect();
        family.sort();
        family
    }
}
