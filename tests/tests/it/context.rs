//! A trace that comes in is joined; where none comes one begins; what the application passes on is certain.

use raceway_analyzer::api::types::{Certainty, LinkMethod, SpanKind};
use raceway_tests::Stack;
use raceway_tests::analyzer::TraceExt;
use raceway_tests::app::Behaviour;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

fn traceparent() -> String {
    format!("00-{TRACE}-{PARENT}-01")
}

#[tokio::test]
async fn an_incoming_trace_is_joined() {
    let stack = Stack::start(["orders"]).await;
    stack.get_with("/orders/1", &[("traceparent", &traceparent()), ("tracestate", "rojo=00f067aa0ba902b7")]).await;
    stack.settle().await;

    let trace = stack.analyzer().trace(TRACE).await;
    let span = trace.span("orders", SpanKind::Server);
    assert_eq!(span.parent_span_id.as_deref(), Some(PARENT), "{span:?}");
    assert!(span.orphan, "its parent reports elsewhere");
    let seen = stack.app("orders").only_seen();
    assert_eq!(seen.header("traceparent"), Some(format!("00-{TRACE}-{}-01", span.span_id)));
    let state = seen.header("tracestate").expect("it is passed on");
    assert!(state.starts_with("raceway=") && state.ends_with(",rojo=00f067aa0ba902b7"), "{state}");
    stack.stop().await;
}

#[tokio::test]
async fn a_trace_begins_where_none_came() {
    let stack = Stack::start(["orders -> payment"]).await;
    stack.get("/orders/1").await;
    stack.settle().await;

    let trace = stack.analyzer().only_trace().await;
    assert_eq!(
        trace.family(),
        ["orders client < orders server", "orders server < -", "payment server < orders client"]
    );
    let id = trace.trace_id.replace('-', "");
    for service in ["orders", "payment"] {
        let span = trace.span(service, SpanKind::Server);
        let seen = stack.app(service).only_seen();
        // The random flag (bit 1) says that the id may be sampled by; the W3C asks for it on ids that are random.
        assert_eq!(seen.header("traceparent"), Some(format!("00-{id}-{}-03", span.span_id)), "{service}");
        assert_eq!(seen.header("x-raceway-trace-id").map(|id| id.replace('-', "")), Some(id.clone()), "{service}");
        assert!(seen.header("raceway-clock").is_some_and(|clock| clock.starts_with("v1;")), "{service}");
    }
    let call = trace.span("orders", SpanKind::Client);
    assert_eq!((call.link.certainty, call.link.method), (Certainty::Likely, LinkMethod::Sole));
    stack.stop().await;
}

#[tokio::test]
async fn the_vector_clock_of_the_requirements_reaches_the_application() {
    let stack = Stack::start(["service-b"]).await;
    let headers = [("X-Raceway-Trace-Id", TRACE), ("X-Raceway-VC", r#"{"service-a":5}"#)];
    stack.get_with("/", &headers).await;
    let seen = stack.app("service-b").only_seen();
    assert_eq!(seen.header("x-raceway-vc").as_deref(), Some(r#"{"service-a":5,"service-b":1}"#));
    assert_eq!(seen.header("x-raceway-trace-id").map(|id| id.replace('-', "")).as_deref(), Some(TRACE));
    stack.settle().await;
    stack.analyzer().trace(TRACE).await.span("service-b", SpanKind::Server);
    stack.stop().await;
}

#[tokio::test]
async fn what_the_application_passes_on_is_certain() {
    let forwards = Behaviour { forwards: vec!["traceparent"], ..Behaviour::default() };
    let stack = Stack::of(["orders -> payment"]).behave("orders", forwards).start().await;
    stack.get("/orders/1").await;
    stack.settle().await;
    let trace = stack.analyzer().only_trace().await;
    let call = trace.span("orders", SpanKind::Client);
    assert_eq!((call.link.certainty, call.link.method), (Certainty::Certain, LinkMethod::Header));
    assert_eq!(call.parent_span_id.as_ref(), Some(&trace.span("orders", SpanKind::Server).span_id));
    stack.stop().await;
}

#[tokio::test]
async fn with_two_requests_in_flight_nothing_is_guessed() {
    let slow = Behaviour { own: std::time::Duration::from_millis(300), ..Behaviour::default() };
    let stack = Stack::of(["orders -> payment"]).behave("orders", slow).start().await;
    // Both have come in before either has called: the sidecar cannot know whose call it sees.
    tokio::join!(stack.get("/orders/1"), stack.get("/orders/2"));
    stack.settle().await;
    let traces = stack.analyzer().traces().await;
    let calls: Vec<_> = traces.iter().flat_map(|trace| trace.spans_of("orders", SpanKind::Client)).collect();
    assert_eq!(calls.len(), 2);
    let unlinked: Vec<_> = calls.iter().filter(|call| call.link.certainty == Certainty::Unlinked).collect();
    let first = unlinked.first().expect("the first of the two calls has two possible causes");
    assert_eq!(first.parent_span_id, None);
    assert_eq!(first.link.candidates, Some(2));
    assert_eq!(first.links.len(), 2, "it points at both: {:?}", first.links);
    assert_eq!(stack.analyzer().edges().await, ["orders -> payment"]);
    stack.stop().await;
}
