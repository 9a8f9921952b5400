//! A partition: the traces that began to arrive within one stretch of time, in two keyspaces of their own, so that
//! forgetting them all is deleting two folders.

use std::sync::{Mutex, MutexGuard, PoisonError};

use fjall::{Database, Keyspace, KeyspaceCreateOptions};

use super::codec::{Corrupt, read_number, take, write_number};
use super::origins::Cache;

/// Small memtables make many small tables, which compaction writes again and again. Together with those that wait to be
/// written (four at most), a keyspace takes five times this in memory.
const SPANS_MEMTABLE_BYTES: u64 = 32 * 1024 * 1024;

/// Rows take a fraction of the spans' bytes, and all but the last writing of a row is dropped with the memtable.
const TRACES_MEMTABLE_BYTES: u64 = 16 * 1024 * 1024;

/// A partition and its keyspaces.
pub(super) struct Partition {
    pub(super) number: u32,
    pub(super) spans: Keyspace,
    pub(super) traces: Keyspace,
    pub(super) origins: Cache,
    content: Mutex<Content>,
}

/// What is in a partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Content {
    /// When it was opened, ms since the epoch.
    pub(super) opened_ms: u64,
    /// When the next one was opened; `None` for the one that takes new traces.
    pub(super) closed_ms: Option<u64>,
    /// Whether it is being deleted.
    pub(super) dropping: bool,
    pub(super) traces: u64,
    pub(super) spans: u64,
    /// Bytes of keys and values written to its spans and first rows: about what it takes on disk.
    pub(super) bytes: u64,
    /// No trace in it starts later.
    pub(super) newest_ns: u64,
}

impl Partition {
    /// Opens the keyspaces of a partition, or makes them.
    pub(super) fn open(db: &Database, number: u32, content: Content) -> fjall::Result<Self> {
        let spans = db.keyspace(&spans_name(number), || {
            KeyspaceCreateOptions::default().max_memtable_size(SPANS_MEMTABLE_BYTES)
        })?;
        let traces = db.keyspace(&traces_name(number), || {
            KeyspaceCreateOptions::default().max_memtable_size(TRACES_MEMTABLE_BYTES)
        })?;
        Ok(Self { number, spans, traces, origins: Cache::default(), content: Mutex::new(content) })
    }

    /// What is in it.
    pub(super) fn content(&self) -> Content {
        *self.lock()
    }

    /// Changes what is said to be in it.
    pub(super) fn set_content(&self, content: Content) {
        *self.lock() = content;
    }

    /// Says that there may be a trace as new as this.
    pub(super) fn raise_newest(&self, newest_ns: u64) {
        let mut content = self.lock();
        content.newest_ns = content.newest_ns.max(newest_ns);
    }

    fn lock(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The number of the partition that a keyspace belongs to.
pub(super) fn number_of(keyspace: &str) -> Option<u32> {
    let number = keyspace.strip_prefix("spans-").or_else(|| keyspace.strip_prefix("traces-"))?;
    number.parse().ok()
}

fn spans_name(number: u32) -> String {
    format!("spans-{number:08}")
}

fn traces_name(number: u32) -> String {
    format!("traces-{number:08}")
}

impl Content {
    /// The bytes under which it is kept.
    pub(super) fn to_bytes(self) -> Vec<u8> {
        let mut out = vec![u8::from(self.dropping)];
        let closed_ms = self.closed_ms.unwrap_or_default();
        for number in [self.opened_ms, closed_ms, self.traces, self.spans, self.bytes, self.newest_ns] {
            write_number(&mut out, number);
        }
        out
    }

    /// Reads back what [`Content::to_bytes`] wrote.
    pub(super) fn from_bytes(mut bytes: &[u8]) -> Result<Self, Corrupt> {
        let bytes = &mut bytes;
        let [dropping] = take(bytes)?;
        Ok(Self {
            dropping: dropping != 0,
            opened_ms: read_number(bytes)?,
            closed_ms: Some(read_number(bytes)?).filter(|&closed| closed != 0),
            traces: read_number(bytes)?,
            spans: read_number(bytes)?,
            bytes: read_number(bytes)?,
            newest_ns: read_number(bytes)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_can_be_read() {
        let open = Content { opened_ms: 1, traces: 2, spans: 3, bytes: 4, newest_ns: u64::MAX, ..Content::default() };
        let closed = Content { closed_ms: Some(5), dropping: true, ..open };
        for content in [open, closed] {
            let bytes = content.to_bytes();
            assert_eq!(Content::from_bytes(&bytes), Ok(content));
            assert_eq!(Content::from_bytes(&bytes[..bytes.len() - 1]), Err(Corrupt));
        }
        assert_eq!(number_of(&spans_name(7)), Some(7));
        assert_eq!(number_of(&traces_name(7)), Some(7));
        assert_eq!(number_of("index"), None);
    }
}
