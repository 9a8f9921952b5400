//! What is written here is read by the reference's own structures, generated from OTLP's .proto files.

use std::borrow::Cow;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Theirs;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, KeyValueList};
use opentelemetry_proto::tonic::metrics::v1::{metric::Data, number_data_point};
use opentelemetry_proto::tonic::trace::v1 as proto;
use proptest::prelude::*;
use prost::Message;
use raceway_trace::{SpanId, TraceId};

use super::{Head, metrics, span};
use crate::edge::{DURATION_BOUNDS, EdgeCounters};
use crate::span::{Event, Kind, Link, Resource, Span, Status, Value};

type Pairs = Vec<(Cow<'static, str>, Value<'static>)>;

fn expected_value(value: &Value<'_>) -> AnyValue {
    let value = match value {
        Value::Empty => None,
        Value::Str(text) => Some(Theirs::StringValue(text.to_string())),
        Value::Bool(truth) => Some(Theirs::BoolValue(*truth)),
        Value::Int(number) => Some(Theirs::IntValue(*number)),
        Value::Double(number) => Some(Theirs::DoubleValue(*number)),
        Value::Bytes(bytes) => Some(Theirs::BytesValue(bytes.to_vec())),
        Value::Array(values) => {
            Some(Theirs::ArrayValue(ArrayValue { values: values.iter().map(expected_value).collect() }))
        }
        Value::Map(pairs) => Some(Theirs::KvlistValue(KeyValueList { values: expected_pairs(pairs) })),
    };
    AnyValue { value }
}

fn expected_pairs(pairs: &[(Cow<'_, str>, Value<'_>)]) -> Vec<KeyValue> {
    let pair = |(name, value): &(Cow<'_, str>, Value<'_>)| KeyValue {
        key: name.to_string(),
        value: Some(expected_value(value)),
        ..KeyValue::default()
    };
    pairs.iter().map(pair).collect()
}

fn expected_span(span: &Span<'_>) -> proto::Span {
    proto::Span {
        trace_id: span.trace_id.to_bytes().to_vec(),
        span_id: span.span_id.to_bytes().to_vec(),
        trace_state: span.trace_state.to_string(),
        parent_span_id: span.parent_span_id.map(|id| id.to_bytes().to_vec()).unwrap_or_default(),
        flags: u32::from(span.flags),
        name: span.name.to_string(),
        kind: span.kind.number(),
        start_time_unix_nano: span.start_ns,
        end_time_unix_nano: span.end_ns,
        attributes: expected_pairs(&span.attributes),
        events: (span.events.iter())
            .map(|event| proto::span::Event {
                time_unix_nano: event.time_ns,
                name: event.name.to_string(),
                attributes: expected_pairs(&event.attributes),
                dropped_attributes_count: 0,
            })
            .collect(),
        links: (span.links.iter())
            .map(|link| proto::span::Link {
                trace_id: link.trace_id.to_bytes().to_vec(),
                span_id: link.span_id.to_bytes().to_vec(),
                attributes: expected_pairs(&link.attributes),
                ..proto::span::Link::default()
            })
            .collect(),
        status: match &span.status {
            Status::Unset => None,
            Status::Ok => Some(proto::Status { message: String::new(), code: 1 }),
            Status::Error(text) => Some(proto::Status { message: text.to_string(), code: 2 }),
        },
        ..proto::Span::default()
    }
}

fn value() -> impl Strategy<Value = Value<'static>> {
    let leaf = prop_oneof![
        Just(Value::Empty),
        any::<String>().prop_map(Value::from),
        "a{120,135}".prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1e300f64..1e300).prop_map(Value::from),
        any::<Vec<u8>>().prop_map(|bytes| Value::Bytes(bytes.into())),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::vec((text(), inner), 0..4).prop_map(Value::Map),
        ]
    })
}

fn text() -> impl Strategy<Value = Cow<'static, str>> {
    any::<String>().prop_map(Cow::Owned)
}

fn pairs() -> impl Strategy<Value = Pairs> {
    prop::collection::vec((text(), value()), 0..5)
}

prop_compose! {
    fn ids()(trace in 1u128.., span in 1u64..) -> (TraceId, SpanId) {
        (TraceId::new(trace).expect("not zero"), SpanId::new(span).expect("not zero"))
    }
}

prop_compose! {
    fn any_span()(
        (trace_id, span_id) in ids(),
        parent in any::<Option<u64>>(),
        (trace_state, name) in (text(), text()),
        flags: u8,
        kind in 1i32..6,
        // Zeros are written although the reader would assume them; so they would spoil the comparison of lengths.
        (start_ns, end_ns) in (1u64.., 1u64..),
        attributes in pairs(),
        events in prop::collection::vec((1u64.., text(), pairs()), 0..3),
        links in prop::collection::vec((ids(), pairs()), 0..3),
        status in prop_oneof![Just(Status::Unset), Just(Status::Ok), text().prop_map(Status::Error)],
    ) -> Span<'static> {
        Span {
            trace_id,
            span_id,
            parent_span_id: parent.and_then(SpanId::new),
            trace_state,
            flags,
            kind: Kind::from_number(kind),
            name,
            start_ns,
            end_ns,
            attributes,
            events: (events.into_iter())
                .map(|(time_ns, name, attributes)| Event { time_ns, name, attributes })
                .collect(),
            links: (links.into_iter())
                .map(|((trace_id, span_id), attributes)| Link { trace_id, span_id, attributes })
                .collect(),
            status,
        }
    }
}

proptest! {
    #[test]
    fn spans_arrive_as_they_were(
        spans in prop::collection::vec(any_span(), 0..4), resource in pairs(), scope in ".*", version in ".*",
    ) {
        let mut items = Vec::new();
        spans.iter().for_each(|span| span::write(&mut items, span));
        let mut message = Head::new(&Resource { attributes: resource.clone() }, &scope, &version).before(items.len());
        message.append(&mut items);

        let request = ExportTraceServiceRequest::decode(&message[..]).expect("it is protobuf");
        let [in_resource] = &request.resource_spans[..] else { panic!("one resource") };
        let [in_scope] = &in_resource.scope_spans[..] else { panic!("one scope") };
        prop_assert_eq!(&in_resource.resource.as_ref().expect("a resource").attributes, &expected_pairs(&resource));
        let theirs = in_scope.scope.as_ref().expect("a scope");
        prop_assert_eq!((&theirs.name, &theirs.version), (&scope, &version));
        prop_assert_eq!(&in_scope.spans, &spans.iter().map(expected_span).collect::<Vec<_>>());
        // Nothing is written twice, and no length is longer than it has to be.
        prop_assert_eq!(request.encoded_len(), message.len());
    }
}

#[test]
fn lists_in_lists_end_before_a_decoder_gives_up() {
    let deep = (0..1000).fold(Value::from(1u8), |inner, _| Value::Array(vec![inner]));
    let (trace, id) = (TraceId::new(1).expect("not zero"), SpanId::new(1).expect("not zero"));
    let mut span = Span::new(trace, id, Kind::Internal, "deep", 0);
    span.set("deep", deep);
    let mut bytes = Vec::new();
    span::write(&mut bytes, &span);
    let scope = proto::ScopeSpans::decode(&bytes[..]).expect("it is protobuf");
    assert_eq!(scope.spans.len(), 1);
}

#[test]
fn edge_counters_are_three_cumulative_metrics() {
    let started = UNIX_EPOCH + Duration::from_secs(1);
    let edges = EdgeCounters::with_edges_max(started, 1);
    edges.record("payment", Duration::from_millis(3), false);
    edges.record("payment", Duration::from_secs(60), true);
    edges.record("one too many", Duration::ZERO, false);
    let mut items = Vec::new();
    metrics::write(&mut items, &edges.snapshot(), 1_000_000_000, 7);
    let mut message = Head::new(&Resource::new("orders"), "s", "").before(items.len());
    message.append(&mut items);

    let request = ExportMetricsServiceRequest::decode(&message[..]).expect("it is protobuf");
    assert_eq!(request.encoded_len(), message.len());
    let in_resource = &request.resource_metrics[0];
    let resource = in_resource.resource.as_ref().expect("a resource");
    assert_eq!(resource.attributes, expected_pairs(&[("service.name".into(), "orders".into())]));
    let [calls, errors, duration] = &in_resource.scope_metrics[0].metrics[..] else { panic!("three metrics") };

    let to = |value: &str| expected_pairs(&[("raceway.edge.to".into(), value.to_owned().into())]);
    let overflow = expected_pairs(&[("otel.metric.overflow".into(), true.into())]);
    for (metric, name, values) in [(calls, "raceway.edge.calls", [2, 1]), (errors, "raceway.edge.errors", [1, 0])] {
        assert_eq!(metric.name, name);
        let Some(Data::Sum(sum)) = &metric.data else { panic!("{name} is a sum") };
        assert!(sum.is_monotonic && sum.aggregation_temporality == 2);
        let points: Vec<_> = sum.data_points.iter().map(|p| (p.attributes.clone(), p.value)).collect();
        let [named, others] = values.map(|value| Some(number_data_point::Value::AsInt(value)));
        assert_eq!(points, [(to("payment"), named), (overflow.clone(), others)]);
        assert!(sum.data_points.iter().all(|p| (p.start_time_unix_nano, p.time_unix_nano) == (1_000_000_000, 7)));
    }
    assert_eq!((duration.name.as_str(), duration.unit.as_str()), ("raceway.edge.duration", "s"));
    let Some(Data::Histogram(histogram)) = &duration.data else { panic!("a histogram") };
    assert_eq!(histogram.aggregation_temporality, 2);
    let point = &histogram.data_points[0];
    assert_eq!((point.count, point.sum, point.attributes.clone()), (2, Some(60.003), to("payment")));
    assert_eq!(point.explicit_bounds, DURATION_BOUNDS);
    let filled: Vec<_> = point.bucket_counts.iter().enumerate().filter(|(_, n)| **n > 0).collect();
    assert_eq!(filled, [(3, &1), (17, &1)]);
    assert_eq!(edges.started(), SystemTime::UNIX_EPOCH + Duration::from_secs(1));
}
