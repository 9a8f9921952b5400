//! The request path never waits for the analyzer, and what the analyzer has acknowledged stays.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use raceway_tests::analyzer::Analyzer;
use raceway_tests::{PATIENCE, Stack, http};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep};

/// Requests one after the other until told to stop; how many got their answer.
struct Traffic {
    stop: Arc<AtomicBool>,
    task: JoinHandle<u64>,
}

impl Traffic {
    fn start(stack: &Stack) -> Self {
        let (door, stop) = (stack.door(), Arc::new(AtomicBool::new(false)));
        let over = stop.clone();
        let task = tokio::spawn(async move {
            let mut answered = 0;
            while !over.load(Ordering::Relaxed) {
                let answer = http::get(door, &format!("/orders/{answered}"), &[]).await;
                assert_eq!(answer.status, 200, "request {answered}: {answer:?}");
                answered += 1;
                sleep(Duration::from_millis(5)).await;
            }
            answered
        });
        Self { stop, task }
    }

    async fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.expect("no request failed")
    }
}

/// Waits until the applications have served so many more requests.
async fn until_served(stack: &Stack, more: u64) {
    let served = || stack.app("orders").counts().0;
    let (goal, until) = (served() + more, Instant::now() + PATIENCE);
    while served() < goal {
        assert!(Instant::now() < until, "traffic stands still");
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn an_analyzer_that_is_stopped_and_started_again_costs_no_request_and_no_span() {
    let mut stack = Stack::start(["orders -> payment"]).await;
    let traffic = Traffic::start(&stack);
    until_served(&stack, 50).await;
    stack.analyzer_mut().stop().await;
    until_served(&stack, 50).await;
    stack.analyzer_mut().start_again().await;
    until_served(&stack, 50).await;
    assert!(traffic.stop().await >= 150);
    stack.settle().await;
    stack.stop().await;
}

#[tokio::test]
async fn an_analyzer_that_is_killed_under_traffic_loses_nothing() {
    let mut stack = Stack::start(["orders -> payment"]).await;
    let traffic = Traffic::start(&stack);
    for round in 1..=3 {
        until_served(&stack, 40).await;
        let stored = stack.analyzer().spans().await;
        stack.analyzer_mut().kill().await;
        until_served(&stack, 10).await;
        stack.analyzer_mut().start_again().await;
        assert!(stack.analyzer().spans().await >= stored, "round {round}: spans that were there are gone");
    }
    traffic.stop().await;
    stack.settle().await;
    stack.stop().await;
}

#[tokio::test]
async fn what_was_acknowledged_survives_kill_9() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut analyzer = Analyzer::start(folder.path()).await;
    let mut acknowledged = Vec::new();
    let mut next = 1_u128;
    for _ in 0..3 {
        let otlp = analyzer.addresses().otlp_http;
        let mut sending = JoinSet::new();
        for _ in 0..8 {
            let first = next;
            next += 1_000;
            sending.spawn(async move { acknowledged_until_killed(otlp, first).await });
        }
        sleep(Duration::from_millis(150)).await;
        analyzer.kill().await;
        acknowledged.extend(sending.join_all().await.into_iter().flatten());
        analyzer.start_again().await;
    }
    assert!(acknowledged.len() > 20, "hardly anything was sent: {}", acknowledged.len());
    for number in &acknowledged {
        let id = trace_id(*number);
        let trace = analyzer.trace(&id).await;
        assert_eq!(trace.spans.len(), 1, "{id} was acknowledged");
    }
    analyzer.stop().await;
}

fn trace_id(number: u128) -> String {
    format!("{:032x}", 0xabcd_0000_0000_0000_0000_0000_0000_0000 + number)
}

/// Sends one span per trace until the analyzer is gone; returns the numbers of those it said yes to.
async fn acknowledged_until_killed(to: std::net::SocketAddr, first: u128) -> Vec<u128> {
    let mut acknowledged = Vec::new();
    for number in first.. {
        let body = format!(
            r#"{{"resourceSpans":[{{"resource":{{"attributes":[{{"key":"service.name","value":{{"stringValue":"s"}}}}]}},
            "scopeSpans":[{{"spans":[{{"traceId":"{}","spanId":"00f067aa0ba902b7","name":"x","kind":2,
            "startTimeUnixNano":"1700000000000000000","endTimeUnixNano":"1700000000001000000"}}]}}]}}]}}"#,
            trace_id(number)
        );
        let head = format!(
            "POST /v1/traces HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        match http::try_send(to, (head + &body).as_bytes()).await {
            Some(answer) if answer.status == 200 => acknowledged.push(number),
            Some(answer) => panic!("{answer:?}"),
            None => break,
        }
    }
    acknowledged
}

#[tokio::test]
async fn without_an_analyzer_the_proxy_serves_and_says_so() {
    // A port that nobody listens on, and a name that does not resolve.
    for url in ["http://127.0.0.1:1", "http://analyzer.invalid:4317"] {
        let stack = Stack::of(["orders -> payment"]).analyzer_url(url).start().await;
        for n in 0..5 {
            stack.get(&format!("/orders/{n}")).await;
        }
        let until = Instant::now() + PATIENCE;
        while !stack.sidecar("orders").log().contains("analyzer") {
            assert!(Instant::now() < until, "{url}: it says nothing: {}", stack.sidecar("orders").log());
            sleep(Duration::from_millis(20)).await;
        }
        stack.stop().await;
    }
}
