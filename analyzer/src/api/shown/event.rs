//! Spans as events: a span of a sidecar is the pair of a request and its response, an SDK's events are what they were.

use std::collections::BTreeMap;

use raceway_analyzer_client::{Kind, Reported, Value};
use raceway_trace::TraceId;
use serde_json::{Value as Json, json};

use super::trace::{entries, json as to_json};
use crate::analysis::facts::Medium;
use crate::analysis::order::Sequence;
use crate::analysis::trace::Trace;
use crate::api::time::rfc3339;
use crate::api::types::{Event, EventMetadata};
use crate::ingest::raceway_events::EVENT_JSON;

/// The events of a trace, causes before effects, else by time.
pub(in crate::api) fn events(trace: &Trace) -> Vec<Event> {
    let sequence = Sequence::new(&trace.facts, &trace.assembled, &trace.orders, &trace.times);
    // Times that never go back along the sequence: an SDK's event is put between those of its span's begin and end.
    let mut latest = i64::MIN;
    let mut began = vec![(i64::MIN, 0); trace.facts.len()];
    let mut events: Vec<((i64, usize), Event)> = Vec::with_capacity(trace.facts.len() * 2);
    for (rank, (at, over)) in sequence.iter().enumerate() {
        let Some(span) = Shown::new(trace, at) else { continue };
        latest = latest.max(span.time(if over { Half::Response } else { Half::Request }));
        let place = (latest, rank * 2);
        match (span.sdk, over) {
            (false, false) => events.push((place, span.request())),
            (false, true) => events.push((place, span.response())),
            (true, false) => {
                if let Some(slot) = began.get_mut(at) {
                    *slot = place;
                }
            }
            (true, true) => {
                let (from, rank) = began.get(at).copied().unwrap_or(place);
                let own = span.sdk_events().map(|(time, event)| ((time.clamp(from, latest), rank + 1), event));
                events.extend(own);
            }
        }
    }
    events.sort_by_key(|(place, _)| *place);
    events.into_iter().map(|(_, event)| event).collect()
}

struct Shown<'a> {
    trace: &'a Trace,
    at: usize,
    reported: &'a Reported,
    medium: Medium,
    sdk: bool,
}

impl<'a> Shown<'a> {
    fn new(trace: &'a Trace, at: usize) -> Option<Self> {
        let (facts, reported) = (trace.facts.get(at)?, trace.reported.get(at)?);
        Some(Self { trace, at, reported, medium: facts.medium, sdk: facts.sdk_events > 0 })
    }

    fn text(&self, name: &str) -> &'a str {
        self.reported.span.attribute(name).and_then(Value::as_str).unwrap_or_default()
    }

    fn request(&self) -> Event {
        let span = &self.reported.span;
        let kind = match span.kind {
            Kind::Server | Kind::Client if self.medium == Medium::Database => (
                "DatabaseQuery",
                json!({
                    "query": self.first_text(&["db.query.text", "db.statement"]),
                    "database": self.first_text(&["db.namespace", "db.name", "db.system.name", "db.system"]),
                    "duration_ms": whole_ms(span.duration_ns()),
                }),
            ),
            Kind::Server | Kind::Client => {
                let method = match self.first_text(&["http.request.method", "http.method"]) {
                    "" => &*span.name,
                    method => method,
                };
                ("HttpRequest", json!({"method": method, "url": self.url(), "headers": {}, "body": null}))
            }
            Kind::Internal | Kind::Unspecified => (
                "FunctionCall",
                json!({
                    "function_name": &*span.name,
                    "module": &*self.reported.scope,
                    "args": {},
                    "file": self.first_text(&["code.file.path", "code.filepath"]),
                    "line": span.attribute("code.line.number").and_then(Value::as_int).unwrap_or(0),
                }),
            ),
            Kind::Producer | Kind::Consumer => {
                ("Custom", json!({"name": &*span.name, "data": {"kind": span.kind.word()}}))
            }
        };
        let upstream = self.trace.assembled.parents.get(self.at).and_then(|parent| parent.span());
        let parent = upstream.map(|parent| (parent, Half::Request));
        let clock = self.ticks().map(|ticks| entries(&ticks.clock));
        self.event(Half::Request, parent, kind, clock)
    }

    fn response(&self) -> Event {
        let span = &self.reported.span;
        let duration_ms = whole_ms(span.duration_ns());
        let kind = match span.kind {
            Kind::Server | Kind::Client if self.medium == Medium::Database => {
                ("DatabaseResult", json!({"rows_affected": 0}))
            }
            Kind::Server | Kind::Client => {
                let status = span.attribute("http.response.status_code").or(span.attribute("http.status_code"));
                let status = status.and_then(Value::as_int).unwrap_or(0);
                let body = json!({"status": status, "headers": {}, "body": null, "duration_ms": duration_ms});
                ("HttpResponse", body)
            }
            kind => {
                let data = json!({"kind": kind.word(), "duration_ms": duration_ms});
                ("Custom", json!({"name": format!("{} ended", span.name), "data": data}))
            }
        };
        let clock = self.ticks().map(|ticks| entries(ticks.head_clock.as_ref().unwrap_or(&ticks.clock)));
        self.event(Half::Response, Some((self.at, Half::Request)), kind, clock)
    }

    fn event(
        &self,
        half: Half,
        parent: Option<(usize, Half)>,
        (kind, fields): (&str, Json),
        clock: Option<Vec<(String, u64)>>,
    ) -> Event {
        let parent = parent.and_then(|(at, half)| Some(event_id(self.trace.reported.get(at)?, half)));
        let time = self.time(half);
        Event {
            id: event_id(self.reported, half),
            trace_id: self.reported.span.trace_id.uuid().to_string(),
            parent_id: parent,
            timestamp: rfc3339(self.trace.first_ns.saturating_add_signed(time)),
            kind: BTreeMap::from([(kind.to_owned(), fields)]),
            metadata: self.metadata(),
            causality_vector: clock.unwrap_or_default(),
            lock_set: Vec::new(),
        }
    }

    fn metadata(&self) -> EventMetadata {
        let (span, resource) = (&self.reported.span, &self.reported.resource);
        let instance = resource.service_instance().map(str::to_owned);
        let thread = [self.text("raceway.strand"), self.text("thread.name")].into_iter().find(|text| !text.is_empty());
        let process = resource.attribute("process.pid").and_then(Value::as_int);
        let parent = self.trace.assembled.parents.get(self.at).and_then(|parent| parent.span());
        let parent = parent.and_then(|at| self.trace.facts.get(at)).map(|parent| parent.span_id);
        EventMetadata {
            thread_id: thread.map(str::to_owned).or_else(|| instance.clone()).unwrap_or_default(),
            process_id: process.and_then(|pid| u32::try_from(pid).ok()).unwrap_or(0),
            service_name: resource.service_name().unwrap_or("unknown").to_owned(),
            environment: resource.environment().unwrap_or_default().to_owned(),
            tags: span
                .attributes
                .iter()
                // Clocks are shown as such.
                .filter(|(name, _)| !name.starts_with("raceway.clock."))
                .map(|(name, value)| (name.clone().into_owned(), as_text(value)))
                .collect(),
            duration_ns: Some(span.duration_ns()),
            instance_id: instance,
            distributed_span_id: Some(span.span_id.to_string()),
            upstream_span_id: parent.or(span.parent_span_id).map(|id| id.to_string()),
        }
    }

    fn ticks(&self) -> Option<&'a crate::analysis::order::Ticks> {
        self.trace.orders.ticks.get(self.at)?.as_ref()
    }

    fn url(&self) -> String {
        let whole = self.first_text(&["url.full", "http.url"]);
        if !whole.is_empty() {
            return whole.to_owned();
        }
        let (scheme, host) = (self.text("url.scheme"), self.first_text(&["server.address", "net.peer.name"]));
        let path = self.first_text(&["url.path", "http.target"]);
        if host.is_empty() {
            return path.to_owned();
        }
        let port = self.reported.span.attribute("server.port").and_then(Value::as_int);
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        let scheme = if scheme.is_empty() { "http" } else { scheme };
        format!("{scheme}://{host}{port}{path}")
    }

    fn first_text(&self, names: &[&str]) -> &'a str {
        names.iter().map(|name| self.text(name)).find(|text| !text.is_empty()).unwrap_or_default()
    }

    /// When a half of it happened, on the trace's clock.
    fn time(&self, half: Half) -> i64 {
        self.trace.times.get(self.at).map_or(0, |times| match half {
            Half::Request => times.0,
            Half::Response => times.1,
        })
    }

    /// What an SDK reported, and when on the trace's clock.
    fn sdk_events(&self) -> impl Iterator<Item = (i64, Event)> {
        let span = &self.reported.span;
        let begin = self.time(Half::Request);
        span.events.iter().filter_map(move |event| {
            let json = event.attribute(EVENT_JSON)?.as_str()?;
            let since = i128::from(event.time_ns) - i128::from(span.start_ns) + i128::from(begin);
            Some((i64::try_from(since).unwrap_or(begin), sdk_event(json, span.trace_id)?))
        })
    }
}

/// An SDK's event as it reported it, but for the trace id's spelling. What it left out is empty.
fn sdk_event(json: &str, trace_id: TraceId) -> Option<Event> {
    let event: Json = serde_json::from_str(json).ok()?;
    let text = |of: &Json, field: &str| of.get(field).and_then(Json::as_str).map(str::to_owned);
    let metadata = event.get("metadata").unwrap_or(&Json::Null);
    let loose = |value: &Json| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let tags = metadata.get("tags").and_then(Json::as_object).into_iter().flatten();
    let clock = event.get("causality_vector").and_then(Json::as_array).into_iter().flatten();
    let locks = event.get("lock_set").and_then(Json::as_array).into_iter().flatten();
    Some(Event {
        id: text(&event, "id")?,
        trace_id: trace_id.uuid().to_string(),
        parent_id: text(&event, "parent_id"),
        timestamp: text(&event, "timestamp")?,
        kind: event.get("kind")?.as_object()?.iter().map(|(kind, fields)| (kind.clone(), fields.clone())).collect(),
        metadata: EventMetadata {
            thread_id: metadata.get("thread_id").map(loose).unwrap_or_default(),
            process_id: metadata
                .get("process_id")
                .and_then(Json::as_u64)
                .and_then(|pid| pid.try_into().ok())
                .unwrap_or(0),
            service_name: text(metadata, "service_name").unwrap_or_default(),
            environment: text(metadata, "environment").unwrap_or_default(),
            tags: tags.map(|(name, value)| (name.clone(), loose(value))).collect(),
            duration_ns: metadata.get("duration_ns").and_then(Json::as_u64),
            instance_id: text(metadata, "instance_id"),
            distributed_span_id: text(metadata, "distributed_span_id"),
            upstream_span_id: text(metadata, "upstream_span_id"),
        },
        causality_vector: clock
            .filter_map(|entry| Some((entry.get(0)?.as_str()?.to_owned(), entry.get(1)?.as_u64()?)))
            .collect(),
        lock_set: locks.filter_map(Json::as_str).map(str::to_owned).collect(),
    })
}

/// Which event of a span.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Half {
    Request,
    Response,
}

/// A UUID that is the same at every reading: a hash of the span's key, marked as such (version 8).
fn event_id(reported: &Reported, half: Half) -> String {
    let span = &reported.span;
    let mut key = Vec::with_capacity(96);
    key.extend_from_slice(&span.trace_id.to_bytes());
    key.extend_from_slice(&span.span_id.to_bytes());
    key.push(span.kind as u8);
    key.push(u8::from(half == Half::Response));
    for text in [reported.resource.service_name(), reported.resource.service_instance()] {
        key.extend_from_slice(text.unwrap_or_default().as_bytes());
        key.push(0xff);
    }
    let hash = xxhash_rust::xxh3::xxh3_128(&key);
    let marked = hash & !(0xf << 76) & !(0b11 << 62) | 0x8 << 76 | 0b10 << 62;
    TraceId::new(marked).map(|id| id.uuid().to_string()).unwrap_or_default()
}

fn as_text(value: &Value<'_>) -> String {
    match value {
        Value::Str(text) => text.clone().into_owned(),
        other => to_json(other).to_string(),
    }
}

fn whole_ms(ns: u64) -> u64 {
    ns / 1_000_000
}
