//! The row of a trace: what the list of traces shows and what it can be filtered by, kept up to date span by span.

use raceway_analyzer_client::Reported;
use raceway_trace::TraceId;

use super::codec::{Corrupt, read_count, read_number, read_text, take, write_number, write_text};
use super::names::{Wanted, hash};
use crate::analysis::facts::{is_unlinked_call, peer_of_call};
use crate::store::{Origin, TraceQuery, TraceRow};

/// Names of operations are remembered by hash, up to so many: 512 B. A trace with more different ones is looked
/// through span by span when someone asks for an operation and none of them fits.
const OPERATIONS_MAX: usize = 64;

/// Services are listed by name, up to so many: no page shows more, and a hostile trace must not grow its row.
const SERVICES_MAX: usize = 128;

/// A row with what is needed to keep it up to date.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    /// What others see.
    pub(super) shown: TraceRow,
    /// Hashes of the spans' names, sorted.
    operations: Vec<u64>,
    /// Whether there were more names than are remembered.
    operations_more: bool,
    /// Start of the span that `root_service` and `root_operation` are taken from.
    root_start_ns: u64,
}

/// Bits of a row's flags. Each stands for something that rows of before did not have: 0 is what they mean.
mod flag {
    pub(super) const ROOTED: u8 = 1;
    pub(super) const OPERATIONS_MORE: u8 = 1 << 1;
    pub(super) const ROOT_UNLINKED: u8 = 1 << 2;
    pub(super) const UNLINKED_CALLS: u8 = 1 << 3;
    pub(super) const ROOT_NAMESPACE: u8 = 1 << 4;
    pub(super) const ROOT_ENVIRONMENT: u8 = 1 << 5;
    pub(super) const ROOT_PEER: u8 = 1 << 6;
}

/// What a row says about a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Match {
    /// It fits.
    Yes,
    /// It does not.
    No,
    /// It fits if one of its spans has a name like the one that is asked for.
    IfOperation,
}

impl Row {
    /// The row of a trace of which nothing is known yet.
    pub(super) fn new(trace_id: TraceId) -> Self {
        Self {
            shown: TraceRow {
                trace_id,
                spans: 0,
                first_ns: u64::MAX,
                last_ns: 0,
                services: Vec::new(),
                errors: 0,
                root_service: String::new(),
                root_operation: String::new(),
                root_peer: None,
                root_namespace: None,
                root_environment: None,
                origin: Origin::Missing,
                certainty: 1.0,
                unlinked_calls: 0,
            },
            operations: Vec::new(),
            operations_more: false,
            root_start_ns: u64::MAX,
        }
    }

    /// Takes a span into account that was not there before.
    pub(super) fn add(&mut self, reported: &Reported) {
        let (span, resource) = (&reported.span, &reported.resource);
        let service = resource.service_name().unwrap_or_default();
        let unlinked = is_unlinked_call(reported);
        let shown = &mut self.shown;
        shown.spans += 1;
        shown.first_ns = shown.first_ns.min(span.start_ns);
        shown.last_ns = shown.last_ns.max(span.end_ns).max(span.start_ns);
        shown.errors += u64::from(span.status.is_error());
        if let Some(p) = span.attribute("raceway.parent.p").and_then(|p| p.as_f64()) {
            shown.certainty = shown.certainty.min(p.clamp(0.0, 1.0));
        }
        shown.unlinked_calls += u64::from(unlinked);
        if let Err(place) = shown.services.binary_search_by(|known| known.as_str().cmp(service))
            && shown.services.len() < SERVICES_MAX
            && !service.is_empty()
        {
            shown.services.insert(place, service.to_owned());
        }
        let root = span.parent_span_id.is_none();
        let rooted = shown.origin != Origin::Missing;
        let better = (root, std::cmp::Reverse(span.start_ns)) > (rooted, std::cmp::Reverse(self.root_start_ns));
        if better || shown.spans == 1 {
            service.clone_into(&mut shown.root_service);
            shown.root_operation = span.name.as_ref().to_owned();
            shown.root_peer = peer_of_call(span).map(str::to_owned);
            shown.root_namespace = resource.service_namespace().map(str::to_owned);
            shown.root_environment = resource.environment().map(str::to_owned);
            shown.origin = match (root, unlinked) {
                (false, _) => Origin::Missing,
                (true, false) => Origin::Entry,
                (true, true) => Origin::Unlinked,
            };
            self.root_start_ns = span.start_ns;
        }
        let hash = hash(&span.name);
        if let Err(place) = self.operations.binary_search(&hash) {
            if self.operations.len() < OPERATIONS_MAX {
                self.operations.insert(place, hash);
            } else {
                self.operations_more = true;
            }
        }
    }

    /// Whether the trace is one that is asked for, apart from where the page starts. `operation` is the query's.
    pub(super) fn matches(&self, query: &TraceQuery, operation: Option<&Wanted>) -> Match {
        let shown = &self.shown;
        let duration_ns = shown.last_ns.saturating_sub(shown.first_ns);
        let fits = query.service.as_ref().is_none_or(|service| shown.services.binary_search(service).is_ok())
            && query.duration_min_ns.is_none_or(|min| duration_ns >= min)
            && query.duration_max_ns.is_none_or(|max| duration_ns <= max)
            && query.error.is_none_or(|error| (shown.errors > 0) == error)
            && query.from_ns.is_none_or(|from| shown.first_ns >= from)
            && query.to_ns.is_none_or(|to| shown.first_ns < to)
            && query.spans_min.is_none_or(|min| shown.spans >= min);
        match operation {
            _ if !fits => Match::No,
            None => Match::Yes,
            Some(operation) => self.has(operation),
        }
    }

    fn has(&self, operation: &Wanted) -> Match {
        let mut unsure = self.operations_more;
        for &hash in &self.operations {
            match operation.by_hash(hash) {
                Some(true) => return Match::Yes,
                Some(false) => {}
                None => unsure = true,
            }
        }
        if unsure { Match::IfOperation } else { Match::No }
    }

    /// Appends the row, but for its first time and its trace, which are its key.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let shown = &self.shown;
        write_number(out, shown.spans);
        write_number(out, shown.last_ns.saturating_sub(shown.first_ns));
        write_number(out, shown.errors);
        out.extend(shown.certainty.to_le_bytes());
        let flags = [
            (flag::ROOTED, shown.origin != Origin::Missing),
            (flag::OPERATIONS_MORE, self.operations_more),
            (flag::ROOT_UNLINKED, shown.origin == Origin::Unlinked),
            (flag::UNLINKED_CALLS, shown.unlinked_calls > 0),
            (flag::ROOT_NAMESPACE, shown.root_namespace.is_some()),
            (flag::ROOT_ENVIRONMENT, shown.root_environment.is_some()),
            (flag::ROOT_PEER, shown.root_peer.is_some()),
        ];
        out.push(flags.iter().filter(|(_, set)| *set).fold(0, |all, (flag, _)| all | flag));
        write_number(out, self.root_start_ns.saturating_sub(shown.first_ns));
        write_text(out, &shown.root_service);
        write_text(out, &shown.root_operation);
        write_number(out, shown.services.len() as u64);
        for service in &shown.services {
            write_text(out, service);
        }
        write_number(out, self.operations.len() as u64);
        for operation in &self.operations {
            out.extend(operation.to_le_bytes());
        }
        if shown.unlinked_calls > 0 {
            write_number(out, shown.unlinked_calls);
        }
        for text in shown.root_namespace.iter().chain(&shown.root_environment).chain(&shown.root_peer) {
            write_text(out, text);
        }
    }

    /// Reads back what [`Row::write`] wrote.
    pub(super) fn read(mut bytes: &[u8], first_ns: u64, trace_id: TraceId) -> Result<Self, Corrupt> {
        let bytes = &mut bytes;
        let mut row = Self::new(trace_id);
        let shown = &mut row.shown;
        shown.first_ns = first_ns;
        shown.spans = read_number(bytes)?;
        shown.last_ns = first_ns.saturating_add(read_number(bytes)?);
        shown.errors = read_number(bytes)?;
        shown.certainty = f64::from_le_bytes(take(bytes)?);
        let [flags] = take(bytes)?;
        let has = |flag: u8| flags & flag != 0;
        row.operations_more = has(flag::OPERATIONS_MORE);
        shown.origin = match (has(flag::ROOTED), has(flag::ROOT_UNLINKED)) {
            (false, _) => Origin::Missing,
            (true, false) => Origin::Entry,
            (true, true) => Origin::Unlinked,
        };
        row.root_start_ns = first_ns.saturating_add(read_number(bytes)?);
        shown.root_service = read_text(bytes)?.to_owned();
        shown.root_operation = read_text(bytes)?.to_owned();
        for _ in 0..read_count(bytes)? {
            shown.services.push(read_text(bytes)?.to_owned());
        }
        for _ in 0..read_count(bytes)? {
            row.operations.push(u64::from_le_bytes(take(bytes)?));
        }
        if has(flag::UNLINKED_CALLS) {
            shown.unlinked_calls = read_number(bytes)?;
        }
        if has(flag::ROOT_NAMESPACE) {
            shown.root_namespace = Some(read_text(bytes)?.to_owned());
        }
        if has(flag::ROOT_ENVIRONMENT) {
            shown.root_environment = Some(read_text(bytes)?.to_owned());
        }
        if has(flag::ROOT_PEER) {
            shown.root_peer = Some(read_text(bytes)?.to_owned());
        }
        Ok(row)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use raceway_analyzer_client::{Kind, Resource, Span};
    use raceway_trace::SpanId;

    use super::*;
    use crate::store::embedded::names::Names;

    fn trace_id() -> TraceId {
        TraceId::new(7).unwrap()
    }

    fn reported(service: &'static str, name: &str, parent: Option<u64>, start_ns: u64, end_ns: u64) -> Reported {
        let mut span = Span::new(trace_id(), SpanId::new(start_ns).unwrap(), Kind::Server, name.to_owned(), start_ns);
        span.parent_span_id = parent.and_then(SpanId::new);
        span.end_ns = end_ns;
        Reported { resource: Arc::new(Resource::new(service)), scope: "".into(), span }
    }

    fn row(spans: &[Reported]) -> Row {
        let mut row = Row::new(trace_id());
        spans.iter().for_each(|span| row.add(span));
        row
    }

    #[test]
    fn the_root_wins_over_earlier_spans_and_the_earliest_over_later_ones() {
        let child = reported("b", "GET /b", Some(1), 5, 9);
        let later = reported("c", "GET /c", Some(1), 6, 7);
        let root = reported("a", "GET /a", None, 10, 20);
        for spans in [[&child, &later, &root], [&root, &later, &child]] {
            let row = row(&spans.map(Clone::clone));
            assert_eq!((row.shown.root_service.as_str(), row.shown.root_operation.as_str()), ("a", "GET /a"));
            assert_eq!((row.shown.first_ns, row.shown.last_ns, row.shown.spans), (5, 20, 3));
            assert_eq!(row.shown.services, ["a", "b", "c"]);
        }
        assert_eq!(row(&[later, child]).shown.root_service, "b");
    }

    #[test]
    fn what_is_written_can_be_read() {
        let mut span = reported("a", "GET /a", None, 10, 20);
        span.span.set("raceway.parent.p", 0.75);
        span.span.kind = Kind::Client;
        span.span.set("raceway.parent.method", "root");
        span.span.set("server.address", "b.internal:8080");
        let place = Resource::new("a").with("service.namespace", "shop").with("deployment.environment.name", "live");
        span.resource = Arc::new(place);
        let row = row(&[span, reported("b", "GET /b", Some(10), 12, 15)]);
        assert_eq!((row.shown.origin, row.shown.unlinked_calls), (Origin::Unlinked, 1));
        assert_eq!(row.shown.root_peer.as_deref(), Some("b.internal"));
        assert_eq!(
            row.shown.root_namespace.as_deref().zip(row.shown.root_environment.as_deref()),
            Some(("shop", "live"))
        );
        let mut bytes = Vec::new();
        row.write(&mut bytes);
        assert_eq!(Row::read(&bytes, 10, trace_id()), Ok(row.clone()));
        assert_eq!(row.shown.certainty, 0.75);
        for cut in 0..bytes.len() {
            assert_eq!(Row::read(&bytes[..cut], 10, trace_id()), Err(Corrupt));
        }
    }

    #[test]
    fn a_call_of_unknown_cause_is_an_unlinked_origin_and_counted() {
        let call = |parent, method: &'static str| {
            let mut call = reported("a", "GET /b", parent, 10, 20);
            (call.span.kind, call.scope) = (Kind::Client, raceway_analyzer_client::SCOPE.into());
            call.span.set("raceway.parent.method", method);
            call
        };
        let answered = reported("b", "GET /b", Some(10), 12, 15);
        for (spans, origin, unlinked_calls) in [
            (vec![call(None, "root"), answered.clone()], Origin::Unlinked, 1),
            (vec![answered.clone(), call(None, "root")], Origin::Unlinked, 1),
            (vec![answered.clone()], Origin::Missing, 0),
            (vec![call(Some(1), "sole"), answered.clone()], Origin::Missing, 0),
            (vec![reported("a", "GET /a", None, 1, 30), call(Some(1), "sole")], Origin::Entry, 0),
            (vec![reported("a", "GET /a", None, 1, 30), call(Some(1), "root")], Origin::Entry, 1),
        ] {
            let shown = row(&spans).shown;
            assert_eq!((shown.origin, shown.unlinked_calls), (origin, unlinked_calls), "{spans:?}");
        }
    }

    /// Written when a row held neither unlinked calls nor where the root's service is.
    #[test]
    fn a_row_of_before_can_be_read() {
        let mut bytes = Vec::new();
        row(&[reported("a", "GET /a", None, 10, 20)]).write(&mut bytes);
        let row = Row::read(&bytes, 10, trace_id()).unwrap();
        assert_eq!(bytes.get(11), Some(&flag::ROOTED), "such a row still has no other flag and nothing at its end");
        assert_eq!((row.shown.origin, row.shown.unlinked_calls), (Origin::Entry, 0));
    }

    #[test]
    fn filters() {
        let row = row(&[reported("a", "GET /a", None, 10, 20), reported("b", "GET /b", Some(10), 12, 15)]);
        let names = Names::default();
        ["GET /a", "GET /b", "GET /c"].iter().for_each(|name| names.add(name));
        let fits = |narrow: fn(&mut TraceQuery)| {
            let mut query = TraceQuery::default();
            narrow(&mut query);
            let wanted = query.operation.as_deref().map(|text| names.wanted(text));
            row.matches(&query, wanted.as_ref()) == Match::Yes
        };
        assert!(fits(|_| {}));
        assert!(fits(|query| query.service = Some("b".into())));
        assert!(!fits(|query| query.service = Some("c".into())));
        assert!(fits(|query| query.operation = Some("GET /b".into())));
        assert!(fits(|query| query.operation = Some("get /".into())));
        assert!(!fits(|query| query.operation = Some("GET /c".into())));
        assert!(fits(|query| (query.duration_min_ns, query.duration_max_ns) = (Some(10), Some(10))));
        assert!(!fits(|query| query.duration_min_ns = Some(11)));
        assert!(!fits(|query| query.duration_max_ns = Some(9)));
        assert!(!fits(|query| query.error = Some(true)));
        assert!(fits(|query| query.error = Some(false)));
        assert!(fits(|query| (query.from_ns, query.to_ns) = (Some(10), Some(11))));
        assert!(!fits(|query| query.to_ns = Some(10)));
        assert!(fits(|query| query.spans_min = Some(2)));
        assert!(!fits(|query| query.spans_min = Some(3)));
    }

    #[test]
    fn more_names_than_are_remembered_must_be_looked_for() {
        let spans: Vec<_> = (1..100).map(|at| reported("a", &format!("op {at}"), None, at, at)).collect();
        let names = Names::default();
        let asked = |name: &str| row(&spans).matches(&TraceQuery::default(), Some(&names.wanted(name)));
        assert_eq!(asked("op 1"), Match::IfOperation, "no name has been read yet");
        spans.iter().for_each(|reported| names.add(&reported.span.name));
        assert_eq!(asked("op 1"), Match::Yes);
        assert_eq!(asked("op 99"), Match::IfOperation);
        let few = row(&spans[..3]);
        assert_eq!(few.matches(&TraceQuery::default(), Some(&names.wanted("op 99"))), Match::No);
    }
}
