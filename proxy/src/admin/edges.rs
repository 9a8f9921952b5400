//! Whom the service called in the last minutes: differences of counters that only grow.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use raceway_analyzer_client::edge::DURATION_BOUNDS;
use raceway_analyzer_client::{EdgeCounters, EdgeSnapshot};
use serde::Serialize;

/// What the counters said at some moments, oldest first.
#[derive(Debug)]
pub(super) struct Window {
    samples: VecDeque<(Instant, Vec<EdgeSnapshot>)>,
}

#[derive(Serialize)]
struct Shown<'a> {
    from: &'a str,
    window_seconds: u64,
    edges: Vec<Edge>,
}

#[derive(Serialize)]
struct Edge {
    /// `null`: callees beyond the bound, together.
    to: Option<Box<str>>,
    calls: u64,
    errors: u64,
    avg_ms: f64,
    p50_ms: f64,
    p95_ms: f64,
    p99_ms: f64,
}

impl Window {
    /// How often the counters are read: the window's end is off by at most this.
    pub(super) const STEP: Duration = Duration::from_secs(15);
    /// Five minutes: long enough to look twice, short enough to be of now.
    const SAMPLES: usize = 21;

    pub(super) fn new(counters: &EdgeCounters) -> Self {
        Self { samples: VecDeque::from([(Instant::now(), counters.snapshot())]) }
    }

    pub(super) fn step(&mut self, counters: &EdgeCounters) {
        if self.samples.len() == Self::SAMPLES {
            self.samples.pop_front();
        }
        self.samples.push_back((Instant::now(), counters.snapshot()));
    }

    /// The calls since the oldest sample, most called first.
    pub(super) fn json(&self, from: &str, counters: &EdgeCounters) -> Vec<u8> {
        let (since, before) = match self.samples.front() {
            Some((at, before)) => (at.elapsed(), before.as_slice()),
            None => (Duration::ZERO, &[][..]),
        };
        let before: HashMap<_, _> = before.iter().map(|edge| (edge.to.as_deref(), edge)).collect();
        let now = counters.snapshot();
        let mut edges: Vec<Edge> = now
            .into_iter()
            .map(|edge| {
                let earlier = before.get(&edge.to.as_deref()).copied();
                difference(edge, earlier)
            })
            .filter(|edge| edge.calls > 0)
            .collect();
        edges.sort_by_key(|edge| std::cmp::Reverse(edge.calls));
        let shown = Shown { from, window_seconds: since.as_secs(), edges };
        let mut text = serde_json::to_vec_pretty(&shown).unwrap_or_default();
        text.push(b'\n');
        text
    }
}

fn difference(now: EdgeSnapshot, before: Option<&EdgeSnapshot>) -> Edge {
    let earlier = |of: fn(&EdgeSnapshot) -> u64| before.map_or(0, of);
    let calls = now.calls.saturating_sub(earlier(|edge| edge.calls));
    let mut buckets = now.duration_buckets;
    if let Some(before) = before {
        buckets.iter_mut().zip(before.duration_buckets).for_each(|(now, before)| *now = now.saturating_sub(before));
    }
    let sum = now.duration_sum.saturating_sub(before.map_or(Duration::ZERO, |edge| edge.duration_sum));
    Edge {
        to: now.to,
        calls,
        errors: now.errors.saturating_sub(earlier(|edge| edge.errors)),
        avg_ms: rounded(sum.as_secs_f64() / calls.max(1) as f64),
        p50_ms: quantile(&buckets, 0.50),
        p95_ms: quantile(&buckets, 0.95),
        p99_ms: quantile(&buckets, 0.99),
    }
}

/// The duration below which a share of the calls lies, by even spread within its bucket; ms.
fn quantile(buckets: &[u64], share: f64) -> f64 {
    let rank = buckets.iter().sum::<u64>() as f64 * share;
    let (mut below, mut from) = (0.0, 0.0);
    for (at, &calls) in buckets.iter().enumerate() {
        let Some(&to) = DURATION_BOUNDS.get(at) else { break };
        let calls = calls as f64;
        if calls > 0.0 && below + calls >= rank {
            return rounded(from + (to - from) * (rank - below) / calls);
        }
        below += calls;
        from = to;
    }
    // The last bucket has no end: at least this.
    rounded(from)
}

/// Seconds to ms, to the microsecond.
fn rounded(seconds: f64) -> f64 {
    (seconds * 1e6).round() / 1e3
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn only_what_came_since_is_shown() {
        let counters = EdgeCounters::new(SystemTime::now());
        counters.record("gone", Duration::from_millis(1), false);
        let mut window = Window::new(&counters);
        (0..99).for_each(|_| counters.record("payment", Duration::from_millis(3), false));
        counters.record("payment", Duration::from_secs(20), true);
        counters.record("auth", Duration::from_micros(400), false);
        window.step(&counters);
        let shown: serde_json::Value = serde_json::from_slice(&window.json("orders", &counters)).expect("JSON");
        let at = |pointer: &str| shown.pointer(pointer).cloned().unwrap_or_default();
        assert_eq!(
            (at("/from"), at("/edges/0/to"), at("/edges/1/to")),
            ("orders".into(), "payment".into(), "auth".into())
        );
        assert_eq!((at("/edges/0/calls"), at("/edges/0/errors"), at("/edges/2")), (100.into(), 1.into(), ().into()));
        let p50 = at("/edges/0/p50_ms").as_f64().expect("a number");
        assert!((2.5..=5.0).contains(&p50), "{p50}");
        assert_eq!(at("/edges/1/p50_ms").as_f64(), Some(0.25));
        for _ in 0..2 * Window::SAMPLES {
            window.step(&counters);
        }
        let shown = String::from_utf8(window.json("orders", &counters)).expect("text");
        assert!(shown.contains("\"edges\": []"), "{shown}");
    }

    #[test]
    fn quantiles_lie_within_their_bucket() {
        let mut buckets = [0; 18];
        assert_eq!(quantile(&buckets, 0.5), 10_000.0);
        buckets[17] = 1;
        assert_eq!(quantile(&buckets, 0.5), 10_000.0);
        buckets[0] = 9;
        assert_eq!(quantile(&buckets, 0.5), 0.278);
    }
}
