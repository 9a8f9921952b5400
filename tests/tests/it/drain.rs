//! Stopping a sidecar while it works: what is in flight is finished, and callers go elsewhere without losing a request.

use std::net::SocketAddr;
use std::time::Duration;

use raceway_tests::{Chain, PATIENCE, http};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

/// Answers `/` at once and keeps the connection; `/stream` with a piece now and then, until it is told to end.
async fn application(listener: TcpListener, end: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    while let Ok((mut stream, _)) = listener.accept().await {
        let mut end = end.clone();
        connections.spawn(async move {
            let mut input = Vec::new();
            while let Ok(1..) = stream.read_buf(&mut input).await {
                while let Some(head_end) = input.windows(4).position(|window| window == b"\r\n\r\n") {
                    let head: Vec<u8> = input.drain(..head_end + 4).collect();
                    if !head.starts_with(b"GET /stream ") {
                        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await?;
                        continue;
                    }
                    stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await?;
                    while !*end.borrow_and_update() {
                        stream.write_all(b"1\r\n.\r\n").await?;
                        let _ = timeout(Duration::from_millis(20), end.changed()).await;
                    }
                    stream.write_all(b"4\r\nlast\r\n0\r\n\r\n").await?;
                }
            }
            std::io::Result::Ok(())
        });
    }
}

struct Scene {
    address: SocketAddr,
    end: watch::Sender<bool>,
    _app: JoinSet<()>,
}

async fn scene() -> Scene {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("a bound listener has an address");
    let (end, ended) = watch::channel(false);
    let mut app = JoinSet::new();
    app.spawn(application(listener, ended));
    Scene { address, end, _app: app }
}

/// Opens the endless answer, and returns when it has begun.
async fn open_stream(to: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(to).await.expect("it listens");
    stream.write_all(b"GET /stream HTTP/1.1\r\nHost: app\r\n\r\n").await.expect("it reads");
    let mut heard = Vec::new();
    while !heard.ends_with(b"1\r\n.\r\n") {
        assert!(stream.read_buf(&mut heard).await.expect("it answers") > 0, "it ended");
    }
    stream
}

async fn rest(mut stream: TcpStream) -> String {
    let mut heard = Vec::new();
    while !heard.ends_with(b"0\r\n\r\n") {
        match timeout(PATIENCE, stream.read_buf(&mut heard)).await.expect("it goes on") {
            Ok(1..) => {}
            _ => break,
        }
    }
    String::from_utf8_lossy(&heard).into_owned()
}

/// Asks again and again, with connections kept open; goes to where `door` points when a connection ends after an answer.
/// Returns how many requests were answered, and what went wrong.
async fn caller(door: watch::Receiver<SocketAddr>, end: watch::Receiver<bool>) -> (u64, Vec<String>) {
    let (mut answered, mut wrong) = (0, Vec::new());
    let mut connection: Option<(TcpStream, SocketAddr)> = None;
    while !*end.borrow() {
        let there = *door.borrow();
        let (mut stream, to) = match connection.take() {
            Some(kept) => kept,
            None => match TcpStream::connect(there).await {
                Ok(stream) => (stream, there),
                Err(error) => {
                    wrong.push(format!("cannot connect: {error}"));
                    continue;
                }
            },
        };
        let mut heard = Vec::new();
        let exchange = async {
            stream.write_all(b"GET / HTTP/1.1\r\nHost: app\r\n\r\n").await?;
            while !heard.ends_with(b"\r\n\r\nok") && stream.read_buf(&mut heard).await? > 0 {}
            std::io::Result::Ok(())
        };
        let ended = timeout(PATIENCE, exchange).await.expect("in time");
        let answer = String::from_utf8_lossy(&heard).into_owned();
        if answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nok") {
            answered += 1;
            if !answer.to_ascii_lowercase().contains("connection: close") {
                connection = Some((stream, to));
            }
        } else {
            wrong.push(format!("{ended:?} {answer:?}"));
        }
        sleep(Duration::from_millis(1)).await;
    }
    (answered, wrong)
}

/// A new sidecar beside the old one, callers sent to it, the old one stopped: five times, and nobody loses a request.
#[tokio::test]
async fn a_rolling_restart_loses_no_request() {
    rolling_restart("--threads=1").await;
}

/// Callers and streams are on both threads when the signal comes.
#[tokio::test]
async fn a_rolling_restart_of_two_threads_loses_no_request() {
    rolling_restart("--threads=2").await;
}

async fn rolling_restart(threads: &str) {
    let scene = scene().await;
    let mut chain = Chain::with(scene.address, 1, &[threads]).await;
    let (door, at) = watch::channel(chain.door());
    let (end, ended) = watch::channel(false);
    let mut callers = JoinSet::new();
    for _ in 0..10 {
        callers.spawn(caller(at.clone(), ended.clone()));
    }
    for _ in 0..5 {
        sleep(Duration::from_millis(200)).await;
        let stream = open_stream(chain.door()).await;
        let old = chain.replace(&[threads]).await;
        door.send_replace(chain.door());
        old.terminate();
        sleep(Duration::from_millis(100)).await;
        scene.end.send_replace(true);
        let heard = rest(stream).await;
        assert!(
            heard.ends_with("4\r\nlast\r\n0\r\n\r\n"),
            "a stream that ends within the grace period is whole: {heard}"
        );
        old.stop().await;
        scene.end.send_replace(false);
    }
    end.send_replace(true);
    let mut answered = 0;
    for (count, wrong) in callers.join_all().await {
        assert_eq!(wrong, Vec::<String>::new());
        answered += count;
    }
    assert!(answered > 500, "there was load: {answered}");
    chain.stop().await;
}

#[tokio::test]
async fn what_is_longer_than_the_grace_period_is_cut_and_the_end_is_clean() {
    let scene = scene().await;
    for threads in ["--threads=1", "--threads=2"] {
        let chain = Chain::with(scene.address, 1, &["--grace=1", threads]).await;
        // One on each thread, where there are two.
        let streams = [open_stream(chain.door()).await, open_stream(chain.door()).await];
        let began = Instant::now();
        chain.stop().await;
        assert!(began.elapsed() >= Duration::from_millis(900), "the streams had their time");
        for stream in streams {
            assert!(!rest(stream).await.ends_with("0\r\n\r\n"), "it was cut, and does not look whole");
        }
    }
}

#[tokio::test]
async fn a_second_signal_ends_at_once() {
    let scene = scene().await;
    let chain = Chain::with(scene.address, 1, &["--grace=60", "--threads=2"]).await;
    let streams = [open_stream(chain.door()).await, open_stream(chain.door()).await];
    let sidecar = chain.outermost();
    sidecar.terminate();
    let until = Instant::now() + PATIENCE;
    while !sidecar.log().contains("stopping") {
        assert!(Instant::now() < until, "it does not say that it stops: {}", sidecar.log());
        sleep(Duration::from_millis(10)).await;
    }
    // Who routes requests is told at once, who restarts what hangs is not.
    for (probe, status) in [("/ready", 503), ("/live", 200)] {
        assert_eq!(http::get(sidecar.admin(), probe, &[]).await.status, status, "{probe}");
    }
    let began = Instant::now();
    // Sends the second one, and waits for the end.
    chain.stop().await;
    assert!(began.elapsed() < Duration::from_secs(20), "it did not wait for the grace period");
    drop(streams);
}
