use proptest::prelude::*;

use super::*;

const LIMITS: Limits = Limits {
    bytes_max: 64 * 1024,
    segment_spans_max: 4,
    segment_bytes_max: 4096,
    age_max: Duration::from_secs(3600),
    crowded_above: usize::MAX,
};

fn content(batch: &Batch) -> Vec<u8> {
    batch.segments.iter().flat_map(|segment| segment.bytes.iter().copied()).collect()
}

#[test]
fn segments_close_at_their_bounds_and_come_out_by_age() {
    let queue = Queue::new(LIMITS);
    (0..3).for_each(|n| queue.push(&[n], false));
    assert!(queue.take(usize::MAX, false).is_none(), "neither full nor old");
    assert!(queue.due(Instant::now()).is_some_and(|due| due > Instant::now()));
    queue.push(&[3], false);
    let now = Instant::now();
    assert_eq!(queue.due(now), Some(now), "four spans close a segment");
    queue.push(&[4], true);
    queue.push(&[5], false);
    let full = queue.take(usize::MAX, false).expect("four spans close a segment");
    assert_eq!(content(&full), [0, 1, 2, 3]);
    assert_eq!(content(&queue.take(usize::MAX, true).expect("all was asked for")), [4, 5]);
    queue.sent(full, 1);
    let counts = queue.counts();
    assert_eq!((counts.recorded, counts.sent, counts.rejected, counts.in_flight), (6, 3, 1, 2));
}

#[test]
fn a_batch_given_back_comes_out_again_in_the_same_order() {
    let queue = Queue::new(LIMITS);
    (0..16).for_each(|n| queue.push(&[n], n % 3 == 0));
    let first = queue.take(8, true).expect("there are spans");
    let before = content(&first);
    queue.give_back(first);
    assert_eq!(content(&queue.take(8, true).expect("it came back")), before);
}

#[test]
fn plain_spans_give_way_to_failed_ones_and_never_the_other_way() {
    let limits = Limits { bytes_max: 16 * 1024, segment_spans_max: 1, ..LIMITS };
    let queue = Queue::new(limits);
    let span = |n: u8| vec![n; 4096];
    (0..4).for_each(|n| queue.push(&span(n), false));
    queue.push(&span(10), true);
    assert_eq!(queue.counts().dropped, Dropped { overflow: 1, ..Dropped::default() });
    (11..14).for_each(|n| queue.push(&span(n), true));
    assert_eq!(queue.counts().dropped, Dropped { overflow: 4, ..Dropped::default() });
    queue.push(&span(4), false);
    assert_eq!(queue.counts().dropped, Dropped { overflow: 5, ..Dropped::default() });
    queue.push(&span(14), true);
    assert_eq!(queue.counts().dropped, Dropped { overflow: 5, overflow_errors: 1, ..Dropped::default() });
    let batch = queue.take(usize::MAX, true).expect("four are left");
    assert_eq!(batch.segments.iter().map(|s| s.bytes[0]).collect::<Vec<_>>(), [11, 12, 13, 14]);
}

#[test]
fn what_is_too_large_or_too_late_is_counted() {
    let queue = Queue::new(LIMITS);
    queue.push(&[0; 4097], false);
    queue.push(&[0; 4096], false);
    queue.close();
    queue.push(&[0], true);
    assert_eq!(queue.counts().dropped, Dropped { oversized: 1, stopped: 1, ..Dropped::default() });
    queue.abandon();
    assert_eq!(queue.counts().dropped, Dropped { oversized: 1, stopped: 2, ..Dropped::default() });
    assert_eq!((queue.counts().waiting, queue.counts().bytes), (0, 0));
}

#[derive(Clone, Debug)]
enum Step {
    Push(usize, bool),
    Take(usize, bool),
    Settle(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0usize..5000, any::<bool>()).prop_map(|(len, failed)| Step::Push(len, failed)),
        1 => (0usize..9000, any::<bool>()).prop_map(|(bytes, all)| Step::Take(bytes, all)),
        1 => (0u8..3).prop_map(Step::Settle),
    ]
}

#[test]
fn what_is_taken_for_the_disk_is_the_oldest_of_what_matters_least() {
    let limits = Limits { bytes_max: 64 * 1024, segment_spans_max: 1, crowded_above: 12 * 1024, ..LIMITS };
    let queue = Queue::new(limits);
    (0..4).for_each(|n| queue.push(&[n; 4096], n == 0));
    let first = queue.take_oldest_above(8 * 1024).expect("more is held");
    assert_eq!(first.segments[0].bytes[0], 1, "a failed span stays in memory as long as there are others");
    queue.give_back(first);
    let mut spilled = Vec::new();
    while let Some(batch) = queue.take_oldest_above(4 * 1024) {
        spilled.push(batch.segments[0].bytes[0]);
        queue.spilled(batch);
    }
    assert_eq!(spilled, [1, 2, 3]);
    let counts = queue.counts();
    assert_eq!((counts.on_disk, counts.waiting, counts.dropped.total()), (3, 1, 0));
    queue.sent_from_disk(2, 1);
    queue.lost_on_disk(1);
    let counts = queue.counts();
    assert_eq!((counts.on_disk, counts.sent, counts.rejected, counts.dropped.disk), (0, 1, 1, 1));
}

proptest! {
    /// Whatever happens: every span is in exactly one count, and memory stays within its bound.
    #[test]
    fn nothing_is_lost_uncounted(steps in proptest::collection::vec(step(), 0..200), bytes_max in 0usize..40_000) {
        let queue = Queue::new(Limits { bytes_max, ..LIMITS });
        let mut taken = VecDeque::new();
        for step in steps {
            match step {
                Step::Push(len, failed) => queue.push(&vec![7; len], failed),
                Step::Take(bytes, all) => taken.extend(queue.take(bytes, all)),
                Step::Settle(how) => {
                    let Some(batch) = taken.pop_front() else { continue };
                    match how {
                        0 => queue.sent(batch, 1),
                        1 => queue.give_back(batch),
                        _ => queue.refuse(batch),
                    }
                }
            }
            let counts = queue.counts();
            let known = counts.sent + counts.rejected + counts.dropped.total() + counts.waiting + counts.in_flight;
            prop_assert_eq!(counts.recorded, known);
            prop_assert!(counts.bytes <= bytes_max, "{} held of {}", counts.bytes, bytes_max);
        }
        taken.into_iter().for_each(|batch| queue.give_back(batch));
        queue.abandon();
        prop_assert_eq!((queue.counts().bytes, queue.counts().waiting, queue.counts().in_flight), (0, 0, 0));
    }
}
