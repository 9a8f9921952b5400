//! Receivers that are down, slow, full or wrong.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use raceway_analyzer_client::{Endpoint, Exporter, Protocol, Resource, Retry, Settings, Stats};
use support::grpc::{self, Ability};
use support::{Ledger, PATIENCE, Reply, failed, free_address, http, record, settings, span, stop, until};
use tokio::io::AsyncWriteExt;
use tonic::Code;

const NEVER: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn a_receiver_that_comes_up_late_misses_nothing() {
    for protocol in [Protocol::Grpc, Protocol::HttpProtobuf] {
        let (address, ledger) = (free_address(), Arc::new(Ledger::default()));
        let exporter = Exporter::start(settings(address, protocol));
        record(&exporter, 1..2000);
        let stats = until(&exporter, "it was tried again", |stats| stats.progress.retries > 2).await;
        let problem = stats.progress.last_error.expect("it says what is wrong").text;
        assert!(problem.contains(&address.to_string()) && problem.contains("analyzer runs"), "{problem}");
        assert_eq!((stats.spans_sent, stats.progress.connected), (0, false));
        let _receiver = match protocol {
            Protocol::Grpc => grpc::receiver(address, &ledger, Ability::default()),
            Protocol::HttpProtobuf => http::receiver(address, "", &ledger, &["zstd"]),
        };
        ledger.until_spans(1..2000).await;
        let stats = stop(&exporter, PATIENCE).await;
        assert_eq!((stats.spans_sent, stats.dropped.total()), (1999, 0));
    }
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_told_at_the_start_and_tried_again() {
    let endpoint = Endpoint::parse("http://analyzer.invalid:4317", Protocol::Grpc).unwrap();
    let exporter = Exporter::start(Settings { endpoints: vec![endpoint], ..settings(free_address(), Protocol::Grpc) });
    let stats = until(&exporter, "it was tried again", |stats| stats.progress.retries > 1).await;
    let problem = stats.progress.last_error.expect("it says what is wrong").text;
    assert!(problem.contains("analyzer.invalid") && problem.contains("resolve"), "{problem}");
    record(&exporter, 1..10);
    let stats = stop(&exporter, Duration::from_millis(20)).await;
    assert_eq!(stats.dropped.stopped, 9);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_receiver_killed_and_started_again_under_load_misses_nothing() {
    let (address, ledger) = (free_address(), Arc::new(Ledger::default()));
    let exporter = Exporter::start(Settings { batch_spans_max: 64, ..settings(address, Protocol::Grpc) });
    let (recorded, enough) = (AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let load = scope.spawn(|| {
            for number in 1.. {
                exporter.record(&span(number));
                recorded.store(number, Ordering::Relaxed);
                if enough.load(Ordering::Relaxed) {
                    break;
                }
                // As fast as the receiver takes it in and no faster: there is room in the queue.
                while exporter.stats()[0].queue_bytes > 8 * 1024 * 1024 {
                    std::thread::yield_now();
                }
            }
        });
        let script = async {
            for round in 1..6 {
                let receiver = grpc::receiver(address, &ledger, Ability::default());
                let goal = ledger.look(|seen| seen.spans.len()) + 2000 * round;
                ledger.until("it is under load", |seen| (seen.spans.len() > goal).then_some(())).await;
                receiver.kill();
                let (mark, down) = (recorded.load(Ordering::Relaxed), Instant::now());
                while recorded.load(Ordering::Relaxed) < mark + 1000 {
                    assert!(down.elapsed() < PATIENCE, "spans are recorded while the receiver is down");
                    tokio::task::yield_now().await;
                }
            }
            enough.store(true, Ordering::Relaxed);
        };
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(script));
        load.join().unwrap();
    });
    let _receiver = grpc::receiver(address, &ledger, Ability::default());
    let stats = stop(&exporter, PATIENCE).await;
    let last = recorded.load(Ordering::Relaxed);
    ledger.until_spans(1..last + 1).await;
    assert_eq!((stats.spans_recorded, stats.dropped.total()), (last, 0), "{stats:?}");
    assert!(stats.progress.connects >= 6, "{stats:?}");
}

#[tokio::test]
async fn an_overflowing_queue_keeps_failures_and_the_newest() {
    let (address, ledger) = (free_address(), Arc::new(Ledger::default()));
    let settings = Settings {
        queue_bytes_max: 64 * 1024,
        batch_spans_max: 16,
        batch_age_max: NEVER,
        ..settings(address, Protocol::Grpc)
    };
    let exporter = Exporter::start(settings);
    (1..51).for_each(|number| exporter.record(&failed(number)));
    record(&exporter, 51..5000);
    let stats = exporter.stats().remove(0);
    assert!(stats.dropped.overflow > 1000 && stats.dropped.overflow_errors == 0, "{stats:?}");
    assert!(stats.queue_bytes <= stats.queue_bytes_max, "{stats:?}");
    let _receiver = grpc::receiver(address, &ledger, Ability::default());
    let stopped = stop(&exporter, PATIENCE).await;
    assert_eq!(stopped.spans_sent, stats.spans_waiting);
    ledger.look(|seen| {
        assert!((1..51).all(|number| seen.spans.contains_key(&number)), "every failure is there");
        let plain = stats.spans_waiting - 50;
        assert!((5000 - plain..5000).all(|number| seen.spans.contains_key(&number)), "and the newest of the others");
    });
}

#[tokio::test]
async fn a_time_to_wait_is_kept() {
    const WAIT: Duration = Duration::from_millis(300);
    // Nothing else would bring the second request before the test gives up.
    let retry = Retry { busy_first: NEVER, busy_max: NEVER, ..Retry::default() };
    let ledger = Arc::new(Ledger::default());
    ledger.script([Reply::RetryInfo(WAIT)]);
    let receiver = grpc::receiver(free_address(), &ledger, Ability::default());
    let exporter = Exporter::start(Settings { retry, ..settings(receiver.address, Protocol::Grpc) });
    record(&exporter, 1..2);
    ledger.until_spans(1..2).await;
    let came = ledger.until_requests(2).await;
    assert!(came[1].at - came[0].at >= WAIT, "{came:?}");
    let stats = stop(&exporter, PATIENCE).await;
    assert_eq!((stats.progress.retries, stats.dropped.total()), (1, 0));

    let ledger = Arc::new(Ledger::default());
    ledger.script([Reply::Status(429, Some("1"))]);
    let receiver = http::receiver(free_address(), "", &ledger, &["zstd"]);
    let exporter = Exporter::start(Settings { retry, ..settings(receiver.address, Protocol::HttpProtobuf) });
    record(&exporter, 1..2);
    let came = ledger.until_requests(2).await;
    assert!(came[1].at - came[0].at >= Duration::from_secs(1), "{came:?}");
    stop(&exporter, PATIENCE).await;
}

#[tokio::test]
async fn some_refusals_are_tried_again_and_others_are_not() {
    for (replies, retries, refused) in [
        (vec![Reply::Code(Code::Unavailable, "draining"); 7], 7, 0),
        (vec![Reply::Code(Code::DeadlineExceeded, ""); 7], 7, 0),
        (vec![Reply::Code(Code::InvalidArgument, "bad")], 0, 1),
        (vec![Reply::Code(Code::Unauthenticated, "key")], 0, 1),
        (vec![Reply::Code(Code::ResourceExhausted, "for ever")], 0, 1),
        // May be the fault of what is sent: tried again, but not for ever.
        (vec![Reply::Code(Code::Aborted, ""); 4], 4, 0),
        (vec![Reply::Code(Code::Aborted, ""); 5], 4, 1),
    ] {
        let ledger = Arc::new(Ledger::default());
        let shown = format!("{replies:?}");
        let requests = replies.len();
        ledger.script(replies);
        let receiver = grpc::receiver(free_address(), &ledger, Ability::default());
        let exporter = Exporter::start(settings(receiver.address, Protocol::Grpc));
        record(&exporter, 1..2);
        ledger.until_requests(requests).await;
        let stats = until(&exporter, "it is settled", |s| s.spans_sent + s.dropped.total() == 1).await;
        assert_eq!((stats.progress.retries, stats.dropped.refused), (retries, refused), "{shown}");
        record(&exporter, 2..3);
        ledger.until_spans(2..3).await;
        stop(&exporter, PATIENCE).await;
    }
}

#[tokio::test]
async fn a_receiver_with_a_low_limit_is_sent_smaller_requests() {
    let (address, ledger) = (free_address(), Arc::new(Ledger::default()));
    let exporter = Exporter::start(settings(address, Protocol::Grpc));
    record(&exporter, 1..5121);
    until(&exporter, "it was tried", |stats| stats.progress.retries > 0).await;
    let limit = Ability { message_bytes_max: 64 * 1024, ..Ability::default() };
    let _receiver = grpc::receiver(address, &ledger, limit);
    ledger.until_spans(1..5121).await;
    let stats = stop(&exporter, PATIENCE).await;
    assert_eq!((stats.spans_sent, stats.dropped.total()), (5120, 0), "{stats:?}");
}

#[tokio::test]
async fn a_slow_receiver_is_asked_again_and_holds_nobody_up() {
    let ledger = Arc::new(Ledger::default());
    ledger.script([Reply::Hold]);
    let receiver = grpc::receiver(free_address(), &ledger, Ability::default());
    let mut settings = settings(receiver.address, Protocol::Grpc);
    settings.endpoints[0] = settings.endpoints[0].clone().with_timeout(Duration::from_millis(50));
    let exporter = Exporter::start(settings);
    record(&exporter, 1..2);
    ledger.until_requests(1).await;
    // Taken in while the request is under way: nothing here waits for it.
    record(&exporter, 2..100);
    ledger.until_spans(1..100).await;
    let stats = stop(&exporter, PATIENCE).await;
    assert!(stats.progress.retries >= 1 && stats.dropped.total() == 0, "{stats:?}");
}

#[tokio::test]
async fn stopping_keeps_to_its_deadline() {
    const DEADLINE: Duration = Duration::from_millis(200);
    // Silent in the midst of a request, not there at all, and busy for longer than that.
    let silent = Arc::new(Ledger::default());
    silent.script([Reply::Hold]);
    let busy = Arc::new(Ledger::default());
    busy.script(vec![Reply::RetryInfo(NEVER); 9]);
    let (silent_one, busy_one) = (
        grpc::receiver(free_address(), &silent, Ability::default()),
        grpc::receiver(free_address(), &busy, Ability::default()),
    );
    for address in [silent_one.address, busy_one.address, free_address()] {
        let defaults = settings(address, Protocol::Grpc);
        let exporter = Exporter::start(Settings::new(defaults.endpoints[0].clone(), Resource::new("orders")));
        record(&exporter, 1..1000);
        let start = Instant::now();
        let stats = stop(&exporter, DEADLINE).await;
        // Far from the ten seconds that a request may take; how far is up to the machine.
        assert!(start.elapsed() < DEADLINE + Duration::from_secs(5), "{:?}", start.elapsed());
        assert_eq!((stats.spans_sent, stats.dropped.stopped), (0, 999), "{stats:?}");
    }
}

#[tokio::test]
async fn stopping_twice_at_once_is_stopping_once() {
    let ledger = Arc::new(Ledger::default());
    let receiver = grpc::receiver(free_address(), &ledger, Ability::default());
    let exporter = Exporter::start(settings(receiver.address, Protocol::Grpc));
    record(&exporter, 1..1000);
    let (one, other) = tokio::join!(stop(&exporter, PATIENCE), stop(&exporter, PATIENCE));
    assert_eq!((one.spans_sent, other.spans_sent), (999, 999));
}

#[tokio::test]
async fn what_is_no_receiver_is_named() {
    // HTTP/1 where gRPC was expected.
    let old = tokio::net::TcpListener::bind(free_address()).await.unwrap();
    let address = old.local_addr().unwrap();
    let serve = async move {
        loop {
            let (mut stream, _) = old.accept().await.unwrap();
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await.ok();
        }
    };
    let exporter = Exporter::start(settings(address, Protocol::Grpc));
    record(&exporter, 1..2);
    let told = |stats: &Stats| stats.progress.last_error.clone().filter(|_| stats.progress.retries > 2);
    let stats = tokio::select! {
        () = serve => unreachable!("it serves for ever"),
        stats = until(&exporter, "it was tried", |stats| told(stats).is_some()) => stats,
    };
    let problem = told(&stats).expect("it is there").text;
    assert!(problem.contains("port for OTLP over grpc"), "{problem}");
    stop(&exporter, Duration::ZERO).await;

    // A web server that knows nothing of OTLP, by either protocol: nothing is lost silently.
    let ledger = Arc::new(Ledger::default());
    let web = http::receiver(free_address(), "/elsewhere", &ledger, &[]);
    for protocol in [Protocol::Grpc, Protocol::HttpProtobuf] {
        let exporter = Exporter::start(settings(web.address, protocol));
        record(&exporter, 1..2);
        let stats = until(&exporter, "it was refused", |stats| stats.dropped.refused == 1).await;
        let problem = stats.progress.last_error.expect("it says what is wrong").text;
        assert!(problem.contains("404") && problem.contains("port"), "{problem}");
        stop(&exporter, PATIENCE).await;
    }
}
