//! Keeping what is wanted and no more: opens partitions, closes them, and deletes the oldest whole.
//!
//! All of it is done by the writer between two commits, so that nobody writes to a partition that goes away.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use fjall::{PersistMode, Readable};

use super::partition::{Content, Partition};
use super::writer::Writer;
use super::{Shared, keys};

/// How often to look around.
const TICK: Duration = Duration::from_secs(1);

/// Index entries deleted between two commits: about 5 ms of work.
const CHUNK: usize = 1_000;

/// Origins are remembered for this many partitions: the present one and a few that late spans belong to.
const NUMBERS_MAX: usize = 4;

/// A partition that is being deleted, and how far that has come.
pub(super) struct Dropping {
    partition: Arc<Partition>,
    /// Rows up to here are done.
    done: Option<[u8; 24]>,
}

impl Dropping {
    pub(super) fn new(partition: Arc<Partition>) -> Self {
        Self { partition, done: None }
    }
}

/// Opens the partition that takes new traces from now on, and closes the one that did. Its number is above all others
/// and above `floor`.
pub(super) fn open_partition(shared: &Shared, floor: Option<u32>) -> fjall::Result<Arc<Partition>> {
    let newest = shared.partitions().pop();
    let number = newest.as_ref().map(|newest| newest.number).max(floor).map_or(1, |number| number + 1);
    let now_ms = (shared.options.clock)();
    let opened = Content { opened_ms: now_ms, ..Content::default() };
    let partition = Arc::new(Partition::open(&shared.db, number, opened)?);
    // Only now that its keyspaces are there may the list name it.
    let mut batch = shared.db.batch().durability(Some(PersistMode::SyncAll));
    batch.insert(&shared.partition_list, number.to_be_bytes(), opened.to_bytes());
    let closed = newest.map(|newest| {
        let content = newest.content();
        let closed_ms = Some(content.closed_ms.unwrap_or(now_ms.max(1)));
        (newest, Content { closed_ms, ..content })
    });
    if let Some((newest, content)) = &closed {
        batch.insert(&shared.partition_list, newest.number.to_be_bytes(), content.to_bytes());
    }
    batch.commit()?;
    if let Some((newest, content)) = closed {
        newest.set_content(content);
    }
    shared.partitions.write().unwrap_or_else(PoisonError::into_inner).insert(number, partition.clone());
    Ok(partition)
}

impl Writer {
    /// Whatever is to be done between two commits.
    pub(super) fn tick(&mut self) -> fjall::Result<()> {
        if self.is_broken() {
            return Ok(());
        }
        if let Some(mut dropping) = self.dropping.pop()
            && !self.drop_some(&mut dropping)?
        {
            self.dropping.push(dropping);
        }
        if self.ticked.is_some_and(|ticked| ticked.elapsed() < TICK) {
            return Ok(());
        }
        self.ticked = Some(Instant::now());
        self.roll()?;
        self.expire()?;
        self.measure();
        if self.numbers.len() > NUMBERS_MAX {
            let active = self.active.number;
            self.numbers.retain(|&number, _| number == active);
        }
        Ok(())
    }

    /// Opens a new partition where the present one is old or large enough.
    fn roll(&mut self) -> fjall::Result<()> {
        let content = self.active.content();
        let options = &self.shared.options;
        let age_ms = (options.clock)().saturating_sub(content.opened_ms);
        let old = u128::from(age_ms) >= options.partition_age().as_millis();
        if content.spans > 0 && (old || content.bytes >= options.partition_bytes()) {
            self.active = open_partition(&self.shared, self.dropping_newest())?;
        }
        Ok(())
    }

    fn dropping_newest(&self) -> Option<u32> {
        self.dropping.iter().map(|dropping| dropping.partition.number).max()
    }

    /// Begins to delete the oldest partition where it is older than wanted, or all are larger together; and edge
    /// counters of processes that have long been silent.
    fn expire(&mut self) -> fjall::Result<()> {
        let options = &self.shared.options;
        let age_max_ms = u64::try_from(options.age_max.as_millis()).unwrap_or(u64::MAX);
        let before_ms = (options.clock)().saturating_sub(age_max_ms);
        let mut batch = self.shared.db.batch();
        self.shared.edges.expire(before_ms, &mut batch);
        batch.commit()?;

        let partitions = self.shared.partitions();
        self.shared.metrics.partitions.set(partitions.len() as i64);
        let bytes: u64 = partitions.iter().map(|partition| partition.content().bytes).sum();
        let Some(oldest) = partitions.into_iter().next().filter(|oldest| oldest.number != self.active.number) else {
            return Ok(());
        };
        let mut content = oldest.content();
        let old = content.closed_ms.is_some_and(|closed_ms| closed_ms < before_ms);
        if !self.dropping.is_empty() || !(old || bytes > self.shared.options.kept_bytes_max()) {
            return Ok(());
        }
        content.dropping = true;
        let mut batch = self.shared.db.batch().durability(Some(PersistMode::SyncData));
        batch.insert(&self.shared.partition_list, oldest.number.to_be_bytes(), content.to_bytes());
        batch.commit()?;
        self.shared.partitions.write().unwrap_or_else(PoisonError::into_inner).remove(&oldest.number);
        self.hot.forget(oldest.number);
        self.numbers.remove(&oldest.number);
        self.shared.metrics.partitions_dropped.inc();
        self.shared.metrics.spans_dropped.inc_by(content.spans);
        let reason = if old { "age" } else { "size" };
        tracing::info!(partition = oldest.number, traces = content.traces, spans = content.spans, reason, "forgetting");
        self.dropping.push(Dropping::new(oldest));
        Ok(())
    }

    /// Takes some of a partition's traces out of the index; deletes it when all are. Answers whether it is gone.
    fn drop_some(&self, dropping: &mut Dropping) -> fjall::Result<bool> {
        use std::ops::Bound;
        let partition = &dropping.partition;
        let mut batch = self.shared.db.batch();
        let from = dropping.done.map_or(Bound::Unbounded, Bound::Excluded);
        let at = self.shared.db.snapshot();
        let mut seen = 0;
        for entry in at.range(&partition.traces, (from, Bound::Unbounded)).take(CHUNK) {
            let key = entry.key()?;
            seen += 1;
            dropping.done = key.as_ref().try_into().ok();
            let Ok((_, id)) = keys::read_row(&key) else { continue };
            let place = self.shared.index.get(id.to_bytes())?;
            // The trace may have begun anew elsewhere since.
            if place.is_some_and(|place| keys::read_place(&place).is_ok_and(|(number, _)| number == partition.number)) {
                batch.remove(&self.shared.index, id.to_bytes());
            }
        }
        if seen == CHUNK {
            batch.commit()?;
            return Ok(false);
        }
        batch.remove(&self.shared.partition_list, partition.number.to_be_bytes());
        batch.durability(Some(PersistMode::SyncData)).commit()?;
        // From here on, an end of the process leaves keyspaces that nobody lists, which the next start removes.
        self.shared.db.delete_keyspace(partition.spans.clone())?;
        self.shared.db.delete_keyspace(partition.traces.clone())?;
        Ok(true)
    }
}
