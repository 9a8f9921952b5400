//! Clients that honour `http_proxy` need no route: absolute-form requests and CONNECT through the sidecar.

use raceway_analyzer::api::types::SpanKind;
use raceway_tests::analyzer::TraceExt;
use raceway_tests::{Stack, http};

#[tokio::test]
async fn a_request_in_absolute_form_is_a_call_of_the_service() {
    let stack = Stack::start(["shop", "orders"]).await;
    let orders = stack.door_of("orders");
    let request = format!("GET http://{orders}/orders/1 HTTP/1.1\r\nHost: {orders}\r\nConnection: close\r\n\r\n");
    let answer = http::send(stack.sidecar("shop").outbound(), request.as_bytes()).await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "orders"));
    assert_eq!(stack.app("orders").only_seen().target, "/orders/1");
    stack.analyzer().settle(2).await;
    let trace = stack.analyzer().only_trace().await;
    assert_eq!(trace.family(), ["orders server < shop client", "shop client < -"]);
    assert_eq!(trace.span("shop", SpanKind::Client).link.candidates, Some(0), "nothing was in flight");
    assert_eq!(stack.analyzer().edges().await, ["shop -> orders"]);
    stack.stop().await;
}

#[tokio::test]
async fn plain_http_inside_connect_is_read() {
    let stack = Stack::start(["shop", "orders"]).await;
    let orders = stack.door_of("orders");
    let inside = format!("GET /orders/1 HTTP/1.1\r\nHost: {orders}\r\nConnection: close\r\n\r\n");
    let request = format!("CONNECT {orders} HTTP/1.1\r\nHost: {orders}\r\n\r\n{inside}");
    let answer = http::send(stack.sidecar("shop").outbound(), request.as_bytes()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.text().starts_with("HTTP/1.1 200") && answer.text().ends_with("orders"), "{answer:?}");
    stack.analyzer().settle(2).await;
    assert_eq!(stack.analyzer().edges().await, ["shop -> orders"]);
    stack.stop().await;
}
