//! Encoded spans that wait to be sent: bounded in bytes, never waited for, losing what matters least first.
//!
//! Two lanes, plain spans and failed ones. Spans are appended to the open segment of their lane; a full or aged segment
//! is closed and waits its turn. When the bound is reached the oldest plain segment goes first, then the oldest failed
//! one, and a plain span never displaces a failed one. A segment holds encoded spans that depend on nothing else, so
//! [`Queue::take_oldest_above`] hands one to the disk as it is, before [`State::evict`] has to drop it.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// Bounds of a queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Memory held by all segments, those being sent included.
    pub(crate) bytes_max: usize,
    /// A segment is closed at this many spans …
    pub(crate) segment_spans_max: usize,
    /// … or before it would grow over this many bytes; no single span may be larger.
    pub(crate) segment_bytes_max: usize,
    /// … or at this age.
    pub(crate) age_max: Duration,
    /// Above so many bytes [`Queue::crowded`] is told.
    pub(crate) crowded_above: usize,
}

impl Limits {
    /// Where a segment of several spans ends: a small queue is cut into eight parts at least, so that making room for a
    /// span costs an eighth of it at most.
    fn usual_bytes_max(&self) -> usize {
        self.segment_bytes_max.min(self.bytes_max / 8)
    }
}

/// Why spans were lost on this side, and how many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Plain spans for which the queue had no room.
    pub overflow: u64,
    /// Failed spans for which the queue had no room, although no plain ones were left in it.
    pub overflow_errors: u64,
    /// Spans that are larger than a whole request may be.
    pub oversized: u64,
    /// Spans in requests that the receiver refused for good, or refused again and again.
    pub refused: u64,
    /// Spans that were unsent at the deadline given to `stop`, or recorded after it.
    pub stopped: u64,
    /// Spans on disk that gave way to newer ones, or that could not be read again.
    pub disk: u64,
}

impl Dropped {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.overflow + self.overflow_errors + self.oversized + self.refused + self.stopped + self.disk
    }
}

/// Encoded spans that travel together: `spans` fields of OTLP's `ScopeSpans`, one after another.
#[derive(Debug, Default)]
pub(crate) struct Segment {
    pub(crate) bytes: Vec<u8>,
    pub(crate) spans: usize,
    /// Position in time among the segments of both lanes.
    order: u64,
    failed: bool,
}

/// Segments taken out to be sent; they come back through [`Queue::sent`], [`Queue::give_back`] or [`Queue::refuse`].
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) segments: Vec<Segment>,
}

impl Batch {
    pub(crate) fn spans(&self) -> u64 {
        self.segments.iter().map(|segment| segment.spans as u64).sum()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.segments.iter().map(|segment| segment.bytes.len()).sum()
    }
}

/// What the queue holds and has counted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) recorded: u64,
    pub(crate) sent: u64,
    pub(crate) rejected: u64,
    pub(crate) dropped: Dropped,
    pub(crate) waiting: u64,
    pub(crate) in_flight: u64,
    pub(crate) on_disk: u64,
    /// Spans that an earlier process left on disk.
    pub(crate) recovered: u64,
    pub(crate) bytes: usize,
}

#[derive(Debug)]
pub(crate) struct Queue {
    limits: Limits,
    state: Mutex<State>,
    /// Told when a segment is closed, or when the first span came into an empty queue.
    changed: Notify,
    crowded: Notify,
}

#[derive(Debug, Default)]
struct State {
    plain: Lane,
    failed: Lane,
    next_order: u64,
    counts: Counts,
    closed: bool,
    /// The bound came near since somebody looked.
    crowded: bool,
}

#[derive(Debug, Default)]
struct Lane {
    open: Segment,
    /// When the first span came into the open segment.
    opened: Option<Instant>,
    /// Oldest first.
    waiting: VecDeque<Segment>,
    /// How large the segment before this one became: the next one's first guess, so that it grows but seldom.
    usual_bytes: usize,
}

impl Queue {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, state: Mutex::default(), changed: Notify::new(), crowded: Notify::new() }
    }

    /// Appends an encoded span; takes as long as copying it does.
    pub(crate) fn push(&self, encoded: &[u8], failed: bool) {
        let mut state = self.state();
        let notify = state.push(&self.limits, encoded, failed);
        let crowded = std::mem::take(&mut state.crowded);
        drop(state);
        if notify {
            self.changed.notify_one();
        }
        if crowded {
            self.crowded.notify_one();
        }
    }

    /// Waits until memory has grown beyond [`Limits::crowded_above`].
    pub(crate) async fn crowded(&self) {
        self.crowded.notified().await;
    }

    /// The waiting segment that would be dropped next, while more than so many bytes are held.
    pub(crate) fn take_oldest_above(&self, bytes: usize) -> Option<Batch> {
        let mut state = self.state();
        if state.counts.bytes <= bytes {
            return None;
        }
        let failed = state.plain.waiting.is_empty();
        let segment = state.lane(failed).waiting.pop_front()?;
        let spans = segment.spans as u64;
        state.counts.waiting -= spans;
        state.counts.in_flight += spans;
        Some(Batch { segments: vec![segment] })
    }

    /// The batch is on disk now.
    pub(crate) fn spilled(&self, batch: Batch) {
        let mut state = self.state();
        state.counts.on_disk += batch.spans();
        state.release(&batch);
        drop(state);
        self.changed.notify_one();
    }

    /// An earlier process left spans on disk.
    pub(crate) fn recovered(&self, spans: u64) {
        let mut state = self.state();
        state.counts.recovered += spans;
        state.counts.on_disk += spans;
    }

    /// The receiver took spans from the disk in, but for some of them.
    pub(crate) fn sent_from_disk(&self, spans: u64, rejected: u64) {
        let rejected = rejected.min(spans);
        let mut state = self.state();
        state.counts.on_disk = state.counts.on_disk.saturating_sub(spans);
        state.counts.sent += spans - rejected;
        state.counts.rejected += rejected;
    }

    /// The receiver will never take these spans from the disk in.
    pub(crate) fn refused_from_disk(&self, spans: u64) {
        let mut state = self.state();
        state.counts.on_disk = state.counts.on_disk.saturating_sub(spans);
        state.counts.dropped.refused += spans;
    }

    /// Spans on disk gave way, or cannot be read.
    pub(crate) fn lost_on_disk(&self, spans: u64) {
        let mut state = self.state();
        state.counts.on_disk = state.counts.on_disk.saturating_sub(spans);
        state.counts.dropped.disk += spans;
    }

    /// Waits until [`Queue::due`] may have changed.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// When [`Queue::take`] will have something: now (or earlier), later, or `None`: not before more is pushed.
    pub(crate) fn due(&self, now: Instant) -> Option<Instant> {
        let state = self.state();
        let lanes = [&state.plain, &state.failed];
        if lanes.iter().any(|lane| !lane.waiting.is_empty()) {
            return Some(now);
        }
        lanes.iter().filter_map(|lane| lane.opened).min().map(|opened| opened + self.limits.age_max)
    }

    /// The oldest segments, at most so many bytes but at least one segment; `all` includes what is not due yet.
    pub(crate) fn take(&self, bytes_max: usize, all: bool) -> Option<Batch> {
        let now = Instant::now();
        let mut state = self.state();
        for failed in [false, true] {
            let aged = state.lane(failed).opened.is_some_and(|opened| now >= opened + self.limits.age_max);
            if aged || all {
                state.close(failed);
            }
        }
        let mut batch = Batch { segments: Vec::new() };
        let mut bytes = 0;
        while let Some(failed) = state.oldest_lane() {
            let next = state.lane(failed).waiting.front().map_or(0, |segment| segment.bytes.len());
            if !batch.segments.is_empty() && bytes + next > bytes_max {
                break;
            }
            bytes += next;
            batch.segments.extend(state.lane(failed).waiting.pop_front());
        }
        let spans = batch.spans();
        state.counts.waiting -= spans;
        state.counts.in_flight += spans;
        (spans > 0).then_some(batch)
    }

    /// The receiver took the batch in, but for some of its spans.
    pub(crate) fn sent(&self, batch: Batch, rejected: u64) {
        let spans = batch.spans();
        let rejected = rejected.min(spans);
        let mut state = self.state();
        state.counts.sent += spans - rejected;
        state.counts.rejected += rejected;
        state.release(&batch);
    }

    /// The receiver will never take it in.
    pub(crate) fn refuse(&self, batch: Batch) {
        let mut state = self.state();
        state.counts.dropped.refused += batch.spans();
        state.release(&batch);
    }

    /// To be sent again: back to the front, where it may be dropped for newer spans like any other.
    pub(crate) fn give_back(&self, batch: Batch) {
        let mut state = self.state();
        let spans = batch.spans();
        state.counts.waiting += spans;
        state.counts.in_flight -= spans;
        for segment in batch.segments.into_iter().rev() {
            state.lane(segment.failed).waiting.push_front(segment);
        }
        let crowded = state.counts.bytes > self.limits.crowded_above;
        drop(state);
        if crowded {
            // While it was under way nothing of it could go to disk.
            self.crowded.notify_one();
        }
    }

    /// From here on spans are dropped instead of kept.
    pub(crate) fn close(&self) {
        self.state().closed = true;
        self.changed.notify_one();
    }

    /// Drops what is left, as unsent at the end.
    pub(crate) fn abandon(&self) {
        let mut state = self.state();
        for failed in [false, true] {
            state.close(failed);
            while let Some(segment) = state.lane(failed).waiting.pop_front() {
                state.counts.waiting -= segment.spans as u64;
                state.counts.bytes -= segment.bytes.capacity();
                state.counts.dropped.stopped += segment.spans as u64;
            }
        }
    }

    pub(crate) fn counts(&self) -> Counts {
        self.state().counts
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics half way; were it ever so, wrong counts are better than no spans.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether the sender has to be told.
    fn push(&mut self, limits: &Limits, encoded: &[u8], failed: bool) -> bool {
        self.counts.recorded += 1;
        if self.closed {
            self.counts.dropped.stopped += 1;
            return false;
        }
        if encoded.len() > limits.segment_bytes_max {
            self.counts.dropped.oversized += 1;
            return false;
        }
        let mut notify = false;
        if self.lane(failed).open.bytes.len() + encoded.len() > limits.usual_bytes_max() {
            notify |= self.close(failed);
        }
        if !self.make_room(limits, encoded.len(), failed) {
            let dropped = &mut self.counts.dropped;
            *if failed { &mut dropped.overflow_errors } else { &mut dropped.overflow } += 1;
            return notify;
        }
        self.counts.waiting += 1;
        let order = self.next_order;
        let lane = self.lane(failed);
        lane.open.bytes.extend_from_slice(encoded);
        lane.open.spans += 1;
        if lane.opened.is_none() {
            lane.opened = Some(Instant::now());
            lane.open.order = order;
            self.next_order += 1;
            // The sender may be asleep without a time to wake up at.
            notify = true;
        }
        if self.lane(failed).open.spans >= limits.segment_spans_max {
            notify |= self.close(failed);
        }
        notify
    }

    /// Grows the open segment so that `len` more bytes fit, dropping older segments where the bound asks for it.
    fn make_room(&mut self, limits: &Limits, len: usize, failed: bool) -> bool {
        const FIRST_BYTES: usize = 4 * 1024;
        loop {
            let lane = self.lane(failed);
            let (used, held) = (lane.open.bytes.len(), lane.open.bytes.capacity());
            if held - used >= len {
                return true;
            }
            let wanted = if held == 0 { lane.usual_bytes.max(FIRST_BYTES) } else { held * 2 };
            let wanted = wanted.min(limits.usual_bytes_max()).max(used + len);
            if self.counts.bytes - held + wanted <= limits.bytes_max {
                let lane = self.lane(failed);
                lane.open.bytes.reserve_exact(wanted - used);
                let now_held = lane.open.bytes.capacity();
                self.counts.bytes += now_held - held;
                self.crowded |= self.counts.bytes > limits.crowded_above;
                return true;
            }
            if !self.evict(failed) {
                return false;
            }
        }
    }

    /// Drops the segment that matters least for the sake of a new span; false where all matter more than it does.
    fn evict(&mut self, for_failed: bool) -> bool {
        for failed in [false, true] {
            if failed && !for_failed {
                break;
            }
            if self.lane(failed).waiting.is_empty() {
                self.close(failed);
            }
            let Some(segment) = self.lane(failed).waiting.pop_front() else { continue };
            let spans = segment.spans as u64;
            self.counts.waiting -= spans;
            self.counts.bytes -= segment.bytes.capacity();
            let dropped = &mut self.counts.dropped;
            *if failed { &mut dropped.overflow_errors } else { &mut dropped.overflow } += spans;
            return true;
        }
        false
    }

    /// Closes the open segment of a lane; false where it is empty.
    fn close(&mut self, failed: bool) -> bool {
        let lane = self.lane(failed);
        if lane.opened.take().is_none() {
            return false;
        }
        let segment = std::mem::take(&mut lane.open);
        lane.usual_bytes = segment.bytes.len() + segment.bytes.len() / 8;
        lane.waiting.push_back(Segment { failed, ..segment });
        true
    }

    /// The lane whose first waiting segment is the oldest.
    fn oldest_lane(&self) -> Option<bool> {
        let order = |lane: &Lane| lane.waiting.front().map(|segment| segment.order);
        match (order(&self.plain), order(&self.failed)) {
            (None, None) => None,
            (Some(_), None) => Some(false),
            (None, Some(_)) => Some(true),
            (Some(plain), Some(failed)) => Some(failed < plain),
        }
    }

    /// Forgets a batch that was in flight.
    fn release(&mut self, batch: &Batch) {
        self.counts.in_flight -= batch.spans();
        self.counts.bytes -= batch.segments.iter().map(|segment| segment.bytes.capacity()).sum::<usize>();
    }

    fn lane(&mut self, failed: bool) -> &mut Lane {
        if failed { &mut self.failed } else { &mut self.plain }
    }
}

#[cfg(test)]
mod tests;
