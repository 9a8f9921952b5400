//! A kept-alive connection that the application closes just as the next request is on its way: what may be made twice
//! is made once more, under a stamp of its own, and nothing else is.

use std::net::SocketAddr;

use raceway_tests::{Chain, PATIENCE};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::frames::{END_HEADERS, END_STREAM, HEADERS, SETTINGS, block, connect, frame, get, listen};

/// Serves the first request of its first connection, and ends that connection with a reset, or in order, when it has
/// read a second one. Later connections serve one request each. Notes every head.
async fn leaves(listener: TcpListener, reset: bool, heads: mpsc::Sender<String>) {
    for connection in 0.. {
        let Ok((mut stream, _)) = listener.accept().await else { return };
        for request in 0..2 {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                if stream.read_buf(&mut head).await.unwrap_or(0) == 0 {
                    break;
                }
            }
            if head.is_empty() {
                break;
            }
            heads.send(String::from_utf8_lossy(&head).into_owned()).await.expect("it is awaited");
            if connection == 0 && request == 1 {
                if reset {
                    stream.set_zero_linger().expect("an open socket");
                }
                break;
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.expect("it reads");
        }
    }
}

/// Reads an answer, or what there is before the connection ends.
async fn answer(caller: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let reading =
        async { while !answer.ends_with(b"\r\n\r\nok") && matches!(caller.read_buf(&mut answer).await, Ok(1..)) {} };
    timeout(PATIENCE, reading).await.expect("an answer or an end");
    String::from_utf8_lossy(&answer).into_owned()
}

/// Asks twice over one connection, the second time with `method`; the answer, and the heads that the application read.
async fn ask_twice(door: SocketAddr, method: &str, heads: &mut mpsc::Receiver<String>) -> (String, Vec<String>) {
    let mut caller = TcpStream::connect(door).await.expect("it listens");
    caller.write_all(b"GET /first HTTP/1.1\r\nHost: app\r\n\r\n").await.expect("it reads");
    assert!(answer(&mut caller).await.starts_with("HTTP/1.1 200 "));
    heads.recv().await.expect("the first");
    // A trace that the caller has begun: the callee of each attempt stands in it.
    let second = format!(
        "{method} /second HTTP/1.1\r\nHost: app\r\ntraceparent: 00-{TRACE}-00f067aa0ba902b7-01\r\nContent-Length: 0\r\n\r\n"
    );
    let second = if method == "GET" { second.replace("Content-Length: 0\r\n", "") } else { second };
    caller.write_all(second.as_bytes()).await.expect("it reads");
    let answer = answer(&mut caller).await;
    let mut seen = Vec::new();
    while let Ok(head) = heads.try_recv() {
        seen.push(head);
    }
    (answer, seen)
}

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

fn header(head: &str, name: &str) -> String {
    let value = head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    value.unwrap_or_else(|| panic!("no {name} in {head}")).to_owned()
}

#[tokio::test]
async fn a_request_is_made_once_more_under_a_fresh_stamp_and_a_post_never() {
    for reset in [false, true] {
        for method in ["GET", "POST"] {
            for direction in ["inbound", "outbound"] {
                once_more(reset, method, direction).await;
            }
        }
    }
}

async fn once_more(reset: bool, method: &str, direction: &str) {
    let what = format!("{method}, {direction}, reset: {reset}");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("a bound listener has an address");
    let (note, mut heads) = mpsc::channel(8);
    let mut app = JoinSet::new();
    app.spawn(leaves(listener, reset, note));
    let route = format!("--route=127.0.0.1:0=app@{address}");
    let chain = Chain::with(address, 1, &[&route]).await;
    let sidecar = chain.outermost();
    let door = if direction == "inbound" { chain.door() } else { sidecar.routes()[0] };
    let (answer, seen) = ask_twice(door, method, &mut heads).await;
    let label = format!("direction=\"{direction}\"");
    let retried = sidecar.metric("retries_total", &[&label]).await;
    if method == "GET" {
        assert!(answer.starts_with("HTTP/1.1 200 "), "{what}: {answer}");
        assert_eq!((seen.len(), retried as u64), (2, 1), "{what}: {seen:?}");
        let of = |name| [header(&seen[0], name), header(&seen[1], name)];
        let [first, again] = of("raceway-clock");
        assert_ne!(first, again, "{what}: a retry is a send of its own");
        for parent in of("traceparent") {
            assert!(parent.contains(TRACE), "{what}: {parent}");
        }
    } else {
        assert_eq!((answer.as_str(), seen.len(), retried as u64), ("", 1, 0), "{what}: {seen:?}");
    }
    drop(app);
    chain.stop().await;
}

/// Over HTTP/2 the caller is told whether it may ask again: nothing is sent twice by the sidecar itself.
#[tokio::test]
async fn a_stream_is_left_to_its_caller_to_repeat_and_a_post_is_not() {
    let post = block(&[(":method", b"POST"), (":scheme", b"http"), (":authority", b"app"), (":path", b"/")]);
    for (fields, repeatable) in [(get("/"), true), (post, false)] {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let chain = Chain::before(listener.local_addr().expect("a bound listener has an address"), 1).await;
        let mut caller = connect(chain.door(), &[]).await;
        let ask = |stream, fields: &[u8]| frame(HEADERS, END_HEADERS | END_STREAM, stream, fields);
        caller.write_all(&ask(1, &get("/"))).await.expect("it reads");
        let (mut app, _) = timeout(PATIENCE, listener.accept()).await.expect("in time").expect("a connection");
        app.read_exact(&mut [0; 24]).await.expect("a preface");
        app.write_all(&frame(SETTINGS, 0, 0, &[])).await.expect("it reads");
        listen(&mut app, |heard| heard.answered(1)).await;
        // `:status: 200` (RFC 7541, appendix A).
        app.write_all(&ask(1, &[0x88])).await.expect("it reads");
        assert!(listen(&mut caller, |heard| heard.answered(1)).await.answered(1));
        caller.write_all(&ask(3, &fields)).await.expect("it reads");
        listen(&mut app, |heard| heard.answered(3)).await;
        drop(app);
        let heard = listen(&mut caller, |heard| heard.reset(3).is_some() || heard.answered(3)).await;
        const REFUSED_STREAM: u8 = 7;
        assert_eq!(heard.reset(3) == Some(REFUSED_STREAM), repeatable, "{heard:?}");
        assert_eq!(heard.answered(3), !repeatable, "a word of ours, and no leave to repeat: {heard:?}");
        let sidecar = chain.outermost();
        assert_eq!(sidecar.metric("retries_total", &[]).await as u64, 0);
        let again = timeout(std::time::Duration::from_millis(200), listener.accept()).await;
        assert!(again.is_err(), "the sidecar has come again");
        drop(caller);
        chain.stop().await;
    }
}
