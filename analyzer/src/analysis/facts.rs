//! What the graph needs to know of a span, read from its attributes once.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use raceway_analyzer_client::{Kind, Reported, Resource, SCOPE, Span, Status, Value};
use raceway_trace::SpanId;
use raceway_trace::tracestate::Method;

/// Who a service is: the name alone does not tell two environments apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Identity {
    /// `service.name`.
    pub(crate) name: Arc<str>,
    /// `service.namespace`.
    pub(crate) namespace: Option<Arc<str>>,
    /// `deployment.environment.name`.
    pub(crate) environment: Option<Arc<str>>,
}

impl Identity {
    /// The service that a resource names; `unknown` where it names none, as OpenTelemetry's collectors say.
    pub(crate) fn of(resource: &Resource) -> Self {
        Self {
            name: resource.service_name().unwrap_or("unknown").into(),
            namespace: resource.service_namespace().map(Into::into),
            environment: resource.environment().map(Into::into),
        }
    }

    /// Somebody of whom only a name is known.
    pub(crate) fn named(name: &str) -> Self {
        Self { name: name.into(), namespace: None, environment: None }
    }

    /// Whether both may be one service: an SDK that says less than the sidecar beside it is still the same.
    pub(crate) fn is(&self, other: &Self) -> bool {
        fn agree(a: Option<&Arc<str>>, b: Option<&Arc<str>>) -> bool {
            a.zip(b).is_none_or(|(a, b)| a == b)
        }
        self.name == other.name
            && agree(self.namespace.as_ref(), other.namespace.as_ref())
            && agree(self.environment.as_ref(), other.environment.as_ref())
    }
}

/// How a span was tied to its parent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Link {
    /// What told.
    pub(crate) method: Method,
    /// The probability of this single link.
    pub(crate) p: f64,
    /// How many requests were in flight, where the sidecar said.
    pub(crate) candidates: Option<u32>,
    /// How sure it is.
    pub(crate) certainty: Certainty,
}

/// How sure it is which request caused a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Certainty {
    Certain,
    Likely,
    Unlinked,
}

/// What kind of call it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Medium {
    #[default]
    Http,
    Rpc,
    Database,
    Message,
    /// A connection whose content nobody read.
    Tcp,
}

impl Medium {
    /// As `link_type` shows it.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Http => "Http",
            Self::Rpc => "Rpc",
            Self::Database => "Database",
            Self::Message => "Message",
            Self::Tcp => "Tcp",
        }
    }
}

/// What the graph needs to know of a span.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) span_id: SpanId,
    pub(crate) parent: Option<SpanId>,
    pub(crate) kind: Kind,
    pub(crate) service: Arc<Identity>,
    pub(crate) instance: Option<Arc<str>>,
    pub(crate) start_ns: u64,
    pub(crate) end_ns: u64,
    /// From the start to the first byte of the answer's head.
    pub(crate) first_byte_ns: Option<u64>,
    pub(crate) error: bool,
    /// The id that the sidecar made up for an SDK that may sit in the application: `raceway.app.span_id`.
    pub(crate) stand_in: Option<SpanId>,
    /// Service and instance of the caller, as the request's clock named them.
    pub(crate) caller: Option<(Arc<str>, Option<Arc<str>>)>,
    /// The peer as the caller knows it: the route's NAME, else the host without port.
    pub(crate) peer: Option<Arc<str>>,
    /// The peer's host, of a call; the own host as the caller named it, of a request answered.
    pub(crate) host: Option<Arc<str>>,
    pub(crate) medium: Medium,
    pub(crate) protocol: Option<Arc<str>>,
    pub(crate) bytes: u64,
    pub(crate) link: Link,
    /// Events of an SDK that it carries; 0 for a span proper.
    pub(crate) sdk_events: u32,
}

/// Different words kept for sharing; then the sharing starts anew.
const WORDS_MAX: usize = 8192;

/// Words that many spans have in common, kept once.
#[derive(Debug, Default)]
pub(crate) struct Words(HashSet<Arc<str>>);

impl Words {
    pub(crate) fn word(&mut self, text: &str) -> Arc<str> {
        if let Some(word) = self.0.get(text) {
            return word.clone();
        }
        if self.0.len() >= WORDS_MAX {
            self.0.clear();
        }
        let word: Arc<str> = text.into();
        self.0.insert(word.clone());
        word
    }
}

/// Reads spans, and each process that reports them once.
#[derive(Debug, Default)]
pub(crate) struct Processes {
    /// The resources are held, so that no other can come to lie at their address.
    known: HashMap<*const Resource, (Arc<Resource>, Process)>,
    words: Words,
}

/// Who reports.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    pub(crate) service: Arc<Identity>,
    pub(crate) instance: Option<Arc<str>>,
    pub(crate) version: Option<Arc<str>>,
}

impl Process {
    pub(crate) fn of(resource: &Resource, words: &mut Words) -> Self {
        Self {
            service: Arc::new(Identity::of(resource)),
            instance: resource.service_instance().map(|name| words.word(name)),
            version: resource.service_version().map(|name| words.word(name)),
        }
    }
}

impl Processes {
    pub(crate) fn facts(&mut self, reported: &Reported) -> Facts {
        let Self { known, words } = self;
        let (_, process) = known
            .entry(Arc::as_ptr(&reported.resource))
            .or_insert_with(|| (reported.resource.clone(), Process::of(&reported.resource, words)));
        Facts::of(reported, process.service.clone(), process.instance.clone(), words)
    }
}

impl Facts {
    /// Reads a span. `service` and `instance` are its resource's, so that spans of one process share them.
    pub(crate) fn of(
        reported: &Reported,
        service: Arc<Identity>,
        instance: Option<Arc<str>>,
        words: &mut Words,
    ) -> Self {
        let span = &reported.span;
        let read = Attributes::read(&span.attributes);
        let sdk_events =
            span.events.iter().filter(|event| event.attribute(crate::ingest::raceway_events::EVENT_JSON).is_some());
        Self {
            span_id: span.span_id,
            parent: span.parent_span_id,
            kind: span.kind,
            service,
            instance,
            start_ns: span.start_ns,
            end_ns: span.end_ns.max(span.start_ns),
            first_byte_ns: read.first_byte_ns,
            error: matches!(span.status, Status::Error(_)),
            stand_in: read.stand_in.and_then(|text| SpanId::from_hex(text.as_bytes())),
            caller: read
                .caller_service
                .map(|name| (words.word(name), read.caller_instance.map(|name| words.word(name)))),
            peer: read.peer().map(|name| words.word(name)),
            host: read.address.or(read.peer_address).map(|host| words.word(without_port(host))),
            medium: read.medium(span.kind),
            protocol: read.protocol().map(|name| words.word(&name)),
            bytes: read.bytes,
            link: read.link(span.parent_span_id.is_some(), &*reported.scope == SCOPE),
            sdk_events: u32::try_from(sdk_events.count()).unwrap_or(u32::MAX),
        }
    }

    /// Whether it made a call.
    pub(crate) fn calls(&self) -> bool {
        matches!(self.kind, Kind::Client | Kind::Producer)
    }

    /// Whether it answered one.
    pub(crate) fn answers(&self) -> bool {
        matches!(self.kind, Kind::Server | Kind::Consumer)
    }

    pub(crate) fn duration_ns(&self) -> u64 {
        self.end_ns.saturating_sub(self.start_ns)
    }

    /// How many events it shows as: its request and its answer, or the events of an SDK that it carries.
    pub(crate) fn events(&self) -> u64 {
        if self.sdk_events > 0 { u64::from(self.sdk_events) } else { 2 }
    }
}

/// The attributes that matter here, found in one pass.
#[derive(Default)]
struct Attributes<'a> {
    stand_in: Option<&'a str>,
    caller_service: Option<&'a str>,
    caller_instance: Option<&'a str>,
    peer_service: Option<&'a str>,
    address: Option<&'a str>,
    peer_address: Option<&'a str>,
    method: Option<&'a str>,
    p: Option<f64>,
    candidates: Option<i64>,
    http_method: Option<&'a str>,
    protocol_name: Option<&'a str>,
    protocol_version: Option<&'a str>,
    transport: Option<&'a str>,
    rpc: Option<&'a str>,
    database: Option<&'a str>,
    messaging: Option<&'a str>,
    first_byte_ns: Option<u64>,
    bytes: u64,
}

impl<'a> Attributes<'a> {
    fn read(attributes: &'a [(Cow<'_, str>, Value<'_>)]) -> Self {
        let mut read = Self::default();
        for (name, value) in attributes {
            let text = || value.as_str().filter(|text| !text.is_empty());
            match &**name {
                "raceway.app.span_id" => read.stand_in = text(),
                "raceway.caller.service" => read.caller_service = text(),
                "raceway.caller.instance" => read.caller_instance = text(),
                "raceway.parent.method" => read.method = text(),
                "raceway.parent.p" => read.p = value.as_f64(),
                "raceway.parent.candidates" => read.candidates = value.as_int(),
                "raceway.first_byte_ns" => {
                    read.first_byte_ns = value.as_int().and_then(|ns| u64::try_from(ns).ok());
                }
                "peer.service" => read.peer_service = text(),
                "server.address" => read.address = text(),
                // What semantic conventions before 1.21 called it.
                "net.peer.name" | "http.host" => read.address = read.address.or_else(text),
                "network.peer.address" => read.peer_address = text(),
                "http.request.method" | "http.method" => read.http_method = text(),
                "network.protocol.name" => read.protocol_name = text(),
                "network.protocol.version" => read.protocol_version = text(),
                "network.transport" => read.transport = text(),
                "rpc.system" | "rpc.system.name" => read.rpc = text(),
                "db.system" | "db.system.name" => read.database = text(),
                "messaging.system" => read.messaging = text(),
                "http.request.body.size"
                | "http.response.body.size"
                | "raceway.bytes.sent"
                | "raceway.bytes.received" => {
                    let size = value.as_int().and_then(|size| u64::try_from(size).ok()).unwrap_or(0);
                    read.bytes = read.bytes.saturating_add(size);
                }
                _ => {}
            }
        }
        read
    }

    fn peer(&self) -> Option<&'a str> {
        let host = self.address.or(self.peer_address).map(without_port);
        self.peer_service.or(host).or(self.database).or(self.messaging)
    }

    fn medium(&self, kind: Kind) -> Medium {
        if self.database.is_some() {
            Medium::Database
        } else if self.messaging.is_some() || matches!(kind, Kind::Producer | Kind::Consumer) {
            Medium::Message
        } else if self.rpc.is_some() {
            Medium::Rpc
        } else if self.http_method == Some("CONNECT") || self.http_method.is_none() && self.transport == Some("tcp") {
            Medium::Tcp
        } else {
            Medium::Http
        }
    }

    fn protocol(&self) -> Option<Cow<'a, str>> {
        let name = self.rpc.or(self.database).or(self.messaging).or(self.protocol_name);
        match (name, self.protocol_version) {
            (None, Some(version)) => Some(format!("http/{version}").into()),
            (Some(name), Some(version)) => Some(format!("{name}/{version}").into()),
            (Some(name), None) => Some(name.into()),
            (None, None) => self.http_method.map(|_| "http".into()),
        }
    }

    fn link(&self, has_parent: bool, sidecar: bool) -> Link {
        let (method, certainty) = tied(self.method, has_parent, sidecar);
        let p = self.p.filter(|p| (0.0..=1.0).contains(p)).unwrap_or(1.0);
        Link { method, p, candidates: self.candidates.and_then(|n| u32::try_from(n).ok()), certainty }
    }
}

/// Whether a span is a call of which nobody knows the cause.
pub(crate) fn is_unlinked_call(reported: &Reported) -> bool {
    let span = &reported.span;
    if !matches!(span.kind, Kind::Client | Kind::Producer) {
        return false;
    }
    let method = span.attribute("raceway.parent.method").and_then(|method| method.as_str());
    let method = method.filter(|method| !method.is_empty());
    tied(method, span.parent_span_id.is_some(), &*reported.scope == SCOPE).1 == Certainty::Unlinked
}

/// Whom a call goes to, as the caller knows it; `None` for what is no call.
pub(crate) fn peer_of_call<'a>(span: &'a Span<'_>) -> Option<&'a str> {
    let calls = matches!(span.kind, Kind::Client | Kind::Producer);
    calls.then(|| Attributes::read(&span.attributes).peer()).flatten()
}

/// What tied a span to its parent, and how sure that is, from the word that its sidecar wrote.
fn tied(word: Option<&str>, has_parent: bool, sidecar: bool) -> (Method, Certainty) {
    let method = word.and_then(Method::from_word);
    let method = method.unwrap_or(if has_parent { Method::Header } else { Method::Root });
    let certainty = match method {
        Method::Header | Method::Carrier => Certainty::Certain,
        Method::Process | Method::Thread | Method::Sole | Method::Bayes => Certainty::Likely,
        // An SDK knows when there is no cause; a sidecar only knows that it found none.
        Method::Root if word.is_none() && !sidecar => Certainty::Certain,
        Method::Root => Certainty::Unlinked,
    };
    (method, certainty)
}

/// `payment:8080` and `[::1]:8080` without what follows the host.
fn without_port(authority: &str) -> &str {
    if let Some(rest) = authority.strip_prefix('[') {
        return rest.split_once(']').map_or(rest, |(host, _)| host);
    }
    match authority.split_once(':') {
        // More than one colon is a bare IPv6 address.
        Some((host, port)) if !port.contains(':') => host,
        _ => authority,
    }
}

#[cfg(test)]
mod tests {
    use super::without_port;

    #[test]
    fn a_host_is_named_without_its_port() {
        let table =
            [("payment:8080", "payment"), ("payment", "payment"), ("[::1]:80", "::1"), ("::1", "::1"), ("", "")];
        for (authority, host) in table {
            assert_eq!(without_port(authority), host);
        }
    }
}
