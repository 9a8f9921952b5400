//! One Raceway event, made into a span that depends on nothing but the event.
//!
//! The first event of a strand (it has no parent event) becomes the strand's own span: its id is the event's
//! `distributed_span_id`, its parent the `upstream_span_id`, and if it is a request, its kind is SERVER. Every other
//! event becomes an INTERNAL span whose id comes of the event's UUID and whose parent is the strand's span. The event
//! itself is kept as the span's only span event, to the letter.

use std::collections::HashMap;
use std::sync::Arc;

use raceway_analyzer_client::{Event, Kind, Reported, Resource, Span, Status, Value};
use raceway_trace::{SpanId, TraceId};
use serde::Deserialize;
use serde_json::Value as Json;

use super::{EVENT_JSON, SCOPE, time};
use crate::ingest::limits::{NAME_BYTES_MAX, cut};

/// Bytes of one event: a request with its headers and body, or a stack trace, and no file upload.
const EVENT_BYTES_MAX: usize = 64 * 1024;

/// `raceway.event.*`, `raceway.strand_span_id` and `raceway.upstream_span_id`: what [`super::fold`] needs of an event
/// without reading its JSON again.
pub(super) const ID: &str = "raceway.event.id";
pub(super) const PARENT_ID: &str = "raceway.event.parent_id";
pub(super) const STRAND: &str = "raceway.strand_span_id";
pub(super) const UPSTREAM: &str = "raceway.upstream_span_id";

/// What the SDKs write when nobody told them otherwise; a sidecar beside them says nothing then, and both must be
/// the same service.
const DEFAULT_ENVIRONMENT: &str = "development";

#[derive(Deserialize)]
struct Raw {
    id: String,
    trace_id: String,
    parent_id: Option<String>,
    timestamp: String,
    /// One key, the kind; its value, the details.
    kind: HashMap<String, Json>,
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Metadata {
    service_name: String,
    #[serde(default)]
    environment: Option<String>,
    #[serde(default)]
    instance_id: Option<String>,
    #[serde(default)]
    process_id: Option<u64>,
    #[serde(default)]
    thread_id: Option<Json>,
    #[serde(default)]
    tags: Option<HashMap<String, Json>>,
    #[serde(default)]
    duration_ns: Option<u64>,
    #[serde(default)]
    distributed_span_id: Option<String>,
    #[serde(default)]
    upstream_span_id: Option<String>,
}

/// The processes of a batch: its events share their resources.
#[derive(Default)]
pub(super) struct Processes {
    known: HashMap<[String; 4], Arc<Resource>>,
    scope: Option<Arc<str>>,
}

impl Processes {
    fn process(&mut self, metadata: &mut Metadata) -> (Arc<Resource>, Arc<str>) {
        let text = |text: Option<String>| cut(&text.unwrap_or_default(), NAME_BYTES_MAX).to_owned();
        let instance = match (metadata.instance_id.take(), metadata.process_id) {
            (Some(instance), _) if !instance.is_empty() => text(Some(instance)),
            (_, Some(process)) => format!("process-{process}"),
            _ => String::new(),
        };
        let language = metadata.tags.as_ref().and_then(|tags| tags.get("sdk_language")).and_then(Json::as_str);
        let key = [
            text(Some(std::mem::take(&mut metadata.service_name))),
            instance,
            text(metadata.environment.take().filter(|name| name != DEFAULT_ENVIRONMENT)),
            text(language.map(str::to_owned)),
        ];
        let resource = self.known.entry(key).or_insert_with_key(|[service, instance, environment, language]| {
            let mut resource = Resource::new(service.clone());
            for (name, value) in [
                ("service.instance.id", instance),
                ("deployment.environment.name", environment),
                ("telemetry.sdk.language", language),
            ] {
                if !value.is_empty() {
                    resource = resource.with(name, value.clone());
                }
            }
            Arc::new(resource.with("telemetry.sdk.name", "raceway"))
        });
        (resource.clone(), self.scope.get_or_insert_with(|| SCOPE.into()).clone())
    }
}

/// The span of an event, or what is wrong with it.
pub(super) fn span(json: &str, processes: &mut Processes) -> Result<Reported, String> {
    if json.len() > EVENT_BYTES_MAX {
        return Err(format!("an event may have {} KiB at most", EVENT_BYTES_MAX >> 10));
    }
    let raw: Raw = serde_json::from_str(json).map_err(|error| error.to_string())?;
    let Raw { id, trace_id, parent_id, timestamp, kind, mut metadata } = raw;
    let uuid = TraceId::parse(id.as_bytes()).ok_or("id must be a UUID")?;
    let trace_id = TraceId::parse(trace_id.as_bytes()).ok_or("trace_id must be a UUID or 32 hex digits, not zero")?;
    let time_ns = time::parse(&timestamp).filter(|&ns| ns > 0).ok_or("timestamp must be RFC 3339")?;
    let mut kinds = kind.into_iter();
    let (Some((kind, details)), None) = (kinds.next(), kinds.next()) else {
        return Err("kind must be an object with one key".to_owned());
    };
    let described = describe(&kind, &details).ok_or_else(|| format!("kind {kind:?} is unknown"))?;
    if metadata.service_name.is_empty() {
        return Err("metadata.service_name must not be empty".to_owned());
    }
    let own_id = |what, text: Option<&String>| match text.filter(|text| !text.is_empty()) {
        None => Ok(None),
        Some(text) => SpanId::from_hex(text.to_ascii_lowercase().as_bytes())
            .map(Some)
            .ok_or(format!("metadata.{what} must be 16 hex digits")),
    };
    let strand = own_id("distributed_span_id", metadata.distributed_span_id.as_ref())?;
    let upstream = own_id("upstream_span_id", metadata.upstream_span_id.as_ref())?;
    let parent_id = parent_id.filter(|id| !id.is_empty());
    let parent = match &parent_id {
        None => None,
        Some(id) => Some(TraceId::parse(id.as_bytes()).ok_or("parent_id must be a UUID or null")?),
    };

    let (span_id, parent_span_id) = match (strand, parent) {
        (Some(strand), None) => (strand, upstream),
        (Some(strand), Some(_)) => (span_id(uuid), Some(strand)),
        // Without a strand, the tree of events is all there is.
        (None, parent) => (span_id(uuid), parent.map(span_id).or(upstream)),
    };
    let first = parent_id.is_none();
    let span_kind = if first && kind == "HttpRequest" { Kind::Server } else { Kind::Internal };
    let mut span = Span::new(trace_id, span_id, span_kind, cut(&described.name, NAME_BYTES_MAX).to_owned(), time_ns);
    // Events are reported when what they tell of is over.
    span.start_ns = time_ns.saturating_sub(metadata.duration_ns.unwrap_or(0)).max(1);
    span.parent_span_id = parent_span_id;
    span.attributes = described.attributes;
    span.set(ID, id);
    if let Some(parent_id) = parent_id {
        span.set(PARENT_ID, parent_id);
    }
    for (name, id) in [(STRAND, strand), (UPSTREAM, upstream)] {
        if let Some(id) = id {
            span.set(name, id.to_string());
        }
    }
    if let Some(thread) = metadata.thread_id.take() {
        span.set("thread.name", thread.as_str().map_or_else(|| thread.to_string(), str::to_owned));
    }
    if described.error {
        span.status = Status::Error(described.message.into());
    }
    let event = vec![(EVENT_JSON.into(), Value::from(json.to_owned()))];
    span.events.push(Event { time_ns, name: kind.into(), attributes: event });
    let (resource, scope) = processes.process(&mut metadata);
    Ok(Reported { resource, scope, span })
}

/// The id of the span of an event that is not the first of its strand.
fn span_id(event: TraceId) -> SpanId {
    let uuid = event.get();
    // Both halves of a UUID have fixed bits; together nearly none.
    let folded = (uuid >> 64) as u64 ^ uuid as u64;
    SpanId::new(folded).unwrap_or(SpanId::new(1).expect("one is not zero"))
}

/// How an event shows as a span.
#[derive(Default)]
struct Described {
    name: String,
    attributes: Vec<(std::borrow::Cow<'static, str>, Value<'static>)>,
    error: bool,
    message: String,
}

fn describe(kind: &str, details: &Json) -> Option<Described> {
    let text = |field: &str| details.get(field).and_then(Json::as_str).unwrap_or_default();
    let named = |name: String| Described { name, ..Described::default() };
    Some(match kind {
        "StateChange" => named(format!("{} {}", text("access_type"), text("variable"))),
        "FunctionCall" => {
            let mut described = named(text("function_name").to_owned());
            described.attributes.push(("code.function.name".into(), text("function_name").to_owned().into()));
            described
        }
        "AsyncSpawn" => named("spawn".to_owned()),
        "AsyncAwait" => named("await".to_owned()),
        "LockAcquire" => named(format!("acquire {}", text("lock_id"))),
        "LockRelease" => named(format!("release {}", text("lock_id"))),
        "MemoryFence" => named("fence".to_owned()),
        "HttpRequest" => {
            let path = path(text("url"));
            let mut described = named(format!("{} {path}", text("method")));
            described.attributes.push(("http.request.method".into(), text("method").to_owned().into()));
            described.attributes.push(("url.path".into(), path.to_owned().into()));
            described
        }
        "HttpResponse" => {
            let status = details.get("status").and_then(Json::as_i64).unwrap_or(0);
            let mut described = named(format!("response {status}"));
            described.attributes.push(("http.response.status_code".into(), status.into()));
            described.error = status >= 500;
            described
        }
        "DatabaseQuery" => {
            let mut described = named(format!("query {}", text("database")));
            described.attributes.push(("db.query.text".into(), text("query").to_owned().into()));
            described
        }
        "DatabaseResult" => named("result".to_owned()),
        "Error" => Described {
            name: text("error_type").to_owned(),
            error: true,
            message: cut(text("message"), NAME_BYTES_MAX).to_owned(),
            ..Described::default()
        },
        "Custom" => named(text("name").to_owned()),
        _ => return None,
    })
}

/// The path of a URL or of a request's target. Queries are not made into attributes: they hold what is nobody's business.
fn path(url: &str) -> &str {
    let from_path = match url.split_once("://") {
        Some((_, rest)) => rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/"),
        None => url,
    };
    from_path.split(['?', '#']).next().unwrap_or_default()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::ingest::raceway_events) const VALID: &str = r#"{
        "id": "5f0c3f9e-6f0e-4c53-9d0c-3a1f6f2b8e11", "trace_id": "0af76519-16cd-43dd-8448-eb211c80319c",
        "parent_id": null, "timestamp": "2026-11-01T10:00:00.250+00:00",
        "kind": {"HttpRequest": {"method": "GET", "url": "/cart?token=secret", "headers": {}, "body": null}},
        "metadata": {"thread_id": "ThreadId(2)", "process_id": 42, "service_name": "cart", "environment": "development",
            "tags": {"sdk_language": "rust"}, "duration_ns": null, "instance_id": "cart-1",
            "distributed_span_id": "b7ad6b7169203331", "upstream_span_id": "00f067aa0ba902b7"},
        "causality_vector": [["cart#cart-1", 1]], "lock_set": []}"#;

    fn read(json: &str) -> Result<Reported, String> {
        span(json, &mut Processes::default())
    }

    fn id(hex: &str) -> SpanId {
        SpanId::from_hex(hex.as_bytes()).unwrap()
    }

    #[test]
    fn the_first_event_of_a_strand_is_its_span() {
        let Reported { resource, scope, span } = read(VALID).unwrap();
        assert_eq!((span.span_id, span.parent_span_id), (id("b7ad6b7169203331"), Some(id("00f067aa0ba902b7"))));
        assert_eq!((span.kind, &*span.name, &*scope), (Kind::Server, "GET /cart", SCOPE));
        assert_eq!((span.start_ns, span.end_ns), (1_793_527_200_250_000_000, 1_793_527_200_250_000_000));
        assert_eq!(span.events[0].attribute(EVENT_JSON).and_then(|json| json.as_str()), Some(VALID));
        assert_eq!((resource.service_name(), resource.service_instance()), (Some("cart"), Some("cart-1")));
        assert_eq!(resource.environment(), None, "the SDKs' default says nothing");
    }

    #[test]
    fn later_events_hang_under_their_strand() {
        let parent = r#""parent_id": "11111111-2222-4333-8444-555555555555""#;
        let later =
            VALID.replace(r#""parent_id": null"#, parent).replace(r#""duration_ns": null"#, r#""duration_ns": 5"#);
        let span = read(&later).unwrap().span;
        assert_eq!((span.kind, span.parent_span_id), (Kind::Internal, Some(id("b7ad6b7169203331"))));
        assert_ne!(span.span_id, id("b7ad6b7169203331"));
        assert_eq!(span.duration_ns(), 5, "an event is reported when it is over");
        // Without a strand, events hang under their parents.
        let alone = later.replace(r#""distributed_span_id": "b7ad6b7169203331", "#, "");
        let parent = TraceId::parse(b"11111111-2222-4333-8444-555555555555").unwrap();
        assert_eq!(read(&alone).unwrap().span.parent_span_id, Some(span_id(parent)));
    }

    #[test]
    fn what_is_wrong_is_told() {
        for (part, flaw, told) in [
            ("5f0c3f9e-", "5f0c3f9e", "id must"),
            ("0af76519-16cd-43dd-8448-eb211c80319c", "00000000000000000000000000000000", "trace_id must"),
            ("2026-11-01", "yesterday", "timestamp must"),
            ("HttpRequest", "Telepathy", "Telepathy"),
            (r#"{"HttpRequest":"#, r#"{"Custom": {}, "HttpRequest":"#, "one key"),
            (r#""kind""#, r#""kinds""#, "kind"),
            (r#""cart", "environment""#, r#""", "environment""#, "service_name"),
            ("b7ad6b7169203331", "b7ad", "distributed_span_id"),
            ("00f067aa0ba902b7", "0000000000000000", "upstream_span_id"),
            (r#""parent_id": null"#, r#""parent_id": "me""#, "parent_id"),
        ] {
            let refused = read(&VALID.replacen(part, flaw, 1)).expect_err(flaw);
            assert!(refused.contains(told), "{flaw}: {refused}");
        }
        assert!(read(&VALID.replace("secret", &"x".repeat(EVENT_BYTES_MAX))).is_err());
    }

    #[test]
    fn every_kind_has_a_name() {
        for (kind, name) in [
            (
                r#"{"StateChange":{"variable":"balance","old_value":1,"new_value":2,"location":"","access_type":"Write"}}"#,
                "Write balance",
            ),
            (r#"{"FunctionCall":{"function_name":"pay","module":"app","args":[],"file":"","line":1}}"#, "pay"),
            (r#"{"AsyncSpawn":{"task_id":"1","spawned_by":"2"}}"#, "spawn"),
            (r#"{"AsyncAwait":{"future_id":"1","awaited_at":""}}"#, "await"),
            (r#"{"LockAcquire":{"lock_id":"m","lock_type":"Mutex","location":""}}"#, "acquire m"),
            (r#"{"LockRelease":{"lock_id":"m","lock_type":"Mutex","location":""}}"#, "release m"),
            (r#"{"MemoryFence":{"ordering":"SeqCst","location":""}}"#, "fence"),
            (r#"{"HttpRequest":{"method":"PUT","url":"http://shop:80/a/b?c#d","headers":{},"body":null}}"#, "PUT /a/b"),
            (r#"{"HttpResponse":{"status":503,"headers":{},"body":null,"duration_ms":4}}"#, "response 503"),
            (r#"{"DatabaseQuery":{"query":"select 1","database":"pg","duration_ms":1}}"#, "query pg"),
            (r#"{"DatabaseResult":{"rows_affected":1}}"#, "result"),
            (r#"{"Error":{"error_type":"Timeout","message":"late","stack_trace":[]}}"#, "Timeout"),
            (r#"{"Custom":{"name":"cache miss","data":{}}}"#, "cache miss"),
        ] {
            let request =
                r#"{"HttpRequest": {"method": "GET", "url": "/cart?token=secret", "headers": {}, "body": null}}"#;
            let span = read(&VALID.replace(request, kind)).expect(kind).span;
            assert_eq!(span.name, name);
            assert_eq!(span.status.is_error(), kind.contains("503") || kind.contains("Error"), "{kind}");
        }
    }
}
