//! Every request leaves its spans, however it ends.

use std::time::Duration;

use raceway_analyzer::api::types::{SpanKind, TraceView};
use raceway_tests::analyzer::TraceExt;
use raceway_tests::app::Behaviour;
use raceway_tests::{PATIENCE, Stack};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

/// Sends a request through two services, lets go of it when it has arrived at the last, and returns its trace.
async fn let_go_of(how: impl FnOnce(TcpStream)) -> TraceView {
    let slow = Behaviour { own: PATIENCE * 2, ..Behaviour::default() };
    let stack = Stack::of(["frontend -> api"]).behave("api", slow).start().await;
    let mut caller = TcpStream::connect(stack.door()).await.expect("it listens");
    caller.write_all(b"GET /slow HTTP/1.1\r\nHost: test\r\n\r\n").await.expect("it takes the request");
    let until = Instant::now() + PATIENCE;
    while stack.app("api").seen().is_empty() {
        assert!(Instant::now() < until, "the request never arrived");
        sleep(Duration::from_millis(5)).await;
    }
    how(caller);

    stack.settle().await;
    let trace = stack.analyzer().only_trace().await;
    stack.stop().await;
    assert_eq!(
        trace.family(),
        ["api server < frontend client", "frontend client < frontend server", "frontend server < -"]
    );
    for span in &trace.spans {
        assert!(span.error, "let go of is not fine: {span:?}");
        assert!(span.attributes.contains_key("error.type"), "it says how it ended: {span:?}");
        assert!(span.duration_ms < 1e3 * PATIENCE.as_secs_f64(), "it ended when the caller went: {span:?}");
    }
    trace
}

#[tokio::test]
async fn a_caller_that_closes_leaves_its_spans() {
    let_go_of(drop).await;
}

#[tokio::test]
async fn a_caller_that_resets_leaves_its_spans_and_gets_no_answer() {
    let reset = |caller: TcpStream| caller.set_zero_linger().expect("an open socket");
    let trace = let_go_of(reset).await;
    let entry = trace.span("frontend", SpanKind::Server);
    assert!(!entry.attributes.contains_key("http.response.status_code"), "nobody was there to be answered: {entry:?}");
}

#[tokio::test]
async fn an_application_that_is_not_there_is_an_error_on_both_sides() {
    let stack = Stack::of(["frontend -> api"]).process("api", &["python3", "-c", GONE]).start().await;
    let answer = stack.get_with("/", &[]).await;
    assert_eq!(answer.status, 502, "{answer:?}");
    stack.analyzer().settle(3).await;
    let trace = stack.analyzer().only_trace().await;
    for (service, kind) in [("frontend", SpanKind::Client), ("api", SpanKind::Server)] {
        let span = trace.span(service, kind);
        assert!(span.error, "{span:?}");
        assert_eq!(span.attributes.get("http.response.status_code"), Some(&502.into()), "{span:?}");
    }
    let edges = stack.analyzer().edge_list().await;
    assert_eq!(edges.iter().map(|edge| (edge.call_count, edge.errors)).collect::<Vec<_>>(), [(1, 1)]);
    stack.stop().await;
}

/// Says that it listens, on a port where nobody does.
const GONE: &str = r#"
import json, os, socket, sys
socket = socket.socket()
socket.bind(("127.0.0.1", 0))
path = sys.argv[sys.argv.index("--ready-file") + 1]
json.dump({"listen": "%s:%d" % socket.getsockname()}, open(path + ".tmp", "w"))
os.rename(path + ".tmp", path)
sys.stdin.read()
"#;
