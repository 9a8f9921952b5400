//! Bodies that drip, and bodies that nobody reads: they go on for as long as they like, nothing piles up, and nobody else
//! notices.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use raceway_tests::{Chain, PATIENCE, http::get};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// Longer than every time-out that the sidecar has here: none of them is for bodies.
const PAUSE: Duration = Duration::from_millis(1_300);
const TIMEOUTS: [&str; 3] = ["--header-timeout=1", "--idle-timeout=1", "--connect-timeout=1"];

/// So many at once.
const SLOW: usize = 40;

/// What a sidecar may grow by, beside what its windows let wait. Debug builds hold more than what is shipped.
const GROWTH_KIB_MAX: u64 = 24 * 1024;

async fn until(stream: &mut (impl AsyncRead + Unpin), end: &[u8]) {
    let mut heard = Vec::new();
    while !heard.ends_with(end) {
        assert!(stream.read_buf(&mut heard).await.expect("open") > 0, "it ended after {heard:?}");
    }
}

/// Serves HTTP/1, and HTTP/2 where that is what comes: reads `abc` as it drips, and lets `xyz` drip.
async fn drips(listener: TcpListener) {
    let mut connections = JoinSet::new();
    while let Ok((mut stream, _)) = listener.accept().await {
        connections.spawn(async move {
            let mut first = [0];
            if stream.peek(&mut first).await.expect("open") > 0 && first == *b"P" {
                let mut preface = [0; 4];
                while stream.peek(&mut preface).await.expect("open") < 4 {}
                if preface == *b"PRI " {
                    return drip_streams(stream).await;
                }
            }
            // A head, and what may have come with it of the body.
            let mut heard = Vec::new();
            while !heard.ends_with(b"\r\n\r\n") && !heard.ends_with(b"abc") {
                if stream.read_buf(&mut heard).await.unwrap_or(0) == 0 {
                    return;
                }
            }
            if heard.starts_with(b"POST") && !heard.ends_with(b"abc") {
                until(&mut stream, b"abc").await;
            }
            if heard.starts_with(b"GET") {
                let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
                return stream.write_all(answer).await.expect("it reads");
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n").await.expect("it reads");
            for byte in *b"xyz" {
                stream.write_all(&[byte]).await.expect("it reads");
                sleep(PAUSE).await;
            }
        });
    }
}

async fn drip_streams(stream: TcpStream) {
    let mut connection = h2::server::handshake(stream).await.expect("a preface");
    let mut streams = JoinSet::new();
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        streams.spawn(async move {
            assert_eq!(whole(request.into_body()).await, b"abc");
            let mut answer = respond.send_response(http::Response::new(()), false).expect("it is awaited");
            drip(&mut answer, b"xyz").await;
        });
    }
}

async fn drip(to: &mut h2::SendStream<Bytes>, body: &'static [u8; 3]) {
    for (place, byte) in body.chunks(1).enumerate() {
        to.send_data(Bytes::from_static(byte), place == 2).expect("an open stream");
        sleep(PAUSE).await;
    }
}

async fn whole(mut body: h2::RecvStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some(data) = body.data().await {
        let data = data.expect("an orderly end");
        body.flow_control().release_capacity(data.len()).expect("no more than came");
        bytes.extend(data);
    }
    bytes
}

async fn drip_http1(door: SocketAddr) {
    let mut caller = TcpStream::connect(door).await.expect("it listens");
    caller.write_all(b"POST / HTTP/1.1\r\nHost: app\r\nContent-Length: 3\r\n\r\n").await.expect("it reads");
    for byte in *b"abc" {
        caller.write_all(&[byte]).await.expect("it reads");
        sleep(PAUSE).await;
    }
    until(&mut caller, b"\r\n\r\nxyz").await;
}

async fn drip_http2(door: SocketAddr) {
    let stream = TcpStream::connect(door).await.expect("it listens");
    let (mut caller, connection) = h2::client::handshake(stream).await.expect("it speaks HTTP/2");
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { connection.await.expect("an orderly end") });
    let mut streams = JoinSet::new();
    for _ in 0..SLOW {
        caller = caller.ready().await.expect("an open connection");
        let request = http::Request::post("http://app/").body(()).expect("a good request");
        let (answer, mut body) = caller.send_request(request, false).expect("room for a stream");
        streams.spawn(async move {
            drip(&mut body, b"abc").await;
            let answer = answer.await.expect("an answer");
            assert_eq!(answer.status(), 200, "{answer:?}");
            assert_eq!(whole(answer.into_body()).await, b"xyz");
        });
    }
    streams.join_all().await;
}

#[tokio::test]
async fn bodies_that_drip_go_on_and_nobody_else_waits() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let target = listener.local_addr().expect("a bound listener has an address");
    let mut app = JoinSet::new();
    app.spawn(drips(listener));
    let chain = Chain::with(target, 2, &TIMEOUTS).await;
    let (door, before) = (chain.door(), chain.outermost().resident_kib());
    let mut callers = JoinSet::new();
    callers.spawn(drip_http2(door));
    for _ in 0..SLOW {
        callers.spawn(drip_http1(door));
    }
    let mut others = 0;
    let all = async {
        while !callers.is_empty() {
            let answer = timeout(PAUSE * 2, get(door, "/other", &[])).await.expect("others are served at once");
            assert_eq!(answer.text(), "ok", "{answer:?}");
            others += 1;
            if let Ok(Some(done)) = timeout(Duration::from_millis(50), callers.join_next()).await {
                done.expect("a body that drips is passed on to its end");
            }
        }
    };
    timeout(PATIENCE, all).await.expect("in time");
    assert!(others > 20, "{others} were served meanwhile");
    let sidecar = chain.outermost();
    let grown = sidecar.resident_kib().saturating_sub(before);
    assert!(grown < GROWTH_KIB_MAX, "{grown} KiB more");
    for name in ["refused_total", "upstream_failures_total"] {
        assert_eq!(sidecar.metric(name, &[]).await as u64, 0, "{name}");
    }
    chain.stop().await;
}

/// Streams on which as much is sent as is taken, by an end that is given any room by the other, which reads nothing.
const STUFFED: usize = 200;

/// What two sidecars may let wait of all that: see `CONNECTION_WINDOW_BYTES` there.
const WAITS_KIB_MAX: u64 = STUFFED as u64 * (128 + 64);

/// Writes until nothing more is taken for a while; how much that was.
async fn stuff(mut to: h2::SendStream<Bytes>) -> (h2::SendStream<Bytes>, u64) {
    let (piece, mut taken) = (Bytes::from(vec![b'x'; 16 * 1024]), 0);
    loop {
        to.reserve_capacity(piece.len());
        let room = timeout(Duration::from_secs(2), std::future::poll_fn(|cx| to.poll_capacity(cx))).await;
        let Ok(room) = room else { return (to, taken) };
        let room = room.expect("an open stream").expect("an open stream").min(piece.len());
        to.send_data(piece.slice(..room), false).expect("an open stream");
        taken += room as u64;
    }
}

#[tokio::test]
async fn streams_that_nobody_reads_hold_back_their_writers_and_nobody_else() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let chain = Chain::before(listener.local_addr().expect("a bound listener has an address"), 1).await;
    let (sidecar, before) = (chain.outermost(), chain.outermost().resident_kib());
    let app = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("the sidecar comes");
        let mut connection = h2::server::Builder::new()
            .initial_connection_window_size(1 << 30)
            .handshake::<_, Bytes>(stream)
            .await
            .expect("a preface");
        let (mut kept, mut streams) = (Vec::new(), JoinSet::new());
        while let Some(Ok((request, mut respond))) = connection.accept().await {
            let short = request.uri().path() == "/short";
            let answer = respond.send_response(http::Response::new(()), short).expect("it is awaited");
            if !short {
                streams.spawn(stuff(answer));
                kept.push(request);
            }
        }
    });
    let stream = TcpStream::connect(chain.door()).await.expect("it listens");
    let (mut caller, connection) = h2::client::Builder::new()
        .initial_connection_window_size(1 << 30)
        .handshake::<_, Bytes>(stream)
        .await
        .expect("it speaks HTTP/2");
    let connection = tokio::spawn(connection);
    let (mut kept, mut bodies) = (Vec::new(), JoinSet::new());
    for _ in 0..STUFFED {
        caller = caller.ready().await.expect("an open connection");
        let request = http::Request::post("http://app/long").body(()).expect("a good request");
        let (answer, body) = caller.send_request(request, false).expect("room for a stream");
        bodies.spawn(stuff(body));
        kept.push(answer.await.expect("an answer"));
    }
    let stuffed = timeout(PATIENCE, bodies.join_all()).await.expect("nobody holds the writers back");
    let written: u64 = stuffed.iter().map(|(_, taken)| taken / 1024).sum();
    assert!(written >= STUFFED as u64 * 64, "{written} KiB: some were held back by others");
    let grown = sidecar.resident_kib().saturating_sub(before);
    // Each way.
    assert!(grown < 2 * WAITS_KIB_MAX + GROWTH_KIB_MAX, "{grown} KiB more for {written} KiB each way");
    caller = caller.ready().await.expect("an open connection");
    let request = http::Request::get("http://app/short").body(()).expect("a good request");
    let answer = caller.send_request(request, true).expect("room for a stream").0;
    let answer = timeout(PATIENCE, answer).await.expect("one beside them passes").expect("an answer");
    assert_eq!(answer.status(), 200, "{answer:?}");
    drop((caller, kept, stuffed));
    connection.abort();
    app.abort();
    chain.stop().await;
}
