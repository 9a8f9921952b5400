//! Reading: one trace, the list of traces, everything. Always from a snapshot, so that a commit is seen whole or not.

use std::collections::BinaryHeap;
use std::sync::Arc;

use fjall::{Iter, Readable, Snapshot};
use raceway_analyzer_client::{Reported, Value};
use raceway_trace::TraceId;

use super::codec::{Corrupt, read_span};
use super::names::Wanted;
use super::partition::Partition;
use super::row::{Match, Row};
use super::{Shared, failed, keys};
use crate::store::{CONFLICT, StoreError, TracePage, TraceQuery};

/// A call looks at this many rows at most: about 50 ms of work. Whoever asks for more goes on at [`TracePage::next`].
const ROWS_MAX: usize = 20_000;

/// … and looks for an operation in at most so many spans of traces whose rows do not say (see [`Match::IfOperation`]).
const SPANS_MAX: usize = 50_000;

/// Spans per portion of a replay: large enough that overhead vanishes, small enough to hold in memory (about 1 MiB).
const PORTION: usize = 1_000;

/// All spans of a trace, by start.
pub(super) fn trace(shared: &Shared, id: TraceId) -> Result<Vec<Reported>, StoreError> {
    let at = shared.db.snapshot();
    let failed = |error| failed(&shared.dir, "reading a trace", &error);
    let Some(place) = at.get(&shared.index, id.to_bytes()).map_err(failed)? else { return Ok(Vec::new()) };
    let Ok((number, _)) = keys::read_place(&place) else {
        shared.metrics.damaged.inc();
        return Ok(Vec::new());
    };
    let Some(partition) = shared.partition(number) else { return Ok(Vec::new()) };
    let mut spans = Vec::new();
    for entry in at.prefix(&partition.spans, keys::spans_of(id)) {
        let (key, value) = entry.into_inner().map_err(failed)?;
        spans.extend(decode(shared, &partition, &at, &key, &value));
    }
    spans.sort_by_key(|reported| (reported.span.start_ns, reported.span.span_id));
    Ok(spans)
}

/// A page of the list of traces, newest first.
pub(super) fn traces(shared: &Shared, query: &TraceQuery) -> Result<TracePage, StoreError> {
    let filtered = TraceQuery { after: None, skip: 0, limit: 0, ..query.clone() } != TraceQuery::default();
    let operation = query.operation.as_deref().map(|text| shared.names.wanted(text));
    let at = shared.db.snapshot();
    let mut page = TracePage::default();
    let (mut matching, mut spans_left) = (0, SPANS_MAX);
    // Where the next page starts, whether there is one, and whether we stopped before we knew.
    let (mut resume, mut more, mut cut) = (None, false, false);
    for (seen, walked) in Walk::new(shared, &at, query).enumerate() {
        let walked = walked?;
        let full = page.rows.len() >= query.limit;
        cut = seen >= ROWS_MAX || spans_left == 0;
        if cut || (full && !filtered) {
            more = true;
            break;
        }
        let fits = match (walked.row.matches(query, operation.as_ref()), &operation) {
            (Match::Yes, _) => true,
            (Match::IfOperation, Some(operation)) => has_operation(shared, &at, &walked, operation, &mut spans_left)?,
            (Match::No | Match::IfOperation, _) => false,
        };
        if !full {
            resume = Some((walked.row.shown.first_ns, walked.row.shown.trace_id));
        }
        if fits {
            matching += 1;
            more |= full;
            if !full && matching > query.skip as u64 {
                page.rows.push(walked.row.shown);
            }
        }
    }
    page.next = resume.filter(|_| more);
    (page.total, page.total_is_lower_bound) = if filtered {
        (matching, cut || query.after.is_some())
    } else {
        (shared.partitions().iter().map(|partition| partition.content().traces).sum(), false)
    };
    Ok(page)
}

/// Every span there is, oldest partition first.
pub(super) fn replay(shared: &Arc<Shared>) -> impl Iterator<Item = Result<Vec<Reported>, StoreError>> + Send + use<> {
    let at = shared.db.snapshot();
    let mut partitions = shared.partitions().into_iter();
    let mut open: Option<(Arc<Partition>, Iter)> = None;
    let shared = shared.clone();
    std::iter::from_fn(move || {
        let mut portion = Vec::new();
        while portion.len() < PORTION {
            let Some((partition, spans)) = &mut open else {
                let Some(partition) = partitions.next() else { break };
                let spans = at.prefix(&partition.spans, keys::spans());
                open = Some((partition, spans));
                continue;
            };
            match spans.next().map(fjall::Guard::into_inner) {
                Some(Ok((key, value))) => {
                    let read = decode(&shared, partition, &at, &key, &value);
                    read.iter().for_each(|reported| shared.names.add(&reported.span.name));
                    portion.extend(read);
                }
                Some(Err(error)) => return Some(Err(failed(&shared.dir, "reading spans back", &error))),
                None => open = None,
            }
        }
        (!portion.is_empty()).then_some(Ok(portion))
    })
}

/// A stored span; none if it is damaged, which is counted and said, but does not keep the others from being shown.
fn decode(shared: &Shared, partition: &Partition, at: &Snapshot, key: &[u8], value: &[u8]) -> Option<Reported> {
    let read = || {
        let parts = keys::read_span(key)?;
        let bytes = &mut &*value;
        let (resource, scope) = partition.origins.read(bytes, &partition.spans, at)?;
        let mut span = read_span(bytes, parts.trace_id, parts.span_id, parts.kind)?;
        if parts.variant > 0 {
            span.attributes.push((CONFLICT.into(), Value::Int(i64::from(parts.variant))));
        }
        Ok(Reported { resource, scope, span })
    };
    read()
        .inspect_err(|Corrupt| {
            shared.metrics.damaged.inc();
            tracing::error!(partition = partition.number, ?key, "a span on disk is damaged and left out");
        })
        .ok()
}

fn has_operation(
    shared: &Shared,
    at: &Snapshot,
    row: &Walked,
    operation: &Wanted,
    spans_left: &mut usize,
) -> Result<bool, StoreError> {
    for entry in at.prefix(&row.partition.spans, keys::spans_of(row.row.shown.trace_id)) {
        if *spans_left == 0 {
            return Ok(false);
        }
        *spans_left -= 1;
        let (key, value) = entry.into_inner().map_err(|error| failed(&shared.dir, "reading a trace", &error))?;
        let span = decode(shared, &row.partition, at, &key, &value);
        if span.is_some_and(|reported| operation.is_in(&reported.span.name)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Rows of all partitions, newest first: a merge that opens a partition only when its newest could be next.
struct Walk<'s> {
    shared: &'s Shared,
    at: &'s Snapshot,
    /// No row from here on.
    before: [u8; 24],
    /// No row before here.
    from_ns: u64,
    heads: BinaryHeap<Head>,
}

struct Walked {
    partition: Arc<Partition>,
    row: Row,
}

/// The next that a partition has to offer.
struct Head {
    key: [u8; 24],
    /// `None` while the partition is unopened and the key only an upper bound.
    open: Option<(fjall::UserValue, Iter)>,
    partition: Arc<Partition>,
}

impl<'s> Walk<'s> {
    fn new(shared: &'s Shared, at: &'s Snapshot, query: &TraceQuery) -> Self {
        let mut before = [0xff; 24];
        if let Some((first_ns, trace)) = query.after {
            before = keys::row(first_ns, trace);
        }
        if let Some(to_ns) = query.to_ns {
            let mut key = [0; 24];
            key.iter_mut().zip(to_ns.to_be_bytes()).for_each(|(to, from)| *to = from);
            before = before.min(key);
        }
        let newest = |partition: Arc<Partition>| {
            let mut key = [0xff; 24];
            let newest_ns = partition.content().newest_ns.to_be_bytes();
            key.iter_mut().zip(newest_ns).for_each(|(to, from)| *to = from);
            Head { key: key.min(before), open: None, partition }
        };
        let heads = shared.partitions().into_iter().map(newest).collect();
        Self { shared, at, before, from_ns: query.from_ns.unwrap_or(0), heads }
    }

    /// Puts the next row of a partition among the heads.
    fn advance(&mut self, partition: Arc<Partition>, mut rows: Iter) -> fjall::Result<()> {
        if let Some(entry) = rows.next_back() {
            let (key, value) = entry.into_inner()?;
            if let Ok(key) = key.as_ref().try_into() {
                self.heads.push(Head { key, open: Some((value, rows)), partition });
            }
        }
        Ok(())
    }

    fn step(&mut self) -> fjall::Result<Option<Walked>> {
        while let Some(Head { key, open, partition }) = self.heads.pop() {
            let Some((value, rows)) = open else {
                let rows = self.at.range(&partition.traces, ..self.before);
                self.advance(partition, rows)?;
                continue;
            };
            let read = keys::read_row(&key).and_then(|(first_ns, id)| Row::read(&value, first_ns, id));
            self.advance(partition.clone(), rows)?;
            match read {
                Ok(row) if row.shown.first_ns < self.from_ns => return Ok(None),
                Ok(row) => return Ok(Some(Walked { partition, row })),
                Err(Corrupt) => self.shared.metrics.damaged.inc(),
            }
        }
        Ok(None)
    }
}

impl Iterator for Walk<'_> {
    type Item = Result<Walked, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step().map_err(|error| failed(&self.shared.dir, "listing traces", &error)).transpose()
    }
}

/// By key; an unopened partition before an open one of the same key, since it may hold a greater one.
impl Ord for Head {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key.cmp(&other.key).then_with(|| self.open.is_none().cmp(&other.open.is_none()))
    }
}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Head {}
