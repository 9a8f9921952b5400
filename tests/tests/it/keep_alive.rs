//! The keep-alive race: an application closes an idle connection just as the next request comes.
//!
//! Without a sidecar such a request fails too, now and then. With one it must fail no more often, and what may not
//! happen twice must not.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use raceway_tests::{Chain, PATIENCE};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// How often each request was served, by its number.
type Served = Arc<Mutex<BTreeMap<u64, u32>>>;

/// Answers requests, and closes each connection at a moment of its own after an answer.
async fn closes_when_idle(listener: TcpListener, served: Served, idle: fn(u64) -> Duration) {
    let mut connections = JoinSet::new();
    while let Ok((mut stream, _)) = listener.accept().await {
        let served = Arc::clone(&served);
        connections.spawn(async move {
            stream.set_nodelay(true).expect("an open socket");
            let mut input = Vec::new();
            // Nobody closes a connection that has not been used yet.
            let mut patience = PATIENCE;
            loop {
                match timeout(patience, stream.read_buf(&mut input)).await {
                    Ok(Ok(1..)) => {}
                    _ => return,
                }
                while let Some(end) = input.windows(4).position(|window| window == b"\r\n\r\n") {
                    let head = String::from_utf8_lossy(&input.drain(..end + 4).collect::<Vec<_>>()).into_owned();
                    let number = head.split(' ').nth(1).and_then(|target| target.strip_prefix('/')?.parse().ok());
                    let number = number.expect("requests are numbered");
                    patience = idle(number);
                    *served.lock().unwrap_or_else(PoisonError::into_inner).entry(number).or_default() += 1;
                    if stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.is_err() {
                        return;
                    }
                }
            }
        });
    }
}

/// A caller that uses its connection as long as it is open; how many of its requests got no answer, or one of ours.
async fn call(
    to: SocketAddr,
    method: &str,
    numbers: impl Iterator<Item = u64>,
    pause: fn(u64) -> Duration,
) -> (u64, Vec<String>) {
    let mut connection: Option<TcpStream> = None;
    let (mut failed, mut ours) = (0, Vec::new());
    for number in numbers {
        let mut stream = match connection.take() {
            // As clients do: one that is known to be closed is not used.
            Some(stream) if !matches!(stream.try_read(&mut [0]), Ok(0)) => stream,
            _ => TcpStream::connect(to).await.expect("it listens"),
        };
        stream.set_nodelay(true).expect("an open socket");
        let request = format!("{method} /{number} HTTP/1.1\r\nHost: app\r\n\r\n");
        let mut answer = Vec::new();
        let exchange = async {
            stream.write_all(request.as_bytes()).await?;
            while !answer.ends_with(b"\r\n\r\nok") && !answer.starts_with(b"HTTP/1.1 5") {
                if stream.read_buf(&mut answer).await? == 0 {
                    return Err(std::io::ErrorKind::UnexpectedEof.into());
                }
            }
            std::io::Result::Ok(())
        };
        match timeout(PATIENCE, exchange).await.expect("an answer or an end in time") {
            Ok(()) if answer.starts_with(b"HTTP/1.1 200 ") => connection = Some(stream),
            Ok(()) => ours.push(String::from_utf8_lossy(&answer).into_owned()),
            Err(_) => failed += 1,
        }
        sleep(pause(number)).await;
    }
    (failed, ours)
}

struct Scene {
    address: SocketAddr,
    served: Served,
    _app: JoinSet<()>,
}

async fn scene(idle: fn(u64) -> Duration) -> Scene {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("a bound listener has an address");
    let served = Served::default();
    let mut app = JoinSet::new();
    app.spawn(closes_when_idle(listener, Arc::clone(&served), idle));
    Scene { address, served, _app: app }
}

impl Scene {
    fn twice(&self) -> Vec<u64> {
        let served = self.served.lock().unwrap_or_else(PoisonError::into_inner);
        served.iter().filter(|(_, count)| **count > 1).map(|(number, _)| *number).collect()
    }
}

const PHASE: Duration = Duration::from_millis(40);

/// The application closes, and the caller asks again, at the same moment: as bad as it can be timed.
#[tokio::test]
async fn in_step_with_the_application_no_post_is_a_502_and_none_comes_twice() {
    let scene = scene(|_| PHASE).await;
    let chain = Chain::before(scene.address, 1).await;
    for method in ["POST", "GET"] {
        let base = if method == "POST" { 0 } else { 1_000 };
        let mut callers = JoinSet::new();
        for caller in 0..8 {
            let to = chain.door();
            callers.spawn(
                async move { call(to, method, (base + caller * 25)..(base + caller * 25 + 25), |_| PHASE).await },
            );
        }
        for (_, ours) in callers.join_all().await {
            assert_eq!(ours, Vec::<String>::new(), "{method}: without us the connection would just have closed");
        }
    }
    let twice: Vec<u64> = scene.twice().into_iter().filter(|number| *number < 1_000).collect();
    assert!(twice.is_empty(), "{twice:?}: POSTs that were served twice");
    chain.stop().await;
}

/// 10,000 requests, half of them POST, to an application that closes at random, in pairs with the bare application.
#[tokio::test]
async fn at_random_no_more_fail_than_without_us() {
    // A few milliseconds, different for each: closing and asking meet often.
    let random = |number: u64| Duration::from_micros(500 + number.wrapping_mul(0x9e37_79b9_7f4a_7c15) % 4_000);
    let pause = |number: u64| Duration::from_micros(500 + number.wrapping_mul(0xd1b5_4a32_d192_ed03) % 4_000);
    let (bare, behind) = (scene(random).await, scene(random).await);
    let chain = Chain::before(behind.address, 1).await;
    let mut failed = [0_u64; 2];
    let mut callers = JoinSet::new();
    for caller in 0..50_u64 {
        for (way, to) in [bare.address, chain.door()].into_iter().enumerate() {
            callers.spawn(async move {
                let method = if caller % 2 == 0 { "POST" } else { "GET" };
                (way, method, call(to, method, (caller * 200)..(caller * 200 + 200), pause).await)
            });
        }
    }
    for (way, method, (lost, ours)) in callers.join_all().await {
        assert_eq!(ours, Vec::<String>::new(), "{method}: without us the connection would just have closed");
        failed[way] += lost;
    }
    // Both are counts of rare events: their difference is within 2.33 standard deviations in 99 of 100 runs.
    let [alone, through] = failed.map(|count| count as f64);
    let bound = alone + 2.33 * (alone + through).sqrt() + 1.0;
    assert!(through <= bound, "{through} of 10,000 failed with a sidecar, {alone} without (bound {bound:.0})");
    let posts: Vec<u64> = behind.twice().into_iter().filter(|number| number / 200 % 2 == 0).collect();
    assert!(posts.is_empty(), "{posts:?}: POSTs that were served twice");
    eprintln!("failed without a sidecar {alone}, with one {through}");
    chain.stop().await;
}
