//! The control face: what only this host's operator may see and do.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::header::{ALLOW, AUTHORIZATION, HOST, HeaderValue, WWW_AUTHENTICATE};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use tokio::sync::Notify;

use super::edges::Window;
use super::{Answer, State, only_read, socket, text, with_type};
use crate::config::Config;
use crate::edges::Edges;
use crate::log;

/// Longest body that is read: a level is a word.
const BODY_BYTES_MAX: usize = 256;
/// Shortest token that is taken: 16 characters cannot be guessed over a socket.
const TOKEN_BYTES_MIN: usize = 16;

/// A bound socket of the control face.
pub(super) enum Socket {
    Tcp(std::net::TcpListener),
    Unix(socket::Bound),
}

impl Socket {
    pub(super) fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(listener) => listener.local_addr().ok(),
            Self::Unix(_) => None,
        }
    }
}

/// What can be seen and done.
pub(super) struct Controls {
    service: Arc<str>,
    config: Bytes,
    counters: Edges,
    window: Mutex<Window>,
    quit: Arc<Notify>,
    quitting: AtomicBool,
    /// `None` on a Unix socket, whose mode says who may open it.
    token: Option<String>,
}

/// Reads a token for the control face; the error says what to look at.
pub(crate) fn token(file: &Path) -> Result<String, String> {
    let wrong = |problem: String| format!("--control-token-file {}: {problem}", file.display());
    let text = std::fs::read_to_string(file).map_err(|error| wrong(format!("cannot be read: {error}")))?;
    let token = text.trim();
    let fits = token.len() >= TOKEN_BYTES_MIN && token.bytes().all(|byte| byte.is_ascii_graphic());
    if fits { Ok(token.to_owned()) } else { Err(wrong("must hold one word of 16 or more ASCII characters".to_owned())) }
}

impl Controls {
    pub(super) fn new(
        config: &Config,
        counters: Edges,
        quit: Arc<Notify>,
        token: Option<String>,
    ) -> Result<Self, String> {
        let shown = serde_json::to_vec_pretty(config).map_err(|error| format!("--control: {error}"))?;
        Ok(Self {
            service: Arc::clone(&config.identity.service),
            config: shown.into(),
            window: Mutex::new(Window::new(&counters)),
            counters,
            quit,
            quitting: AtomicBool::new(false),
            token,
        })
    }

    /// Keeps the last minutes' edges; never ends.
    pub(super) async fn watch(&self) {
        loop {
            tokio::time::sleep(Window::STEP).await;
            self.window.lock().unwrap_or_else(PoisonError::into_inner).step(&self.counters);
        }
    }

    pub(super) async fn answer(&self, request: Request<Incoming>, state: &State, here: Option<IpAddr>) -> Answer {
        if let Some(refused) = self.refused(request.headers()) {
            return refused;
        }
        match request.uri().path() {
            "/config" | "/edges" if only_read(request.method()).is_some() => {
                only_read(request.method()).unwrap_or_else(|| text(StatusCode::METHOD_NOT_ALLOWED, ""))
            }
            "/config" => with_type(self.config.clone(), "application/json"),
            "/edges" => {
                let window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
                with_type(window.json(&self.service, &self.counters), "application/json")
            }
            "/log-level" | "/quit" if request.method() != Method::POST => {
                let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only POST\n");
                response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
                response
            }
            "/log-level" => log_level(request).await,
            "/quit" => {
                // Asking twice is asking once; a second SIGTERM is what ends at once.
                if !self.quitting.swap(true, Ordering::Relaxed) {
                    self.quit.notify_one();
                }
                text(StatusCode::OK, "stopping: requests in flight are finished first\n")
            }
            _ => {
                let answer = state.answer(&request, here).await;
                if answer.status() != StatusCode::NOT_FOUND {
                    return answer;
                }
                text(
                    StatusCode::NOT_FOUND,
                    "here are /config, /edges, POST /log-level, POST /quit, /metrics, /live and /ready\n",
                )
            }
        }
    }

    /// On loopback anybody on this host can connect, also a browser that was told to.
    fn refused(&self, headers: &HeaderMap) -> Option<Answer> {
        let token = self.token.as_deref()?;
        if !names_this_host(headers) {
            return Some(text(StatusCode::FORBIDDEN, "only by the name localhost or a loopback address\n"));
        }
        let mut given = headers.get_all(AUTHORIZATION).iter();
        let bearer = match (given.next(), given.next()) {
            (Some(value), None) => value.to_str().ok().and_then(|value| value.strip_prefix("Bearer ")),
            _ => None,
        };
        if bearer.is_some_and(|bearer| same(bearer.as_bytes(), token.as_bytes())) {
            return None;
        }
        let mut answer = text(StatusCode::UNAUTHORIZED, "give the token: Authorization: Bearer TOKEN\n");
        answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        Some(answer)
    }
}

impl std::fmt::Debug for Controls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Without the token.
        f.debug_struct("Controls").finish_non_exhaustive()
    }
}

async fn log_level(request: Request<Incoming>) -> Answer {
    let body = Limited::new(request.into_body(), BODY_BYTES_MAX).collect().await;
    let level = body.ok().and_then(|body| String::from_utf8(body.to_bytes().to_vec()).ok());
    match level.and_then(|level| level.trim().parse().ok()) {
        Some(level) if log::set_level(level) => text(StatusCode::OK, format!("the log level is {level}\n")),
        Some(_) => text(StatusCode::CONFLICT, "this process started its log itself: set the level there\n"),
        None => text(StatusCode::BAD_REQUEST, "write error, warn, info, debug, trace or off as the body\n"),
    }
}

/// Whether two texts are the same, in a time that does not tell where they differ.
fn same(one: &[u8], two: &[u8]) -> bool {
    one.len() == two.len() && one.iter().zip(two).fold(0, |differ, (one, two)| differ | (one ^ two)) == 0
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
