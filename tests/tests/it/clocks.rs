//! Vector clocks are comparable exactly where a message path leads over stamped links.

use raceway_analyzer::api::types::{OrderCertainty, OrderView, OrderWord, SpanKind, SpanView, TraceView};
use raceway_tests::Stack;
use raceway_tests::app::Behaviour;

/// `api client auth`: a call by its caller and path's end, told apart by the callee's span below it.
fn name(trace: &TraceView, span: &SpanView) -> String {
    match span.kind {
        SpanKind::Client => {
            let callee = trace.spans.iter().find(|other| other.parent_span_id.as_ref() == Some(&span.span_id));
            format!("{} to {}", span.service, callee.expect("every callee has a sidecar").service)
        }
        _ => span.service.clone(),
    }
}

/// All pairs of which the first is before the second, as `a < b`, sorted; and how sure that is.
async fn before(stack: &Stack, trace: &TraceView) -> Vec<(String, OrderCertainty)> {
    let mut pairs = Vec::new();
    for a in &trace.spans {
        for b in &trace.spans {
            let path = format!("/api/traces/{}/order?a={}&b={}", trace.trace_id, a.span_id, b.span_id);
            let view: OrderView = stack.analyzer().ask(&path).await;
            let expected = match view.order {
                OrderWord::Before => {
                    pairs.push((format!("{} < {}", name(trace, a), name(trace, b)), view.certainty));
                    OrderWord::After
                }
                OrderWord::After => OrderWord::Before,
                same => same,
            };
            let path = format!("/api/traces/{}/order?a={}&b={}", trace.trace_id, b.span_id, a.span_id);
            let reverse: OrderView = stack.analyzer().ask(&path).await;
            assert_eq!(reverse.order, expected, "{} and {}", name(trace, a), name(trace, b));
            assert_eq!(view.order == OrderWord::Same, a.span_id == b.span_id);
            assert_ne!(view.order, OrderWord::Unknown, "{} and {}", name(trace, a), name(trace, b));
        }
    }
    pairs.sort_by(|a, b| a.0.cmp(&b.0));
    pairs
}

/// Everything on the left is before everything on the right, and nothing else is before anything.
fn product(left: &[&str], right: &[&str]) -> Vec<String> {
    let mut pairs: Vec<String> = left.iter().flat_map(|a| right.iter().map(move |b| format!("{a} < {b}"))).collect();
    pairs.sort();
    pairs
}

#[tokio::test]
async fn calls_in_turn_are_ordered_with_all_that_lies_below_them() {
    let stack = Stack::start(["frontend -> api", "api -> auth, order", "order -> payment"]).await;
    stack.get("/checkout").await;
    stack.settle().await;
    let trace = stack.analyzer().only_trace().await;
    let found = before(&stack, &trace).await;
    let pairs: Vec<_> = found.iter().map(|(pair, _)| pair.clone()).collect();
    assert_eq!(pairs, product(&["api to auth", "auth"], &["api to order", "order", "order to payment", "payment"]));
    assert!(found.iter().all(|(_, certainty)| *certainty == OrderCertainty::Likely), "over sole links: {found:?}");
    stack.stop().await;
}

#[tokio::test]
async fn calls_side_by_side_are_concurrent() {
    let stack = Stack::start(["frontend -> api", "api -> auth & order", "order -> payment"]).await;
    stack.get("/checkout").await;
    stack.settle().await;
    let trace = stack.analyzer().only_trace().await;
    assert_eq!(before(&stack, &trace).await, []);
    stack.stop().await;
}

#[tokio::test]
async fn an_order_over_certain_links_is_definite() {
    let forwards = Behaviour { forwards: vec!["traceparent"], ..Behaviour::default() };
    let stack = Stack::of(["api -> auth, order"]).behave("api", forwards).start().await;
    stack.get("/checkout").await;
    stack.settle().await;
    let trace = stack.analyzer().only_trace().await;
    let found = before(&stack, &trace).await;
    let pairs: Vec<_> = found.iter().map(|(pair, _)| pair.clone()).collect();
    assert_eq!(pairs, product(&["api to auth", "auth"], &["api to order", "order"]));
    assert!(found.iter().all(|(_, certainty)| *certainty == OrderCertainty::Definite), "{found:?}");
    stack.stop().await;
}
