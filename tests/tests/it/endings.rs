//! Every request leaves its spans, however it ends.

use std::time::Duration;

use raceway_analyzer::api::types::{SpanKind, TraceView};
use raceway_tests::analyzer::TraceExt;
use raceway_tests::app::Behaviour;
use raceway_tests::{Chain, PATIENCE, Stack};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
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

/// What the caller still sends after that is read for a second, so that a reset does not overtake the answer; but the
/// call is over.
#[tokio::test]
async fn an_upload_that_is_refused_early_ends_with_its_answer() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let chain = Chain::before(listener.local_addr().expect("bound"), 1).await;
    let app = async {
        let (mut stream, _) = listener.accept().await.expect("the sidecar calls");
        let mut heard = Vec::new();
        while !heard.ends_with(b"abc") {
            assert!(stream.read_buf(&mut heard).await.expect("open") > 0, "the request broke off");
        }
        let answer = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno";
        stream.write_all(answer).await.expect("open");
    };
    let call = async {
        let mut stream = TcpStream::connect(chain.door()).await.expect("it listens");
        let head = b"POST /upload HTTP/1.1\r\nHost: app\r\nContent-Length: 1000000\r\n\r\nabc";
        stream.write_all(head).await.expect("open");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.expect("an orderly end");
        assert!(answer.starts_with(b"HTTP/1.1 413 ") && answer.ends_with(b"\r\n\r\nno"), "{answer:?}");
        stream
    };
    let ((), caller) = tokio::join!(app, call);
    chain.analyzer().settle(1).await;
    let trace = chain.analyzer().only_trace().await;
    let took = trace.span("app", SpanKind::Server).duration_ms;
    assert!(took < 900.0, "the second that the connection lingers is none of the call's: {took} ms");
    drop(caller);
    chain.stop().await;
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
