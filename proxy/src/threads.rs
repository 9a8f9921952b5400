//! Threads with a runtime of their own each, and which of them carries a new connection.
//!
//! A connection, its requests and the connection made for it stay on one thread for life, so that nothing on a
//! request's way is shared but what links calls to requests ([`crate::requests`], one short lock), the exporter's open
//! batch (a lock for as long as a copy of a span takes) and counters.
//!
//! **One thread accepts, for all.** It gives each connection to the thread that has the fewest. With the listener in
//! every thread's epoll instead (a duplicate each, edge-triggered), whoever is awake first takes all that waits: of 64
//! connections made at once one of two processes on two cores took 60; with `EPOLLEXCLUSIVE` 64, and 186 of 200 that
//! came one by one. Pools and HTTP/2 make few and long connections, so that would leave a core idle for hours.
//! `SO_REUSEPORT` lets a hash decide, blind to load, and what waits in a queue is lost when its listener closes.
//! Handing a connection over costs what the futile wake-ups would; a request on it costs nothing more.
//!
//! Whoever accepts also owns the tasks, wherever they run: limits, drain and the end are the same with one thread and
//! with many (see [`crate::listen::accept`]).

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use tokio::net::TcpStream;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// A thread with a current-thread runtime. Ends when dropped: then nothing that was spawned on it is running.
#[derive(Debug)]
pub struct Thread {
    name: String,
    handle: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Thread {
    /// Starts it; the system shows it under this name, of which it keeps 15 bytes.
    pub fn start(name: impl Into<String>) -> io::Result<Self> {
        let name = name.into();
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::Builder::new().name(name.clone()).spawn(move || {
            // Ends when told to, and when whoever could tell is gone.
            let _ = runtime.block_on(stopped);
            // A name server that does not answer holds a thread of its pool for as long as it likes.
            runtime.shutdown_background();
        })?;
        Ok(Self { name, handle, stop: Some(stop), thread: Some(thread) })
    }

    /// Where to spawn.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        drop(self.stop.take());
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!(thread = self.name, "a thread failed");
        }
    }
}

/// The threads that carry requests: the one that accepts, and others. They end when this is dropped.
#[derive(Debug)]
pub struct Requests {
    threads: Vec<Thread>,
    spread: Spread,
}

impl Requests {
    /// Starts as many as go with the caller's own, which is the first.
    pub fn start(count: usize) -> io::Result<Self> {
        let threads: Vec<Thread> =
            (2..=count).map(|number| Thread::start(format!("requests-{number}"))).collect::<io::Result<_>>()?;
        let seats = match threads.as_slice() {
            [] => Vec::new(),
            others => {
                let handles = std::iter::once(None).chain(others.iter().map(|thread| Some(thread.handle.clone())));
                handles.map(|handle| Seats { handle, taken: Arc::default() }).collect()
            }
        };
        Ok(Self { threads, spread: Spread(seats.into()) })
    }

    /// What tells where the next connection goes.
    pub fn spread(&self) -> Spread {
        self.spread.clone()
    }

    /// How many threads there are, the caller's included.
    pub fn count(&self) -> usize {
        self.threads.len() + 1
    }
}

/// Tells where the next connection goes; clones tell the same. Empty where there is but one thread.
#[derive(Clone, Debug)]
pub struct Spread(Arc<[Seats]>);

/// One thread's connections.
#[derive(Debug)]
struct Seats {
    /// `None`: the thread that accepts.
    handle: Option<Handle>,
    taken: Arc<AtomicUsize>,
}

/// A connection's place on its thread, until it is dropped.
#[derive(Debug)]
pub struct Seat(Arc<AtomicUsize>);

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Spread {
    /// Everything stays on the thread that accepts.
    pub fn none() -> Self {
        Self(Arc::new([]))
    }

    /// Takes a connection to the thread that has the fewest; of equals the first, so that one after the other they stay
    /// where they were accepted. The handle is another thread's; `None`: the connection stays on this one.
    pub fn place(&self, stream: TcpStream) -> io::Result<(TcpStream, Option<Handle>, Option<Seat>)> {
        let Some(seats) = self.0.iter().min_by_key(|seats| seats.taken.load(Ordering::Relaxed)) else {
            return Ok((stream, None, None));
        };
        let stream = match &seats.handle {
            None => stream,
            Some(handle) => {
                let stream = stream.into_std()?;
                // It is that thread's epoll that has to hear of it.
                let _there = handle.enter();
                TcpStream::from_std(stream)?
            }
        };
        seats.taken.fetch_add(1, Ordering::Relaxed);
        Ok((stream, seats.handle.clone(), Some(Seat(Arc::clone(&seats.taken)))))
    }

    /// How many connections each thread has; nothing where there is but one thread.
    pub fn taken(&self) -> impl Iterator<Item = usize> {
        self.0.iter().map(|seats| seats.taken.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_server_that_does_not_answer_holds_nobody_up() {
        let thread = Thread::start("export").expect("a thread");
        let (release, released) = std::sync::mpsc::sync_channel::<()>(1);
        let (began, begins) = std::sync::mpsc::sync_channel(1);
        // As a look-up does: a thread of the pool that nobody can interrupt.
        let _looking_up = thread.handle().spawn_blocking(move || {
            began.send(()).expect("the test waits");
            released.recv()
        });
        begins.recv().expect("it runs");
        drop(thread);
        release.send(()).expect("it is still looking");
    }

    #[test]
    fn what_runs_on_a_thread_ends_with_it() {
        struct Tell(std::sync::mpsc::SyncSender<Option<String>>);
        impl Drop for Tell {
            fn drop(&mut self) {
                let _ = self.0.send(std::thread::current().name().map(ToOwned::to_owned));
            }
        }
        let threads = Requests::start(3).expect("threads");
        assert_eq!(threads.count(), 3);
        let (ended, ends) = std::sync::mpsc::sync_channel(2);
        for thread in &threads.threads {
            let tell = Tell(ended.clone());
            thread.handle().spawn(async move {
                let _tell = tell;
                std::future::pending::<()>().await;
            });
        }
        drop(ended);
        drop(threads);
        let mut names: Vec<_> = ends.try_iter().flatten().collect();
        names.sort();
        assert_eq!(names, ["requests-2", "requests-3"], "all that ran has ended, on its own thread");
    }

    #[test]
    fn one_thread_needs_no_other() {
        let threads = Requests::start(1).expect("nothing to start");
        assert_eq!((threads.count(), threads.spread().taken().count()), (1, 0));
    }
}
