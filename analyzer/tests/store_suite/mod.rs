//! What every implementation of `SpanStore` must do. Use: `store_suite!(open)`, where `open() -> impl Deref<Target =
//! dyn SpanStore>`-like value gives an empty store.

use std::collections::BTreeSet;
use std::sync::Arc;

use raceway_analyzer::ingest::{EdgeCounter, EdgeKey, Latency};
use raceway_analyzer::store::{Appended, CONFLICT, SpanStore, StoreError, TraceQuery};
use raceway_analyzer_client::{Event, Kind, Link, Reported, Resource, SCOPE, Span, Status, Value};
use raceway_trace::{SpanId, TraceId};

/// Makes a test of every promise.
#[macro_export]
macro_rules! store_suite {
    ($open:path) => {
        store_suite!($open;
            what_is_appended_is_there, nothing_is_not_an_error, the_same_span_again_changes_nothing,
            the_same_span_twice_in_one_batch_is_one, the_same_key_with_other_content_is_kept_and_flagged,
            client_and_server_may_share_an_id, processes_may_share_an_id, traces_are_listed_newest_first_in_pages,
            numbered_pages_skip, a_row_follows_its_trace, filters_narrow, filters_count_what_matches,
            a_replay_is_everything_there_was, many_append_at_once, edge_counters_keep_their_newest_values,
            extremes_survive);
    };
    ($open:path; $($promise:ident),* $(,)?) => { $(
        #[test]
        fn $promise() {
            let store = $open();
            store_suite::$promise(&*store);
        }
    )* };
}

const SECOND: u64 = 1_000_000_000;
/// 2026-11-01
const EPOCH: u64 = 1_793_491_200 * SECOND;

pub(crate) fn trace_id(id: u128) -> TraceId {
    TraceId::new(id).unwrap()
}

/// A server span of the service `shop`, one second long.
pub(crate) fn span(trace: u128, id: u64) -> Reported {
    let mut span = Span::new(trace_id(trace), SpanId::new(id).unwrap(), Kind::Server, "GET /cart", EPOCH + id * SECOND);
    span.end_ns = span.start_ns + SECOND;
    Reported { resource: process("shop", "shop-1"), scope: SCOPE.into(), span }
}

pub(crate) fn process(service: &str, instance: &str) -> Arc<Resource> {
    Arc::new(Resource::new(service.to_owned()).with("service.instance.id", instance.to_owned()))
}

pub(crate) fn append(store: &impl SpanStore, batch: impl Into<Vec<Reported>>) -> Appended {
    block_on(store.append(batch.into())).unwrap()
}

pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn list(store: &impl SpanStore, query: TraceQuery) -> Vec<u128> {
    store.traces(&query).unwrap().rows.iter().map(|row| row.trace_id.get()).collect()
}

fn all() -> TraceQuery {
    TraceQuery { limit: 100, ..TraceQuery::default() }
}

/// A span with something in every field.
fn full() -> Reported {
    let mut reported = span(1, 2);
    let span = &mut reported.span;
    span.parent_span_id = SpanId::new(1);
    span.trace_state = "raceway=m:h".into();
    span.flags = 3;
    span.kind = Kind::Client;
    span.set("http.route", "/cart/{id}");
    span.set("our.own", Value::Map(vec![("list".into(), Value::Array(vec![1.5.into(), true.into(), Value::Empty]))]));
    span.set("bytes", b"\0\xff".as_slice());
    span.events.push(Event { time_ns: EPOCH, name: "retry".into(), attributes: vec![("n".into(), (-1i64).into())] });
    span.links.push(Link { trace_id: trace_id(9), span_id: SpanId::new(9).unwrap(), attributes: Vec::new() });
    span.status = Status::Error("refused".into());
    reported
}

pub(crate) fn what_is_appended_is_there(store: &impl SpanStore) {
    let (full, plain) = (full(), span(1, 1));
    let appended = append(store, [full.clone(), plain.clone()]);
    assert_eq!(appended, Appended { fresh: vec![full.clone(), plain.clone()], ..Appended::default() });
    assert_eq!(store.trace(trace_id(1)).unwrap(), [plain, full], "by start");
    assert_eq!((store.totals().traces, store.totals().spans), (1, 2));
}

pub(crate) fn nothing_is_not_an_error(store: &impl SpanStore) {
    assert_eq!(append(store, []), Appended::default());
    assert!(store.trace(trace_id(1)).unwrap().is_empty());
    let page = store.traces(&all()).unwrap();
    assert!(page.rows.is_empty() && page.total == 0 && page.next.is_none());
    assert_eq!(store.replay().unwrap().count(), 0);
    assert!(store.edges().unwrap().is_empty());
}

pub(crate) fn the_same_span_again_changes_nothing(store: &impl SpanStore) {
    append(store, [full()]);
    let again = append(store, [full()]);
    assert_eq!(again, Appended { repeated: 1, ..Appended::default() });
    assert_eq!(store.trace(trace_id(1)).unwrap(), [full()]);
    assert_eq!(store.traces(&all()).unwrap().rows[0].spans, 1);
    assert_eq!(store.totals().spans, 1);
}

pub(crate) fn the_same_span_twice_in_one_batch_is_one(store: &impl SpanStore) {
    let appended = append(store, [span(1, 1), span(1, 1), span(1, 2)]);
    assert_eq!((appended.fresh.len(), appended.repeated), (2, 1));
    assert_eq!(store.trace(trace_id(1)).unwrap().len(), 2);
}

pub(crate) fn the_same_key_with_other_content_is_kept_and_flagged(store: &impl SpanStore) {
    let mut other = span(1, 1);
    other.span.set("other", true);
    append(store, [span(1, 1)]);
    let appended = append(store, [other.clone()]);
    assert_eq!((appended.fresh.as_slice(), appended.conflicting), ([other.clone()].as_slice(), 1));
    let mut flagged = other.clone();
    flagged.span.set(CONFLICT, 1i64);
    assert_eq!(store.trace(trace_id(1)).unwrap(), [span(1, 1), flagged]);
    assert_eq!(append(store, [other, span(1, 1)]).repeated, 2, "both are known now");
    // Ids that are used for everything must not fill the disk under one key.
    let others = (0..1000).map(|n| {
        let mut span = span(1, 1);
        span.span.set("n", n as i64);
        span
    });
    let appended = append(store, others.collect::<Vec<_>>());
    assert_eq!(appended.fresh.len() + appended.over_limit, 1000);
    assert!(appended.over_limit > 900);
}

pub(crate) fn client_and_server_may_share_an_id(store: &impl SpanStore) {
    let mut client = span(1, 1);
    client.span.kind = Kind::Client;
    let appended = append(store, [span(1, 1), client]);
    assert_eq!((appended.fresh.len(), appended.conflicting), (2, 0));
}

pub(crate) fn processes_may_share_an_id(store: &impl SpanStore) {
    let [mut service, mut instance] = [span(1, 1), span(1, 1)];
    service.resource = process("till", "shop-1");
    instance.resource = process("shop", "shop-2");
    let appended = append(store, [span(1, 1), service, instance]);
    assert_eq!((appended.fresh.len(), appended.conflicting), (3, 0));
    assert_eq!(store.trace(trace_id(1)).unwrap().len(), 3);
}

pub(crate) fn traces_are_listed_newest_first_in_pages(store: &impl SpanStore) {
    // Three at the same time, so that pages must not split on the time alone.
    let start = |n: u128| EPOCH + SECOND * u64::try_from(n.max(3)).unwrap();
    let spans = (1..=25u128).map(|n| {
        let mut span = span(n, 1);
        (span.span.start_ns, span.span.end_ns) = (start(n), start(n) + 1);
        span
    });
    append(store, spans.collect::<Vec<_>>());
    let mut query = TraceQuery { limit: 10, ..TraceQuery::default() };
    let mut pages = Vec::new();
    loop {
        let page = store.traces(&query).unwrap();
        assert_eq!(page.total, 25);
        pages.push(page.rows.iter().map(|row| row.trace_id.get()).collect::<Vec<_>>());
        query.after = page.next;
        if page.next.is_none() {
            break;
        }
    }
    let newest_first: Vec<u128> = (1..=25).rev().collect();
    assert_eq!(pages.concat(), newest_first);
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [10, 10, 5]);
}

pub(crate) fn numbered_pages_skip(store: &impl SpanStore) {
    append(store, (1..=5).map(|n| span(n.into(), n)).collect::<Vec<_>>());
    assert_eq!(list(store, TraceQuery { skip: 2, limit: 2, ..TraceQuery::default() }), [3, 2]);
    assert_eq!(list(store, TraceQuery { skip: 5, ..all() }), []);
}

pub(crate) fn a_row_follows_its_trace(store: &impl SpanStore) {
    let mut child = span(1, 20);
    child.span.parent_span_id = SpanId::new(1);
    child.span.status = Status::Error("".into());
    child.span.set("raceway.parent.p", 0.5);
    child.resource = process("till", "till-1");
    append(store, [child]);
    let row = store.traces(&all()).unwrap().rows.remove(0);
    assert_eq!((row.root_service.as_str(), row.spans, row.errors, row.certainty), ("till", 1, 1, 0.5));
    append(store, [span(2, 15)]);
    assert_eq!(list(store, all()), [1, 2]);
    // The root comes last, and moves its trace behind the other.
    let mut root = span(1, 1);
    root.span.name = "GET /checkout".into();
    append(store, [root]);
    assert_eq!(list(store, all()), [2, 1]);
    let row = store.traces(&all()).unwrap().rows.remove(1);
    assert_eq!((row.root_service.as_str(), row.root_operation.as_str()), ("shop", "GET /checkout"));
    assert_eq!((row.first_ns, row.last_ns), (EPOCH + SECOND, EPOCH + 21 * SECOND));
    assert_eq!((row.spans, row.errors, row.services), (2, 1, vec!["shop".to_owned(), "till".to_owned()]));
}

/// Traces 1 to 4: 2 failed, 3 is of another service, 4 long and of another operation.
fn four_traces(store: &impl SpanStore) {
    let mut spans = [span(1, 1), span(2, 2), span(3, 3), span(4, 4)];
    spans[1].span.status = Status::Error("".into());
    spans[2].resource = process("till", "till-1");
    spans[3].span.end_ns += 10 * SECOND;
    spans[3].span.name = "GET /report".into();
    append(store, spans);
}

pub(crate) fn filters_narrow(store: &impl SpanStore) {
    four_traces(store);
    append(store, [span(1, 5)]);
    let narrowed = |narrow: fn(&mut TraceQuery)| {
        let mut query = all();
        narrow(&mut query);
        list(store, query)
    };
    assert_eq!(narrowed(|_| {}), [4, 3, 2, 1]);
    assert_eq!(narrowed(|query| query.error = Some(true)), [2]);
    assert_eq!(narrowed(|query| query.error = Some(false)), [4, 3, 1]);
    assert_eq!(narrowed(|query| query.service = Some("till".into())), [3]);
    assert_eq!(narrowed(|query| query.operation = Some("GET /report".into())), [4]);
    assert_eq!(narrowed(|query| query.operation = Some("Report".into())), [4]);
    assert_eq!(narrowed(|query| query.operation = Some("get".into())), [4, 3, 2, 1]);
    assert_eq!(narrowed(|query| query.duration_min_ns = Some(11 * SECOND)), [4]);
    assert_eq!(narrowed(|query| query.duration_max_ns = Some(SECOND)), [3, 2]);
    assert_eq!(narrowed(|query| query.spans_min = Some(2)), [1]);
    assert_eq!(narrowed(|query| query.from_ns = Some(EPOCH + 3 * SECOND)), [4, 3]);
    assert_eq!(narrowed(|query| query.to_ns = Some(EPOCH + 3 * SECOND)), [2, 1]);
}

pub(crate) fn filters_count_what_matches(store: &impl SpanStore) {
    four_traces(store);
    let page = store.traces(&TraceQuery { error: Some(false), limit: 1, ..TraceQuery::default() }).unwrap();
    assert_eq!((page.rows.len(), page.total, page.total_is_lower_bound), (1, 3, false));
    let second = TraceQuery { error: Some(false), limit: 1, after: page.next, ..TraceQuery::default() };
    assert_eq!(list(store, second.clone()), [3]);
    let rest = TraceQuery { limit: 2, ..second };
    assert_eq!((list(store, rest.clone()), store.traces(&rest).unwrap().next), (vec![3, 1], None));
}

pub(crate) fn a_replay_is_everything_there_was(store: &impl SpanStore) {
    let spans: Vec<_> = (1..=2500).map(|n| span(u128::from(n % 100) + 1, n)).collect();
    append(store, spans.clone());
    let replay = store.replay().unwrap();
    append(store, [span(1, 9999)]);
    let replayed: Vec<_> = replay.flat_map(|portion| portion.unwrap()).collect();
    let ids = |spans: &[Reported]| spans.iter().map(|r| (r.span.trace_id, r.span.span_id)).collect::<BTreeSet<_>>();
    assert_eq!(replayed.len(), spans.len());
    assert_eq!(ids(&replayed), ids(&spans));
}

pub(crate) fn many_append_at_once(store: &impl SpanStore) {
    std::thread::scope(|scope| {
        for thread in 0..8u64 {
            scope.spawn(move || {
                for n in 0..50u64 {
                    // Every batch has a span of its own and one that all threads send.
                    append(store, [span(7, 1_000 * thread + n + 1), span(8, n + 1)]);
                }
            });
        }
    });
    assert_eq!(store.trace(trace_id(7)).unwrap().len(), 400);
    assert_eq!(store.trace(trace_id(8)).unwrap().len(), 50);
    assert_eq!((store.totals().traces, store.totals().spans), (2, 450));
    assert_eq!(store.traces(&all()).unwrap().rows.iter().map(|row| row.spans).sum::<u64>(), 450);
}

pub(crate) fn edge_counters_keep_their_newest_values(store: &impl SpanStore) {
    let counter = |to: &str, calls: u64| EdgeCounter {
        key: EdgeKey { service: "shop".into(), instance: "shop-1".into(), to: to.into(), ..EdgeKey::default() },
        time_ns: EPOCH + calls,
        calls,
        errors: calls / 10,
        latency: Latency { bounds_s: vec![1.0], buckets: vec![calls, 0], count: calls, sum_s: calls as f64 },
    };
    let append = |counters| block_on(store.append_edges(counters)).unwrap();
    append(vec![counter("till", 10), counter("stock", 1)]);
    append(vec![counter("till", 30)]);
    append(vec![counter("till", 20)]);
    let mut edges = store.edges().unwrap();
    edges.sort_by(|a, b| a.key.cmp(&b.key));
    assert_eq!(edges, [counter("stock", 1), counter("till", 30)]);
}

pub(crate) fn extremes_survive(store: &impl SpanStore) {
    let mut backwards = span(u128::MAX, 2);
    backwards.span.span_id = SpanId::new(u64::MAX).unwrap();
    (backwards.span.start_ns, backwards.span.end_ns) = (u64::MAX, 0);
    backwards.resource = Arc::new(Resource::default());
    backwards.scope = "".into();
    backwards.span.name = "".into();
    let mut large = span(u128::MAX, 1);
    (large.span.start_ns, large.span.end_ns) = (0, u64::MAX);
    large.span.set("large", "x".repeat(1 << 20));
    append(store, [backwards.clone(), large.clone()]);
    assert_eq!(store.trace(trace_id(u128::MAX)).unwrap(), [large, backwards]);
    assert_eq!(list(store, all()), [u128::MAX]);
    assert_eq!(store.traces(&all()).unwrap().rows[0].first_ns, 0);
}

/// Not part of the suite: for stores with a bound on what may wait.
#[allow(dead_code)]
pub(crate) fn is_overloaded<T>(result: &Result<T, StoreError>) -> bool {
    matches!(result, Err(StoreError::Overloaded { .. }))
}
