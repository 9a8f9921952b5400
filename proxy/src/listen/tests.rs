use std::sync::Arc;

use tokio::sync::Notify;

use super::*;
use crate::metrics::Metrics;

fn local() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

#[test]
fn the_canned_answer_is_as_long_as_it_says() {
    let text = std::str::from_utf8(OVERLOADED).expect("text");
    let (head, body) = text.split_once("\r\n\r\n").expect("head and body");
    assert!(head.contains(&format!("content-length: {}", body.len())), "{}", body.len());
}

#[test]
fn the_limit_on_open_files_is_raised_to_the_hard_one() {
    let raised = raise_open_files();
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    assert_eq!(current, maximum);
    assert_eq!(raised, maximum.unwrap_or(u64::MAX));
}

#[test]
fn descriptors_are_left_for_what_is_open() {
    assert_eq!(connections_for(1_048_576, 10_000), 10_000);
    assert_eq!(connections_for(u64::MAX, 10_000), 10_000);
    assert_eq!(connections_for(1024, 10_000), 462);
    assert_eq!(connections_for(40, 10_000), 10);
}

#[tokio::test]
async fn an_address_that_cannot_be_had_says_why() {
    let first = bind(local()).expect("any port");
    let taken = first.local_addr().expect("bound");
    let error = bind(taken).expect_err("taken").to_string();
    assert!(error.contains(&taken.to_string()) && error.contains("choose another port"), "{error}");
    // TEST-NET-1: no host has it.
    let error = bind(([192, 0, 2, 1], 0).into()).expect_err("not ours").to_string();
    assert!(error.contains("no interface of this host"), "{error}");
}

#[tokio::test]
async fn ports_that_are_taken_are_told_in_one_line() {
    let held = [bind(local()).expect("any port"), bind(local()).expect("any port")];
    let taken = held.map(|listener| (listener.local_addr().expect("bound"), listener));
    let mut unbound = Unbound::default();
    for (flag, address) in [("--inbound", taken[0].0), ("--route", taken[1].0), ("--admin", ([192, 0, 2, 1], 0).into())]
    {
        unbound.add(flag, address, &bind(address).expect_err("taken, or not ours"));
    }
    let lines = unbound.into_lines();
    let [in_use, not_ours] = &lines[..] else { panic!("{lines:?}") };
    let both = format!("cannot listen on {} (--inbound), {} (--route): in use", taken[0].0, taken[1].0);
    assert!(in_use.starts_with(&both) && in_use.contains("choose other ports"), "{in_use}");
    assert!(not_ours.starts_with("--admin: ") && not_ours.contains("no interface"), "{not_ours}");
}

#[tokio::test]
async fn connections_are_served_shed_and_ended() {
    let listener = bind(local()).expect("any port");
    let address = listener.local_addr().expect("bound");
    let (metrics, drain, arrived) = (Metrics::new(), Drain::new(), Arc::new(Notify::new()));
    let accepting = tokio::spawn({
        let (drain, counted, arrived) = (drain.clone(), metrics.inbound_listener(), Arc::clone(&arrived));
        accept(listener, (1, Spread::none()), drain, counted, move |mut stream, _| {
            let arrived = Arc::clone(&arrived);
            async move {
                arrived.notify_one();
                let mut byte = [0];
                if stream.read(&mut byte).await.is_ok_and(|read| read > 0) {
                    let _ = stream.write_all(b"served").await;
                }
            }
        })
    });

    let mut first = TcpStream::connect(address).await.expect("it listens");
    arrived.notified().await;

    let mut second = TcpStream::connect(address).await.expect("it listens");
    second.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.expect("open");
    let mut answer = Vec::new();
    second.read_to_end(&mut answer).await.expect("an orderly end");
    assert_eq!(answer, OVERLOADED);

    drain.begin();
    first.write_all(b"x").await.expect("open");
    let mut answer = Vec::new();
    first.read_to_end(&mut answer).await.expect("an orderly end");
    assert_eq!(answer, b"served");

    // Room again, also while draining; and the end closes what is open. A place is free a moment after the
    // connection's end was seen here.
    let third = loop {
        let mut third = TcpStream::connect(address).await.expect("it listens");
        tokio::select! {
            () = arrived.notified() => break third,
            read = third.read_u8() => assert!(read.is_err(), "nothing is sent before a request"),
        }
    };
    drain.end();
    accepting.await.expect("no panic");
    let mut third = third;
    assert!(third.read_u8().await.is_err());
    let text = String::from_utf8(metrics.text()).expect("text");
    assert!(text.contains(r#"connections_open{listener="inbound"} 0"#), "{text}");
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_panic_stays_in_its_connection() {
    let listener = bind(local()).expect("any port");
    let address = listener.local_addr().expect("bound");
    let (metrics, drain) = (Metrics::new(), Drain::new());
    let mut count = 0;
    let counted = metrics.inbound_listener();
    let accepting = accept(listener, (10, Spread::none()), drain.clone(), counted, move |mut stream, _| {
        count += 1;
        let first = count == 1;
        async move {
            assert!(!first, "this panic is part of the test");
            let _ = stream.write_all(b"served").await;
        }
    });
    let calling = async {
        let mut answers = Vec::new();
        for _ in 0..2 {
            let mut stream = TcpStream::connect(address).await.expect("it listens");
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer).await;
            answers.push(answer);
        }
        drain.end();
        answers
    };
    let ((), answers) = tokio::join!(accepting, calling);
    assert_eq!(answers, [b"".to_vec(), b"served".to_vec()]);
}

#[tokio::test]
async fn connections_are_spread_over_threads_and_end_on_them() {
    let listener = bind(local()).expect("any port");
    let address = listener.local_addr().expect("bound");
    let (metrics, drain) = (Metrics::new(), Drain::new());
    let threads = crate::threads::Requests::start(2).expect("a thread");
    let (spread, counted) = (threads.spread(), metrics.inbound_listener());
    let accepting = accept(listener, (10, spread.clone()), drain.clone(), counted, |mut stream, _| async move {
        let name = std::thread::current().name().unwrap_or_default().to_owned();
        let byte = stream.read_u8().await.expect("a byte");
        assert!(byte != b'!', "this panic is part of the test");
        let _ = stream.write_all(if name == "requests-2" { b"there" } else { b"here." }).await;
        // Until it is ended.
        let _ = stream.read_u8().await;
    });
    let calling = async {
        let (mut open, mut answers) = (Vec::new(), Vec::new());
        for _ in 0..4 {
            let mut stream = TcpStream::connect(address).await.expect("it listens");
            stream.write_all(b"?").await.expect("open");
            let mut answer = [0; 5];
            stream.read_exact(&mut answer).await.expect("it answers");
            answers.push(String::from_utf8_lossy(&answer).into_owned());
            open.push(stream);
        }
        assert_eq!(answers, ["here.", "there", "here.", "there"]);
        assert_eq!(spread.taken().collect::<Vec<_>>(), [2, 2]);

        // Room on the other thread: the next goes there, and its panic is its own affair.
        let leaving = open.remove(1);
        drop(leaving);
        while spread.taken().sum::<usize>() > 3 {
            tokio::task::yield_now().await;
        }
        let mut failing = TcpStream::connect(address).await.expect("it listens");
        failing.write_all(b"!").await.expect("open");
        assert!(failing.read_u8().await.is_err());
        while spread.taken().sum::<usize>() > 3 {
            tokio::task::yield_now().await;
        }
        drain.end();
        open
    };
    let ((), open) = tokio::join!(accepting, calling);
    assert_eq!(spread.taken().sum::<usize>(), 0, "nothing runs any more, wherever it ran");
    for mut stream in open {
        assert!(stream.read_u8().await.is_err());
    }
    let text = String::from_utf8(metrics.text()).expect("text");
    assert!(text.contains(r#"connections_open{listener="inbound"} 0"#), "{text}");
}

#[test]
fn only_what_would_fail_again_is_waited_for() {
    let of = |errno: Errno| failure(&io::Error::from(errno));
    assert_eq!(of(Errno::MFILE), ("file_limit", true));
    assert_eq!(of(Errno::NFILE), ("file_limit", true));
    assert_eq!(of(Errno::NOBUFS), ("memory", true));
    assert_eq!(of(Errno::CONNABORTED), ("aborted", false));
    assert_eq!(of(Errno::INVAL), ("other", true));
    assert_eq!(failure(&io::Error::other("x")), ("other", true));
}
