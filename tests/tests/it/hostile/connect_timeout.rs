//! An application that is there and does not take connections: its queue of them is full, as where it hangs, or as where
//! a firewall drops what comes.

use std::net::SocketAddr;
use std::time::Duration;

use raceway_tests::{Chain, PATIENCE, http::get};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;

/// A listener that nobody accepts from, and what fills its queue.
struct Full {
    address: SocketAddr,
    _listener: TcpListener,
    _queue: Vec<TcpStream>,
}

impl Full {
    async fn new() -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
        let listener = socket.listen(1).expect("a bound socket");
        let address = listener.local_addr().expect("a bound listener has an address");
        let mut queue = Vec::new();
        // Linux says nothing to one too many, which would ask again after a second.
        while let Ok(stream) = timeout(Duration::from_millis(500), TcpStream::connect(address)).await {
            queue.push(stream.expect("a connection that waits to be accepted"));
            assert!(queue.len() < 10, "the queue never fills");
        }
        Self { address, _listener: listener, _queue: queue }
    }
}

const TEXT: &str = "timed out after 1s; a firewall or NetworkPolicy may drop it";

#[tokio::test]
async fn callers_of_an_application_that_hangs_are_told_in_time() {
    let app = Full::new().await;
    let route = format!("--route=127.0.0.1:0=app@{}", app.address);
    let chain = Chain::with(app.address, 1, &["--connect-timeout=1", &route]).await;
    let sidecar = chain.outermost();
    for (door, direction) in [(chain.door(), "inbound"), (sidecar.routes()[0], "outbound")] {
        let labels = [format!("direction=\"{direction}\""), "reason=\"connect_timeout\"".to_owned()];
        let labels = [labels[0].as_str(), &labels[1]];
        let answer = get(door, "/hangs", &[]).await;
        assert_eq!(answer.status, 504, "{answer:?}");
        assert_eq!(answer.header("x-raceway-error"), Some("connect_timeout"), "{answer:?}");
        let whole = format!("connecting to {} {TEXT}\n", app.address);
        assert_eq!(answer.text(), whole, "{direction}");
        sidecar.metric_reaches("upstream_failures_total", &labels, 1.0).await;

        // Over HTTP/2, two streams that wait for the same attempt; then gRPC, to which it is a status of its own.
        let (mut caller, connection) =
            h2::client::handshake(TcpStream::connect(door).await.expect("it listens")).await.expect("it speaks HTTP/2");
        let connection = tokio::spawn(connection);
        let mut ask = |method, path, content_type| {
            let request = http::Request::builder().method(method).uri(format!("http://app{path}"));
            let request = request.header("content-type", content_type).body(()).expect("a good request");
            caller.send_request(request, true).expect("room for a stream").0
        };
        let plain = [ask("GET", "/hangs", "text/plain"), ask("POST", "/hangs", "text/plain")];
        let grpc = ask("POST", "/shop.Orders/Place", "application/grpc+proto");
        for answer in plain {
            let answer = timeout(PATIENCE, answer).await.expect("in time").expect("an answer");
            assert_eq!(answer.status(), 504, "{answer:?}");
            assert_eq!(answer.headers()["x-raceway-error"], "connect_timeout", "{answer:?}");
            let text = answer.into_body().data().await.expect("a text").expect("all of it");
            assert_eq!(text, whole, "{direction}");
        }
        let answer = timeout(PATIENCE, grpc).await.expect("in time").expect("an answer");
        assert_eq!((answer.status().as_u16(), &answer.headers()["grpc-status"]), (200, &"14".parse().expect("text")));
        assert_eq!(answer.headers()["x-raceway-error"], "connect_timeout", "{answer:?}");
        assert_eq!(answer.headers()["grpc-message"], whole.trim_end(), "{answer:?}");
        drop(caller);
        connection.abort();
        sidecar.metric_reaches("upstream_failures_total", &labels, 4.0).await;
    }
    chain.stop().await;
}
