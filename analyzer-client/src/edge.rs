//! Counters of calls per callee: cumulative, so that losing a message loses nothing.
//!
//! Spans may be sampled away or dropped under pressure; these numbers count every call. They travel as the OTLP metrics
//! `raceway.edge.calls`, `raceway.edge.errors` and `raceway.edge.duration` with the attribute `raceway.edge.to`; who
//! calls is the resource.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

/// Upper bounds of the duration histogram's buckets, in seconds; the last bucket has none.
///
/// OpenTelemetry's advice for HTTP durations, with three finer ones in front: calls inside one cluster are often
/// answered in under a millisecond.
pub const DURATION_BOUNDS: [f64; 17] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

const BUCKETS: usize = DURATION_BOUNDS.len() + 1;

/// The counters of one process, one entry per callee; clones share them.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use raceway_analyzer_client::EdgeCounters;
///
/// let edges = EdgeCounters::new(SystemTime::now());
/// edges.record("payment", Duration::from_millis(3), false);
/// assert_eq!(edges.snapshot()[0].calls, 1);
/// ```
#[derive(Clone, Debug)]
pub struct EdgeCounters {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    started: SystemTime,
    edges_max: usize,
    edges: RwLock<HashMap<Box<str>, Edge>>,
    /// Calls to callees that found no place.
    overflow: Edge,
}

/// The counters of calls to one callee; clones share them.
///
/// Whoever calls the same peer again and again keeps this and saves the look-up.
#[derive(Clone, Debug, Default)]
pub struct Edge {
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    buckets: [AtomicU64; BUCKETS],
    errors: AtomicU64,
    sum_ns: AtomicU64,
    /// Sent and received.
    bytes: [AtomicU64; 2],
    peer_names: RwLock<Arc<[String]>>,
}

/// What an edge counted so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EdgeSnapshot {
    /// The callee; `None` for all that came after the table was full.
    pub to: Option<Box<str>>,
    /// Calls that ended.
    pub calls: u64,
    /// Those that failed.
    pub errors: u64,
    /// The sum of their durations.
    pub duration_sum: Duration,
    /// Calls per bucket of [`DURATION_BOUNDS`], not summed up; their sum is `calls`.
    pub duration_buckets: [u64; BUCKETS],
    /// Bytes sent and received, where somebody counted them ([`Edge::moved`]).
    pub bytes: (u64, u64),
    /// The names that the other side proved last ([`Edge::known_as`]).
    pub peer_names: Arc<[String]>,
}

impl EdgeCounters {
    /// Callees that are told apart: 1,024 is beyond what one service calls, and with 220 B each it is small. More would
    /// come from names that a caller makes up.
    pub const EDGES_MAX: usize = 1024;

    /// No calls yet; `started` is when the process started, and marks where its counting began.
    pub fn new(started: SystemTime) -> Self {
        Self::with_edges_max(started, Self::EDGES_MAX)
    }

    /// The same with another bound on the number of callees.
    pub fn with_edges_max(started: SystemTime, edges_max: usize) -> Self {
        let edges = RwLock::new(HashMap::new());
        Self { inner: Arc::new(Inner { started, edges_max, edges, overflow: Edge::default() }) }
    }

    /// Counts a call that has ended. Allocates only at the first call to a callee.
    pub fn record(&self, to: &str, duration: Duration, failed: bool) {
        self.edge(to).record(duration, failed);
    }

    /// The counters of one callee, which come into being when first asked for.
    pub fn edge(&self, to: &str) -> Edge {
        // A writer that panicked cannot have left the map half changed in a way that matters to a reader of counters.
        if let Some(edge) = self.inner.edges.read().unwrap_or_else(PoisonError::into_inner).get(to) {
            return edge.clone();
        }
        let mut edges = self.inner.edges.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(edge) = edges.get(to) {
            return edge.clone();
        }
        if edges.len() >= self.inner.edges_max {
            return self.inner.overflow.clone();
        }
        edges.entry(to.into()).or_default().clone()
    }

    /// When counting began.
    pub fn started(&self) -> SystemTime {
        self.inner.started
    }

    /// Calls to callees beyond the bound: they are counted together, without a name.
    pub fn overflowed(&self) -> u64 {
        self.inner.overflow.snapshot(None).calls
    }

    /// All counters, ordered by callee, those without a name last; callees without a call yet are left out.
    pub fn snapshot(&self) -> Vec<EdgeSnapshot> {
        let edges = self.inner.edges.read().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = edges.iter().map(|(to, edge)| edge.snapshot(Some(to.clone()))).collect();
        drop(edges);
        all.sort_unstable_by(|a, b| a.to.cmp(&b.to));
        all.push(self.inner.overflow.snapshot(None));
        all.retain(|edge| edge.calls > 0);
        all
    }
}

impl Edge {
    /// Counts a call that has ended.
    pub fn record(&self, duration: Duration, failed: bool) {
        let seconds = duration.as_secs_f64();
        let bucket = DURATION_BOUNDS.iter().take_while(|&&bound| seconds > bound).count();
        if let Some(bucket) = self.counts.buckets.get(bucket) {
            bucket.fetch_add(1, Relaxed);
        }
        let ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.counts.sum_ns.fetch_add(ns, Relaxed);
        if failed {
            self.counts.errors.fetch_add(1, Relaxed);
        }
    }

    /// Adds bytes sent and received.
    pub fn moved(&self, (sent, received): (u64, u64)) {
        let [all_sent, all_received] = &self.counts.bytes;
        all_sent.fetch_add(sent, Relaxed);
        all_received.fetch_add(received, Relaxed);
    }

    /// The other side has proved to bear these names. The last to do so is remembered: where several share the edge,
    /// they are replicas of one service. The names are shared, and what is known already takes no more than a look.
    pub fn known_as(&self, names: &Arc<[String]>) {
        let known = &self.counts.peer_names;
        if !Arc::ptr_eq(&known.read().unwrap_or_else(PoisonError::into_inner), names) {
            *known.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(names);
        }
    }

    fn snapshot(&self, to: Option<Box<str>>) -> EdgeSnapshot {
        // Errors first: a call in between is then missing among them and never more than all calls.
        let errors = self.counts.errors.load(Relaxed);
        let duration_sum = Duration::from_nanos(self.counts.sum_ns.load(Relaxed));
        let duration_buckets = std::array::from_fn(|at| self.counts.buckets.get(at).map_or(0, |n| n.load(Relaxed)));
        let calls = duration_buckets.iter().sum();
        let [sent, received] = &self.counts.bytes;
        let bytes = (sent.load(Relaxed), received.load(Relaxed));
        let peer_names = Arc::clone(&self.counts.peer_names.read().unwrap_or_else(PoisonError::into_inner));
        EdgeSnapshot { to, calls, errors: errors.min(calls), duration_sum, duration_buckets, bytes, peer_names }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_its_upper_bound() {
        let edge = Edge::default();
        for (duration_us, bucket) in [(0, 0), (500, 0), (501, 1), (1_000, 1), (10_000_000, 16), (10_000_001, 17)] {
            let before = edge.snapshot(None).duration_buckets;
            edge.record(Duration::from_micros(duration_us), false);
            let after = edge.snapshot(None).duration_buckets;
            let changed: Vec<_> = (0..BUCKETS).filter(|&at| after[at] != before[at]).collect();
            assert_eq!(changed, [bucket], "{duration_us} µs");
        }
    }

    #[test]
    fn callees_beyond_the_bound_are_counted_together() {
        let edges = EdgeCounters::with_edges_max(SystemTime::UNIX_EPOCH, 2);
        for to in ["b", "a", "c", "d", "a"] {
            edges.record(to, Duration::from_millis(2), to == "c");
        }
        let seen: Vec<_> = edges.snapshot().into_iter().map(|edge| (edge.to, edge.calls, edge.errors)).collect();
        assert_eq!(seen, [(Some("a".into()), 2, 0), (Some("b".into()), 1, 0), (None, 2, 1)]);
        assert_eq!(edges.overflowed(), 2);
    }

    #[test]
    fn the_last_names_and_all_bytes_are_kept() {
        let edges = EdgeCounters::new(SystemTime::UNIX_EPOCH);
        let edge = edges.edge("payment");
        for names in [["spiffe://shop/payment"], ["spiffe://shop/payment-2"]] {
            let names: Arc<[String]> = names.map(str::to_owned).into();
            edge.record(Duration::ZERO, false);
            edge.known_as(&names);
            edge.known_as(&names);
            edge.moved((2, 3));
            assert!(Arc::ptr_eq(&names, &edges.snapshot()[0].peer_names));
        }
        assert_eq!(edges.snapshot()[0].bytes, (4, 6));
    }

    #[test]
    fn threads_lose_no_call() {
        let edges = EdgeCounters::new(SystemTime::UNIX_EPOCH);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..1000).for_each(|n| edges.record("x", Duration::from_nanos(n), n % 4 == 0)));
            }
        });
        let all = edges.snapshot();
        assert_eq!((all[0].calls, all[0].errors, all[0].duration_sum), (4000, 1000, Duration::from_nanos(4 * 499_500)));
    }
}
