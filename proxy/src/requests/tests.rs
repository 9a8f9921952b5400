use raceway_trace::clock::Instance;

use super::*;

/// As many as a busy service has.
const IN_FLIGHT: usize = 64;

fn handling(number: u64) -> Arc<Handling> {
    let strand = Instance::new("orders", "orders-1").strand(number);
    let strand = Strand::receive_as(strand.clone(), strand, None, None);
    let (trace_id, id) = (TraceId::new(u128::from(number)), SpanId::new(number));
    let ids = (trace_id.expect("not 0"), id.expect("not 0"), id.expect("not 0"));
    Handling::new(ids, (None, None), Flags::SAMPLED, b"raceway=1".to_vec(), Probability::CERTAIN, strand)
}

/// Half of the times are shorter, and nine of ten.
fn middle_and_tail(mut times: Vec<Duration>) -> (Duration, Duration) {
    times.sort();
    let at = |tenths: usize| times.get(times.len() * tenths / 10).copied().unwrap_or_default();
    (at(5), at(9))
}

/// The lock that all request threads share is held for at most 2 µs (in a build without optimisation: ten times that),
/// with 64 requests in flight and as many remembered as there may be. `--nocapture` shows the times.
#[test]
fn the_one_lock_is_held_briefly() {
    let requests = Requests::new();
    let at = Instant::now();
    // The oldest in flight are the last to end, so that closing has the longest way.
    let all: Vec<_> = (1..=20_000).map(handling).collect();
    for handling in all.iter().take(IN_FLIGHT) {
        requests.open(handling, at);
    }
    let [mut opening, mut finding, mut calling, mut closing] = [const { Vec::new() }; 4];
    for pair in all.windows(IN_FLIGHT + 1) {
        let [oldest, .., newest] = pair else { continue };
        let time = |times: &mut Vec<Duration>, work: &mut dyn FnMut()| {
            let began = Instant::now();
            work();
            times.push(began.elapsed());
        };
        time(&mut opening, &mut || requests.open(newest, at));
        time(&mut finding, &mut || assert!(requests.by_id(newest.server, at).is_some()));
        time(&mut calling, &mut || assert_eq!(requests.call_without_context(8, at).count, IN_FLIGHT + 1));
        time(&mut closing, &mut || requests.close(oldest, at));
    }
    let most = Duration::from_micros(if cfg!(debug_assertions) { 20 } else { 2 });
    for (what, times) in [("open", opening), ("by_id", finding), ("call_without_context", calling), ("close", closing)]
    {
        let (middle, tail) = middle_and_tail(times);
        println!("{what}: {middle:?}, nine of ten within {tail:?}");
        assert!(middle <= most, "{what} holds the lock for {middle:?}");
    }
}

/// Requests come in on one thread while their calls leave on another: every call finds its own request, and nothing is
/// left in flight.
#[test]
fn threads_find_each_others_requests() {
    let requests = Requests::new();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (send, receive) = std::sync::mpsc::sync_channel::<Arc<Handling>>(IN_FLIGHT / 4);
            let (requests, first) = (&requests, 1 + thread * 2_000);
            scope.spawn(move || {
                for number in first..first + 2_000 {
                    let handling = handling(number);
                    requests.open(&handling, Instant::now());
                    send.send(handling).expect("the other thread takes it");
                }
            });
            scope.spawn(move || {
                for handling in receive {
                    let found = requests.by_id(requests.app_id(handling.server), Instant::now());
                    assert!(found.is_some_and(|found| Arc::ptr_eq(&found, &handling)));
                    assert!((1..=IN_FLIGHT + 8).contains(&requests.call_without_context(1, Instant::now()).count));
                    assert_eq!(requests.of_trace(handling.trace_id).len(), 1);
                    requests.close(&handling, Instant::now());
                }
            });
        }
    });
    assert_eq!(requests.call_without_context(1, Instant::now()).count, 0);
}
