//! `--threads 2`: a request comes in on one thread, its calls leave on the other, and both know of each other.

use std::time::Duration;

use raceway_analyzer::api::types::{Certainty, LinkMethod, SpanKind};
use raceway_tests::Stack;
use raceway_tests::analyzer::TraceExt;
use raceway_tests::app::Behaviour;

#[tokio::test]
async fn a_call_on_another_thread_finds_its_request() {
    let stack = Stack::of(["orders -> payment"]).flag("orders", "--threads=2").start().await;
    stack.get("/orders/1").await;
    stack.settle().await;
    // A connection goes to the thread with the fewest: the caller's to the first, so the application's to the second,
    // where it stays.
    let sidecar = stack.sidecar("orders");
    sidecar.metric_reaches("thread_connections_open", &[r#"thread="2""#], 1.0).await;
    assert!(sidecar.log().contains("threads=2"), "{}", sidecar.log());

    let trace = stack.analyzer().only_trace().await;
    assert_eq!(
        trace.family(),
        ["orders client < orders server", "orders server < -", "payment server < orders client"]
    );
    let call = trace.span("orders", SpanKind::Client);
    assert_eq!((call.link.certainty, call.link.method), (Certainty::Likely, LinkMethod::Sole));
    stack.stop().await;
}

#[tokio::test]
async fn what_the_application_passes_on_is_found_on_any_thread() {
    let forwards = Behaviour { forwards: vec!["traceparent"], ..Behaviour::default() };
    let stack = Stack::of(["orders -> payment"]).behave("orders", forwards).flag("orders", "--threads=2").start().await;
    for _ in 0..5 {
        tokio::join!(stack.get("/orders/1"), stack.get("/orders/2"), stack.get("/orders/3"), stack.get("/orders/4"));
    }
    stack.settle().await;
    let traces = stack.analyzer().traces().await;
    assert_eq!(traces.len(), 20);
    for trace in traces {
        let call = trace.span("orders", SpanKind::Client);
        assert_eq!((call.link.certainty, call.link.method), (Certainty::Certain, LinkMethod::Header));
        assert_eq!(call.parent_span_id.as_ref(), Some(&trace.span("orders", SpanKind::Server).span_id));
    }
    stack.stop().await;
}

#[tokio::test]
async fn requests_in_flight_on_two_threads_are_counted_together() {
    let slow = Behaviour { own: Duration::from_millis(300), ..Behaviour::default() };
    let stack = Stack::of(["orders -> payment"]).behave("orders", slow).flag("orders", "--threads=2").start().await;
    let sidecar = stack.sidecar("orders");
    let apart = async {
        for thread in [r#"thread="1""#, r#"thread="2""#] {
            sidecar.metric_reaches("thread_connections_open", &[thread], 1.0).await;
        }
    };
    tokio::join!(stack.get("/orders/1"), stack.get("/orders/2"), apart);
    stack.settle().await;
    let traces = stack.analyzer().traces().await;
    let calls: Vec<_> = traces.iter().flat_map(|trace| trace.spans_of("orders", SpanKind::Client)).collect();
    assert_eq!(calls.len(), 2);
    let first = calls.iter().find(|call| call.link.certainty == Certainty::Unlinked);
    let first = first.expect("the first of the two calls has two possible causes");
    assert_eq!((first.link.candidates, first.links.len()), (Some(2), 2), "{:?}", first.links);
    stack.stop().await;
}
