//! Strangers' bytes: no request makes a decoder panic, or hold more than the caps allow.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, span};
use proptest::prelude::*;
use prost::Message;

use super::*;

fn decode_all(bytes: &[u8]) {
    for signal in [Signal::Traces, Signal::Metrics] {
        for syntax in [Syntax::Protobuf, Syntax::Json] {
            let _ = decode(signal, syntax, bytes);
        }
    }
}

fn spans(request: &[u8]) -> Decoded {
    match decode(Signal::Traces, Syntax::Protobuf, request) {
        Ok(Brought::Spans(decoded)) => decoded,
        other => panic!("{other:?}"),
    }
}

fn pair(key: &str, value: Any) -> KeyValue {
    KeyValue { key: key.into(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

fn request() -> ExportTraceServiceRequest {
    let list = ArrayValue { values: vec![AnyValue { value: Some(Any::IntValue(1)) }] };
    let span = Span {
        trace_id: vec![1; 16],
        span_id: vec![2; 8],
        start_time_unix_nano: 1,
        end_time_unix_nano: 2,
        name: "GET /".into(),
        attributes: vec![pair("list", Any::ArrayValue(list)), pair("text", Any::StringValue("x".into()))],
        events: vec![span::Event { name: "e".into(), ..span::Event::default() }],
        links: vec![span::Link { trace_id: vec![1; 16], span_id: vec![3; 8], ..span::Link::default() }],
        ..Span::default()
    };
    let resource =
        Resource { attributes: vec![pair("service.name", Any::StringValue("a".into()))], ..Resource::default() };
    let scope_spans = vec![ScopeSpans { spans: vec![span; 2], ..ScopeSpans::default() }];
    let resource_spans = ResourceSpans { resource: Some(resource), scope_spans, ..ResourceSpans::default() };
    ExportTraceServiceRequest { resource_spans: vec![resource_spans; 2] }
}

#[test]
fn the_resource_may_stand_behind_its_spans() {
    let mut swapped = Vec::new();
    for resource_spans in request().resource_spans {
        let resource = ResourceSpans { scope_spans: Vec::new(), ..resource_spans.clone() }.encode_to_vec();
        let spans = ResourceSpans { resource: None, ..resource_spans }.encode_to_vec();
        crate::ingest::protobuf::write_bytes(&mut swapped, 1, &[spans, resource].concat());
    }
    let decoded = spans(&swapped);
    assert_eq!(decoded, spans(&request().encode_to_vec()));
    assert!(decoded.spans.iter().all(|reported| reported.resource.service_name() == Some("a")));
    let [first, .., last] = &decoded.spans[..] else { panic!("four spans") };
    assert!(Arc::ptr_eq(&first.resource, &last.resource), "equal resources are one");
}

#[test]
fn text_that_is_not_utf_8_is_mended_and_kept() {
    let mut bytes = request().encode_to_vec();
    let at = bytes.windows(5).position(|window| window == b"GET /").unwrap();
    bytes[at] = 0xff;
    assert_eq!(spans(&bytes).spans[0].span.name, "\u{fffd}ET /");
}

#[test]
fn lists_in_lists_end_somewhere() {
    // Protobuf: each level is two length-delimited fields; JSON: serde's own bound comes first.
    let mut value = Vec::new();
    for _ in 0..100_000 {
        let mut array = Vec::new();
        crate::ingest::protobuf::write_bytes(&mut array, 1, &value);
        value.clear();
        crate::ingest::protobuf::write_bytes(&mut value, 5, &array);
        if value.len() > 50_000 {
            break;
        }
    }
    let mut attribute = Vec::new();
    crate::ingest::protobuf::write_bytes(&mut attribute, 1, b"deep");
    crate::ingest::protobuf::write_bytes(&mut attribute, 2, &value);
    let mut budget = Budget::new();
    let mut pairs = Vec::new();
    spans::attribute(&attribute, &mut pairs, &mut budget).unwrap();
    assert_eq!((pairs.len(), budget.left_out), (1, 1));
    decode_all("[".repeat(1_000_000).as_bytes());
    decode_all(r#"{"resourceSpans":"#.repeat(100_000).as_bytes());
}

proptest! {
    #[test]
    fn any_bytes_end_without_a_panic(bytes: Vec<u8>, text in r#"[\[\]{}":,0-9a-z]{0,60}"#) {
        decode_all(&bytes);
        decode_all(text.as_bytes());
    }

    #[test]
    fn a_damaged_request_ends_without_a_panic(
        flips in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = request().encode_to_vec();
        for (at, byte) in flips {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(Brought::Spans(decoded)) = decode(Signal::Traces, Syntax::Protobuf, &bytes) {
            for reported in decoded.spans {
                prop_assert!(reported.span.attributes.len() <= ATTRIBUTES_MAX + 1);
            }
        }
    }
}
