//! The application behind a sidecar: an ordinary HTTP server in the test's own process, without tracing code.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::topology::Calls;

/// How an application behaves, beside calling its neighbours.
#[derive(Clone, Debug)]
pub struct Behaviour {
    /// Time it takes for itself, before its calls.
    pub own: Duration,
    /// What it answers, if its neighbours answered.
    pub status: u16,
    /// Headers of the request that it puts on its own calls.
    pub forwards: Vec<&'static str>,
    /// Headers it invents for its own calls.
    pub invents: Vec<(&'static str, &'static str)>,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self { own: Duration::ZERO, status: 200, forwards: Vec::new(), invents: Vec::new() }
    }
}

/// A request as the application saw it.
#[derive(Clone, Debug)]
pub struct Seen {
    /// `GET`.
    pub method: String,
    /// `/checkout?x=1`.
    pub target: String,
    /// Its headers.
    pub headers: HeaderMap,
}

impl Seen {
    /// A header's value as text; of the first, if there are several.
    pub fn header(&self, name: &str) -> Option<String> {
        self.headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
    }
}

/// A running application.
#[derive(Debug)]
pub struct App {
    shared: Arc<Shared>,
    address: SocketAddr,
    // Ends with its owner.
    tasks: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    name: String,
    calls: Calls,
    behaviour: Behaviour,
    neighbours: OnceLock<BTreeMap<String, SocketAddr>>,
    http: Client<HttpConnector, Full<Bytes>>,
    seen: Mutex<Vec<Seen>>,
    served: AtomicU64,
    called: AtomicU64,
}

impl App {
    /// Starts it on a port of its own.
    pub async fn start(name: &str, calls: Calls, behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let shared = Arc::new(Shared {
            name: name.to_owned(),
            calls,
            behaviour,
            neighbours: OnceLock::new(),
            http: Client::builder(TokioExecutor::new()).build_http(),
            seen: Mutex::default(),
            served: AtomicU64::new(0),
            called: AtomicU64::new(0),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, shared.clone()));
        Self { shared, address, tasks }
    }

    pub(crate) fn meet(&self, neighbours: BTreeMap<String, SocketAddr>) {
        self.shared.neighbours.set(neighbours).expect("met once");
    }

    /// Where it listens: behind its sidecar.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Requests that reached it, oldest first.
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The only request that reached it.
    pub fn only_seen(&self) -> Seen {
        let mut seen = self.seen();
        assert_eq!(seen.len(), 1, "{} was asked other than once: {seen:?}", self.shared.name);
        seen.remove(0)
    }

    /// Requests served and calls made.
    pub fn counts(&self) -> (u64, u64) {
        (self.shared.served.load(Ordering::Relaxed), self.shared.called.load(Ordering::Relaxed))
    }

    /// Stops it; nothing of it is left.
    pub async fn stop(mut self) {
        self.tasks.abort_all();
        while let Some(ended) = self.tasks.join_next().await {
            if let Err(error) = ended {
                assert!(!error.is_panic(), "the application {} panicked: {error}", self.shared.name);
            }
        }
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(ended) = connections.join_next() => {
                ended.expect("no connection panics");
                continue;
            }
        };
        let Ok((stream, _)) = accepted else { continue };
        stream.set_nodelay(true).expect("an open socket");
        let shared = shared.clone();
        connections.spawn(async move {
            let answer = service_fn(move |request| {
                let shared = shared.clone();
                async move { Ok::<_, Infallible>(shared.answer(request).await) }
            });
            // Callers that hang up are part of the tests.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
        });
    }
}

impl Shared {
    async fn answer(self: &Arc<Self>, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        self.served.fetch_add(1, Ordering::Relaxed);
        let target = head.uri.to_string();
        let seen = Seen { method: head.method.to_string(), target: target.clone(), headers: head.headers.clone() };
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).push(seen);
        if body.collect().await.is_err() {
            return respond(400, "body cut short");
        }
        // A zero sleep would still wait for the timer's next tick.
        if !self.behaviour.own.is_zero() {
            tokio::time::sleep(self.behaviour.own).await;
        }
        let mut headers = HeaderMap::new();
        for name in &self.behaviour.forwards {
            for value in head.headers.get_all(*name) {
                headers.append(HeaderName::from_static(name), value.clone());
            }
        }
        for (name, value) in &self.behaviour.invents {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        for step in &self.calls {
            let mut side_by_side = JoinSet::new();
            for callee in step {
                side_by_side.spawn(self.clone().call(callee.clone(), target.clone(), headers.clone()));
            }
            for answered in side_by_side.join_all().await {
                if let Err(reason) = answered {
                    return respond(502, &reason);
                }
            }
        }
        respond(self.behaviour.status, &self.name)
    }

    async fn call(self: Arc<Self>, callee: String, target: String, headers: HeaderMap) -> Result<(), String> {
        let address = self.neighbours.get().and_then(|known| known.get(&callee)).expect("neighbours are met first");
        let mut request = Request::get(format!("http://{address}{target}")).body(Full::default()).expect("a request");
        request.headers_mut().extend(headers);
        self.called.fetch_add(1, Ordering::Relaxed);
        let answer = self.http.request(request).await.map_err(|error| format!("{callee}: {error}"))?;
        let status = answer.status();
        answer.into_body().collect().await.map_err(|error| format!("{callee}: {error}"))?;
        if status.is_server_error() { Err(format!("{callee} answered {status}")) } else { Ok(()) }
    }
}

fn respond(status: u16, text: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text.to_owned()));
    *response.status_mut() = StatusCode::from_u16(status).expect("a status code");
    response
}
