//! Spans in a small notation, one per line, for tables in tests:
//!
//! ```text
//! service[/instance] kind id[<parent] start-end [name=value | word]…
//! orders/o1          client 3<2       10-90     peer=payment error
//! ```
//!
//! Ids are hex, times are milliseconds. Known names: `caller` (service/instance), `app`, `peer`, `host`, `method`, `p`,
//! `candidates`, `name`, `ns`, `env`, `first` (ms to the first byte), `strand`, `receive`, `respond`, `end`, `send`,
//! `reply`. Known words: `error`, `tcp`, `sdk` (not reported by a sidecar).

use std::sync::Arc;

use raceway_analyzer_client::{Kind, Reported, Resource, SCOPE, Span, Status, Value};
use raceway_trace::{SpanId, TraceId};

use super::facts::{Facts, Identity, Words};

/// Where the tests' milliseconds count from, ns since the epoch.
pub(crate) const EPOCH_NS: u64 = 1_790_000_000_000_000_000;
/// One millisecond.
pub(crate) const MS: u64 = 1_000_000;

/// The trace that [`spans`] are of.
pub(crate) fn trace_id() -> TraceId {
    TraceId::new(0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736).expect("not zero")
}

/// Reads spans of one trace.
pub(crate) fn spans(text: &str) -> Vec<Reported> {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).map(span).collect()
}

/// Reads what the graph sees of them.
pub(crate) fn facts(text: &str) -> Vec<Facts> {
    spans(text).iter().map(facts_of).collect()
}

pub(crate) fn facts_of(reported: &Reported) -> Facts {
    let instance = reported.resource.service_instance().map(Into::into);
    Facts::of(reported, Arc::new(Identity::of(&reported.resource)), instance, &mut Words::default())
}

fn id(text: &str) -> SpanId {
    let number = u64::from_str_radix(text, 16).unwrap_or_else(|_| panic!("`{text}` is no span id"));
    SpanId::new(number).expect("a span id is not zero")
}

fn span(line: &str) -> Reported {
    let mut words = line.split_whitespace();
    let mut word = || words.next().unwrap_or_else(|| panic!("too short: {line}"));
    let (service, kind, ids, times) = (word(), word(), word(), word());
    let (service, instance) = service.split_once('/').map_or((service, None), |(name, at)| (name, Some(at)));
    let mut resource = Resource::new(service.to_owned());
    if let Some(instance) = instance {
        resource = resource.with("service.instance.id", instance.to_owned());
    }
    let kind = match kind {
        "server" => Kind::Server,
        "client" => Kind::Client,
        "internal" => Kind::Internal,
        "producer" => Kind::Producer,
        "consumer" => Kind::Consumer,
        other => panic!("no kind: {other}"),
    };
    let (own, parent) = ids.split_once('<').map_or((ids, None), |(own, parent)| (own, Some(parent)));
    let (start, end) = times.split_once('-').unwrap_or_else(|| panic!("no times: {times}"));
    let at = |ms: &str| EPOCH_NS + (ms.parse::<f64>().expect("a time") * 1e6).round() as u64;
    let mut span = Span::new(trace_id(), id(own), kind, format!("GET /{service}"), at(start));
    span.end_ns = at(end);
    span.parent_span_id = parent.map(id);
    let mut scope = SCOPE;
    for word in words {
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        let text = || value.to_owned();
        match name {
            "caller" => {
                let (service, instance) = value.split_once('/').map_or((value, None), |(name, at)| (name, Some(at)));
                span.set("raceway.caller.service", service.to_owned());
                if let Some(instance) = instance {
                    span.set("raceway.caller.instance", instance.to_owned());
                }
            }
            "app" => span.set("raceway.app.span_id", format!("{:016x}", id(value).get())),
            "peer" => span.set("peer.service", text()),
            "host" => span.set("server.address", text()),
            "method" => span.set("raceway.parent.method", text()),
            "p" => span.set("raceway.parent.p", value.parse::<f64>().expect("a probability")),
            "candidates" => span.set("raceway.parent.candidates", value.parse::<i64>().expect("a number")),
            "first" => span.set("raceway.first_byte_ns", (value.parse::<f64>().expect("a time") * 1e6) as i64),
            "name" => span.name = text().into(),
            "ns" => resource = resource.with("service.namespace", text()),
            "env" => resource = resource.with("deployment.environment.name", text()),
            "strand" => span.set("raceway.strand", text()),
            "receive" | "respond" | "send" | "reply" => span.set(format!("raceway.clock.{name}"), text()),
            "end" => span.set("raceway.clock.end", value.parse::<i64>().expect("a tick")),
            "error" => span.status = Status::Error("".into()),
            "tcp" => span.set("network.transport", "tcp"),
            "sdk" => scope = "sdk",
            other => panic!("not known: {other}"),
        }
    }
    if scope == SCOPE && span.attribute("network.transport").is_none() {
        span.set("http.request.method", Value::from("GET"));
    }
    Reported { resource: Arc::new(resource), scope: scope.into(), span: span.into_owned() }
}
