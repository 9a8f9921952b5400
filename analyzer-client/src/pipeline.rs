//! What the caller's side and the tasks behind one endpoint share: the queue, the files, the counts.
//!
//! Spans wait in memory, and above [`SPILL_ABOVE`] of it on disk, where there is a folder for them: [`Pipeline::spill`]
//! is a task beside [`crate::worker`], on the same thread, so that a receiver that is slow to answer does not keep
//! spans from the disk.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::sleep;

use crate::edge::EdgeCounters;
use crate::endpoint::Endpoint;
use crate::otlp::Head;
use crate::queue::{Batch, Queue};
use crate::spill::{SpillFolder, Spilled};
use crate::stats::{Progress, Stats};
use crate::worker::Retry;

/// The share of the queue above which segments go to disk: room for a burst, so that nothing is lost meanwhile.
pub(crate) const SPILL_ABOVE: f64 = 0.75;
/// … and the share at which enough has gone: what a receiver that is back in a moment takes at once.
const SPILL_TO: f64 = 0.5;
/// After the disk refused: long enough not to try for every span, short enough that freed space is used.
const DISK_PAUSE: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(crate) struct Pipeline {
    pub(crate) endpoint: Endpoint,
    pub(crate) queue: Queue,
    pub(crate) queue_bytes_max: usize,
    pub(crate) request_bytes_max: usize,
    pub(crate) head: Arc<Head>,
    pub(crate) edges: Option<EdgeCounters>,
    pub(crate) edges_every: Duration,
    pub(crate) retry: Retry,
    pub(crate) spill: Option<SpillFolder>,
    pub(crate) progress: Mutex<Progress>,
}

/// Spans on their way, and where they came from.
#[derive(Debug)]
pub(crate) enum Cargo {
    Queue(Batch),
    Disk(Spilled),
}

impl Cargo {
    pub(crate) fn spans(&self) -> u64 {
        match self {
            Self::Queue(batch) => batch.spans(),
            Self::Disk(spilled) => spilled.spans,
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Queue(batch) => batch.bytes(),
            Self::Disk(spilled) => spilled.bytes(),
        }
    }

    /// Whether it can be sent in smaller parts.
    pub(crate) fn divides(&self) -> bool {
        match self {
            Self::Queue(batch) => batch.segments.len() > 1,
            Self::Disk(spilled) => spilled.records.len() > 1,
        }
    }

    /// The whole request.
    pub(crate) fn message(&self, head: &Head) -> Vec<u8> {
        let length = self.bytes();
        let mut message = match self {
            Self::Queue(_) => head.before(length),
            Self::Disk(spilled) => spilled.head.before(length),
        };
        message.reserve_exact(length);
        match self {
            Self::Queue(batch) => batch.segments.iter().for_each(|it| message.extend_from_slice(&it.bytes)),
            Self::Disk(spilled) => spilled.records.iter().for_each(|it| message.extend_from_slice(it)),
        }
        message
    }
}

impl Pipeline {
    pub(crate) fn stats(&self) -> Stats {
        let counts = self.queue.counts();
        Stats {
            endpoint: self.endpoint.to_string(),
            spans_recorded: counts.recorded,
            spans_sent: counts.sent,
            spans_rejected: counts.rejected,
            dropped: counts.dropped,
            spans_waiting: counts.waiting,
            spans_in_flight: counts.in_flight,
            spans_on_disk: counts.on_disk,
            spans_recovered: counts.recovered,
            queue_bytes: counts.bytes,
            queue_bytes_max: self.queue_bytes_max,
            spill: self.spill.as_ref().map(SpillFolder::stats),
            progress: self.progress().clone(),
        }
    }

    pub(crate) fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether spans wait on disk.
    pub(crate) fn disk_waits(&self) -> bool {
        self.spill.as_ref().is_some_and(SpillFolder::waits)
    }

    /// The oldest spans on disk.
    pub(crate) fn take_from_disk(&self, bytes_max: usize) -> Option<Cargo> {
        let (taken, lost) = self.spill.as_ref()?.take(bytes_max);
        self.queue.lost_on_disk(lost.spans);
        taken.map(Cargo::Disk)
    }

    /// The receiver took it in, but for some of its spans.
    pub(crate) fn sent(&self, cargo: Cargo, rejected: u64) {
        match cargo {
            Cargo::Queue(batch) => self.queue.sent(batch, rejected),
            Cargo::Disk(spilled) => {
                self.queue.sent_from_disk(spilled.spans, rejected);
                self.settled_on_disk(&spilled);
            }
        }
    }

    /// The receiver will never take it in.
    pub(crate) fn refuse(&self, cargo: Cargo) {
        match cargo {
            Cargo::Queue(batch) => self.queue.refuse(batch),
            Cargo::Disk(spilled) => {
                self.queue.refused_from_disk(spilled.spans);
                self.settled_on_disk(&spilled);
            }
        }
    }

    /// To be sent again.
    pub(crate) fn give_back(&self, cargo: Cargo) {
        match cargo {
            Cargo::Queue(batch) => self.queue.give_back(batch),
            Cargo::Disk(_) => self.spill.iter().for_each(SpillFolder::give_back),
        }
    }

    fn settled_on_disk(&self, spilled: &Spilled) {
        let lost = self.spill.as_ref().map(|folder| folder.sent(spilled)).unwrap_or_default();
        self.queue.lost_on_disk(lost.spans);
    }

    /// Writes to disk what memory has no room for, until a stop is asked for.
    pub(crate) async fn spill(self: Arc<Self>, mut stop: watch::Receiver<Option<Instant>>) {
        let Some(folder) = self.spill.clone() else { return };
        let enough = (self.queue_bytes_max as f64 * SPILL_TO) as usize;
        let mut told = false;
        let work = async {
            loop {
                self.queue.crowded().await;
                while let Some(batch) = self.queue.take_oldest_above(enough) {
                    match self.to_disk(&folder, batch) {
                        Ok(()) => told = false,
                        Err(error) => {
                            if !std::mem::replace(&mut told, true) {
                                tracing::warn!(%error, "spans cannot be written to disk: they wait in memory only");
                            }
                            sleep(DISK_PAUSE).await;
                        }
                    }
                    // The receiver's answers are read on this thread too.
                    tokio::task::yield_now().await;
                }
            }
        };
        tokio::select! {
            () = work => {}
            _ = stop.wait_for(Option::is_some) => {}
        }
    }

    /// At the end: what could not be sent is kept for the next start, where it can be.
    pub(crate) fn spill_rest(&self) {
        let Some(folder) = &self.spill else { return };
        while let Some(batch) = self.queue.take(1, true) {
            if let Err(error) = self.to_disk(folder, batch) {
                return tracing::warn!(%error, "spans that could not be sent cannot be written to disk");
            }
        }
    }

    fn to_disk(&self, folder: &SpillFolder, batch: Batch) -> io::Result<()> {
        for segment in &batch.segments {
            let (written, lost) = folder.append(&self.head, &segment.bytes, segment.spans as u64);
            self.queue.lost_on_disk(lost.spans);
            if let Err(error) = written {
                // One segment at a time is taken, so nothing of the batch is on disk.
                self.queue.give_back(batch);
                return Err(error);
            }
        }
        self.queue.spilled(batch);
        Ok(())
    }
}
