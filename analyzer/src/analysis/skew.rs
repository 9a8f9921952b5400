//! How far the clocks of machines are apart, worked out from calls between them.
//!
//! With θ what the callee's clock is ahead of the caller's: a request cannot arrive before it was sent, so
//! θ ≤ arrived − sent; the head of an answer cannot arrive before the callee had it, so θ ≥ had − arrived. Every call
//! narrows the interval; when 0 lies outside, the clocks cannot both be right.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::facts::Facts;

const MINUTE_NS: u64 = 60_000_000_000;
/// Calls this far from a trace in time say something about its clocks: drift of 100 ppm makes 60 ms in ten minutes,
/// and clocks that are set are set in steps.
const WINDOW_MINUTES: u64 = 10;
/// Minutes remembered per pair.
const MINUTES_MAX: usize = 120;
/// Pairs remembered.
const PAIRS_MAX: usize = 10_000;
/// Less than this is the grain of software time stamps, not a wrong clock.
const GRAIN_NS: i64 = 100_000;

/// An instance: service and instance id.
pub(crate) type Instance = (Arc<str>, Arc<str>);

/// The instance that reported a span, where it said.
pub(crate) fn instance(facts: &Facts) -> Option<Instance> {
    Some((facts.service.name.clone(), facts.instance.clone()?))
}

/// Where θ lies, ns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Theta {
    /// At least; `i64::MIN` while nothing says so.
    pub(crate) min_ns: i64,
    /// At most.
    pub(crate) max_ns: i64,
    pub(crate) samples: u64,
}

impl Default for Theta {
    fn default() -> Self {
        Self { min_ns: i64::MIN, max_ns: i64::MAX, samples: 0 }
    }
}

impl Theta {
    /// What one call says.
    pub(crate) fn of(client: &Facts, server: &Facts) -> Self {
        let between = |later: u64, earlier: u64| {
            let ns = i128::from(later) - i128::from(earlier);
            i64::try_from(ns).unwrap_or(if ns < 0 { i64::MIN + 1 } else { i64::MAX - 1 })
        };
        let head = |half: &Facts| half.first_byte_ns.map(|ns| half.start_ns.saturating_add(ns));
        Self {
            // Only the head of the answer will do: a caller may stop listening long before the callee ends.
            min_ns: head(server).zip(head(client)).map_or(i64::MIN, |(had, arrived)| between(had, arrived)),
            max_ns: between(server.start_ns, client.start_ns),
            samples: 1,
        }
    }

    /// What both say together.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            min_ns: self.min_ns.max(other.min_ns),
            max_ns: self.max_ns.min(other.max_ns),
            samples: self.samples.saturating_add(other.samples),
        }
    }

    /// Seen from the other side.
    pub(crate) fn reverse(self) -> Self {
        Self { min_ns: self.max_ns.saturating_neg(), max_ns: self.min_ns.saturating_neg(), samples: self.samples }
    }

    /// Whether no θ fits: a clock was set while the calls were made.
    pub(crate) fn inconsistent(self) -> bool {
        self.min_ns > self.max_ns.saturating_add(GRAIN_NS)
    }

    /// Whether 0 does not fit.
    pub(crate) fn skewed(self) -> bool {
        self.samples > 0 && (self.min_ns > GRAIN_NS || self.max_ns < -GRAIN_NS)
    }

    /// The θ to correct by: 0 where it fits, else the middle, else the bound there is.
    pub(crate) fn best_ns(self) -> i64 {
        if !self.skewed() || self.inconsistent() {
            return 0;
        }
        match (self.min_ns > i64::MIN + 1, self.max_ns < i64::MAX - 1) {
            (true, true) => self.min_ns / 2 + self.max_ns / 2,
            (true, false) => self.min_ns,
            (false, true) => self.max_ns,
            (false, false) => 0,
        }
    }
}

/// What calls of the last hours say.
#[derive(Debug, Default)]
pub(crate) struct Skew {
    pairs: HashMap<(Instance, Instance), BTreeMap<u64, Theta>>,
    swept_minute: u64,
}

impl Skew {
    /// Learns from a call whose halves have met.
    pub(crate) fn learn(&mut self, client: &Facts, server: &Facts) {
        let (Some(a), Some(b)) = (instance(client), instance(server)) else { return };
        if a == b {
            return;
        }
        let minute = client.end_ns / MINUTE_NS;
        let (key, theta) = ordered(a, b, Theta::of(client, server));
        if self.pairs.len() >= PAIRS_MAX && !self.pairs.contains_key(&key) && !self.make_room(minute) {
            return;
        }
        let minutes = self.pairs.entry(key).or_default();
        let slot = minutes.entry(minute).or_default();
        *slot = slot.and(theta);
        if minutes.len() > MINUTES_MAX {
            minutes.pop_first();
        }
    }

    /// Forgets pairs of processes that are gone, at most once a minute; where all are busy, new ones are left out.
    fn make_room(&mut self, minute: u64) -> bool {
        if minute > self.swept_minute {
            self.swept_minute = minute;
            let old = minute.saturating_sub(MINUTES_MAX as u64);
            self.pairs.retain(|_, minutes| minutes.last_key_value().is_some_and(|(&last, _)| last >= old));
        }
        self.pairs.len() < PAIRS_MAX
    }

    /// What is known about θ of `b` over `a` around a moment.
    pub(crate) fn around(&self, a: &Instance, b: &Instance, time_ns: u64) -> Theta {
        let minute = time_ns / MINUTE_NS;
        let near = minute.saturating_sub(WINDOW_MINUTES)..=minute.saturating_add(WINDOW_MINUTES);
        let (key, swapped) = if a <= b { ((a.clone(), b.clone()), false) } else { ((b.clone(), a.clone()), true) };
        let Some(minutes) = self.pairs.get(&key) else { return Theta::default() };
        let theta = minutes.range(near).fold(Theta::default(), |all, (_, theta)| all.and(*theta));
        if swapped { theta.reverse() } else { theta }
    }
}

/// One key for both directions.
fn ordered(a: Instance, b: Instance, theta: Theta) -> ((Instance, Instance), Theta) {
    if a <= b { ((a, b), theta) } else { ((b, a), theta.reverse()) }
}

/// What was found out about the clocks of one trace.
#[derive(Debug, Default)]
pub(crate) struct TraceClocks {
    /// The pairs that call each other in it, the caller first.
    pub(crate) pairs: Vec<(Instance, Instance, Theta)>,
    /// What to add to the times of an instance, ns; absent for 0.
    pub(crate) corrections: BTreeMap<Instance, i64>,
}

/// Works out the corrections of one trace's instances. `calls` are its calls with both halves, callers before callees
/// as far as the order of time tells; the first caller's clock is the one that counts.
pub(crate) fn correct(skew: &Skew, calls: &[(&Facts, &Facts)]) -> TraceClocks {
    let mut own: BTreeMap<(Instance, Instance), (Theta, u64)> = BTreeMap::new();
    let mut order = Vec::new();
    for (client, server) in calls {
        let (Some(a), Some(b)) = (instance(client), instance(server)) else { continue };
        if a == b {
            continue;
        }
        let theta = Theta::of(client, server);
        let pair = (a, b);
        match own.get_mut(&pair) {
            Some((known, _)) => *known = known.and(theta),
            None => {
                own.insert(pair.clone(), (theta, client.end_ns));
                order.push(pair);
            }
        }
    }
    let mut clocks = TraceClocks::default();
    for (a, b) in order {
        let Some(&(theta, time_ns)) = own.get(&(a.clone(), b.clone())) else { continue };
        let around = skew.around(&a, &b, time_ns);
        // The trace itself is among what is around it; and where that contradicts itself, only the trace counts.
        let known = if around.samples == 0 { theta } else { theta.and(Theta { samples: 0, ..around }) };
        let known = Theta { samples: around.samples.max(theta.samples), ..known };
        clocks.pairs.push((a, b, known));
    }
    spread(&mut clocks, &own);
    clocks
}

/// Carries the corrections from pair to pair.
fn spread(clocks: &mut TraceClocks, own: &BTreeMap<(Instance, Instance), (Theta, u64)>) {
    let mut neighbours: BTreeMap<&Instance, Vec<(&Instance, i64)>> = BTreeMap::new();
    for (a, b, theta) in &clocks.pairs {
        let best = match own.get(&(a.clone(), b.clone())) {
            Some((trace, _)) if theta.inconsistent() => trace.best_ns(),
            _ => theta.best_ns(),
        };
        neighbours.entry(a).or_default().push((b, best));
        neighbours.entry(b).or_default().push((a, best.saturating_neg()));
    }
    let mut corrections: BTreeMap<Instance, i64> = BTreeMap::new();
    for (a, ..) in &clocks.pairs {
        if corrections.contains_key(a) {
            continue;
        }
        corrections.insert(a.clone(), 0);
        let mut todo = vec![a];
        while let Some(here) = todo.pop() {
            let correction = corrections.get(here).copied().unwrap_or(0);
            for &(next, theta) in neighbours.get(here).into_iter().flatten() {
                if !corrections.contains_key(next) {
                    corrections.insert(next.clone(), correction.saturating_sub(theta));
                    todo.push(next);
                }
            }
        }
    }
    corrections.retain(|_, correction| *correction != 0);
    clocks.corrections = corrections;
}
