//! Traces: rows of the list, and all that is known of one.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use raceway_analyzer_client::{Kind, Status, Value};
use raceway_trace::clock::VectorClock;
use raceway_trace::order::Order;
use raceway_trace::tracestate::Method;

use super::path::trace_id;
use super::{critical_path, events, ms, text};
use crate::analysis::assemble::Parent;
use crate::analysis::facts::{self, Facts, Identity};
use crate::analysis::order::{Sure, Ticks, Vectors};
use crate::analysis::path::Path;
use crate::analysis::skew::Instance;
use crate::analysis::trace::Trace;
use crate::api::time::rfc3339;
use crate::api::types::*;
use crate::store::{self, TraceRow};

/// Clock entries in one answer; spans behind that show none. Each takes some 40 bytes of JSON.
const CLOCK_ENTRIES_MAX: usize = 200_000;

/// A row of the list.
pub(in crate::api) fn summary(row: &TraceRow) -> TraceSummary {
    TraceSummary {
        trace_id: row.trace_id.uuid().to_string(),
        event_count: row.spans * 2,
        first_timestamp: rfc3339(row.first_ns),
        last_timestamp: rfc3339(row.last_ns),
        service_count: row.services.len() as u64,
        services: row.services.clone(),
        duration_ms: row.last_ns.saturating_sub(row.first_ns) as f64 / 1e6,
        span_count: row.spans,
        error_count: row.errors,
        root_service: row.root_service.clone(),
        root_operation: row.root_operation.clone(),
        root_peer: row.root_peer.clone(),
        root_namespace: row.root_namespace.clone(),
        root_environment: row.root_environment.clone(),
        origin: origin(row.origin),
        certainty: row.certainty,
        unlinked_calls: row.unlinked_calls,
    }
}

fn origin(origin: store::Origin) -> Origin {
    match origin {
        store::Origin::Entry => Origin::Entry,
        store::Origin::Unlinked => Origin::Unlinked,
        store::Origin::Missing => Origin::Missing,
    }
}

/// All that is known of a trace. `raw` shows parents as they were reported.
pub(in crate::api) fn view(trace: &Trace, raw: bool) -> TraceView {
    let path = Path::of(trace);
    let shown = Shown::new(trace, path.as_ref(), raw);
    let order = laid_flat(trace);
    let mut links = LinkCounts::default();
    let edges = calls(trace, &mut links);
    TraceView {
        trace_id: trace_id(trace),
        started_at: rfc3339(trace.first_ns),
        duration_ms: ms(trace.length_ns),
        root_span_id: trace
            .root
            .filter(|&root| trace.assembled.parents.get(root) == Some(&Parent::Root))
            .and_then(|root| trace.facts.get(root))
            .map(|root| root.span_id.to_string()),
        origin: origin(trace.origin()),
        events: events(trace),
        audit_trails: BTreeMap::new(),
        analysis: TraceAnalysis::default(),
        critical_path: path.map(|path| critical_path(trace, &path)),
        anomalies: Vec::new(),
        dependencies: Some(dependencies(trace)),
        spans: shown.spans(&order),
        edges,
        clocks: clocks(trace),
        links,
        moved_in: Vec::new(),
        moved_out: Vec::new(),
    }
}

/// Every span before its children, siblings and roots by start.
fn laid_flat(trace: &Trace) -> Vec<usize> {
    let mut by_start: Vec<usize> = (0..trace.facts.len()).collect();
    by_start.sort_by_key(|&at| std::cmp::Reverse((trace.times.get(at).map(|times| times.0), at)));
    let mut children: Vec<Vec<usize>> = vec![Vec::new(); trace.facts.len()];
    let mut stack = Vec::new();
    for at in by_start {
        match trace.assembled.parents.get(at).and_then(|parent| parent.span()) {
            Some(parent) => children.get_mut(parent).into_iter().for_each(|siblings| siblings.push(at)),
            None => stack.push(at),
        }
    }
    let mut flat = Vec::with_capacity(trace.facts.len());
    while let Some(at) = stack.pop() {
        flat.push(at);
        stack.extend(children.get_mut(at).map(std::mem::take).unwrap_or_default());
    }
    flat
}

/// Who called whom in a trace.
pub(in crate::api) fn dependencies(trace: &Trace) -> TraceDependencies {
    let names = trace.names();
    let mut services: BTreeMap<Arc<Identity>, u64> = BTreeMap::new();
    for span in &trace.facts {
        *services.entry(names.of(&span.service)).or_default() += span.events();
    }
    let mut dependencies: BTreeMap<(Arc<Identity>, Arc<Identity>), u64> = BTreeMap::new();
    for call in &trace.assembled.calls {
        *dependencies.entry((names.of(&call.from), names.of(&call.to))).or_default() += 1;
    }
    TraceDependencies {
        trace_id: trace_id(trace),
        services: services
            .into_iter()
            .map(|(service, event_count)| ServiceEvents {
                name: service.name.to_string(),
                namespace: text(&service.namespace),
                environment: text(&service.environment),
                event_count,
            })
            .collect(),
        dependencies: dependencies
            .into_iter()
            .map(|((from, to), call_count)| Dependency {
                from: from.name.to_string(),
                to: to.name.to_string(),
                from_namespace: text(&from.namespace),
                from_environment: text(&from.environment),
                to_namespace: text(&to.namespace),
                to_environment: text(&to.environment),
                call_count,
            })
            .collect(),
    }
}

/// How two spans stand to each other.
pub(in crate::api) fn order(trace: &Trace, a: usize, b: usize) -> OrderView {
    let (order, sure) = trace.orders.order(a, b);
    let id = |at: usize| trace.facts.get(at).map(|span| span.span_id.to_string()).unwrap_or_default();
    OrderView {
        a: id(a),
        b: id(b),
        order: match order {
            Order::Before => OrderWord::Before,
            Order::Same => OrderWord::Same,
            Order::After => OrderWord::After,
            Order::Concurrent => OrderWord::Concurrent,
            Order::Unknown => OrderWord::Unknown,
        },
        certainty: match sure {
            Sure::Definite => OrderCertainty::Definite,
            Sure::Likely => OrderCertainty::Likely,
            Sure::Unknown => OrderCertainty::Unknown,
        },
    }
}

/// What spans are shown from.
struct Shown<'a> {
    trace: &'a Trace,
    raw: bool,
    vectors: Vectors,
    critical_ns: HashMap<usize, i64>,
}

impl<'a> Shown<'a> {
    fn new(trace: &'a Trace, path: Option<&Path>, raw: bool) -> Self {
        let mut critical_ns: HashMap<usize, i64> = HashMap::new();
        for (section, _) in path.into_iter().flat_map(|path| &path.sections) {
            *critical_ns.entry(section.span).or_default() += section.end - section.start;
        }
        let vectors = Vectors::new(&trace.facts, &trace.assembled, &trace.orders);
        Self { trace, raw, vectors, critical_ns }
    }

    fn spans(&self, order: &[usize]) -> Vec<SpanView> {
        let mut room = CLOCK_ENTRIES_MAX;
        order.iter().filter_map(|&at| self.span(at, &mut room)).collect()
    }

    fn span(&self, at: usize, room: &mut usize) -> Option<SpanView> {
        let trace = self.trace;
        let (facts, reported) = (trace.facts.get(at)?, trace.reported.get(at)?);
        let (span, resource) = (&reported.span, &reported.resource);
        let (start_ns, end_ns) = *trace.times.get(at)?;
        let parent = trace.assembled.parents.get(at).copied().unwrap_or(Parent::Root);
        let mended = match parent {
            Parent::Span(parent) => trace.facts.get(parent).map(|parent| parent.span_id),
            Parent::Missing => span.parent_span_id,
            Parent::Root => None,
        };
        let shown_parent = if self.raw { span.parent_span_id } else { mended };
        let clock = trace.orders.ticks.get(at).and_then(Option::as_ref).and_then(|ticks| self.clock(at, ticks, room));
        let since = |ns: u64| {
            let offset = i128::from(ns) - i128::from(span.start_ns) + i128::from(start_ns);
            i64::try_from(offset).unwrap_or(start_ns)
        };
        Some(SpanView {
            span_id: span.span_id.to_string(),
            parent_span_id: shown_parent.map(|id| id.to_string()),
            reported_parent_span_id: span
                .parent_span_id
                .filter(|_| shown_parent != span.parent_span_id)
                .map(|id| id.to_string()),
            orphan: parent == Parent::Missing,
            conflicting: trace.assembled.conflicting.get(at).copied().unwrap_or(false),
            depth: trace.depths.get(at).copied().unwrap_or(0),
            kind: kind(span.kind),
            name: span.name.clone().into_owned(),
            service: facts.service.name.to_string(),
            instance: facts.instance.as_ref().map(|name| name.to_string()),
            namespace: resource.service_namespace().map(str::to_owned),
            environment: resource.environment().map(str::to_owned),
            scope: reported.scope.to_string(),
            timestamp: rfc3339(span.start_ns),
            start_ns,
            end_ns,
            duration_ms: ms(end_ns - start_ns),
            error: facts.error,
            status_message: match &span.status {
                Status::Error(text) => Some(text.clone().into_owned()),
                Status::Unset | Status::Ok => None,
            },
            attributes: json_map(&span.attributes),
            events: span
                .events
                .iter()
                .map(|event| SpanEvent {
                    time_ns: since(event.time_ns),
                    name: event.name.clone().into_owned(),
                    attributes: json_map(&event.attributes),
                })
                .collect(),
            links: span
                .links
                .iter()
                .map(|link| SpanLink {
                    trace_id: link.trace_id.uuid().to_string(),
                    span_id: link.span_id.to_string(),
                    attributes: json_map(&link.attributes),
                })
                .collect(),
            link: link(facts.link),
            clock,
            critical_ms: self.critical_ns.get(&at).copied().map_or(0.0, ms),
        })
    }

    fn clock(&self, at: usize, ticks: &Ticks, room: &mut usize) -> Option<SpanClock> {
        let end = ticks.head_clock.as_ref().unwrap_or(&ticks.clock);
        let clock = SpanClock {
            strand: ticks.strand.as_str().to_owned(),
            start_tick: ticks.start,
            end_tick: ticks.end,
            start: entries(&ticks.clock),
            end: entries(end),
            definite_start: self.vectors.start(at),
            definite_end: self.vectors.end(at),
        };
        let size = clock.start.len() + clock.end.len() + clock.definite_start.len() + clock.definite_end.len();
        *room = room.checked_sub(size)?;
        Some(clock)
    }
}

/// A reported clock as it is shown.
pub(super) fn entries(clock: &VectorClock) -> Vec<(String, u64)> {
    clock.iter().map(|(component, tick)| (component.as_str().to_owned(), tick)).collect()
}

fn calls(trace: &Trace, links: &mut LinkCounts) -> Vec<Call> {
    let half = |at: Option<usize>| at.and_then(|at| trace.facts.get(at));
    let calls = trace.assembled.calls.iter().filter_map(|call| {
        let (client, server) = (half(call.client), half(call.server));
        let seen = client.or(server)?;
        match seen.link.certainty {
            _ if !trace.assembled.says_its_link(call) => {}
            facts::Certainty::Certain => links.certain += 1,
            facts::Certainty::Likely => links.likely += 1,
            facts::Certainty::Unlinked => links.unlinked += 1,
        }
        let named = server.is_some().then_some(call.server).flatten().or(call.client);
        let operation = named.and_then(|at| trace.reported.get(at)).map(|reported| reported.span.name.clone());
        let bytes = |half: Option<&Facts>| half.map_or(0, |half| half.bytes);
        Some(Call {
            span_id: seen.span_id.to_string(),
            client_span_id: client.map(|half| half.span_id.to_string()),
            server_span_id: server.map(|half| half.span_id.to_string()),
            from: call.from.name.to_string(),
            to: call.to.name.to_string(),
            is_virtual: server.is_none(),
            operation: operation.unwrap_or_default().into_owned(),
            protocol: seen.protocol.as_ref().map(|name| name.to_string()),
            error: seen.error,
            duration_ms: seen.duration_ns() as f64 / 1e6,
            bytes: bytes(client).max(bytes(server)),
            link: link(seen.link),
        })
    });
    calls.collect()
}

fn clocks(trace: &Trace) -> Clocks {
    let label = |(service, instance): &Instance| format!("{service}#{instance}");
    let bound = |ns: i64| (ns > i64::MIN + 1 && ns < i64::MAX - 1).then(|| ms(ns));
    Clocks {
        corrections: trace
            .clocks
            .corrections
            .iter()
            .map(|((service, instance), ns)| ClockCorrection {
                service: service.to_string(),
                instance: instance.to_string(),
                correction_ms: ms(*ns),
            })
            .collect(),
        pairs: trace
            .clocks
            .pairs
            .iter()
            .map(|(a, b, theta)| ClockPair {
                a: label(a),
                b: label(b),
                theta_min_ms: bound(theta.min_ns),
                theta_max_ms: bound(theta.max_ns),
                samples: theta.samples,
                skewed: theta.skewed(),
                inconsistent: theta.inconsistent(),
            })
            .collect(),
    }
}

fn link(link: facts::Link) -> Link {
    Link {
        certainty: match link.certainty {
            facts::Certainty::Certain => Certainty::Certain,
            facts::Certainty::Likely => Certainty::Likely,
            facts::Certainty::Unlinked => Certainty::Unlinked,
        },
        method: match link.method {
            Method::Header => LinkMethod::Header,
            Method::Carrier => LinkMethod::Carrier,
            Method::Process => LinkMethod::Process,
            Method::Thread => LinkMethod::Thread,
            Method::Sole => LinkMethod::Sole,
            Method::Bayes => LinkMethod::Bayes,
            Method::Root => LinkMethod::Root,
        },
        p: link.p,
        candidates: link.candidates,
    }
}

fn kind(kind: Kind) -> SpanKind {
    match kind {
        Kind::Unspecified => SpanKind::Unspecified,
        Kind::Internal => SpanKind::Internal,
        Kind::Server => SpanKind::Server,
        Kind::Client => SpanKind::Client,
        Kind::Producer => SpanKind::Producer,
        Kind::Consumer => SpanKind::Consumer,
    }
}

/// Attributes as JSON. Lists in lists are cut where ingest cuts them, so this ends.
pub(super) fn json_map(attributes: &[(Cow<'_, str>, Value<'_>)]) -> BTreeMap<String, serde_json::Value> {
    attributes.iter().map(|(name, value)| (name.clone().into_owned(), json(value))).collect()
}

/// A value as JSON.
pub(in crate::api) fn json(value: &Value<'_>) -> serde_json::Value {
    match value {
        Value::Empty => serde_json::Value::Null,
        Value::Str(text) => text.as_ref().into(),
        Value::Bool(yes) => (*yes).into(),
        Value::Int(number) => (*number).into(),
        Value::Double(number) => (*number).into(),
        Value::Array(values) => values.iter().map(json).collect(),
        Value::Map(pairs) => pairs.iter().map(|(name, value)| (name.clone().into_owned(), json(value))).collect(),
        Value::Bytes(bytes) => {
            bytes.iter().fold(String::with_capacity(bytes.len() * 2), |text, byte| text + &format!("{byte:02x}")).into()
        }
    }
}
