//! What stands behind a request, or has stood there for long: played without a sidecar too, where that is possible.

use raceway_tests::{Chain, PATIENCE, Stack, http};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Reads until so many heads without bodies have come.
async fn heads(stream: &mut TcpStream, count: usize) -> String {
    let mut heard = Vec::new();
    while String::from_utf8_lossy(&heard).matches("\r\n\r\n").count() < count {
        let read = timeout(PATIENCE, stream.read_buf(&mut heard)).await.expect("in time").expect("an open connection");
        assert!(read > 0, "only {:?} came", String::from_utf8_lossy(&heard));
    }
    String::from_utf8_lossy(&heard).into_owned()
}

#[tokio::test]
async fn all_requests_that_came_before_the_caller_ended_its_side_are_answered() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let target = listener.local_addr().expect("a bound listener has an address");
    for sidecars in 0..=2 {
        let chain = Chain::before(target, sidecars).await;
        let mut caller = TcpStream::connect(chain.door()).await.expect("it listens");
        let asked = b"GET /1 HTTP/1.1\r\nHost: app\r\n\r\nGET /2 HTTP/1.1\r\nHost: app\r\n\r\n";
        caller.write_all(asked).await.expect("it reads");
        caller.shutdown().await.expect("an open connection");
        let (mut app, _) = timeout(PATIENCE, listener.accept()).await.expect("in time").expect("a connection");
        if sidecars == 0 {
            heads(&mut app, 2).await;
            app.write_all(&[OK, OK].concat()).await.expect("it reads");
        } else {
            for path in ["/1", "/2"] {
                let head = heads(&mut app, 1).await;
                assert!(head.starts_with(&format!("GET {path} ")), "{head}");
                app.write_all(OK).await.expect("it reads");
            }
        }
        assert_eq!(app.read(&mut [0]).await.expect("no reset"), 0, "the end of the caller's side comes last");
        drop(app);
        let mut answers = String::new();
        timeout(PATIENCE, caller.read_to_string(&mut answers)).await.expect("in time").expect("no reset");
        assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 2, "{answers}");
        chain.stop().await;
    }
}

/// One client of the forward proxy asks one authority, then another one, which gives it time to close; the first one
/// is asked again with a method that must not be repeated.
#[tokio::test]
async fn a_connection_that_was_closed_while_another_was_used_is_made_anew() {
    let stack = Stack::start(["shop", "orders"]).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let closing = listener.local_addr().expect("a bound listener has an address");
    let mut caller = TcpStream::connect(stack.sidecar("shop").outbound()).await.expect("it listens");
    let post = format!("POST http://{closing}/ HTTP/1.1\r\nHost: {closing}\r\nContent-Length: 0\r\n\r\n");
    let other = stack.door_of("orders");
    let get = format!("GET http://{other}/orders/1 HTTP/1.1\r\nHost: {other}\r\n\r\n");

    caller.write_all(post.as_bytes()).await.expect("it reads");
    let (mut first, _) = timeout(PATIENCE, listener.accept()).await.expect("in time").expect("a connection");
    heads(&mut first, 1).await;
    first.write_all(OK).await.expect("it reads");
    heads(&mut caller, 1).await;
    caller.write_all(get.as_bytes()).await.expect("it reads");
    heads(&mut caller, 1).await;
    drop(first);
    // Whatever passes through the sidecar now passes behind the news of that end.
    assert_eq!(http::get(other, "/orders/2", &[]).await.status, 200);
    caller.write_all(get.as_bytes()).await.expect("it reads");
    heads(&mut caller, 1).await;

    caller.write_all(post.as_bytes()).await.expect("it reads");
    let (mut second, _) = timeout(PATIENCE, listener.accept()).await.expect("in time").expect("another connection");
    heads(&mut second, 1).await;
    second.write_all(OK).await.expect("it reads");
    assert!(heads(&mut caller, 1).await.contains("HTTP/1.1 200 OK"));
    drop((caller, second));
    stack.stop().await;
}
