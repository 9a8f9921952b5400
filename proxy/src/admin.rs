//! The admin listener: `/metrics`, `/live`, `/ready`, and on loopback `/config`.
//!
//! It has a thread and a runtime of its own, so that a scrape does not show in the times of requests and a busy request
//! thread does not fail a probe. A network-facing one shows nothing that helps an attacker; `/config` is served only by
//! a listener on loopback, and only to who calls it by a name of this host: a page in a browser can make requests to
//! 127.0.0.1 under its own name (DNS rebinding).

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};

use crate::config::Config;
use crate::drain::Drain;
use crate::listen;
use crate::metrics::Metrics;

/// Connections at once; one more ends the oldest. A few probes and scrapers come, each for milliseconds, so the oldest
/// of 64 is one that hangs.
const CONNECTIONS_MAX: usize = 64;
/// How long a connection may take, from accept to close; each carries one request. Probes and scrapers give up sooner.
const CONNECTION_TIME: Duration = Duration::from_secs(10);
/// How much of a request is read: the least that hyper takes, and many times what a scraper sends.
const HEAD_BYTES: usize = 8 * 1024;
/// How long to wait when no descriptor is free.
const PAUSE: Duration = Duration::from_millis(100);

/// A running admin listener. Ends when dropped.
#[derive(Debug)]
pub struct Admin {
    address: SocketAddr,
    state: Arc<State>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct State {
    metrics: Arc<Metrics>,
    drain: Drain,
    ready: AtomicBool,
    /// `None` on a network-facing listener.
    config: Option<Bytes>,
}

impl Admin {
    /// Listens and starts the thread. Not ready yet: say [`Admin::ready`] once everything else listens too.
    ///
    /// An error says what to do about the address.
    pub fn start(address: SocketAddr, config: &Config, metrics: Arc<Metrics>, drain: Drain) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind(address).map_err(|error| listen::explained(address, &error))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let config = match address.ip().is_loopback() {
            true => Some(serde_json::to_vec_pretty(config)?.into()),
            false => None,
        };
        let state = Arc::new(State { metrics, drain, ready: AtomicBool::new(false), config });
        let (stop, stopped) = oneshot::channel();
        // The runtime is made and dropped on its own thread: whoever starts this may be in another one.
        let (started, start) = std::sync::mpsc::sync_channel(1);
        let thread = std::thread::Builder::new().name("admin".to_owned()).spawn({
            let state = Arc::clone(&state);
            move || match Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime.block_on(async {
                    let listener = TcpListener::from_std(listener);
                    let _ = started.send(listener.as_ref().map(drop).map_err(|error| io::Error::from(error.kind())));
                    if let Ok(listener) = listener {
                        serve(listener, state, stopped).await;
                    }
                }),
                Err(error) => drop(started.send(Err(error))),
            }
        })?;
        start.recv().map_err(io::Error::other)??;
        Ok(Self { address, state, stop: Some(stop), thread: Some(thread) })
    }

    /// The address really bound.
    pub fn address(&self) -> SocketAddr {
        self.address
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

async fn serve(listener: TcpListener, state: Arc<State>, mut stopped: oneshot::Receiver<()>) {
    // Ends its tasks when it is dropped.
    let mut serving = JoinSet::new();
    let mut oldest_first: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        let accepted = tokio::select! {
            _ = &mut stopped => return,
            Some(_) = serving.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                oldest_first.retain(|connection| !connection.is_finished());
                if oldest_first.len() >= CONNECTIONS_MAX
                    && let Some(oldest) = oldest_first.pop_front()
                {
                    oldest.abort();
                }
                oldest_first
                    .push_back(serving.spawn(timeout(CONNECTION_TIME, one_request(stream, Arc::clone(&state)))));
            }
            Err(error) => {
                tracing::debug!(%error, "cannot accept a connection to the admin listener");
                sleep(PAUSE).await;
            }
        }
    }
}

async fn one_request(stream: TcpStream, state: Arc<State>) {
    let answered = service_fn(|request: Request<hyper::body::Incoming>| {
        let response = state.answer(request.method(), request.uri().path(), request.headers());
        async { Ok::<_, Infallible>(response) }
    });
    let mut http = http1::Builder::new();
    http.keep_alive(false).max_buf_size(HEAD_BYTES);
    if let Err(error) = http.serve_connection(TokioIo::new(stream), answered).await {
        tracing::debug!(%error, "a connection to the admin listener ended");
    }
}

impl State {
    fn answer(&self, method: &Method, path: &str, headers: &HeaderMap) -> Response<Full<Bytes>> {
        let known = matches!(path, "/metrics" | "/live" | "/ready") || (path == "/config" && self.config.is_some());
        if known && method != Method::GET && method != Method::HEAD {
            let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        match (path, &self.config) {
            ("/metrics", _) => with_type(self.metrics.text(), Metrics::CONTENT_TYPE),
            ("/live", _) => text(StatusCode::OK, "live\n"),
            ("/ready", _) => match (self.ready.load(Ordering::Acquire), self.drain.is_draining()) {
                (_, true) => text(StatusCode::SERVICE_UNAVAILABLE, "stopping\n"),
                (false, _) => text(StatusCode::SERVICE_UNAVAILABLE, "starting\n"),
                (true, false) => text(StatusCode::OK, "ready\n"),
            },
            ("/config", Some(config)) => match names_this_host(headers) {
                true => with_type(config.clone(), "application/json"),
                false => text(StatusCode::FORBIDDEN, "only by the name localhost or a loopback address\n"),
            },
            _ => text(StatusCode::NOT_FOUND, "here are /metrics, /live, /ready and, on loopback, /config\n"),
        }
    }
}

/// Whether `Host` is a name that only this host has.
fn names_this_host(headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
    let Some(authority) = host.to_str().ok().and_then(|host| host.parse::<http::uri::Authority>().ok()) else {
        return false;
    };
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn text(status: StatusCode, body: &'static str) -> Response<Full<Bytes>> {
    let mut response = with_type(body, "text/plain; charset=utf-8");
    *response.status_mut() = status;
    response
}

fn with_type(body: impl Into<Bytes>, content_type: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;

    use clap::Parser;

    use super::*;
    use crate::config::Args;

    fn start(address: &str) -> (Admin, Drain) {
        let args = ["raceway-proxy", "--service", "orders", "--outbound", "127.0.0.1:0"];
        let config = Config::check(Args::try_parse_from(args).expect("usable"), &|_| None).expect("valid");
        let drain = Drain::new();
        let address = address.parse().expect("an address");
        (Admin::start(address, &config, Arc::new(Metrics::new()), drain.clone()).expect("a free port"), drain)
    }

    fn send(admin: &Admin, request: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", admin.address().port())).expect("it listens");
        stream.write_all(request.as_bytes()).expect("open");
        let mut answer = String::new();
        // An early close of what was too large may come as a reset.
        let _ = stream.read_to_string(&mut answer);
        answer
    }

    fn get(admin: &Admin, path: &str) -> String {
        send(admin, &format!("GET {path} HTTP/1.1\r\nhost: localhost:1\r\n\r\n"))
    }

    #[test]
    fn probes_tell_the_state() {
        let (admin, drain) = start("127.0.0.1:0");
        assert!(get(&admin, "/live").starts_with("HTTP/1.1 200 OK\r\n"));
        assert!(get(&admin, "/ready").contains("HTTP/1.1 503") && get(&admin, "/ready").ends_with("starting\n"));
        admin.ready();
        assert!(get(&admin, "/ready").contains("HTTP/1.1 200") && get(&admin, "/ready").ends_with("ready\n"));
        drain.begin();
        assert!(get(&admin, "/ready").contains("HTTP/1.1 503") && get(&admin, "/ready").ends_with("stopping\n"));
        assert!(get(&admin, "/live").contains("HTTP/1.1 200"));
    }

    #[test]
    fn metrics_are_served() {
        let (admin, _) = start("127.0.0.1:0");
        let answer = get(&admin, "/metrics");
        assert!(answer.contains("content-type: text/plain; version=0.0.4; charset=utf-8\r\n"), "{answer}");
        assert!(answer.contains("\nraceway_proxy_build_info{version="), "{answer}");
    }

    #[test]
    fn the_configuration_is_for_this_host_only() {
        let (admin, _) = start("127.0.0.1:0");
        let answer = get(&admin, "/config");
        let (head, body) = answer.split_once("\r\n\r\n").expect("head and body");
        assert!(head.contains("application/json"), "{head}");
        let shown: serde_json::Value = serde_json::from_str(body).expect("JSON");
        assert_eq!(shown.pointer("/identity/service").and_then(|it| it.as_str()), Some("orders"));
        for host in ["127.0.0.1", "[::1]:80", "LOCALHOST"] {
            let answer = send(&admin, &format!("GET /config HTTP/1.1\r\nhost: {host}\r\n\r\n"));
            assert!(answer.starts_with("HTTP/1.1 200"), "{host}: {answer}");
        }
        for host in [
            "host: evil.example",
            "host: localhost.evil.example",
            "host: 10.0.0.1",
            "host: a\r\nhost: localhost",
            "x: y",
        ] {
            let answer = send(&admin, &format!("GET /config HTTP/1.1\r\n{host}\r\n\r\n"));
            assert!(!answer.starts_with("HTTP/1.1 200") && !answer.contains("orders"), "{host}: {answer}");
        }
        let (admin, _) = start("0.0.0.0:0");
        assert!(get(&admin, "/config").starts_with("HTTP/1.1 404"));
        assert!(get(&admin, "/live").starts_with("HTTP/1.1 200"));
    }

    #[test]
    fn nothing_else_is_served() {
        let (admin, _) = start("127.0.0.1:0");
        for path in ["/", "/metrics/", "/../metrics", "/ready2", "//config"] {
            assert!(get(&admin, path).starts_with("HTTP/1.1 404"), "{path}");
        }
        let answer = send(&admin, "POST /metrics HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.1 405") && answer.contains("allow: GET, HEAD\r\n"), "{answer}");
        let large = format!("GET /live HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "y".repeat(64 << 10));
        assert!(!send(&admin, &large).starts_with("HTTP/1.1 200"));
    }

    #[test]
    fn connections_that_hang_do_not_keep_a_probe_out() {
        let (admin, _) = start("127.0.0.1:0");
        let hanging: Vec<_> =
            (0..3 * CONNECTIONS_MAX).map(|_| TcpStream::connect(admin.address()).expect("it listens")).collect();
        assert!(get(&admin, "/live").starts_with("HTTP/1.1 200"));
        drop(hanging);
    }

    #[test]
    fn a_taken_port_is_an_error_that_says_what_to_do_and_dropping_frees_it() {
        let (admin, _) = start("127.0.0.1:0");
        let address = admin.address();
        let args = ["raceway-proxy", "--service", "a", "--outbound", "127.0.0.1:0"];
        let config = Config::check(Args::try_parse_from(args).expect("usable"), &|_| None).expect("valid");
        let start = || Admin::start(address, &config, Arc::new(Metrics::new()), Drain::new());
        assert!(start().expect_err("taken").to_string().contains("choose another port"));
        // Also from within a runtime, which is where the sidecar starts it.
        let runtime = Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async { start().expect_err("taken") });
        drop(admin);
        start().expect("free again");
    }
}
