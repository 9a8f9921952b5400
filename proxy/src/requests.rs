//! The requests that the application is handling, and those it has just handled: what outbound calls are linked to.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use raceway_trace::clock::Strand;
use raceway_trace::traceparent::Flags;
use raceway_trace::tracestate::Probability;
use raceway_trace::{SpanId, TraceId};

/// Answered requests that a late call may still name. Calls that nobody awaits leave some milliseconds after the
/// answer; at 2,000 requests a second this is the last 64 ms, at 2 the last minute. As many as these stay in the
/// processor's cache: with four times as many, forgetting the oldest took a twentieth of the work on a request. A call
/// that names a forgotten one still gets the trace and parent it names.
const ANSWERED_MAX: usize = 128;

/// No call is linked to a request that was answered longer ago than this.
const ANSWERED_AGE_MAX: Duration = Duration::from_secs(60);

/// Ids of one strand's calls that are remembered, for clients that name an earlier call as parent of the next.
const SENT_MAX: usize = 64;

/// One inbound request in the hands of the application: the strand of the vector clock.
#[derive(Debug)]
pub(crate) struct Handling {
    /// The trace it belongs to.
    pub(crate) trace_id: TraceId,
    /// S, the SERVER span.
    pub(crate) server: SpanId,
    /// X, the id that a Raceway SDK in the application takes as its own.
    pub(crate) app: SpanId,
    /// The flags that came or were chosen.
    pub(crate) flags: Flags,
    /// `tracestate` as it came, our member included.
    pub(crate) tracestate: Vec<u8>,
    /// The product of the links' probabilities on the way here.
    pub(crate) p: Probability,
    /// The span that caused the request, and the service that made it, where its clock names one.
    pub(crate) caller: (Option<SpanId>, Option<Box<str>>),
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    strand: Strand,
    /// Ids that went to the network in this strand's name.
    sent: Vec<SpanId>,
}

impl Handling {
    pub(crate) fn new(
        (trace_id, server, app): (TraceId, SpanId, SpanId),
        caller: (Option<SpanId>, Option<Box<str>>),
        flags: Flags,
        tracestate: Vec<u8>,
        p: Probability,
        strand: Strand,
    ) -> Arc<Self> {
        let state = Mutex::new(State { strand, sent: Vec::new() });
        Arc::new(Self { trace_id, server, app, caller, flags, tracestate, p, state })
    }

    /// Works with the strand's clock.
    pub(crate) fn strand<T>(&self, work: impl FnOnce(&mut Strand) -> T) -> T {
        work(&mut self.state().strand)
    }

    /// Remembers an id under which a call of this strand went to the network.
    pub(crate) fn remember_sent(&self, id: SpanId) {
        let mut state = self.state();
        if state.sent.len() < SENT_MAX {
            state.sent.push(id);
        }
    }

    pub(crate) fn has_sent(&self, id: SpanId) -> bool {
        self.state().sent.contains(&id)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic in between cannot leave a clock half changed: every operation on it is whole or not at all.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All requests in flight through one sidecar.
#[derive(Debug)]
pub(crate) struct Requests {
    table: Mutex<Table>,
    /// Turns S into X and X into S.
    key: u64,
}

#[derive(Debug, Default)]
struct Table {
    open: Vec<Arc<Handling>>,
    answered: VecDeque<(Instant, Arc<Handling>)>,
    /// By S, in flight or answered.
    by_id: HashMap<SpanId, Arc<Handling>, Spread>,
    load: Load,
}

/// How long nothing, or exactly one request, was in flight, and how many calls without context left meanwhile:
/// what [`crate::link::sole`] weighs.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Load {
    pub(crate) idle: Observed,
    pub(crate) sole: Observed,
    since: Option<Instant>,
}

/// Calls over time.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Observed {
    pub(crate) time: Duration,
    pub(crate) calls: f64,
}

/// What is in flight as a call leaves.
pub(crate) struct Situation {
    /// The newest requests in flight, newest first; at most as many as were asked for.
    pub(crate) newest: Vec<Arc<Handling>>,
    /// How many requests are in flight.
    pub(crate) count: usize,
    pub(crate) load: Load,
}

impl Requests {
    pub(crate) fn new() -> Self {
        Self { table: Mutex::default(), key: fastrand::u64(1..) }
    }

    /// X for S, and S for X: a step that undoes itself, so that no table has to lead back from X. Its key is this
    /// process's own, so that two sidecars in a row do not undo each other's.
    pub(crate) fn app_id(&self, server: SpanId) -> SpanId {
        SpanId::new(server.get() ^ self.key).unwrap_or(server)
    }

    /// A request goes to the application.
    pub(crate) fn open(&self, handling: &Arc<Handling>, now: Instant) {
        let mut table = self.table();
        table.pass_time(now);
        table.open.push(Arc::clone(handling));
        table.by_id.insert(handling.server, Arc::clone(handling));
    }

    /// The application has answered, or will not.
    pub(crate) fn close(&self, handling: &Arc<Handling>, now: Instant) {
        let mut table = self.table();
        table.pass_time(now);
        let Some(at) = table.open.iter().rposition(|open| Arc::ptr_eq(open, handling)) else { return };
        let closed = table.open.remove(at);
        table.answered.push_back((now, closed));
        if table.answered.len() > ANSWERED_MAX
            && let Some((_, oldest)) = table.answered.pop_front()
        {
            table.forget(&oldest);
        }
    }

    /// The request with this S or X, if it is in flight or was answered a moment ago.
    pub(crate) fn by_id(&self, id: SpanId, now: Instant) -> Option<Arc<Handling>> {
        let mut table = self.table();
        while let Some((answered, oldest)) = table.answered.front().cloned()
            && now.duration_since(answered) > ANSWERED_AGE_MAX
        {
            table.answered.pop_front();
            table.forget(&oldest);
        }
        table.by_id.get(&id).or_else(|| table.by_id.get(&self.app_id(id))).cloned()
    }

    /// The parent of a request, mended where the Raceway SDK made the call: it names its first callee's span as the
    /// parent of the second, which is a span of ours that this caller asked for. What caused the first call caused
    /// the second.
    pub(crate) fn mended_parent(&self, parent: Option<SpanId>, caller: Option<&str>, own: &str) -> Option<SpanId> {
        let (Some(named), Some(caller)) = (parent, caller) else { return parent };
        match self.table().by_id.get(&named) {
            Some(sibling) if caller != own && sibling.caller.1.as_deref() == Some(caller) => sibling.caller.0,
            _ => parent,
        }
    }

    /// The requests of a trace that are in flight.
    pub(crate) fn of_trace(&self, trace_id: TraceId) -> Vec<Arc<Handling>> {
        self.table().open.iter().filter(|open| open.trace_id == trace_id).cloned().collect()
    }

    /// A call without context leaves: what is in flight, with this call counted in the load.
    pub(crate) fn call_without_context(&self, newest_max: usize, now: Instant) -> Situation {
        let mut table = self.table();
        table.pass_time(now);
        let (count, load) = (table.open.len(), table.load);
        match count {
            0 => table.load.idle.calls += 1.0,
            1 => table.load.sole.calls += 1.0,
            _ => {}
        }
        Situation { newest: table.open.iter().rev().take(newest_max).cloned().collect(), count, load }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn pass_time(&mut self, now: Instant) {
        let passed = now.duration_since(*self.load.since.get_or_insert(now));
        self.load.since = Some(now);
        match self.open.len() {
            0 => self.load.idle.time += passed,
            1 => self.load.sole.time += passed,
            _ => {}
        }
    }

    fn forget(&mut self, handling: &Arc<Handling>) {
        // An id that a caller minted twice stands for the later request.
        if self.by_id.get(&handling.server).is_some_and(|known| Arc::ptr_eq(known, handling)) {
            self.by_id.remove(&handling.server);
        }
    }
}

/// Spreads ids over a hash table. They are random already, or come from callers, who cannot choose ids that meet in
/// the table without knowing the key; so one multiplication does, where the library's own hash takes a dozen steps.
#[derive(Clone, Copy, Debug)]
struct Spread {
    key: u64,
    hash: u64,
}

impl Default for Spread {
    fn default() -> Self {
        Self { key: fastrand::u64(..) | 1, hash: 0 }
    }
}

impl BuildHasher for Spread {
    type Hasher = Self;

    fn build_hasher(&self) -> Self {
        *self
    }
}

impl Hasher for Spread {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.write_u64(byte.into()));
    }

    fn write_u64(&mut self, value: u64) {
        // Both halves of the product, as the table looks at the lowest bits and at the highest.
        let product = u128::from(self.hash ^ value ^ self.key.rotate_left(32)) * u128::from(self.key);
        self.hash = (product >> 64) as u64 ^ product as u64;
    }

    fn finish(&self) -> u64 {
        self.hash
    }
}

#[cfg(test)]
mod tests;
