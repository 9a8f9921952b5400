//! The embedded store: durable on one machine, nothing to set up.
//!
//! One fjall database with two keyspaces per partition of time; `keys` says what lies where. One thread writes
//! (`writer`): it takes all batches that wait, writes them in one commit with one fsync, and answers each. Readers
//! look at snapshots and never wait for it.

mod codec;
mod disk;
mod edges;
mod hot;
mod keys;
mod metrics;
mod names;
mod open;
mod origins;
mod partition;
mod query;
mod queue;
mod retention;
mod row;
mod words;
mod writer;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use fjall::{Database, Keyspace};
use raceway_analyzer_client::Reported;
use raceway_trace::TraceId;
use tokio::sync::oneshot;

use super::{Appended, Replay, SpanStore, StoreError, Totals, TracePage, TraceQuery};
use crate::ingest::EdgeCounter;

pub use open::{OpenError, Options};

use edges::Edges;
use metrics::Metrics;
use names::Names;
use partition::Partition;
use queue::{Job, Prepared, Queue, Refused};

/// When the queue is full, it holds about this much work: what the writer does in a second or so.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Spans on the local disk.
pub struct Embedded {
    shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
}

/// What the writer and the readers share.
struct Shared {
    dir: PathBuf,
    options: Options,
    db: Database,
    index: Keyspace,
    partition_list: Keyspace,
    edges: Edges,
    /// Names of operations, for those who look for one.
    names: Names,
    partitions: RwLock<BTreeMap<u32, Arc<Partition>>>,
    queue: Queue,
    metrics: Metrics,
    /// Bytes on disk, looked up once a second: asking takes a call per file.
    disk_bytes: AtomicU64,
}

impl Shared {
    /// All partitions that are not being deleted, oldest first.
    fn partitions(&self) -> Vec<Arc<Partition>> {
        self.partitions.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    fn partition(&self, number: u32) -> Option<Arc<Partition>> {
        self.partitions.read().unwrap_or_else(PoisonError::into_inner).get(&number).cloned()
    }
}

impl SpanStore for Embedded {
    fn append(&self, batch: Vec<Reported>) -> Pin<Box<dyn Future<Output = Result<Appended, StoreError>> + Send + '_>> {
        Box::pin(async move {
            let prepared = batch.into_iter().map(prepare).collect();
            self.ask(|answer| Job::Spans(prepared, answer)).await
        })
    }

    fn trace(&self, id: TraceId) -> Result<Vec<Reported>, StoreError> {
        query::trace(&self.shared, id)
    }

    fn traces(&self, query: &TraceQuery) -> Result<TracePage, StoreError> {
        query::traces(&self.shared, query)
    }

    fn totals(&self) -> Totals {
        let mut totals = Totals { bytes: self.shared.disk_bytes.load(Ordering::Relaxed), ..Totals::default() };
        for partition in self.shared.partitions() {
            let content = partition.content();
            totals.traces += content.traces;
            totals.spans += content.spans;
        }
        totals
    }

    fn replay(&self) -> Result<Replay, StoreError> {
        Ok(Box::new(query::replay(&self.shared)))
    }

    fn append_edges(
        &self,
        counters: Vec<EdgeCounter>,
    ) -> Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send + '_>> {
        Box::pin(self.ask(|answer| Job::Edges(counters, answer)))
    }

    fn edges(&self) -> Result<Vec<EdgeCounter>, StoreError> {
        Ok(self.shared.edges.all())
    }
}

impl Embedded {
    async fn ask<T>(&self, job: impl FnOnce(oneshot::Sender<Result<T, StoreError>>) -> Job) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        match self.shared.queue.push(job(answer)) {
            Ok(()) => answered.await.unwrap_or_else(|_| Err(stopped())),
            Err(Refused::Closed) => Err(stopped()),
            Err(Refused::Full) => {
                self.shared.metrics.overloaded.inc();
                Err(StoreError::Overloaded { retry_after: RETRY_AFTER })
            }
        }
    }
}

impl Drop for Embedded {
    /// Writes what waits, and ends the writer.
    fn drop(&mut self) {
        self.shared.queue.close();
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the store's writer panicked");
        }
    }
}

fn prepare(reported: Reported) -> Prepared {
    let mut body = Vec::with_capacity(384);
    codec::write_span(&mut body, &reported.span);
    Prepared { key: keys::span(&reported), body, reported }
}

fn stopped() -> StoreError {
    StoreError::Failed("the store has stopped; the log says why".to_owned())
}

/// A failure of the database, in words for whoever runs it.
fn failed(dir: &std::path::Path, doing: &str, error: &fjall::Error) -> StoreError {
    StoreError::Failed(format!("{doing} in {} failed: {error}; check the disk, then start again", dir.display()))
}
