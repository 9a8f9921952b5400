//! Spans: opened as a request comes, closed on every ending, also when the future that carries it is dropped.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use raceway_analyzer_client::{Kind, Link as SpanLink, SpanWriter, Status, Value};
use raceway_tls::Peer;
use raceway_trace::SpanId;
use raceway_trace::raceway_clock::{self, RacewayClock};
use raceway_trace::traceparent::Flags;
use raceway_trace::tracestate::{Member, Method, Probability, Tracestate};

use crate::failure::Failure;
use crate::message::{RequestHead, ResponseHead};
use crate::metrics::Calls;
use crate::sidecar::Sidecar;

mod client;
mod server;

pub(crate) use client::{ClientSpan, TcpSpan};
pub(crate) use server::ServerSpan;

/// What both sides of a call note about it.
struct Call {
    started_ns: u64,
    started: Instant,
    method: Cow<'static, str>,
    /// Where [`Call::method`] is `_OTHER`.
    method_original: Option<String>,
    path: String,
    authority: Option<String>,
    scheme: &'static str,
    /// The other side, where TLS told who it is.
    peer: Option<Arc<Peer>>,
    protocol: &'static str,
    status: Option<u16>,
    first_byte: Option<Duration>,
    failure: Option<&'static str>,
    closed: bool,
}

impl Call {
    fn open(sidecar: &Sidecar, head: &impl RequestHead) -> Self {
        let (method, method_original) = match known_method(head.method()) {
            Some(method) => (method, None),
            None => ("_OTHER", Some(head.method().to_owned())),
        };
        let path = String::from_utf8_lossy(head.path());
        Self {
            started_ns: unix_ns(),
            started: Instant::now(),
            method: Cow::Borrowed(method),
            method_original,
            path: sidecar.config.redact.path(&path).into_owned(),
            authority: head.authority().map(|authority| String::from_utf8_lossy(authority).into_owned()),
            scheme: "http",
            peer: None,
            protocol: head.protocol(),
            status: None,
            first_byte: None,
            failure: None,
            closed: false,
        }
    }

    fn answered(&mut self, head: &impl ResponseHead) {
        self.first_byte = Some(self.started.elapsed());
        self.status = Some(head.status());
    }

    fn failed(&mut self, failure: &Failure, calls: &Calls) {
        count(failure, calls);
        self.failure = Some(failure.reason());
        self.status = failure.status();
    }

    /// How the exchange ended, once; what is dropped without having ended was abandoned.
    fn end(&mut self, ending: Result<(), &Failure>, calls: &Calls) -> bool {
        if std::mem::replace(&mut self.closed, true) {
            return false;
        }
        if let (Err(failure), None) = (ending, self.failure) {
            count(failure, calls);
            self.failure = Some(failure.reason());
        }
        true
    }

    /// `error.type`: our word for what broke, else the status where it is an error on this side.
    fn error(&self, error_from: u16) -> Option<Cow<'static, str>> {
        match (self.failure, self.status) {
            (Some(reason), _) => Some(Cow::Borrowed(reason)),
            (None, Some(status)) if status >= error_from => Some(Cow::Owned(status.to_string())),
            _ => None,
        }
    }

    /// Writes what both sides say alike.
    fn describe(&self, span: &mut SpanWriter<'_>, base: Base, error_from: u16, (sent, received): (u64, u64)) {
        base.describe(span, self.started_ns);
        span.set("http.request.method", self.method.as_ref());
        if let Some(original) = &self.method_original {
            span.set("http.request.method_original", original.as_str());
        }
        span.set("url.path", self.path.as_str());
        span.set("url.scheme", self.scheme);
        span.set("network.protocol.version", self.protocol);
        if let Some(status) = self.status {
            span.set("http.response.status_code", i64::from(status));
        }
        if sent > 0 {
            span.set("http.request.body.size", sent);
        }
        if received > 0 {
            span.set("http.response.body.size", received);
        }
        if let Some(first_byte) = self.first_byte {
            span.set("raceway.first_byte_ns", nanoseconds(first_byte));
        }
        if let Some(error) = self.error(error_from) {
            span.set("error.type", error);
            span.status(&Status::Error(Cow::Borrowed("")));
        }
    }
}

/// Writes who the other side is, and how that is known. The conventions have no name for a certificate's alternative
/// names; these stand beside their `tls.client.subject` and `tls.server.subject`.
fn describe_peer(span: &mut SpanWriter<'_>, peer: &Peer, names_as: &str) {
    span.set("tls.protocol.name", "tls");
    span.set("tls.protocol.version", peer.version);
    if !peer.names.is_empty() {
        let names = peer.names.iter().map(|name| Value::Str(Cow::Borrowed(name.as_str())));
        span.set(names_as, Value::Array(names.collect()));
    }
    if let Some(name) = &peer.server_name {
        span.set("tls.client.server_name", name.as_str());
    }
}

/// Counts a failure where it belongs: the caller's fault, the other side's, or nobody's.
fn count(failure: &Failure, calls: &Calls) {
    match failure {
        Failure::CallerGone => {}
        Failure::BadRequest(_) | Failure::RequestHeadTooLarge(_) | Failure::Overloaded => {
            calls.refused(failure.reason())
        }
        _ => calls.failed(failure.reason()),
    }
}

/// Whose span it is.
struct Base {
    trace_id: raceway_trace::TraceId,
    span_id: SpanId,
    parent: Option<SpanId>,
    kind: Kind,
    flags: Flags,
    took: Duration,
}

impl Base {
    fn describe(self, span: &mut SpanWriter<'_>, started_ns: u64) {
        span.begin(self.trace_id, self.span_id, self.kind, (started_ns, started_ns + nanoseconds(self.took)));
        if let Some(parent) = self.parent {
            span.parent(parent);
        }
        span.flags(self.flags.bits());
    }
}

/// The methods that semantic conventions know by name.
fn known_method(method: &str) -> Option<&'static str> {
    const KNOWN: [&str; 9] = ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "CONNECT", "TRACE"];
    KNOWN.into_iter().find(|known| *known == method)
}

/// Wall-clock time, ns since the epoch.
fn unix_ns() -> u64 {
    nanoseconds(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// A vector clock as a span's attribute: `[["orders#pod-1a2b3c4d~7",3],…]`.
fn clock_text(clock: &raceway_trace::clock::VectorClock) -> String {
    let mut text = Vec::with_capacity(64);
    clock.write_json(&mut text);
    // Written by us, so it is UTF-8.
    String::from_utf8(text).unwrap_or_default()
}
