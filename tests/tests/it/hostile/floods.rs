//! Much of something, or little of it for long: memory stays bounded, and everybody else is served.

use std::io::ErrorKind;
use std::time::Duration;

use raceway_tests::PATIENCE;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::stage::{Stage, send};

/// What a sidecar may grow by while it is flooded. Debug builds hold more than what is shipped.
const GROWTH_KIB_MAX: u64 = 24 * 1024;

#[tokio::test]
async fn heads_that_never_end_are_let_go() {
    let mut stage = Stage::new(&["--header-timeout=1"]).await;
    let mut slow = Vec::new();
    for _ in 0..100 {
        let mut stream = TcpStream::connect(stage.door()).await.expect("it listens");
        stream.write_all(b"GET /slow HTTP/1.1\r\nHost: app\r\nX: ").await.expect("it reads");
        slow.push(stream);
    }
    stage.others_are_well().await;
    for mut stream in slow {
        // A byte now and then does not help.
        let _ = stream.write_all(b"x").await;
        let mut answer = Vec::new();
        timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("in time").expect("an answer");
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(
            answer.starts_with("HTTP/1.1 408 ") && answer.contains("x-raceway-error: request_timeout\r\n"),
            "{answer}"
        );
    }
    let refused = stage.chain.outermost().metric("refused_total", &["reason=\"request_timeout\""]).await;
    assert!((refused - 100.0).abs() < f64::EPSILON, "{refused}");
    stage.others_are_well().await;
    stage.stop().await;
}

#[tokio::test]
async fn a_million_tiny_chunks_take_no_memory() {
    let mut stage = Stage::new(&[]).await;
    let before = stage.chain.outermost().resident_kib();
    let mut stream = TcpStream::connect(stage.door()).await.expect("it listens");
    let head = b"POST /chunks HTTP/1.1\r\nHost: app\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n";
    stream.write_all(head).await.expect("it reads");
    let chunks = "1;an=extension\r\nx\r\n".repeat(1_000);
    for _ in 0..1_000 {
        timeout(PATIENCE, stream.write_all(chunks.as_bytes())).await.expect("it keeps reading").expect("it reads");
    }
    stage.others_are_well().await;
    let grown = stage.chain.outermost().resident_kib().saturating_sub(before);
    assert!(grown < GROWTH_KIB_MAX, "{grown} KiB more");
    stream.write_all(b"0\r\n\r\n").await.expect("it reads");
    let mut answer = [0; 16];
    timeout(PATIENCE, stream.read_exact(&mut answer)).await.expect("in time").expect("an answer");
    stage.stop().await;
}

#[tokio::test]
async fn a_reader_that_does_not_read_holds_back_the_writer() {
    // Answers with as much as is taken.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let target = listener.local_addr().expect("a bound listener has an address");
    let chain = raceway_tests::Chain::before(target, 2).await;
    let before = chain.outermost().resident_kib();
    let mut caller = TcpStream::connect(chain.door()).await.expect("it listens");
    let (mut app, _) = listener.accept().await.expect("the sidecar comes");
    caller.write_all(b"GET / HTTP/1.1\r\nHost: app\r\n\r\n").await.expect("it reads");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        assert!(app.read_buf(&mut head).await.expect("a request") > 0);
    }
    const LENGTH: usize = 256 << 20;
    app.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n").as_bytes()).await.expect("it reads");
    let piece = vec![b'x'; 1 << 20];
    let mut written = 0;
    // Until everything between the two is full.
    while let Ok(wrote) = timeout(Duration::from_secs(1), app.write(&piece)).await {
        written += wrote.expect("it reads");
        assert!(written < LENGTH / 2, "nobody holds the writer back");
    }
    let grown = chain.outermost().resident_kib().saturating_sub(before);
    assert!(grown < GROWTH_KIB_MAX, "{grown} KiB more");
    // What was held back comes when it is asked for.
    let writer = tokio::spawn(async move {
        while written < LENGTH {
            let most = piece.len().min(LENGTH - written);
            written += app.write(piece.get(..most).expect("in bounds")).await.expect("it reads");
        }
        app
    });
    let mut taken = 0;
    let mut room = vec![0; 1 << 20];
    while taken < LENGTH {
        taken += timeout(PATIENCE, caller.read(&mut room)).await.expect("in time").expect("it answers");
    }
    writer.await.expect("it wrote everything");
    chain.stop().await;
}

#[tokio::test]
async fn connections_that_break_in_the_middle_leave_nothing_behind() {
    let mut stage = Stage::new(&[]).await;
    for place in 0..300_usize {
        let mut stream = TcpStream::connect(stage.door()).await.expect("it listens");
        let request = b"POST /broken HTTP/1.1\r\nHost: app\r\nContent-Length: 100000\r\n\r\nsome of it";
        let most = request.len() * place / 300;
        stream.write_all(request.get(..most).expect("in bounds")).await.expect("it reads");
        stream.set_zero_linger().expect("an open socket");
    }
    stage.others_are_well().await;
    let sidecar = stage.chain.outermost();
    let until = Instant::now() + PATIENCE;
    // The bystander's is the only one left.
    while sidecar.metric("connections_open", &["listener=\"inbound\""]).await > 1.0 {
        assert!(Instant::now() < until, "connections are left");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    stage.stop().await;
}

#[tokio::test]
async fn more_in_flight_than_allowed_is_shed_and_told() {
    let stage = Stage::new(&["--requests-max=1"]).await;
    let mut first = TcpStream::connect(stage.door()).await.expect("it listens");
    // Answered before its body has come: it stays in flight.
    first.write_all(b"POST /first HTTP/1.1\r\nHost: app\r\nContent-Length: 5\r\n\r\n").await.expect("it reads");
    let mut answer = [0; 16];
    timeout(PATIENCE, first.read_exact(&mut answer)).await.expect("in time").expect("an answer");
    let answer = send(stage.door(), b"GET /second HTTP/1.1\r\nHost: app\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("x-raceway-error: overloaded\r\n"), "{answer}");
    assert!(answer.contains("--requests-max"), "it says what to look at: {answer}");
    assert!(stage.chain.outermost().metric("refused_total", &["reason=\"overloaded\""]).await > 0.0);
    first.write_all(b"hello").await.expect("it reads");
    stage.stop().await;
}

#[tokio::test]
async fn tunnels_on_which_nothing_moves_are_closed_and_counted() {
    let stage = Stage::new(&["--idle-timeout=1"]).await;
    for (first, protocol) in [(&b"\0binary"[..], "tcp"), (b"GET / HTTP/1.1\r\nHost: app\r\n\r\n", "http1")] {
        let mut stream = TcpStream::connect(stage.door()).await.expect("it listens");
        stream.write_all(first).await.expect("it reads");
        let mut answer = Vec::new();
        match timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("it is closed") {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{protocol}"),
        }
        let label = format!("protocol=\"{protocol}\"");
        stage.chain.outermost().metric_reaches("idle_closed_total", &[&label], 1.0).await;
    }
    stage.chain.stop().await;
}
