//! The one thread that writes: takes what waits, puts it into one commit, syncs once, answers everyone.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use fjall::{OwnedWriteBatch, PersistMode};
use raceway_trace::TraceId;
use tokio::sync::oneshot;

use super::disk::allocated_bytes;
use super::hot::{Hot, Trace};
use super::keys::{self, SpanKey};
use super::origins::Numbers;
use super::partition::{Content, Partition};
use super::queue::{Job, Prepared};
use super::retention::{Dropping, open_partition};
use super::row::Row;
use super::{Shared, failed};
use crate::store::{Appended, StoreError};

/// What one commit takes at most: long enough that the fsync is shared by many, short enough (about 100 ms of
/// work) that nobody waits long behind others.
const COMMIT_BYTES: usize = 8 * 1024 * 1024;

/// How often retention looks around when nothing is written.
const TICK: Duration = Duration::from_secs(1);

/// Spans of one key with different content, at most: an SDK that reuses ids must not fill the disk under one of them.
const VARIANTS_MAX: u8 = 16;

/// The writer's own things.
pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) active: Arc<Partition>,
    pub(super) hot: Hot,
    /// Origins of partitions that were lately written to.
    pub(super) numbers: HashMap<u32, Numbers>,
    /// Partitions that are being deleted bit by bit.
    pub(super) dropping: Vec<Dropping>,
    pub(super) ticked: Option<Instant>,
    /// Why nothing can be written any more.
    broken: Option<String>,
}

/// What is put together for one commit.
struct Commit {
    batch: OwnedWriteBatch,
    /// Values that are in the batch and cannot be read from the database yet.
    pending: HashMap<[u8; 35], Box<[u8]>>,
    touched: Vec<TraceId>,
    contents: BTreeMap<u32, (Arc<Partition>, Content)>,
}

/// Whom to answer when the commit is durable.
enum Answer {
    Spans(Appended, oneshot::Sender<Result<Appended, StoreError>>),
    Edges(oneshot::Sender<Result<(), StoreError>>),
}

/// What a key says about a span.
enum Known {
    Fresh(u8),
    Repeated,
    TooMany,
}

impl Writer {
    /// Takes up where an earlier process left off.
    pub(super) fn new(shared: Arc<Shared>, dropping: Vec<Arc<Partition>>) -> fjall::Result<Self> {
        let active = match shared.partitions().pop().filter(|newest| newest.content().closed_ms.is_none()) {
            Some(active) => active,
            None => open_partition(&shared, dropping.last().map(|partition| partition.number))?,
        };
        Ok(Self {
            shared,
            active,
            hot: Hot::default(),
            numbers: HashMap::new(),
            dropping: dropping.into_iter().map(Dropping::new).collect(),
            ticked: None,
            broken: None,
        })
    }

    /// Writes until the queue is closed and empty.
    pub(super) fn run(mut self) {
        /// Nobody must wait for a writer that panicked.
        struct Abandon(Arc<Shared>);
        impl Drop for Abandon {
            fn drop(&mut self) {
                self.0.queue.abandon();
            }
        }
        let _abandon = Abandon(self.shared.clone());
        let shared = self.shared.clone();
        while let Some(jobs) = shared.queue.take(COMMIT_BYTES, self.patience()) {
            shared.metrics.queue_bytes.set(shared.queue.bytes() as i64);
            if !jobs.is_empty() {
                self.write(jobs);
            }
            if let Err(error) = self.tick() {
                self.fail("making room", &error);
            }
        }
    }

    fn patience(&self) -> Duration {
        if self.dropping.is_empty() { TICK } else { Duration::ZERO }
    }

    fn write(&mut self, jobs: Vec<Job>) {
        if let Err(refusal) = self.may_write() {
            for job in jobs {
                job.refuse(refusal());
            }
            return;
        }
        let started = Instant::now();
        let mut commit = Commit {
            batch: self.shared.db.batch().durability(Some(PersistMode::SyncData)),
            pending: HashMap::new(),
            touched: Vec::new(),
            contents: BTreeMap::new(),
        };
        let mut answers = Vec::with_capacity(jobs.len());
        let mut written = Ok(());
        for job in jobs {
            answers.push(match job {
                Job::Spans(spans, answer) => {
                    let mut appended = Appended::default();
                    for span in spans {
                        written = written.and_then(|()| self.add(span, &mut commit, &mut appended));
                    }
                    Answer::Spans(appended, answer)
                }
                Job::Edges(counters, answer) => {
                    let refused = self.shared.edges.update(counters, (self.shared.options.clock)(), &mut commit.batch);
                    self.shared.metrics.edges_refused.inc_by(refused as u64);
                    Answer::Edges(answer)
                }
            });
        }
        let committed = written.and_then(|()| {
            self.write_rows(&mut commit);
            let Commit { batch, contents, .. } = commit;
            // Readers open partitions by how new their newest trace is: they must never find a newer one.
            contents.values().for_each(|(partition, content)| partition.raise_newest(content.newest_ns));
            batch.commit().map(|()| contents)
        });
        match committed {
            Ok(contents) => {
                contents.into_values().for_each(|(partition, content)| partition.set_content(content));
                self.shared.metrics.commits.observe(started.elapsed().as_secs_f64());
            }
            Err(error) => self.fail("writing spans", &error),
        }
        for answer in answers {
            self.answer(answer);
        }
        self.hot.age();
    }

    /// Puts a span into the commit, unless it is known.
    fn add(&mut self, span: Prepared, commit: &mut Commit, appended: &mut Appended) -> fjall::Result<()> {
        let id = span.reported.span.trace_id;
        if self.hot.get(id).is_none() {
            let trace = self.look_up(id)?;
            self.hot.insert(id, trace);
        }
        let Some(trace) = self.hot.get(id) else { return Ok(()) };
        let numbers = match self.numbers.entry(trace.partition.number) {
            std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::hash_map::Entry::Vacant(unknown) => {
                unknown.insert(Numbers::load(&trace.partition.spans)?)
            }
        };
        let reference = numbers.reference(&span.reported, &trace.partition.spans, &mut commit.batch);
        let mut value = Vec::with_capacity(reference.len() + span.body.len());
        value.extend_from_slice(reference);
        value.extend_from_slice(&span.body);

        let hash = xxhash_rust::xxh3::xxh3_64(&span.key);
        let maybe_known = trace.keys.as_ref().is_none_or(|keys| keys.contains(&hash));
        let known = if maybe_known { known(trace, &span.key, &value, commit)? } else { Known::Fresh(0) };
        let variant = match known {
            Known::Repeated => {
                appended.repeated += 1;
                return Ok(());
            }
            Known::TooMany => {
                appended.over_limit += 1;
                return Ok(());
            }
            Known::Fresh(_) if trace.row.shown.spans >= self.shared.options.spans_per_trace_max => {
                appended.over_limit += 1;
                return Ok(());
            }
            Known::Fresh(variant) => variant,
        };
        if variant > 0 {
            appended.conflicting += 1;
        }

        let content = commit
            .contents
            .entry(trace.partition.number)
            .or_insert_with(|| (trace.partition.clone(), trace.partition.content()));
        content.1.traces += u64::from(trace.row.shown.spans == 0);
        content.1.spans += 1;
        let key = keys::variant(&span.key, variant);
        content.1.bytes += (key.len() + value.len()) as u64;
        commit.batch.insert(&trace.partition.spans, key, value.as_slice());
        commit.pending.insert(key, value.into());
        trace.row.add(&span.reported);
        self.shared.names.add(&span.reported.span.name);
        if let Some(keys) = &mut trace.keys {
            keys.insert(hash);
        }
        if !std::mem::replace(&mut trace.touched, true) {
            commit.touched.push(id);
        }
        self.hot.count_key();
        appended.fresh.push(span.reported);
        Ok(())
    }

    /// A trace that is not hot: on disk, or new.
    fn look_up(&mut self, id: TraceId) -> fjall::Result<Trace> {
        let mut trace = Trace {
            partition: self.active.clone(),
            row: Row::new(id),
            stored_first_ns: None,
            keys: Some(HashSet::new()),
            touched: false,
        };
        let Some(place) = self.shared.index.get(id.to_bytes())? else { return Ok(trace) };
        // A partition that is gone (or going) took the trace with it: what comes now begins it anew.
        let Ok((number, first_ns)) = keys::read_place(&place) else { return Ok(trace) };
        let Some(partition) = self.shared.partition(number) else { return Ok(trace) };
        let Some(row) = partition.traces.get(keys::row(first_ns, id))? else { return Ok(trace) };
        match Row::read(&row, first_ns, id) {
            Ok(row) => {
                trace = Trace { partition, row, stored_first_ns: Some(first_ns), keys: None, touched: false };
            }
            Err(damage) => {
                self.shared.metrics.damaged.inc();
                tracing::error!(%id, ?damage, "a trace's row is damaged and is begun anew");
            }
        }
        Ok(trace)
    }

    /// Puts the rows of all traces that changed into the commit, and what the partitions hold.
    fn write_rows(&mut self, commit: &mut Commit) {
        for &id in &commit.touched {
            let Some(trace) = self.hot.get(id) else { continue };
            trace.touched = false;
            let first_ns = trace.row.shown.first_ns;
            let mut value = Vec::with_capacity(128);
            trace.row.write(&mut value);
            if let Some((_, content)) = commit.contents.get_mut(&trace.partition.number) {
                content.newest_ns = content.newest_ns.max(first_ns);
                content.bytes += if trace.stored_first_ns.is_none() { 24 + value.len() as u64 } else { 0 };
            }
            commit.batch.insert(&trace.partition.traces, keys::row(first_ns, id), value);
            if trace.stored_first_ns != Some(first_ns) {
                if let Some(stored) = trace.stored_first_ns {
                    commit.batch.remove(&trace.partition.traces, keys::row(stored, id));
                }
                commit.batch.insert(&self.shared.index, id.to_bytes(), keys::place(trace.partition.number, first_ns));
                trace.stored_first_ns = Some(first_ns);
            }
        }
        for (number, (_, content)) in &commit.contents {
            commit.batch.insert(&self.shared.partition_list, number.to_be_bytes(), content.to_bytes());
        }
    }

    /// Whether there is any point in trying; else what to answer.
    fn may_write(&self) -> Result<(), Box<dyn Fn() -> StoreError>> {
        if let Some(broken) = self.broken.clone() {
            return Err(Box::new(move || StoreError::Failed(broken.clone())));
        }
        let dir = &self.shared.dir;
        let reserve = self.shared.options.disk_reserve_bytes;
        let free = rustix::fs::statvfs(dir).map_or(u64::MAX, |disk| disk.f_bavail.saturating_mul(disk.f_frsize));
        if free < reserve {
            let text = format!(
                "the disk that holds {} is full ({} MiB free, {} MiB must stay so); make room, or lower --retention-size",
                dir.display(),
                free >> 20,
                reserve >> 20,
            );
            return Err(Box::new(move || StoreError::Full(text.clone())));
        }
        Ok(())
    }

    fn answer(&self, answer: Answer) {
        let metrics = &self.shared.metrics;
        let broken = || self.broken.clone().map_or(Ok(()), |text| Err(StoreError::Failed(text)));
        // Whoever hung up needs no answer: the spans are kept all the same.
        match answer {
            Answer::Spans(appended, to) => {
                if self.broken.is_none() {
                    metrics.spans.inc_by(appended.fresh.len() as u64);
                    metrics.repeated.inc_by(appended.repeated as u64);
                    metrics.conflicting.inc_by(appended.conflicting as u64);
                    metrics.over_limit.inc_by(appended.over_limit as u64);
                }
                drop(to.send(broken().map(|()| appended)));
            }
            Answer::Edges(to) => drop(to.send(broken())),
        }
    }

    /// The database takes no more writes after one has failed, since nobody knows what reached the disk; neither do we.
    fn fail(&mut self, doing: &str, error: &fjall::Error) {
        let text = failed(&self.shared.dir, doing, error).to_string();
        self.shared.metrics.failures.inc();
        if self.broken.is_none() {
            tracing::error!(error = text, "the store takes no more spans; what it has can still be read");
            self.broken = Some(text);
        }
    }

    /// Whether anything can still be written.
    pub(super) fn is_broken(&self) -> bool {
        self.broken.is_some()
    }

    /// Bytes on disk, for those who ask.
    pub(super) fn measure(&self) {
        let bytes = allocated_bytes(&self.shared.dir);
        self.shared.disk_bytes.store(bytes, Ordering::Relaxed);
        self.shared.metrics.disk_bytes.set(bytes as i64);
    }
}

/// Whether a span is there already, and if not, as which variant of its key it goes in.
fn known(trace: &Trace, key: &SpanKey, value: &[u8], commit: &Commit) -> fjall::Result<Known> {
    for variant in 0..VARIANTS_MAX {
        let key = keys::variant(key, variant);
        let same = match commit.pending.get(&key) {
            Some(pending) => **pending == *value,
            None => match trace.partition.spans.get(key)? {
                Some(stored) => *stored == *value,
                None => return Ok(Known::Fresh(variant)),
            },
        };
        if same {
            return Ok(Known::Repeated);
        }
    }
    Ok(Known::TooMany)
}

impl Job {
    fn refuse(self, error: StoreError) {
        match self {
            Self::Spans(_, to) => drop(to.send(Err(error))),
            Self::Edges(_, to) => drop(to.send(Err(error))),
        }
    }
}
