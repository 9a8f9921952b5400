//! Admin: a network face for probes and scrapers, and a control face for operators on this host.
//!
//! | face | where | what |
//! |---|---|---|
//! | network | `--admin` | `/metrics`, `/live`, `/ready`, `/probe/tcp/PORT` for the ports of `--probe-port` |
//! | control | `--control` | the same, and `/config`, `/edges`, `POST /log-level`, `POST /quit` |
//!
//! Both have one thread and one runtime of their own, so that a scrape does not show in the times of requests and a
//! busy request thread does not fail a probe. The network face shows nothing that helps an attacker. The control face
//! is a Unix socket that only its owner can open, or loopback with a token; there it also looks at `Host`, because a
//! page in a browser can make requests to 127.0.0.1 under its own name (DNS rebinding). [`client`] is its other end.

pub(crate) mod client;
mod control;
mod edges;
mod socket;

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::runtime::Builder;
use tokio::sync::{Notify, oneshot};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};

use crate::config::{Config, Control};
use crate::drain::Drain;
use crate::edges::Edges;
use crate::listen;
use crate::metrics::Metrics;
use control::Controls;

/// Connections at once, each face; one more ends the oldest. A few probes and scrapers come, each for milliseconds, so
/// the oldest of 64 is one that hangs.
const CONNECTIONS_MAX: usize = 64;
/// How long a connection may take, from accept to close; each carries one request. Probes and scrapers give up sooner.
const CONNECTION_TIME: Duration = Duration::from_secs(10);
/// How much of a request is read: the least that hyper takes, and many times what a scraper sends.
const HEAD_BYTES: usize = 8 * 1024;
/// How long to wait when no descriptor is free.
const PAUSE: Duration = Duration::from_millis(100);
/// How long a probed port may take to answer: what Kubernetes gives a probe unless told otherwise.
const PROBE_TIME: Duration = Duration::from_secs(1);

/// What the faces show and what they can do.
#[derive(Clone, Debug)]
pub struct Parts {
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Whether the sidecar is stopping.
    pub drain: Drain,
    /// Who is called, how often.
    pub edges: Edges,
    /// Told when somebody asks for an end.
    pub quit: Arc<Notify>,
}

/// The running faces. End when dropped.
#[derive(Debug)]
pub struct Admin {
    address: Option<SocketAddr>,
    control: Option<SocketAddr>,
    state: Arc<State>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct State {
    metrics: Arc<Metrics>,
    drain: Drain,
    ready: AtomicBool,
    probe_ports: Vec<u16>,
}

/// Bound sockets, not served yet.
struct Bound {
    network: Option<std::net::TcpListener>,
    control: Option<(control::Socket, Controls)>,
}

impl Admin {
    /// Listens and starts the thread. Not ready yet: say [`Admin::ready`] once everything else listens too.
    ///
    /// An error names the flag and says what to do.
    pub fn start(config: &Config, parts: Parts) -> Result<Self, String> {
        let tcp = |flag: &str, address: SocketAddr| -> Result<_, String> {
            let bound = std::net::TcpListener::bind(address).map_err(|error| listen::explained(address, &error));
            let bound = bound.and_then(|listener| listener.set_nonblocking(true).map(|()| listener));
            bound.map_err(|error| format!("{flag}: {error}"))
        };
        let network = config.admin.map(|address| tcp("--admin", address)).transpose()?;
        let controls = |token| Controls::new(config, parts.edges.clone(), Arc::clone(&parts.quit), token);
        let control = match &config.control {
            None => None,
            Some(Control::Socket(path)) => {
                let bound = socket::bind(path).map_err(|error| format!("--control {}: {error}", path.display()))?;
                Some((control::Socket::Unix(bound), controls(None)?))
            }
            Some(Control::Loopback { address, token_file }) => {
                let token = control::token(token_file)?;
                Some((control::Socket::Tcp(tcp("--control", *address)?), controls(Some(token))?))
            }
        };
        let address = network.as_ref().and_then(|listener| listener.local_addr().ok());
        let control_address = control.as_ref().and_then(|(socket, _)| socket.address());
        let state = Arc::new(State {
            metrics: parts.metrics,
            drain: parts.drain,
            ready: AtomicBool::new(false),
            probe_ports: config.probe_ports.clone(),
        });
        let (stop, thread) = spawn(Bound { network, control }, Arc::clone(&state))
            .map_err(|error| format!("the admin thread cannot be started: {error}"))?;
        Ok(Self { address, control: control_address, state, stop: Some(stop), thread: Some(thread) })
    }

    /// The network face's address, as really bound.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// The control face's address, where it is on loopback.
    pub fn control(&self) -> Option<SocketAddr> {
        self.control
    }

    /// From now on, and until draining begins, `/ready` says so.
    pub fn ready(&self) {
        self.state.ready.store(true, Ordering::Release);
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        drop(self.stop.take());
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the admin thread panicked");
        }
    }
}

fn spawn(bound: Bound, state: Arc<State>) -> io::Result<(oneshot::Sender<()>, JoinHandle<()>)> {
    let (stop, stopped) = oneshot::channel();
    // The runtime is made and dropped on its own thread: whoever starts this may be in another one.
    let (started, start) = std::sync::mpsc::sync_channel(1);
    let run = move || {
        let runtime = match Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return drop(started.send(Err(error))),
        };
        runtime.block_on(async {
            let opened = bound.open();
            let _ = started.send(opened.as_ref().map(drop).map_err(|error| io::Error::from(error.kind())));
            if let Ok(opened) = opened {
                tokio::select! {
                    _ = stopped => {}
                    () = opened.serve(state) => {}
                }
            }
        });
    };
    let thread = std::thread::Builder::new().name("admin".to_owned()).spawn(run)?;
    start.recv().map_err(io::Error::other)??;
    Ok((stop, thread))
}

/// Sockets as the runtime knows them.
struct Opened {
    network: Option<TcpListener>,
    control: Option<(Listener, Arc<Controls>, Option<socket::Remove>)>,
}

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Bound {
    fn open(self) -> io::Result<Opened> {
        let control = match self.control {
            None => None,
            Some((control::Socket::Tcp(listener), controls)) => {
                Some((Listener::Tcp(TcpListener::from_std(listener)?), Arc::new(controls), None))
            }
            Some((control::Socket::Unix(bound), controls)) => {
                let listener = UnixListener::from_std(bound.listener)?;
                Some((Listener::Unix(listener), Arc::new(controls), Some(bound.remove)))
            }
        };
        Ok(Opened { network: self.network.map(TcpListener::from_std).transpose()?, control })
    }
}

impl Opened {
    /// Never ends by itself; what it started ends when it is dropped.
    async fn serve(self, state: Arc<State>) {
        let network = async {
            match self.network {
                Some(listener) => {
                    let accept = async || Ok(Accepted::Tcp(listener.accept().await?.0));
                    serve(accept, &state, None).await;
                }
                None => std::future::pending().await,
            }
        };
        let control = async {
            let Some((listener, controls, _remove)) = self.control else { return std::future::pending().await };
            let accept = async || match &listener {
                Listener::Tcp(listener) => Ok(Accepted::Tcp(listener.accept().await?.0)),
                Listener::Unix(listener) => Ok(Accepted::Unix(listener.accept().await?.0)),
            };
            tokio::join!(serve(accept, &state, Some(Arc::clone(&controls))), controls.watch());
        };
        tokio::join!(network, control);
    }
}

enum Accepted {
    Tcp(TcpStream),
    Unix(UnixStream),
}

async fn serve(accept: impl AsyncFn() -> io::Result<Accepted>, state: &Arc<State>, controls: Option<Arc<Controls>>) {
    // Ends its tasks when it is dropped.
    let mut serving = JoinSet::new();
    let mut oldest_first: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        let accepted = tokio::select! {
            Some(_) = serving.join_next() => continue,
            accepted = accept() => accepted,
        };
        match accepted {
            Ok(stream) => {
                oldest_first.retain(|connection| !connection.is_finished());
                if oldest_first.len() >= CONNECTIONS_MAX
                    && let Some(oldest) = oldest_first.pop_front()
                {
                    oldest.abort();
                }
                let (state, controls) = (Arc::clone(state), controls.clone());
                let answered = async move {
                    match stream {
                        Accepted::Tcp(stream) => {
                            let here = stream.local_addr().ok().map(|address| address.ip().to_canonical());
                            one_request(stream, here, state, controls).await;
                        }
                        Accepted::Unix(stream) => one_request(stream, None, state, controls).await,
                    }
                };
                oldest_first.push_back(serving.spawn(async move { drop(timeout(CONNECTION_TIME, answered).await) }));
            }
            Err(error) => {
                tracing::debug!(%error, "cannot accept a connection to the admin listener");
                sleep(PAUSE).await;
            }
        }
    }
}

async fn one_request(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    here: Option<IpAddr>,
    state: Arc<State>,
    controls: Option<Arc<Controls>>,
) {
    let answered = service_fn(|request: Request<Incoming>| {
        let (state, controls) = (Arc::clone(&state), controls.clone());
        async move {
            Ok::<_, Infallible>(match controls {
                Some(controls) => controls.answer(request, &state, here).await,
                None => state.answer(&request, here).await,
            })
        }
    });
    let mut http = http1::Builder::new();
    http.keep_alive(false).max_buf_size(HEAD_BYTES);
    if let Err(error) = http.serve_connection(TokioIo::new(stream), answered).await {
        tracing::debug!(%error, "a connection to the admin listener ended");
    }
}

type Answer = Response<Full<Bytes>>;

impl State {
    /// What the network face says; `here` is the address that the client reached.
    async fn answer(&self, request: &Request<Incoming>, here: Option<IpAddr>) -> Answer {
        let path = request.uri().path();
        let probed = path.strip_prefix("/probe/tcp/").and_then(|port| port.parse().ok());
        let probed = probed.filter(|port| self.probe_ports.contains(port));
        if !matches!(path, "/metrics" | "/live" | "/ready") && probed.is_none() {
            return text(
                StatusCode::NOT_FOUND,
                "here are /metrics, /live, /ready and /probe/tcp/PORT (--probe-port)\n",
            );
        }
        if let Some(refused) = only_read(request.method()) {
            return refused;
        }
        if let Some(port) = probed {
            return probe(here.unwrap_or(IpAddr::from([127, 0, 0, 1])), port).await;
        }
        match path {
            "/metrics" => with_type(self.metrics.text(), Metrics::CONTENT_TYPE),
            "/live" => text(StatusCode::OK, "live\n"),
            _ => match (self.ready.load(Ordering::Acquire), self.drain.is_draining()) {
                (_, true) => text(StatusCode::SERVICE_UNAVAILABLE, "stopping\n"),
                (false, _) => text(StatusCode::SERVICE_UNAVAILABLE, "starting\n"),
                (true, false) => text(StatusCode::OK, "ready\n"),
            },
        }
    }
}

/// Whether the application accepts connections: at the address that the probe came to, as a probe without us would ask.
async fn probe(host: IpAddr, port: u16) -> Answer {
    match timeout(PROBE_TIME, TcpStream::connect((host, port))).await {
        Ok(Ok(_)) => text(StatusCode::OK, "open\n"),
        Ok(Err(_)) => text(StatusCode::SERVICE_UNAVAILABLE, "closed: nothing listens on that port of this address\n"),
        Err(_) => text(StatusCode::SERVICE_UNAVAILABLE, "no answer within a second\n"),
    }
}

fn only_read(method: &Method) -> Option<Answer> {
    if method == Method::GET || method == Method::HEAD {
        return None;
    }
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    Some(response)
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    let mut response = with_type(body, "text/plain; charset=utf-8");
    *response.status_mut() = status;
    response
}

fn with_type(body: impl Into<Bytes>, content_type: &'static str) -> Answer {
    let mut response = Response::new(Full::new(body.into()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

#[cfg(test)]
mod tests;
