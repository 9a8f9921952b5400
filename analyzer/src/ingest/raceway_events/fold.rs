//! Puts the events of a strand together into one span, for showing.
//!
//! Which strand an event belongs to is not what its `distributed_span_id` says alone: after an SDK has made a call it
//! goes on under the id that it minted for the callee (with its own id as `upstream_span_id`). But it links every
//! event to the one before, so the chain of parent events leads back to the strand's first, whose id is right.

use std::collections::{BTreeMap, HashMap, HashSet};

use raceway_analyzer_client::{Kind, Reported, Span};
use raceway_trace::SpanId;

use super::SCOPE;
use super::event::{ID, PARENT_ID, STRAND, UPSTREAM};

/// Replaces the spans of single Raceway events by one span per strand that carries them all as span events. Other
/// spans, and traces without events, stay as they are. The result is in order of start, as the input should be.
///
/// Time is linear in the number of spans, but for the sorting.
pub fn fold(spans: Vec<Reported>) -> Vec<Reported> {
    let (events, mut folded): (Vec<_>, Vec<_>) = spans.into_iter().partition(is_event);
    if events.is_empty() {
        return folded;
    }
    let others: HashSet<SpanId> = folded.iter().map(|reported| reported.span.span_id).collect();
    let strands = strands(&events, &others);
    let mut groups: BTreeMap<(SpanId, String, String), Vec<Reported>> = BTreeMap::new();
    for (reported, strand) in events.into_iter().zip(strands) {
        let (service, instance) = process(&reported);
        let group = (strand, service.to_owned(), instance.to_owned());
        groups.entry(group).or_default().push(reported);
    }
    folded.extend(groups.into_iter().filter_map(|((strand, ..), events)| span_of(strand, events)));
    folded.sort_by_key(|reported| (reported.span.start_ns, reported.span.span_id));
    folded
}

fn is_event(reported: &Reported) -> bool {
    &*reported.scope == SCOPE && reported.span.attribute(ID).is_some()
}

/// The strand of each event.
fn strands(events: &[Reported], others: &HashSet<SpanId>) -> Vec<SpanId> {
    let by_id: HashMap<&str, usize> =
        events.iter().enumerate().filter_map(|(at, event)| Some((text(event, ID)?, at))).collect();
    let mut strands: Vec<Option<SpanId>> = vec![None; events.len()];
    let mut way = Vec::new();
    for start in 0..events.len() {
        // Up the chain of parents until the strand is known; then it is known for the whole way. No event is walked
        // over twice, but for chains that close on themselves, which end when they are longer than there are events.
        let mut at = start;
        let strand = loop {
            let Some(event) = events.get(at) else { break None };
            if let Some(Some(strand)) = strands.get(at) {
                break Some(*strand);
            }
            way.push(at);
            let parent = text(event, PARENT_ID).and_then(|id| by_id.get(id)).copied();
            let same_process = |&parent: &usize| events.get(parent).is_some_and(|p| process(p) == process(event));
            match parent.filter(same_process) {
                Some(parent) if way.len() <= events.len() => at = parent,
                _ => break Some(own_strand(event, others)),
            }
        };
        for at in way.drain(..) {
            if let (Some(known), Some(strand)) = (strands.get_mut(at), strand) {
                *known = Some(strand);
            }
        }
    }
    events.iter().zip(strands).map(|(event, strand)| strand.unwrap_or(event.span.span_id)).collect()
}

/// The strand of an event whose parent event is not there.
fn own_strand(event: &Reported, others: &HashSet<SpanId>) -> SpanId {
    let id = |name| text(event, name).and_then(|hex| SpanId::from_hex(hex.as_bytes()));
    match (id(STRAND), id(UPSTREAM)) {
        // Its parent event was lost, and the id is that of a callee which a sidecar saw: it went on after a call.
        (Some(strand), Some(upstream)) if text(event, PARENT_ID).is_some() && others.contains(&strand) => upstream,
        (Some(strand), _) => strand,
        (None, _) => event.span.span_id,
    }
}

/// One span with all events of a strand. `first` is the event that the strand's span was made of, or any other if
/// that was lost.
fn span_of(strand: SpanId, mut events: Vec<Reported>) -> Option<Reported> {
    events.sort_by_key(|event| event.span.end_ns);
    let start_ns = events.iter().map(|event| event.span.start_ns).min()?;
    let end_ns = events.iter().map(|event| event.span.end_ns).max()?;
    let status = events.iter().map(|event| &event.span.status).find(|status| status.is_error()).cloned();
    let span_events = events.iter().flat_map(|event| &event.span.events).cloned().collect();
    let own = events.iter().position(|event| event.span.span_id == strand);
    let first = events.into_iter().nth(own.unwrap_or(0))?;
    let mut span = first.span;
    if own.is_none() {
        // The strand's first event was lost: what is known is its id, and whom it says it was called by.
        let upstream = span.attribute(UPSTREAM).and_then(|hex| SpanId::from_hex(hex.as_str()?.as_bytes()));
        let called_by = upstream.filter(|&upstream| upstream != strand);
        let name = first.resource.service_name().unwrap_or_default().to_owned();
        span = Span::new(span.trace_id, strand, Kind::Internal, name, start_ns);
        span.parent_span_id = called_by;
    }
    (span.start_ns, span.end_ns, span.events) = (start_ns, end_ns, span_events);
    span.status = status.unwrap_or(span.status);
    Some(Reported { span, ..first })
}

/// Who reported: clocks, ids and chains of parents are of one process.
fn process(reported: &Reported) -> (&str, &str) {
    let resource = &reported.resource;
    (resource.service_name().unwrap_or_default(), resource.service_instance().unwrap_or_default())
}

fn text<'r>(reported: &'r Reported, name: &str) -> Option<&'r str> {
    reported.span.attribute(name).and_then(|value| value.as_str())
}

#[cfg(test)]
mod tests {
    use super::super::event::{Processes, span};
    use super::super::{EVENT_JSON, read};
    use super::*;

    /// Events in a line each: `id parent strand upstream kind at_ms`, numbers for ids, `-` for none.
    fn events(service: &str, lines: &[&str]) -> Vec<Reported> {
        let mut processes = Processes::default();
        let event = |line: &&str| {
            let [id, parent, strand, upstream, kind, at] = line.split_whitespace().collect::<Vec<_>>()[..] else {
                panic!("six words in {line:?}")
            };
            let uuid = |number: &str| format!("00000000-0000-4000-8000-{number:0>12}");
            let optional = |id: &str, text: String| if id == "-" { "null".to_owned() } else { format!("{text:?}") };
            let json = format!(
                r#"{{"id":"{}","trace_id":"{}","parent_id":{},"timestamp":"2026-11-01T10:00:00.{at:0>3}Z","kind":{{"{kind}":{{}}}},
                "metadata":{{"service_name":"{service}","instance_id":"1","distributed_span_id":{},"upstream_span_id":{}}}}}"#,
                uuid(id),
                uuid("99"),
                optional(parent, uuid(parent)),
                optional(strand, format!("{strand:0>16}")),
                optional(upstream, format!("{upstream:0>16}")),
            );
            span(&json, &mut processes).expect(line)
        };
        lines.iter().map(event).collect()
    }

    /// `id < parent: events, first to last ms`
    fn shown(spans: &[Reported]) -> Vec<String> {
        let ms = |ns: u64| ns / 1_000_000 % 1000;
        let line = |Reported { span, .. }: &Reported| {
            let parent = span.parent_span_id.map_or(0, SpanId::get);
            let count = span.events.iter().filter(|event| event.attribute(EVENT_JSON).is_some()).count();
            format!("{:x} < {parent:x}: {count}, {} to {}", span.span_id.get(), ms(span.start_ns), ms(span.end_ns))
        };
        spans.iter().map(line).collect()
    }

    #[test]
    fn a_strand_is_one_span_even_after_it_has_called() {
        // Strand a, called by 5, calls b (and goes on as b), then c (and goes on as c).
        let strand =
            ["1 - a 5 HttpRequest 1", "2 1 a 5 StateChange 2", "3 2 b a StateChange 4", "4 3 c b HttpResponse 6"];
        assert_eq!(shown(&fold(events("shop", &strand))), ["a < 5: 4, 1 to 6"]);
        let mut backwards = strand;
        backwards.reverse();
        assert_eq!(shown(&fold(events("shop", &backwards))), ["a < 5: 4, 1 to 6"]);
    }

    #[test]
    fn a_service_that_calls_itself_has_two_strands() {
        let both =
            ["1 - a 5 HttpRequest 1", "2 - b a HttpRequest 2", "3 2 b a HttpResponse 3", "4 1 b a HttpResponse 4"];
        assert_eq!(shown(&fold(events("shop", &both))), ["a < 5: 2, 1 to 4", "b < a: 2, 2 to 3"]);
    }

    #[test]
    fn events_of_two_services_under_one_id_stay_apart() {
        let mut spans = events("shop", &["1 - a - HttpRequest 1", "2 1 b a StateChange 9"]);
        spans.extend(events("till", &["3 - b a HttpRequest 3"]));
        assert_eq!(shown(&fold(spans)), ["a < 0: 2, 1 to 9", "b < a: 1, 3 to 3"]);
    }

    #[test]
    fn lost_events_leave_a_strand_that_is_as_right_as_can_be() {
        // The first is lost.
        assert_eq!(
            shown(&fold(events("shop", &["2 1 a 5 StateChange 2", "3 2 a 5 StateChange 3"]))),
            ["a < 5: 2, 2 to 3"]
        );
        // So is all before a call, but a sidecar saw the callee.
        let mut spans = events("shop", &["3 2 b a StateChange 4"]);
        let mut callee = events("till", &["9 - b a HttpRequest 3"]).remove(0);
        (callee.scope, callee.span.attributes) = ("raceway-proxy".into(), Vec::new());
        spans.push(callee);
        assert_eq!(shown(&fold(spans)), ["b < a: 1, 3 to 3", "a < 0: 1, 4 to 4"]);
    }

    #[test]
    fn chains_that_close_on_themselves_end() {
        let circle = ["1 2 a - StateChange 1", "2 1 a - StateChange 2", "3 3 a - StateChange 3"];
        assert_eq!(shown(&fold(events("shop", &circle))), ["a < 0: 3, 1 to 3"]);
    }

    #[test]
    fn long_chains_take_linear_time() {
        let lines: Vec<String> = (2..20_000).map(|n| format!("{n} {} a - StateChange 1", n - 1)).collect();
        let mut spans = events("shop", &["1 - a - HttpRequest 1"]);
        spans.extend(events("shop", &lines.iter().rev().map(String::as_str).collect::<Vec<_>>()));
        assert_eq!(fold(spans).len(), 1);
    }

    #[test]
    fn a_batch_with_a_bad_event_has_all_others() {
        let good = super::super::event::tests::VALID;
        let batch = read(format!(r#"{{"events":[{good},{{"id":1}},{good}]}}"#).as_bytes()).unwrap();
        assert_eq!((batch.spans.len(), batch.rejected.len(), batch.rejected[0].index), (2, 1, Some(1)));
        assert!(read(b"{}").is_err() && read(b"[]").is_err() && read(b"").is_err());
    }
}
