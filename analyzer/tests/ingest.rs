//! The doors for spans, knocked at by real clients: tonic, our own exporter, plain HTTP, OpenTelemetry's Python SDK.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test may panic, and says why it was skipped"
)]

mod doors;

use std::io::Write;
use std::time::Duration;

use doors::Doors;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList};
use opentelemetry_proto::tonic::resource::v1::Resource as OtlpResource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span as OtlpSpan, Status as OtlpStatus, span};
use prost::Message;
use raceway_analyzer::ingest::LEFT_OUT;
use raceway_analyzer::ingest::raceway_events::{EVENT_JSON, fold};
use raceway_analyzer::store::StoreError;
use raceway_analyzer::store::embedded::Options;
use raceway_analyzer_client::{
    EdgeCounters, Endpoint, Exporter, Kind, Protocol, Resource, Settings, Span, Status, Value,
};
use raceway_trace::{SpanId, TraceId};
use tonic::codec::CompressionEncoding;
use tonic::{Code, Request};

const TRACE: u128 = 0x5b8e_fff7_9803_8103_d269_b633_813f_c60c;
const START: u64 = 1_793_527_200_000_000_000;

fn any(value: Any) -> Option<AnyValue> {
    Some(AnyValue { value: Some(value) })
}

fn pair(key: &str, value: Any) -> KeyValue {
    KeyValue { key: key.into(), value: any(value), ..KeyValue::default() }
}

/// A span with something in every field.
fn full(id: u64) -> OtlpSpan {
    let list = Any::ArrayValue(ArrayValue { values: vec![any(Any::IntValue(-1)).unwrap(), AnyValue::default()] });
    let map = Any::KvlistValue(KeyValueList { values: vec![pair("deep", Any::BytesValue(vec![0, 255]))] });
    OtlpSpan {
        trace_id: TRACE.to_be_bytes().to_vec(),
        span_id: id.to_be_bytes().to_vec(),
        parent_span_id: 7u64.to_be_bytes().to_vec(),
        trace_state: "raceway=m:h".into(),
        name: "GET /cart".into(),
        kind: 3,
        start_time_unix_nano: START,
        end_time_unix_nano: START + 5,
        attributes: vec![
            pair("http.route", Any::StringValue("/cart".into())),
            pair("ok", Any::BoolValue(true)),
            pair("p", Any::DoubleValue(0.5)),
            pair("list", list),
            pair("map", map),
        ],
        events: vec![span::Event {
            time_unix_nano: START + 1,
            name: "retry".into(),
            attributes: vec![pair("n", Any::IntValue(2))],
            ..span::Event::default()
        }],
        links: vec![span::Link {
            trace_id: 9u128.to_be_bytes().to_vec(),
            span_id: 8u64.to_be_bytes().to_vec(),
            attributes: vec![pair("raceway.link", Any::StringValue("candidate".into()))],
            ..span::Link::default()
        }],
        status: Some(OtlpStatus { code: 2, message: "refused".into() }),
        flags: 0x103,
        ..OtlpSpan::default()
    }
}

fn plain(id: u64) -> OtlpSpan {
    let (events, links, attributes) = (Vec::new(), Vec::new(), Vec::new());
    OtlpSpan { events, links, attributes, status: None, ..full(id) }
}

fn request(spans: Vec<OtlpSpan>) -> ExportTraceServiceRequest {
    let attributes = vec![
        pair("service.name", Any::StringValue("shop".into())),
        pair("service.instance.id", Any::StringValue("shop-1".into())),
    ];
    let scope = Some(InstrumentationScope { name: "test".into(), ..InstrumentationScope::default() });
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(OtlpResource { attributes, ..OtlpResource::default() }),
            scope_spans: vec![ScopeSpans { scope, spans, ..ScopeSpans::default() }],
            ..ResourceSpans::default()
        }],
    }
}

async fn client(doors: &Doors) -> TraceServiceClient<tonic::transport::Channel> {
    TraceServiceClient::connect(format!("http://{}", doors.address)).await.unwrap()
}

fn text(value: &'static str) -> Value<'static> {
    Value::from(value)
}

fn assert_full(doors: &Doors, id: u64) {
    let kept = doors.trace(TRACE);
    let reported = kept.iter().find(|reported| reported.span.span_id.get() == id).expect("the span is kept");
    assert_eq!(reported.resource.service_name(), Some("shop"));
    assert_eq!(&*reported.scope, "test");
    let span = &reported.span;
    assert_eq!((span.trace_id.get(), span.parent_span_id), (TRACE, SpanId::new(7)));
    assert_eq!((span.kind, span.flags, &*span.name), (Kind::Client, 3, "GET /cart"));
    assert_eq!((span.start_ns, span.end_ns, &*span.trace_state), (START, START + 5, "raceway=m:h"));
    assert_eq!(span.status, Status::Error("refused".into()));
    assert_eq!(span.attribute("http.route"), Some(&text("/cart")));
    assert_eq!(span.attribute("ok"), Some(&Value::Bool(true)));
    assert_eq!(span.attribute("p"), Some(&Value::Double(0.5)));
    assert_eq!(span.attribute("list"), Some(&Value::Array(vec![Value::Int(-1), Value::Empty])));
    let deep = Value::Bytes(vec![0, 255].into());
    assert_eq!(span.attribute("map"), Some(&Value::Map(vec![("deep".into(), deep)])));
    assert_eq!((span.events[0].time_ns, span.events[0].attribute("n")), (START + 1, Some(&Value::Int(2))));
    assert_eq!((span.links[0].trace_id.get(), span.links[0].span_id.get()), (9, 8));
    assert_eq!(span.attribute(LEFT_OUT), None);
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_arrive_whole_over_grpc_however_compressed() {
    let doors = Doors::open().await;
    for (id, compression) in [(1, None), (2, Some(CompressionEncoding::Gzip)), (3, Some(CompressionEncoding::Zstd))] {
        let mut client = client(&doors).await;
        if let Some(compression) = compression {
            client = client.send_compressed(compression);
        }
        let answer = client.export(request(vec![full(id)])).await.unwrap().into_inner();
        assert_eq!(answer, ExportTraceServiceResponse { partial_success: None });
        assert_full(&doors, id);
    }
    assert_eq!(doors.seen.spans.lock().unwrap().len(), 3);
    assert_eq!(doors.counted("raceway_analyzer_ingest_spans_total"), 3.0);
    assert_eq!(doors.counted("raceway_analyzer_store_spans_total"), 3.0);
    // Sent again it changes nothing, neither here nor in what the live view has seen.
    client(&doors).await.export(request(vec![full(1)])).await.unwrap();
    assert_eq!((doors.trace(TRACE).len(), doors.seen.spans.lock().unwrap().len()), (3, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_arrive_whole_over_http_however_compressed() {
    let doors = Doors::open().await;
    let encoded = |id| request(vec![full(id)]).encode_to_vec();
    for (id, encoding, body) in [
        (1, "identity", encoded(1)),
        (2, "gzip", gzip(&encoded(2))),
        (3, "zstd", zstd::encode_all(&*encoded(3), 3).unwrap()),
    ] {
        let encoding = format!("content-encoding: {encoding}");
        let answer = doors.post("/v1/traces", &["content-type: application/x-protobuf", &encoding], &body).await;
        assert_eq!((answer.status, answer.body.len()), (200, 0), "{}", answer.headers);
        assert!(answer.headers.contains("content-type: application/x-protobuf"));
        assert_full(&doors, id);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_arrive_whole_as_json() {
    let doors = Doors::open().await;
    let json = r#"{"resourceSpans": [{
        "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}},
            {"key": "service.instance.id", "value": {"stringValue": "shop-1"}}], "droppedAttributesCount": 0},
        "scopeSpans": [{"scope": {"name": "test", "version": null}, "schemaUrl": "", "spans": [{
            "traceId": "5B8EFFF798038103D269B633813FC60C", "spanId": "0000000000000001", "parentSpanId": "0000000000000007",
            "traceState": "raceway=m:h", "name": "GET \/cart", "kind": "SPAN_KIND_CLIENT", "flags": 259, "fieldOfTomorrow": [1],
            "startTimeUnixNano": "1793527200000000000", "endTimeUnixNano": 1793527200000000005,
            "attributes": [
                {"key": "http.route", "value": {"stringValue": "/cart"}}, {"key": "ok", "value": {"boolValue": true}},
                {"key": "p", "value": {"doubleValue": 0.5}},
                {"key": "list", "value": {"arrayValue": {"values": [{"intValue": "-1"}, {}]}}},
                {"key": "map", "value": {"kvlistValue": {"values": [{"key": "deep", "value": {"bytesValue": "AP8="}}]}}}],
            "events": [{"timeUnixNano": "1793527200000000001", "name": "retry", "attributes": [{"key": "n", "value": {"intValue": 2}}]}],
            "links": [{"traceId": "00000000000000000000000000000009", "spanId": "0000000000000008", "attributes": null}],
            "status": {"code": 2, "message": "refused"}}]}]}]}"#;
    let answer = doors.post("/v1/traces", &["content-type: application/json; charset=utf-8"], json.as_bytes()).await;
    assert_eq!((answer.status, &*answer.body), (200, &b"{}"[..]), "{}", answer.headers);
    assert_full(&doors, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_span_does_not_keep_the_others_out() {
    let doors = Doors::open().await;
    let short = OtlpSpan { trace_id: vec![1, 2], ..plain(2) };
    let zero = OtlpSpan { span_id: vec![0; 8], ..plain(3) };
    let timeless = OtlpSpan { end_time_unix_nano: 0, ..plain(4) };
    let spans = vec![plain(1), short, zero, timeless, plain(5)];
    let partial =
        client(&doors).await.export(request(spans.clone())).await.unwrap().into_inner().partial_success.unwrap();
    assert_eq!((partial.rejected_spans, &*partial.error_message), (3, "trace_id must be 16 bytes, not all zero"));
    assert_eq!(doors.trace(TRACE).len(), 2);

    let body = request(spans).encode_to_vec();
    let answer = doors.post("/v1/traces", &["content-type: application/x-protobuf"], &body).await;
    let partial = ExportTraceServiceResponse::decode(&*answer.body).unwrap().partial_success.unwrap();
    assert_eq!((answer.status, partial.rejected_spans), (200, 3));

    let json = r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"xyz"},{"kind":[]},7,
        {"traceId":"5b8efff798038103d269b633813fc60d","spanId":"0000000000000001","startTimeUnixNano":1,"endTimeUnixNano":2}]}]}]}"#;
    let answer = doors.post("/v1/traces", &["content-type: application/json"], json.as_bytes()).await;
    assert_eq!(answer.json()["partialSuccess"]["rejectedSpans"], "3");
    assert_eq!(doors.trace(TRACE + 1).len(), 1);
    assert_eq!(doors.counted("raceway_analyzer_ingest_spans_rejected_total"), 9.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_over_a_cap_is_left_out_and_said() {
    let doors = Doors::open_with(Options { spans_per_trace_max: 2, ..Options::default() }).await;
    let mut many = plain(1);
    many.attributes = (0..1000).map(|n| pair(&format!("n{n}"), Any::StringValue("x".repeat(20_000)))).collect();
    let mut deep = plain(2);
    let mut value = Any::IntValue(1);
    for _ in 0..90 {
        value = Any::ArrayValue(ArrayValue { values: vec![AnyValue { value: Some(value) }] });
    }
    deep.attributes = vec![pair("deep", value)];
    deep.links = vec![span::Link { trace_id: vec![1], ..span::Link::default() }];
    // Over what one request may hold, so in two.
    client(&doors).await.export(request(vec![deep])).await.unwrap();
    many.attributes.truncate(600);
    client(&doors).await.export(request(vec![many])).await.unwrap();
    let kept = doors.trace(TRACE);
    let span = |id: u64| &kept.iter().find(|reported| reported.span.span_id.get() == id).unwrap().span;
    let long = span(1).attribute("n0").and_then(Value::as_str).unwrap();
    assert_eq!((span(1).attributes.len(), long.len()), (257, 16 * 1024));
    assert!(span(1).attribute(LEFT_OUT).and_then(Value::as_int) >= Some(344 + 256));
    assert_eq!(span(2).attribute(LEFT_OUT), Some(&Value::Int(2)), "the list that is too deep and the link");
    let partial = client(&doors).await.export(request(vec![plain(3)])).await.unwrap().into_inner().partial_success;
    assert!(partial.is_some_and(|partial| partial.rejected_spans == 1 && partial.error_message.contains("trace")));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_refused_for_good() {
    let doors = Doors::open().await;
    let protobuf = "content-type: application/x-protobuf";
    for (path, headers, body, status, told) in [
        ("/v1/traces", &[protobuf][..], &b"\x0a\x05abc"[..], 400, "not protobuf"),
        ("/v1/traces", &["content-type: application/json"], b"{\"resourceSpans\":7}", 400, "invalid type"),
        ("/v1/traces", &["content-type: text/plain"], b"", 415, "application/x-protobuf"),
        ("/v1/traces", &[], b"", 415, "application/x-protobuf"),
        ("/v1/traces", &[protobuf, "content-encoding: br"], b"", 415, "gzip, zstd"),
        ("/v1/traces", &[protobuf, "content-encoding: gzip"], b"noise", 400, "decompressed"),
        ("/v1/metrics", &[protobuf], b"\x0a\x05abc", 400, "not protobuf"),
        ("/v1/logs", &[protobuf], b"", 404, "/v1/traces"),
        ("/events", &[], b"{}", 400, "events"),
    ] {
        let answer = doors.post(path, headers, body).await;
        let said = String::from_utf8_lossy(&answer.body).into_owned();
        assert!(answer.status == status && said.contains(told), "{path} {headers:?}: {} {said}", answer.status);
        assert!(!answer.headers.contains("retry-after"));
    }
    assert_eq!(doors.request("GET", "/v1/traces", &[], b"").await.status, 405);

    let large = vec![0; 16 * 1024 * 1024 + 1];
    assert_eq!(doors.post("/v1/traces", &[protobuf], &large).await.status, 413);
    let bomb = gzip(&vec![0; 64 * 1024 * 1024 + 1]);
    assert_eq!(doors.post("/v1/traces", &[protobuf, "content-encoding: gzip"], &bomb).await.status, 413);
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_refusals_have_the_codes_that_clients_act_on() {
    let doors = Doors::open().await;
    let mut large = plain(1);
    large.name = "x".repeat(17 * 1024 * 1024);
    let refused = client(&doors).await.export(request(vec![large])).await.unwrap_err();
    // Without RetryInfo: the same request must not come again. (Where the connection broke first, tonic says so.)
    assert!(refused.details().is_empty());
    assert!(matches!(refused.code(), Code::ResourceExhausted | Code::Unknown | Code::Internal), "{refused:?}");

    let mut logs = tonic::client::Grpc::new(
        tonic::transport::Endpoint::from_shared(format!("http://{}", doors.address)).unwrap().connect().await.unwrap(),
    );
    logs.ready().await.unwrap();
    let path = "/opentelemetry.proto.collector.logs.v1.LogsService/Export".parse().unwrap();
    let codec = tonic_prost_codec();
    let refused = logs.unary(Request::new(request(vec![])), path, codec).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unimplemented);
}

/// The codec of the generated clients, for calls that they do not have.
fn tonic_prost_codec()
-> impl tonic::codec::Codec<Encode = ExportTraceServiceRequest, Decode = ExportTraceServiceResponse> {
    tonic_prost::ProstCodec::default()
}

#[tokio::test(flavor = "multi_thread")]
async fn overload_says_when_to_come_again() {
    type Case = (fn() -> StoreError, Code, &'static str);
    let errors: [Case; 3] = [
        (|| StoreError::Overloaded { retry_after: Duration::from_millis(1500) }, Code::ResourceExhausted, "2"),
        (|| StoreError::Full("the disk is full".into()), Code::ResourceExhausted, "30"),
        (|| StoreError::Failed("the disk failed".into()), Code::Unavailable, "30"),
    ];
    for (error, code, seconds) in errors {
        let doors = Doors::open_refusing(error).await;
        let refused = client(&doors).await.export(request(vec![plain(1)])).await.unwrap_err();
        assert_eq!((refused.code(), refused.message()), (code, &*error().to_string()));
        let details = refused.details();
        assert!(details.windows(35).any(|part| part == b"type.googleapis.com/google.rpc.Retr"), "RetryInfo");

        let protobuf = request(vec![plain(1)]).encode_to_vec();
        let answer = doors.post("/v1/traces", &["content-type: application/x-protobuf"], &protobuf).await;
        assert_eq!(answer.status, 503);
        assert!(answer.headers.contains(&format!("retry-after: {seconds}")), "{}", answer.headers);
        let events = format!("{{\"events\":[{}]}}", event(1, None, "a"));
        let answer = doors.post("/events", &[], events.as_bytes()).await;
        assert_eq!((answer.status, &answer.json()["success"]), (503, &false.into()));
        assert!(doors.seen.spans.lock().unwrap().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn our_exporter_brings_spans_and_edge_counters() {
    for (protocol, kept_by) in [(Protocol::Grpc, "grpc"), (Protocol::HttpProtobuf, "http_protobuf")] {
        let doors = Doors::open().await;
        let endpoint = Endpoint::parse(&format!("http://{}", doors.address), protocol).unwrap();
        let edges = EdgeCounters::new(std::time::SystemTime::now());
        edges.record("payment", Duration::from_millis(3), false);
        edges.record("payment", Duration::from_millis(30), true);
        let resource = Resource::new("orders").with("service.instance.id", "orders-1");
        let exporter = Exporter::start(Settings { edges: Some(edges), ..Settings::new(endpoint, resource) });
        let mut span = Span::new(TraceId::new(TRACE).unwrap(), SpanId::new(1).unwrap(), Kind::Server, "GET /x", START);
        span.set("raceway.strand", "orders#orders-1~1");
        exporter.record(&span);
        let stats = exporter.stop(Duration::from_secs(10)).await;
        assert_eq!(doors.trace(TRACE).len(), 1, "{stats:?}");
        assert_eq!(doors.trace(TRACE)[0].span, span.into_owned());
        let kept = doors.store.edges().unwrap();
        assert_eq!(kept.len(), 1, "{stats:?}");
        let counter = &kept[0];
        assert_eq!(
            (&*counter.key.service, &*counter.key.instance, &*counter.key.to),
            ("orders", "orders-1", "payment")
        );
        assert_eq!((counter.calls, counter.errors, counter.latency.count), (2, 1, 2));
        assert_eq!(counter.latency.buckets.len(), counter.latency.bounds_s.len() + 1);
        assert_eq!(counter.latency.buckets.iter().sum::<u64>(), 2);
        assert!((counter.latency.sum_s - 0.033).abs() < 1e-9 && counter.key.start_ns > 0);
        assert_eq!(doors.seen.edges.lock().unwrap().last(), Some(counter));
        let requests = doors.registry.gather();
        let requests =
            requests.iter().find(|family| family.name() == "raceway_analyzer_ingest_requests_total").unwrap();
        assert!(
            requests.get_metric().iter().all(|metric| metric.get_label().iter().any(|label| label.value() == kept_by))
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_of_others_are_taken_and_left() {
    let doors = Doors::open().await;
    let json = |name: &str, kind: &str, temporality: u8, to: &str| {
        format!(
            r#"{{"resourceMetrics":[{{"resource":{{"attributes":[{{"key":"service.name","value":{{"stringValue":"shop"}}}}]}},
            "scopeMetrics":[{{"metrics":[{{"name":"{name}","{kind}":{{"aggregationTemporality":{temporality},"dataPoints":[
            {{"asInt":"5","startTimeUnixNano":"1","timeUnixNano":"2","attributes":[{{"key":"{to}","value":{{"stringValue":"till"}}}}]}}]}}}}]}}]}}]}}"#
        )
    };
    let post =
        async |body: String| doors.post("/v1/metrics", &["content-type: application/json"], body.as_bytes()).await;
    for (name, kind, temporality) in
        [("process.cpu.time", "sum", 2), ("raceway.edge.calls", "sum", 1), ("raceway.edge.calls", "gauge", 2)]
    {
        assert_eq!(post(json(name, kind, temporality, "raceway.edge.to")).await.body, b"{}");
    }
    assert!(doors.store.edges().unwrap().is_empty());
    assert_eq!(doors.counted("raceway_analyzer_ingest_metrics_ignored_total"), 3.0);
    let partial = post(json("raceway.edge.calls", "sum", 2, "elsewhere")).await.json();
    assert_eq!(partial["partialSuccess"]["rejectedDataPoints"], "1");
    assert_eq!(post(json("raceway.edge.calls", "sum", 2, "raceway.edge.to")).await.body, b"{}");
    assert_eq!(doors.store.edges().unwrap()[0].calls, 5);
    // The same names over gRPC, with nothing in them.
    let mut client = MetricsServiceClient::connect(format!("http://{}", doors.address)).await.unwrap();
    client.export(ExportMetricsServiceRequest::default()).await.unwrap();
}

fn event(id: u32, parent: Option<u32>, strand: &str) -> String {
    let uuid = |id: u32| format!("00000000-0000-4000-8000-{id:012}");
    let parent = parent.map_or("null".to_owned(), |id| format!("{:?}", uuid(id)));
    format!(
        r#"{{"id":"{}","trace_id":"5b8efff7-9803-8103-d269-b633813fc60c","parent_id":{parent},
        "timestamp":"2026-11-01T10:00:0{id}Z","kind":{{"HttpRequest":{{"method":"GET","url":"/a","headers":{{}},"body":null}}}},
        "metadata":{{"thread_id":"1","process_id":1,"service_name":"cart","environment":"development","tags":{{}},"duration_ns":null,
        "instance_id":"cart-1","distributed_span_id":"{strand:0>16}"}},"causality_vector":[["cart#cart-1",{id}]],"lock_set":[]}}"#,
        uuid(id)
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn raceway_events_become_spans_and_come_back_to_the_letter() {
    let doors = Doors::open().await;
    let batch = format!(r#"{{"events":[{},{{"id":7}},{}]}}"#, event(1, None, "a"), event(2, Some(1), "a"));
    let answer = doors.post("/events", &["content-type: application/json"], batch.as_bytes()).await;
    let said = answer.json();
    assert_eq!((answer.status, &said["data"]), (206, &"Ingested 2 events".into()));
    assert_eq!((&said["success"], &said["rejected"][0]["index"]), (&true.into(), &1.into()));
    // Again, and the rest of the strand in a later batch.
    let batch = format!(r#"{{"events":[{},{}]}}"#, event(1, None, "a"), event(3, Some(2), "b"));
    let answer = doors.post("/events", &["content-encoding: gzip"], &gzip(batch.as_bytes())).await;
    assert_eq!((answer.status, answer.json().get("rejected")), (200, None));
    let kept = doors.trace(TRACE);
    assert_eq!(kept.len(), 3);
    let folded = fold(kept);
    assert_eq!((folded.len(), folded[0].span.span_id.get(), folded[0].span.kind), (1, 0xa, Kind::Server));
    let texts: Vec<_> =
        folded[0].span.events.iter().map(|event| event.attribute(EVENT_JSON).and_then(Value::as_str)).collect();
    assert_eq!(texts, [Some(&*event(1, None, "a")), Some(&*event(2, Some(1), "a")), Some(&*event(3, Some(2), "b"))]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_goes_on_when_its_sender_hangs_up() {
    use tokio::io::AsyncWriteExt;
    let doors = Doors::open().await;
    for n in 0..20u64 {
        let body = request(vec![plain(n + 1)]).encode_to_vec();
        let mut stream = tokio::net::TcpStream::connect(doors.address).await.unwrap();
        let head = format!(
            "POST /v1/traces HTTP/1.1\r\nhost: t\r\ncontent-type: application/x-protobuf\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&body).await.unwrap();
        tokio::time::sleep(Duration::from_micros(200 * n)).await;
    }
    // Whatever became durable was seen: a hang-up falls between neither.
    let began = std::time::Instant::now();
    loop {
        let (kept, seen) = (doors.trace(TRACE).len(), doors.seen.spans.lock().unwrap().len());
        if kept > 0 && kept == seen && doors.counted("raceway_analyzer_ingest_spans_total") == kept as f64 {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(10), "{kept} kept, {seen} seen");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// OpenTelemetry's SDK for Python, over both protocols.
const PYTHON: &str = r#"
import sys
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as Grpc
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as Http
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.trace import SpanKind, Status, StatusCode
address = sys.argv[1]
exporters = [Grpc(endpoint=f"http://{address}", insecure=True),
             Http(endpoint=f"http://{address}/v1/traces", compression=Compression.Gzip)]
for name, exporter in zip(["by-grpc", "by-http"], exporters):
    provider = TracerProvider(resource=Resource.create({"service.name": name}))
    provider.add_span_processor(BatchSpanProcessor(exporter))
    tracer = provider.get_tracer("test")
    with tracer.start_as_current_span("outer", kind=SpanKind.SERVER) as outer:
        outer.set_attribute("list", [1, 2])
        with tracer.start_as_current_span("inner") as inner:
            inner.set_status(Status(StatusCode.ERROR, "no"))
            inner.add_event("tried", {"times": 3})
    assert provider.force_flush(), name
    provider.shutdown()
    print(format(outer.get_span_context().trace_id, "032x"))
"#;

/// A Python with OpenTelemetry: the machine's, or one made below the target folder.
fn python() -> Option<std::path::PathBuf> {
    let works = |python: &std::path::Path| {
        let check =
            "import opentelemetry.sdk, opentelemetry.exporter.otlp.proto.grpc, opentelemetry.exporter.otlp.proto.http";
        std::process::Command::new(python)
            .args(["-c", check])
            .stderr(std::process::Stdio::null())
            .status()
            .is_ok_and(|s| s.success())
    };
    let venv = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("otel-python");
    let own = venv.join("bin/python");
    for python in [std::path::Path::new("python3"), &own] {
        if works(python) {
            return Some(python.to_owned());
        }
    }
    let run = |program: &std::path::Path, args: &[&str]| {
        std::process::Command::new(program).args(args).status().is_ok_and(|status| status.success())
    };
    let made = run("python3".as_ref(), &["-m", "venv", &venv.to_string_lossy()])
        && run(&own, &["-m", "pip", "-q", "install", "opentelemetry-sdk", "opentelemetry-exporter-otlp"]);
    (made && works(&own)).then_some(own)
}

#[tokio::test(flavor = "multi_thread")]
async fn opentelemetrys_python_sdk_is_understood() {
    let Some(python) = tokio::task::spawn_blocking(python).await.unwrap() else {
        eprintln!("SKIPPED opentelemetrys_python_sdk_is_understood: OpenTelemetry for Python cannot be installed here");
        return;
    };
    let doors = Doors::open().await;
    let address = doors.address.to_string();
    let output = tokio::task::spawn_blocking(move || {
        std::process::Command::new(python).args(["-c", PYTHON, &address]).output().unwrap()
    });
    let output = output.await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let traces = String::from_utf8(output.stdout).unwrap();
    for (service, id) in ["by-grpc", "by-http"].into_iter().zip(traces.lines()) {
        let spans = doors.store.trace(TraceId::from_hex(id.as_bytes()).unwrap()).unwrap();
        assert_eq!(spans.len(), 2, "{service}");
        let [outer, inner] = &spans[..] else { unreachable!() };
        assert_eq!(outer.resource.service_name(), Some(service));
        assert_eq!((outer.span.kind, inner.span.parent_span_id), (Kind::Server, Some(outer.span.span_id)));
        assert_eq!(outer.span.attribute("list"), Some(&Value::Array(vec![Value::Int(1), Value::Int(2)])));
        assert_eq!((&inner.span.status, &*inner.span.events[0].name), (&Status::Error("no".into()), "tried"));
    }
}
