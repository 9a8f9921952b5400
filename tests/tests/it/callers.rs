//! Who is believed, who is told to the application, and which errors are kept.

use raceway_analyzer::api::types::SpanKind;
use raceway_tests::analyzer::TraceExt;
use raceway_tests::app::Behaviour;
use raceway_tests::{PATIENCE, Stack, http};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::timeout;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

#[tokio::test]
async fn the_context_of_callers_who_are_not_believed_is_cut() {
    for (trusted, believed) in [("never", false), ("10.0.0.0/8,fd00::/8", false), ("127.0.0.0/8", true)] {
        let stack = Stack::of(["orders"]).flag("orders", &format!("--trust-context={trusted}")).start().await;
        let parent = format!("00-{TRACE}-00f067aa0ba902b7-01");
        let vector = r#"{"service-a":5}"#;
        let headers = [("traceparent", &*parent), ("tracestate", "rojo=1"), ("X-Raceway-VC", vector)];
        let answer = stack.get_with("/orders/1", &headers).await;
        stack.settle().await;
        assert_eq!(answer.status, 200);
        let seen = stack.app("orders").only_seen();
        let header = |name: &str| seen.header(name).unwrap_or_default();
        assert_eq!(header("traceparent").contains(TRACE), believed, "{trusted}: {seen:?}");
        assert_eq!(header("tracestate").contains("rojo"), believed, "{trusted}: {seen:?}");
        assert_eq!(header("x-raceway-vc").contains("service-a"), believed, "{trusted}: {seen:?}");
        assert_eq!(answer.header("x-raceway-vc").is_some(), believed, "{trusted}: {answer:?}");
        let trace = stack.analyzer().only_trace().await;
        assert_eq!(trace.span("orders", SpanKind::Server).parent_span_id.is_some(), believed, "{trusted}");
        let metrics = http::get(stack.sidecar("orders").admin(), "/metrics", &[]).await.text();
        let cut = format!("raceway_proxy_context_cut_total {}", u8::from(!believed));
        assert!(metrics.contains(&cut), "{trusted}: {metrics}");
        stack.stop().await;
    }
}

#[tokio::test]
async fn errors_are_kept_although_nothing_is_sampled() {
    let failing = Behaviour { status: 503, ..Behaviour::default() };
    let flags = |stack: raceway_tests::Builder, name: &str| stack.flag(name, "--sample=0").flag(name, "--keep-errors");
    let stack = flags(flags(Stack::of(["orders -> payment"]), "orders"), "payment").behave("payment", failing);
    let stack = stack.start().await;
    stack.get_with("/orders/1", &[]).await;
    // The failure goes through to the caller: every hop of it is kept, in one trace.
    stack.analyzer().settle(3).await;
    let trace = stack.analyzer().only_trace().await;
    assert_eq!(
        trace.family(),
        ["orders client < orders server", "orders server < -", "payment server < orders client"]
    );
    stack.stop().await;

    let stack = flags(Stack::of(["orders"]), "orders").start().await;
    stack.get("/orders/1").await;
    let metrics = http::get(stack.sidecar("orders").admin(), "/metrics", &[]).await.text();
    let recorded = metrics.lines().find(|line| line.starts_with("raceway_proxy_spans_recorded_total"));
    assert!(recorded.is_some_and(|line| line.ends_with(" 0")), "what went well is not kept: {recorded:?}");
    stack.stop().await;
}

#[tokio::test]
async fn the_callers_address_is_added_to_those_before_it() {
    let stack = Stack::of(["orders"]).flag("orders", "--forwarded-for").start().await;
    stack.get("/orders/1").await;
    stack.get_with("/orders/2", &[("X-Forwarded-For", "203.0.113.7"), ("x-forwarded-for", "10.0.0.1")]).await;
    let seen: Vec<_> = stack.app("orders").seen().iter().map(|seen| seen.header("x-forwarded-for")).collect();
    assert_eq!(seen, [Some("127.0.0.1".to_owned()), Some("203.0.113.7, 10.0.0.1, 127.0.0.1".to_owned())]);
    stack.stop().await;
}

#[tokio::test]
async fn the_proxy_protocol_comes_first() {
    let app = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let target = app.local_addr().expect("bound");
    let stack = Stack::of(["orders"])
        .flag("orders", "--send-proxy-protocol=v1")
        .flag("orders", &format!("--inbound=127.0.0.1:0={target}"))
        .start()
        .await;
    let door = stack.sidecar("orders").all_inbound()[1];
    let asked = tokio::spawn(async move { http::get(door, "/orders/1", &[]).await });
    let (mut stream, _) = timeout(PATIENCE, app.accept()).await.expect("in time").expect("a connection");
    let mut came = Vec::new();
    while !came.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
        assert!(stream.read_buf(&mut came).await.is_ok_and(|read| read > 0), "it ends early");
    }
    let came = String::from_utf8_lossy(&came).into_owned();
    let (line, request) = came.split_once("\r\n").expect("a line");
    let words: Vec<&str> = line.split(' ').collect();
    assert_eq!(words[..4], ["PROXY", "TCP4", "127.0.0.1", "127.0.0.1"], "{came}");
    assert_eq!(words[5], door.port().to_string(), "{came}");
    assert!(request.starts_with("GET /orders/1 HTTP/1.1\r\n"), "{came}");
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.expect("open");
    assert_eq!(asked.await.expect("no panic").status, 200);
    drop(stream);
    stack.stop().await;
}
