//! Traces that were worked out a moment ago: a page asks several things about one, and asks again while it is open.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use raceway_trace::TraceId;

use super::trace::Trace;

/// Spans of all traces kept, about 50 MB.
const SPANS_MAX: usize = 25_000;
/// What is known about clocks, and what the store still has, changes without a span of the trace coming.
const AGE_MAX: Duration = Duration::from_secs(15);

/// A trace, as reported or with everything put right.
type Key = (TraceId, bool);

#[derive(Debug, Default)]
pub(crate) struct Cache {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    kept: HashMap<Key, (Arc<Trace>, Instant)>,
    /// Traces being read, and whether spans of them came meanwhile.
    reading: HashMap<TraceId, (usize, bool)>,
    spans: usize,
}

impl Cache {
    /// The trace, from here or by working it out.
    pub(crate) fn get<E>(&self, key: Key, work_out: impl FnOnce() -> Result<Trace, E>) -> Result<Arc<Trace>, E> {
        {
            let mut inner = self.lock();
            inner.expire(Instant::now());
            if let Some((trace, _)) = inner.kept.get(&key) {
                return Ok(trace.clone());
            }
            inner.reading.entry(key.0).or_insert((0, false)).0 += 1;
        }
        let reading = Reading { cache: self, id: key.0 };
        let trace = work_out().map(Arc::new);
        if let Ok(trace) = &trace
            && !reading.outdated()
        {
            self.lock().keep(key, trace.clone());
        }
        trace
    }

    /// Spans of these traces have come: what is known of them is out of date.
    pub(crate) fn forget(&self, traces: impl Iterator<Item = TraceId>) {
        let mut inner = self.lock();
        if inner.kept.is_empty() && inner.reading.is_empty() {
            return;
        }
        for id in traces {
            if let Some((_, outdated)) = inner.reading.get_mut(&id) {
                *outdated = true;
            }
            inner.drop_entry((id, false));
            inner.drop_entry((id, true));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn keep(&mut self, key: Key, trace: Arc<Trace>) {
        let spans = trace.facts.len();
        if spans > SPANS_MAX {
            return;
        }
        self.drop_entry(key);
        while self.spans + spans > SPANS_MAX
            && let Some(oldest) = self.kept.iter().min_by_key(|(_, (_, since))| *since).map(|(key, _)| *key)
        {
            self.drop_entry(oldest);
        }
        self.spans += spans;
        self.kept.insert(key, (trace, Instant::now()));
    }

    fn expire(&mut self, now: Instant) {
        let old = |since: &Instant| now.saturating_duration_since(*since) > AGE_MAX;
        let gone: Vec<Key> = self.kept.iter().filter(|(_, (_, since))| old(since)).map(|(key, _)| *key).collect();
        gone.into_iter().for_each(|key| self.drop_entry(key));
    }

    fn drop_entry(&mut self, key: Key) {
        if let Some((trace, _)) = self.kept.remove(&key) {
            self.spans -= trace.facts.len();
        }
    }
}

/// A trace being read; ends however the reading ends.
struct Reading<'a> {
    cache: &'a Cache,
    id: TraceId,
}

impl Reading<'_> {
    fn outdated(&self) -> bool {
        self.cache.lock().reading.get(&self.id).is_none_or(|(_, outdated)| *outdated)
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        let mut inner = self.cache.lock();
        if let Some((readers, _)) = inner.reading.get_mut(&self.id) {
            *readers -= 1;
            if *readers == 0 {
                inner.reading.remove(&self.id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::notation::{spans, trace_id};
    use crate::analysis::skew::TraceClocks;

    fn trace() -> Result<Trace, ()> {
        Ok(Trace::new(spans("a server 1 0-9"), |_| TraceClocks::default()))
    }

    #[test]
    fn a_trace_is_worked_out_once_until_more_of_it_comes() {
        let cache = Cache::default();
        let key = (trace_id(), false);
        let first = cache.get(key, trace).unwrap();
        let again = cache.get(key, || -> Result<Trace, ()> { panic!("it is known") }).unwrap();
        assert!(Arc::ptr_eq(&first, &again));
        cache.forget([trace_id()].into_iter());
        assert!(!Arc::ptr_eq(&first, &cache.get(key, trace).unwrap()));
        assert_eq!(cache.get((trace_id(), true), || Err("gone")).map(|_| ()), Err("gone"));
    }

    #[test]
    fn what_came_while_it_was_read_is_not_missed() {
        let cache = Cache::default();
        let key = (trace_id(), false);
        let read = || {
            cache.forget([trace_id()].into_iter());
            trace()
        };
        let first = cache.get(key, read).unwrap();
        assert!(!Arc::ptr_eq(&first, &cache.get(key, trace).unwrap()));
    }

    #[test]
    fn memory_is_bounded() {
        let cache = Cache::default();
        for number in 1..=30u128 {
            let large = || {
                let one = spans("a server 1 0-9").remove(0);
                Ok::<_, ()>(Trace::new(vec![one; 1000], |_| TraceClocks::default()))
            };
            cache.get((TraceId::new(number).unwrap(), false), large).unwrap();
        }
        let inner = cache.lock();
        assert_eq!((inner.spans, inner.kept.len(), inner.reading.len()), (SPANS_MAX, 25, 0));
    }
}
