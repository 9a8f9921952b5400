//! OTLP's JSON: protobuf's mapping, but with ids in hex and enums as numbers.
//!
//! Read leniently where the mapping allows two ways: whole numbers as numbers or text, `null` for what is absent,
//! enum names beside their numbers. Unknown fields are passed over. Spans are read one by one, so that one that is no
//! span does not keep the others out.

use std::borrow::Cow;
use std::sync::Arc;

use raceway_analyzer_client::{Event, Link, Reported, Resource, Value};
use raceway_trace::{SpanId, TraceId};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::{Budget, Decoded, Draft, Pairs, Resources};
use crate::ingest::edge_counters::{BUCKETS_MAX, Collector, Measure, Point};
use crate::ingest::limits::{NAME_BYTES_MAX, TEXT_BYTES_MAX};

/// Reads a request with spans. An error means that nothing of it can be made out; single bad spans are counted.
pub(in crate::ingest) fn decode_spans(request: &[u8]) -> serde_json::Result<Decoded> {
    let request: TraceRequest<'_> = serde_json::from_slice(request)?;
    let mut decoded = Decoded::default();
    let mut resources = Resources::default();
    for resource_spans in request.resource_spans {
        let resource = resources.share(resource_spans.resource.read(&mut decoded.left_out));
        for scope_spans in resource_spans.scope_spans {
            let name = scope_spans.scope.name.0;
            let scope: Arc<str> = Budget::new().text(name, NAME_BYTES_MAX).into_owned().into();
            for span in scope_spans.spans {
                let mut budget = Budget::new();
                let span = serde_json::from_str::<Span<'_>>(span.get()).map_err(|error| error.to_string());
                match span.and_then(|span| span.read(&mut budget)) {
                    Ok(span) => {
                        decoded.left_out += budget.left_out;
                        decoded.spans.push(Reported { resource: resource.clone(), scope: scope.clone(), span });
                    }
                    Err(why) => decoded.rejected.add(why),
                }
            }
        }
    }
    Ok(decoded)
}

/// Reads a request with metrics.
pub(in crate::ingest) fn decode_metrics(request: &[u8]) -> serde_json::Result<Collector> {
    let request: MetricsRequest<'_> = serde_json::from_slice(request)?;
    let mut collector = Collector::default();
    for resource_metrics in request.resource_metrics {
        let resource = resource_metrics.resource.read(&mut 0);
        for metric in resource_metrics.scope_metrics.into_iter().flat_map(|scope| scope.metrics) {
            let measure = Measure::from_name(&metric.name.0);
            let data = if measure == Some(Measure::Duration) { metric.histogram } else { metric.sum };
            let (Some(measure), Some(data)) = (measure, data.filter(|data| data.aggregation_temporality.0 == 2)) else {
                collector.ignored += 1;
                continue;
            };
            for point in data.data_points {
                let attributes = point.attributes.read(&mut Budget::new());
                let whole = |number: Option<Whole>| number.unwrap_or_default().0;
                let count = match (point.as_int, point.as_double) {
                    (Some(count), _) => count.0,
                    (None, Some(count)) => count.0 as u64,
                    (None, None) => whole(point.count),
                };
                let read = Point {
                    start_ns: point.start_time_unix_nano.0,
                    time_ns: point.time_unix_nano.0,
                    count,
                    sum_s: point.sum.map_or(0.0, |sum| sum.0),
                    bounds_s: point.explicit_bounds.into_iter().map(|bound| bound.0).take(BUCKETS_MAX).collect(),
                    buckets: point.bucket_counts.into_iter().map(|count| count.0).take(BUCKETS_MAX).collect(),
                };
                collector.add(measure, &resource, &attributes, read);
            }
        }
    }
    Ok(collector)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TraceRequest<'a> {
    #[serde(default, borrow, deserialize_with = "or_default")]
    resource_spans: Vec<ResourceSpans<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResourceSpans<'a> {
    #[serde(default, borrow, deserialize_with = "or_default")]
    resource: Attributed<'a>,
    #[serde(default, borrow, deserialize_with = "or_default")]
    scope_spans: Vec<ScopeSpans<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ScopeSpans<'a> {
    #[serde(default, borrow, deserialize_with = "or_default")]
    scope: Scope<'a>,
    #[serde(default, borrow, deserialize_with = "or_default")]
    spans: Vec<&'a RawValue>,
}

#[derive(Default, Deserialize)]
struct Scope<'a> {
    #[serde(default, borrow, deserialize_with = "or_default")]
    name: Text<'a>,
}

#[derive(Default, Deserialize)]
struct Attributed<'a> {
    #[serde(default, borrow, deserialize_with = "or_default")]
    attributes: Attributes<'a>,
}

impl Attributed<'_> {
    fn read(self, left_out: &mut u64) -> Resource {
        let mut budget = Budget::new();
        let attributes = self.attributes.read(&mut budget);
        *left_out += budget.left_out;
        Resource { attributes }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Span<'a> {
    #[serde(default, borrow, deserialize_with = "or_default")]
    trace_id: Text<'a>,
    #[serde(default, borrow, deserialize_with = "or_default")]
    span_id: Text<'a>,
    #[serde(default, borrow, deserialize_with = "or_default")]
    parent_span_id: Text<'a>,
    #[serde(default, borrow, deserialize_with = "or_default")]
    trace_state: Text<'a>,
    #[serde(default, borrow, deserialize_with = "or_default")]
    name: Text<'a>,
    #[serde(default, deserialize_with = "or_default")]
    kind: Number,
    #[serde(default, deserialize_with = "or_default")]
    start_time_unix_nano: Whole,
    #[serde(default, deserialize_with = "or_default")]
    end_time_unix_nano: Whole,
    #[serde(default, borrow, deserialize_with = "or_default")]
    attributes: Attributes<'a>,
    #[serde(default, borrow, deserialize_with = "or_default")]
    events: Vec<SpanEvent<'a>>,
    #[serde(default, borrow, deserialize_with = "or_default")]
    links: Vec<SpanLink<'a>>,
    #[serde(default, borrow, deserialize_with = "or_default")]
    status: SpanStatus<'a>,
    #[serde(default, deserialize_with = "or_default")]
    flags: Whole,
    #[serde(default, deserialize_with = "or_default")]
    dropped_attributes_count: Whole,
    #[serde(default, deserialize_with = "or_default")]
    dropped_events_count: Whole,
    #[serde(default, deserialize_with = "or_default")]
    dropped_links_count: Whole,
}

#[derive(Default, Deserialize)]
struct SpanStatus<'a> {
    #[serde(default, borrow, deserialize_with = "or_default")]
    message: Text<'a>,
    #[serde(default, deserialize_with = "or_default")]
    code: Number,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SpanEvent<'a> {
    #[serde(default, deserialize_with = "or_default")]
    time_unix_nano: Whole,
    #[serde(default, borrow, deserialize_with = "or_default")]
    name: Text<'a>,
    #[serde(default, borrow, deserialize_with = "or_default")]
    attributes: Attributes<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SpanLink<'a> {
    #[serde(default, borrow, deserialize_with = "or_default")]
    trace_id: Text<'a>,
    #[serde(default, borrow, deserialize_with = "or_default")]
    span_id: Text<'a>,
    #[serde(default, borrow, deserialize_with = "or_default")]
    attributes: Attributes<'a>,
}

impl Span<'_> {
    fn read(self, budget: &mut Budget) -> Result<raceway_analyzer_client::Span<'static>, String> {
        let sent_without = [self.dropped_attributes_count, self.dropped_events_count, self.dropped_links_count];
        budget.left_out = sent_without.iter().map(|count| count.0.min(1 << 32)).sum();
        let attributes = self.attributes.read(budget);
        let mut events = Vec::new();
        for event in self.events {
            if budget.event(&events) {
                let (time_ns, name) = (event.time_unix_nano.0, budget.text(event.name.0, NAME_BYTES_MAX));
                events.push(Event { time_ns, name, attributes: event.attributes.read(budget) });
            }
        }
        let mut links = Vec::new();
        for link in self.links {
            if !budget.event(&links) {
                continue;
            }
            let trace_id = hex(&link.trace_id.0).and_then(|id| TraceId::from_bytes(id.try_into().ok()?));
            let span_id = hex(&link.span_id.0).and_then(|id| SpanId::from_bytes(id.try_into().ok()?));
            match trace_id.zip(span_id) {
                Some((trace_id, span_id)) => {
                    links.push(Link { trace_id, span_id, attributes: link.attributes.read(budget) });
                }
                None => budget.left_out += 1,
            }
        }
        // What is no hex becomes too short for an id, which is then told.
        let id = |text: &str| if text.is_empty() { Vec::new() } else { hex(text).unwrap_or(vec![0]) };
        let draft = Draft {
            trace_id: &id(&self.trace_id.0),
            span_id: &id(&self.span_id.0),
            parent_span_id: &id(&self.parent_span_id.0),
            trace_state: self.trace_state.0,
            name: self.name.0,
            kind: self.kind.0,
            start_ns: self.start_time_unix_nano.0,
            end_ns: self.end_time_unix_nano.0,
            flags: self.flags.0 as u32,
            status: self.status.code.0,
            status_text: self.status.message.0,
            attributes,
            events,
            links,
        };
        draft.finish(budget).map_err(|flaw| flaw.to_string())
    }
}

#[derive(Default, Deserialize)]
#[serde(transparent)]
struct Attributes<'a>(#[serde(borrow)] Vec<KeyValue<'a>>);

#[derive(Deserialize)]
struct KeyValue<'a> {
    #[serde(default, borrow, deserialize_with = "or_default")]
    key: Text<'a>,
    #[serde(default, borrow, deserialize_with = "or_default")]
    value: AnyValue<'a>,
}

/// Nesting is bounded by serde_json, at 128.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AnyValue<'a> {
    #[serde(borrow)]
    string_value: Option<Text<'a>>,
    bool_value: Option<bool>,
    int_value: Option<Signed>,
    double_value: Option<Double>,
    #[serde(borrow)]
    array_value: Option<List<AnyValue<'a>>>,
    #[serde(borrow)]
    kvlist_value: Option<List<KeyValue<'a>>>,
    #[serde(borrow)]
    bytes_value: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct List<T> {
    #[serde(default = "Vec::new", deserialize_with = "or_default", bound(deserialize = "T: Deserialize<'de>"))]
    values: Vec<T>,
}

impl Attributes<'_> {
    fn read(self, budget: &mut Budget) -> Pairs {
        let mut pairs = Vec::with_capacity(self.0.len().min(16));
        for pair in self.0 {
            if budget.attribute(&pairs) {
                pairs.push(pair.read(budget, 0));
            }
        }
        pairs
    }
}

impl KeyValue<'_> {
    fn read(self, budget: &mut Budget, depth: usize) -> (Cow<'static, str>, Value<'static>) {
        (budget.text(self.key.0, NAME_BYTES_MAX), self.value.read(budget, depth))
    }
}

impl AnyValue<'_> {
    fn read(self, budget: &mut Budget, depth: usize) -> Value<'static> {
        if let Some(text) = self.string_value {
            return Value::Str(budget.text(text.0, TEXT_BYTES_MAX));
        }
        if let Some(truth) = self.bool_value {
            return Value::Bool(truth);
        }
        if let Some(number) = self.int_value {
            return Value::Int(number.0);
        }
        if let Some(number) = self.double_value {
            return Value::Double(number.0);
        }
        if let Some(text) = self.bytes_value {
            return base64(&text.0).map_or(Value::Empty, |bytes| Value::Bytes(budget.bytes(&bytes)));
        }
        if let Some(list) = self.array_value {
            let values = list.values.into_iter();
            return Value::Array(
                values.filter_map(|value| budget.value(depth).then(|| value.read(budget, depth + 1))).collect(),
            );
        }
        if let Some(list) = self.kvlist_value {
            let pairs = list.values.into_iter();
            return Value::Map(
                pairs.filter_map(|pair| budget.value(depth).then(|| pair.read(budget, depth + 1))).collect(),
            );
        }
        Value::Empty
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MetricsRequest<'a> {
    #[serde(default, borrow, deserialize_with = "or_default")]
    resource_metrics: Vec<ResourceMetrics<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResourceMetrics<'a> {
    #[serde(default, borrow, deserialize_with = "or_default")]
    resource: Attributed<'a>,
    #[serde(default, borrow, deserialize_with = "or_default")]
    scope_metrics: Vec<ScopeMetrics<'a>>,
}

#[derive(Deserialize)]
struct ScopeMetrics<'a> {
    #[serde(default, borrow, deserialize_with = "or_default")]
    metrics: Vec<Metric<'a>>,
}

#[derive(Deserialize)]
struct Metric<'a> {
    #[serde(default, borrow, deserialize_with = "or_default")]
    name: Text<'a>,
    #[serde(borrow)]
    sum: Option<MetricData<'a>>,
    #[serde(borrow)]
    histogram: Option<MetricData<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MetricData<'a> {
    #[serde(default, borrow, deserialize_with = "or_default")]
    data_points: Vec<DataPoint<'a>>,
    #[serde(default, deserialize_with = "or_default")]
    aggregation_temporality: Number,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DataPoint<'a> {
    #[serde(default, borrow, deserialize_with = "or_default")]
    attributes: Attributes<'a>,
    #[serde(default, deserialize_with = "or_default")]
    start_time_unix_nano: Whole,
    #[serde(default, deserialize_with = "or_default")]
    time_unix_nano: Whole,
    as_int: Option<Whole>,
    as_double: Option<Double>,
    count: Option<Whole>,
    sum: Option<Double>,
    #[serde(default, deserialize_with = "or_default")]
    bucket_counts: Vec<Whole>,
    #[serde(default, deserialize_with = "or_default")]
    explicit_bounds: Vec<Double>,
}

/// `null` is how the mapping writes an absent value.
fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    Option::deserialize(from).map(Option::unwrap_or_default)
}

/// A text, borrowed unless it has escapes.
#[derive(Default, Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// A whole number, as a number or as text, for 64 bits do not fit into JavaScript's numbers.
#[derive(Clone, Copy, Default)]
struct Whole(u64);

#[derive(Clone, Copy, Default)]
struct Signed(i64);

/// A number, or one of the texts that stand for what JSON's numbers cannot say.
#[derive(Clone, Copy, Default)]
struct Double(f64);

/// An enum's number, or its name.
#[derive(Clone, Copy, Default)]
struct Number(i32);

#[derive(Deserialize)]
#[serde(untagged)]
enum NumberOrText<'a> {
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(#[serde(borrow)] Cow<'a, str>),
}

macro_rules! lenient {
    ($($name:ident: $read:expr, $wanted:literal;)*) => { $(
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let read: fn(NumberOrText<'_>) -> Option<_> = $read;
                let wrong = || serde::de::Error::custom(concat!("expected ", $wanted));
                read(NumberOrText::deserialize(from)?).map(Self).ok_or_else(wrong)
            }
        }
    )* };
}

lenient! {
    Whole: |value| match value {
        NumberOrText::Unsigned(number) => Some(number),
        NumberOrText::Text(text) => text.parse().ok(),
        NumberOrText::Signed(_) | NumberOrText::Float(_) => None,
    }, "a whole number, or one as text";
    Signed: |value| match value {
        NumberOrText::Unsigned(number) => i64::try_from(number).ok(),
        NumberOrText::Signed(number) => Some(number),
        NumberOrText::Text(text) => text.parse().ok(),
        NumberOrText::Float(_) => None,
    }, "a whole number, or one as text";
    Double: |value| match value {
        NumberOrText::Unsigned(number) => Some(number as f64),
        NumberOrText::Signed(number) => Some(number as f64),
        NumberOrText::Float(number) => Some(number),
        NumberOrText::Text(text) => text.parse().ok(),
    }, "a number";
    Number: |value| match value {
        NumberOrText::Unsigned(number) => i32::try_from(number).ok(),
        NumberOrText::Signed(number) => i32::try_from(number).ok(),
        NumberOrText::Float(_) => None,
        NumberOrText::Text(name) => Some(match &*name {
            "SPAN_KIND_INTERNAL" | "STATUS_CODE_OK" => 1,
            "SPAN_KIND_SERVER" | "STATUS_CODE_ERROR" | "AGGREGATION_TEMPORALITY_CUMULATIVE" => 2,
            "SPAN_KIND_CLIENT" => 3,
            "SPAN_KIND_PRODUCER" => 4,
            "SPAN_KIND_CONSUMER" => 5,
            _ => 0,
        }),
    }, "an enum's number";
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digit = |digit: u8| char::from(digit).to_digit(16).map(|digit| digit as u8);
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    // The longest id is a trace's; whatever is longer is none.
    if pairs.len() > 16 {
        return None;
    }
    pairs.iter().map(|&[high, low]| Some(digit(high)? << 4 | digit(low)?)).collect()
}

/// Standard or URL-safe alphabet, padded or not: the mapping has parsers take both.
fn base64(text: &str) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len() / 4 * 3);
    let (mut group, mut bits) = (0u32, 0);
    for byte in text.bytes().filter(|&byte| byte != b'=') {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        group = group << 6 | u32::from(digit);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            decoded.push((group >> bits) as u8);
        }
    }
    Some(decoded)
}
