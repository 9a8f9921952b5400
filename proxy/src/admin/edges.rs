//! Whom the service called in the last minutes, and who called it: differences of counters that only grow.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use raceway_analyzer_client::EdgeSnapshot;
use raceway_analyzer_client::edge::DURATION_BOUNDS;
use serde::Serialize;

use crate::edges::Edges;

/// What the counters said at some moments, oldest first.
#[derive(Debug)]
pub(super) struct Window {
    samples: VecDeque<Sample>,
}

#[derive(Debug)]
struct Sample {
    at: Instant,
    calls: Vec<EdgeSnapshot>,
    tunnels: Vec<EdgeSnapshot>,
    callers: Vec<EdgeSnapshot>,
}

impl Sample {
    fn now(counters: &Edges) -> Self {
        let Edges { calls, tunnels, callers } = counters;
        let at = Instant::now();
        Self { at, calls: calls.snapshot(), tunnels: tunnels.snapshot(), callers: callers.snapshot() }
    }
}

#[derive(Serialize)]
struct Shown<'a> {
    from: &'a str,
    window_seconds: u64,
    edges: Vec<Edge>,
    /// Callers that came by TLS and showed a certificate.
    callers: Vec<Edge>,
}

/// The other end; `null` for all beyond the bound together.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum End {
    To(Option<Box<str>>),
    From(Option<Box<str>>),
}

/// What only connections have that are not HTTP.
#[derive(Serialize)]
struct Bytes {
    bytes_sent: u64,
    bytes_received: u64,
}

#[derive(Serialize)]
struct Edge {
    #[serde(flatten)]
    end: End,
    /// `http`, or `tcp` for what is passed as bytes: then calls are connections.
    protocol: &'static str,
    /// What the other side's certificate says that it is; the last one that was shown.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    peer_names: Vec<String>,
    calls: u64,
    errors: u64,
    avg_ms: f64,
    p50_ms: f64,
    p95_ms: f64,
    p99_ms: f64,
    #[serde(flatten)]
    bytes: Option<Bytes>,
}

impl Window {
    /// How often the counters are read: the window's end is off by at most this.
    pub(super) const STEP: Duration = Duration::from_secs(15);
    /// Five minutes: long enough to look twice, short enough to be of now.
    const SAMPLES: usize = 21;

    pub(super) fn new(counters: &Edges) -> Self {
        Self { samples: VecDeque::from([Sample::now(counters)]) }
    }

    pub(super) fn step(&mut self, counters: &Edges) {
        if self.samples.len() == Self::SAMPLES {
            self.samples.pop_front();
        }
        self.samples.push_back(Sample::now(counters));
    }

    /// What happened since the oldest sample, the busiest first.
    pub(super) fn json(&self, from: &str, counters: &Edges) -> Vec<u8> {
        let now = Sample::now(counters);
        let before = self.samples.front();
        let earlier = |of: fn(&Sample) -> &Vec<EdgeSnapshot>| before.map_or(&[][..], |before| of(before).as_slice());
        let window_seconds = before.map_or(0, |before| before.at.elapsed().as_secs());
        let mut edges = differences(now.calls, earlier(|it| &it.calls), End::To, "http");
        edges.extend(differences(now.tunnels, earlier(|it| &it.tunnels), End::To, "tcp"));
        let mut callers = differences(now.callers, earlier(|it| &it.callers), End::From, "http");
        for edges in [&mut edges, &mut callers] {
            edges.sort_by_key(|edge| std::cmp::Reverse(edge.calls));
        }
        let mut text = serde_json::to_vec_pretty(&Shown { from, window_seconds, edges, callers }).unwrap_or_default();
        text.push(b'\n');
        text
    }
}

type Ends = fn(Option<Box<str>>) -> End;

/// What has grown since.
fn differences(now: Vec<EdgeSnapshot>, before: &[EdgeSnapshot], end: Ends, protocol: &'static str) -> Vec<Edge> {
    let before: HashMap<_, _> = before.iter().map(|edge| (edge.to.as_deref(), edge)).collect();
    let edges = now.into_iter().map(|edge| {
        let earlier = before.get(&edge.to.as_deref()).copied();
        difference(edge, earlier, end, protocol)
    });
    edges.filter(|edge| edge.calls > 0).collect()
}

fn difference(now: EdgeSnapshot, before: Option<&EdgeSnapshot>, end: Ends, protocol: &'static str) -> Edge {
    let since = |of: fn(&EdgeSnapshot) -> u64| of(&now).saturating_sub(before.map_or(0, of));
    let calls = since(|edge| edge.calls);
    let bytes = Bytes { bytes_sent: since(|edge| edge.bytes.0), bytes_received: since(|edge| edge.bytes.1) };
    let errors = since(|edge| edge.errors);
    let mut buckets = now.duration_buckets;
    if let Some(before) = before {
        buckets.iter_mut().zip(before.duration_buckets).for_each(|(now, before)| *now = now.saturating_sub(before));
    }
    let sum = now.duration_sum.saturating_sub(before.map_or(Duration::ZERO, |edge| edge.duration_sum));
    // No call lasted longer than all of them: what even spread within a bucket makes of a single one may.
    let within = |share| quantile(&buckets, share).min(rounded(sum.as_secs_f64()));
    Edge {
        end: end(now.to),
        protocol,
        peer_names: now.peer_names.to_vec(),
        calls,
        errors,
        avg_ms: rounded(sum.as_secs_f64() / calls.max(1) as f64),
        p50_ms: within(0.50),
        p95_ms: within(0.95),
        p99_ms: within(0.99),
        bytes: (protocol == "tcp").then_some(bytes),
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
    use std::sync::Arc;
    use std::time::SystemTime;

    use raceway_tls::Peer;

    use super::*;

    #[test]
    fn only_what_came_since_is_shown() {
        let edges = Edges::new(SystemTime::now());
        let counters = &edges.calls;
        counters.record("gone", Duration::from_millis(1), false);
        let mut window = Window::new(&edges);
        (0..99).for_each(|_| counters.record("payment", Duration::from_millis(3), false));
        counters.record("payment", Duration::from_secs(20), true);
        counters.record("auth", Duration::from_micros(400), false);
        window.step(&edges);
        let shown: serde_json::Value = serde_json::from_slice(&window.json("orders", &edges)).expect("JSON");
        let at = |pointer: &str| shown.pointer(pointer).cloned().unwrap_or_default();
        assert_eq!(
            (at("/from"), at("/edges/0/to"), at("/edges/1/to")),
            ("orders".into(), "payment".into(), "auth".into())
        );
        assert_eq!((at("/edges/0/calls"), at("/edges/0/errors"), at("/edges/2")), (100.into(), 1.into(), ().into()));
        let p50 = at("/edges/0/p50_ms").as_f64().expect("a number");
        assert!((2.5..=5.0).contains(&p50), "{p50}");
        assert_eq!(at("/edges/1/p50_ms").as_f64(), Some(0.25));
        assert_eq!(at("/edges/1/p99_ms").as_f64(), Some(0.4), "not beyond the only call");
        for _ in 0..2 * Window::SAMPLES {
            window.step(&edges);
        }
        let shown = String::from_utf8(window.json("orders", &edges)).expect("text");
        assert!(shown.contains("\"edges\": []"), "{shown}");
    }

    #[test]
    fn connections_and_callers_are_shown_beside() {
        let edges = Edges::new(SystemTime::now());
        let window = Window::new(&edges);
        let names: Arc<[String]> = ["spiffe://shop/web".to_owned(), "web".to_owned()].into();
        let web = Peer { names, ..Peer::default() };
        edges.called("payment", Some(&web), Duration::from_millis(3), true);
        edges.carried("db", None, Duration::from_secs(3), false, (7, 9));
        edges.came(&web, Duration::from_millis(1), false);
        edges.came(&Peer::default(), Duration::from_millis(1), false);
        let shown: serde_json::Value = serde_json::from_slice(&window.json("orders", &edges)).expect("JSON");
        let at = |pointer: &str| shown.pointer(pointer).cloned().unwrap_or_default();
        assert_eq!(at("/edges/0/to"), "payment");
        assert_eq!(at("/edges/0/protocol"), "http");
        assert_eq!(at("/edges/0/peer_names/0"), "spiffe://shop/web");
        assert_eq!((at("/edges/1/to"), at("/edges/1/protocol")), ("db".into(), "tcp".into()));
        assert_eq!((at("/edges/1/bytes_sent"), at("/edges/1/bytes_received")), (7.into(), 9.into()));
        assert_eq!((at("/edges/1/peer_names"), at("/edges/0/bytes_sent")), (().into(), ().into()));
        assert_eq!((at("/callers/0/from"), at("/callers/0/calls")), ("spiffe://shop/web".into(), 1.into()));
        assert_eq!((at("/callers/0/peer_names/1"), at("/callers/1")), ("web".into(), ().into()));
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
