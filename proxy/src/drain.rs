//! Stopping without losing a request: one signal that everybody sees, and a count of what is still open.
//!
//! A connection takes a [`Guard`] when it starts and drops it when it ends, whichever way it ends. [`Drain::begin`]
//! asks every connection to finish what it does and close; [`Drain::wait_idle`] returns when the last one has; and
//! [`Drain::end`] stops the listeners, which keep working until then, because callers learn late that we are leaving.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::Notify;
use tokio::time::Instant;

/// The signal and the count; clones share both.
#[derive(Clone, Debug, Default)]
pub struct Drain(Arc<State>);

#[derive(Debug, Default)]
struct State {
    draining: AtomicBool,
    began: Notify,
    over: AtomicBool,
    ended: Notify,
    open: AtomicUsize,
    idle: Notify,
}

/// One open connection. Dropping it is what makes [`Drain::wait_idle`] end.
#[derive(Debug)]
pub struct Guard(Drain);

impl Drain {
    /// Not draining, nothing open.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks everything to finish; asking twice is the same as asking once.
    pub fn begin(&self) {
        // SeqCst pairs with `draining`, which registers before it looks: no waiter can miss the signal.
        if !self.0.draining.swap(true, Ordering::SeqCst) {
            self.0.began.notify_waiters();
        }
    }

    /// Whether [`Drain::begin`] was called: one load, for the request path ("close after this response?").
    pub fn is_draining(&self) -> bool {
        self.0.draining.load(Ordering::SeqCst)
    }

    /// Ends when draining begins, at once if it has begun. For a connection that idles between two requests.
    pub async fn draining(&self) {
        let mut began = std::pin::pin!(self.0.began.notified());
        began.as_mut().enable();
        if !self.is_draining() {
            began.await;
        }
    }

    /// Stops listeners, and with them every connection that is still open.
    pub fn end(&self) {
        self.begin();
        if !self.0.over.swap(true, Ordering::SeqCst) {
            self.0.ended.notify_waiters();
        }
    }

    /// Ends when [`Drain::end`] is called, at once if it was.
    pub async fn ended(&self) {
        let mut ended = std::pin::pin!(self.0.ended.notified());
        ended.as_mut().enable();
        if !self.0.over.load(Ordering::SeqCst) {
            ended.await;
        }
    }

    /// Counts a connection as open until the guard is dropped.
    pub fn guard(&self) -> Guard {
        self.0.open.fetch_add(1, Ordering::SeqCst);
        Guard(self.clone())
    }

    /// How many guards are held.
    pub fn open(&self) -> usize {
        self.0.open.load(Ordering::SeqCst)
    }

    /// Ends when no guard is held, at the latest at `deadline`. Returns how many guards are still held then.
    pub async fn wait_idle(&self, deadline: Instant) -> usize {
        loop {
            let mut idle = std::pin::pin!(self.0.idle.notified());
            idle.as_mut().enable();
            if self.open() == 0 {
                return 0;
            }
            if tokio::time::timeout_at(deadline, idle).await.is_err() {
                return self.open();
            }
        }
    }
}

impl Guard {
    /// The drain that counts this guard.
    pub fn drain(&self) -> &Drain {
        &self.0
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let state = &*self.0.0;
        if state.open.fetch_sub(1, Ordering::SeqCst) == 1 {
            state.idle.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn the_signal_reaches_those_who_waited_and_those_who_come_late() {
        let drain = Drain::new();
        let early = tokio::spawn({
            let drain = drain.clone();
            async move { drain.draining().await }
        });
        tokio::task::yield_now().await;
        assert!(!drain.is_draining());
        drain.begin();
        drain.begin();
        early.await.expect("the waiter was not cancelled");
        drain.draining().await;
        assert!(drain.is_draining());
        drain.end();
        drain.ended().await;
    }

    #[tokio::test]
    async fn idle_is_when_the_last_guard_is_dropped() {
        let drain = Drain::new();
        let far = Instant::now() + Duration::from_secs(60);
        assert_eq!(drain.wait_idle(far).await, 0);
        let (one, two) = (drain.guard(), drain.guard());
        assert_eq!(drain.open(), 2);
        let waiter = tokio::spawn({
            let drain = drain.clone();
            async move { drain.wait_idle(far).await }
        });
        tokio::task::yield_now().await;
        drop(one);
        tokio::task::yield_now().await;
        assert!(!waiter.is_finished());
        drop(two);
        assert_eq!(waiter.await.expect("the waiter was not cancelled"), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn the_deadline_ends_the_wait_and_says_how_many_were_left() {
        let drain = Drain::new();
        let _guards = [drain.guard(), drain.guard(), drain.guard()];
        assert_eq!(drain.wait_idle(Instant::now() + Duration::from_secs(5)).await, 3);
    }
}
