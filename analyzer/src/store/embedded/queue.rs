//! The queue between those who bring spans and the one thread that writes them.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use raceway_analyzer_client::Reported;
use tokio::sync::oneshot;

use super::keys::SpanKey;
use crate::ingest::EdgeCounter;
use crate::store::{Appended, StoreError};

/// Work for the writer, with whom to answer.
pub(super) enum Job {
    Spans(Vec<Prepared>, oneshot::Sender<Result<Appended, StoreError>>),
    Edges(Vec<EdgeCounter>, oneshot::Sender<Result<(), StoreError>>),
}

/// A span, encoded where there are many threads to do so.
pub(super) struct Prepared {
    pub(super) reported: Reported,
    pub(super) key: SpanKey,
    pub(super) body: Vec<u8>,
}

/// Why a job was not taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    Full,
    Closed,
}

/// A queue with a bound in bytes.
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    bytes_max: usize,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    bytes: usize,
    closed: bool,
}

impl Queue {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { state: Mutex::default(), changed: Condvar::new(), bytes_max }
    }

    /// Puts work at the end, unless there is too much already. A job larger than the bound is taken when there is no other.
    pub(super) fn push(&self, job: Job) -> Result<(), Refused> {
        let mut state = self.lock();
        let bytes = job.bytes();
        match () {
            () if state.closed => Err(Refused::Closed),
            () if state.bytes > 0 && state.bytes + bytes > self.bytes_max => Err(Refused::Full),
            () => {
                state.bytes += bytes;
                state.jobs.push_back(job);
                self.changed.notify_one();
                Ok(())
            }
        }
    }

    /// Takes what waits, up to about `bytes`; nothing if nothing comes in time. `None` once closed and empty.
    pub(super) fn take(&self, bytes: usize, wait: Duration) -> Option<Vec<Job>> {
        let mut state = self.lock();
        if state.jobs.is_empty() && !state.closed {
            let idle = |state: &mut State| state.jobs.is_empty() && !state.closed;
            state = self.changed.wait_timeout_while(state, wait, idle).unwrap_or_else(PoisonError::into_inner).0;
        }
        if state.jobs.is_empty() {
            return if state.closed { None } else { Some(Vec::new()) };
        }
        let (mut taken, mut taken_bytes) = (Vec::new(), 0);
        while taken_bytes < bytes
            && let Some(job) = state.jobs.pop_front()
        {
            taken_bytes += job.bytes();
            taken.push(job);
        }
        state.bytes -= taken_bytes;
        Some(taken)
    }

    /// Takes no more work; what waits is still to be taken.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// Drops what waits: whoever waits for an answer gets none.
    pub(super) fn abandon(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.jobs.clear();
        state.bytes = 0;
    }

    /// Bytes that wait.
    pub(super) fn bytes(&self) -> usize {
        self.lock().bytes
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Job {
    /// About what it takes in memory.
    fn bytes(&self) -> usize {
        /// A decoded span beside its encoded form: the structures, and its text a second time.
        const SPAN_OVERHEAD: usize = 512;
        match self {
            Self::Spans(spans, _) => spans.iter().map(|span| SPAN_OVERHEAD + 2 * span.body.len()).sum(),
            Self::Edges(edges, _) => edges.len() * SPAN_OVERHEAD,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(edges: usize) -> Job {
        Job::Edges(vec![EdgeCounter::default(); edges], oneshot::channel().0)
    }

    #[test]
    fn a_full_queue_refuses_and_a_closed_one_is_emptied() {
        let queue = Queue::new(2048);
        assert_eq!(queue.push(job(100)), Ok(()), "the only one is taken, whatever its size");
        assert_eq!(queue.push(job(1)), Err(Refused::Full));
        assert_eq!(queue.take(1, Duration::ZERO).unwrap().len(), 1);
        assert_eq!((queue.push(job(1)), queue.push(job(1)), queue.bytes()), (Ok(()), Ok(()), 1024));
        queue.close();
        assert_eq!(queue.push(job(1)), Err(Refused::Closed));
        assert_eq!(queue.take(usize::MAX, Duration::MAX).unwrap().len(), 2);
        assert!(queue.take(usize::MAX, Duration::MAX).is_none());
    }

    #[test]
    fn nothing_in_time_is_nothing() {
        assert!(Queue::new(1).take(1, Duration::from_millis(1)).unwrap().is_empty());
    }
}
