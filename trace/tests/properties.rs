//! Two promises of every codec: no bytes make it panic, and what we write we can read.
#![allow(clippy::indexing_slicing, reason = "in a test a panic is the answer")]

use proptest::prelude::*;
use raceway_trace::b3::{B3, Ids, Multi, Sampling};
use raceway_trace::baggage::Baggage;
use raceway_trace::clock::{Component, VALUE_MAX, VectorClock};
use raceway_trace::jaeger::UberTraceId;
use raceway_trace::raceway_clock::{self, RacewayClock};
use raceway_trace::stamp::{self, line_len};
use raceway_trace::traceparent::{Flags, Traceparent};
use raceway_trace::tracestate::{BYTES_MAX, MEMBERS_MAX, Member, Method, Probability, Tracestate};
use raceway_trace::x_raceway::{Projection, VC_NAME, XTraceId};
use raceway_trace::{SpanId, TraceId};

fn trace_id() -> impl Strategy<Value = TraceId> {
    any::<u128>().prop_filter_map("zero", TraceId::new)
}

fn span_id() -> impl Strategy<Value = SpanId> {
    any::<u64>().prop_filter_map("zero", SpanId::new)
}

/// Names of every kind: plain, long, and with what has to be escaped.
fn name() -> impl Strategy<Value = String> {
    prop_oneof![4 => "[a-z]{1,12}#[a-z0-9-]{1,40}~[0-9]{1,4}", 2 => "[a-z]{100,160}", 1 => ".{1,30}"]
}

fn clock() -> impl Strategy<Value = VectorClock> {
    let entry = (name(), 1..=VALUE_MAX).prop_filter_map("empty", |(name, value)| Some((Component::new(&name)?, value)));
    prop::collection::vec(entry, 0..40).prop_map(|entries| entries.into_iter().collect())
}

fn projection() -> impl Strategy<Value = Projection> {
    clock().prop_map(|clock| clock.iter().map(|(component, value)| (component.clone(), value)).collect())
}

fn raceway_clock() -> impl Strategy<Value = RacewayClock> {
    (trace_id(), span_id(), prop::option::of(span_id()), name(), name(), clock()).prop_map(
        |(trace_id, span_id, parent_span_id, service, instance, clock)| RacewayClock {
            trace_id,
            span_id,
            parent_span_id,
            service,
            instance,
            clock,
        },
    )
}

/// A valid value with some bytes replaced, put in or left out: nearer to what a parser takes than noise is.
fn mangled(valid: &'static str) -> impl Strategy<Value = Vec<u8>> {
    let edit = (any::<prop::sample::Index>(), prop::option::of(any::<u8>()), 0..3usize);
    prop::collection::vec(edit, 0..4).prop_map(move |edits| {
        let mut value = valid.as_bytes().to_vec();
        for (at, byte, taken) in edits {
            let at = at.index(value.len() + 1);
            let end = (at + taken).min(value.len());
            value.splice(at..end, byte);
        }
        value
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_panic(value: Vec<u8>) {
        read_by_all(&value);
        read_by_all(&[b"v1;", &*value].concat());
    }

    #[test]
    fn no_near_miss_panics(
        traceparent in mangled("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        tracestate in mangled("raceway=m:s;p:9000,congo=t61rcWkgMzE"),
        baggage in mangled("a=1,b=two%20words;ttl=30"),
        b3 in mangled("80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-1-05e3ac9a4f6e3b90"),
        jaeger in mangled("4bf92f3577b34da6a3ce929d0e0e4736:f067aa0ba902b7:0:1"),
        vc in mangled(r#"{"service-a":5,"b":1}"#),
    ) {
        for value in [traceparent, tracestate, baggage, b3, jaeger, vc] {
            read_by_all(&value);
        }
    }

    #[test]
    fn traceparent(trace_id in trace_id(), parent_id in span_id(), flags: u8) {
        let value = Traceparent { trace_id, parent_id, flags: Flags::from_bits(flags) };
        prop_assert_eq!(Traceparent::parse(&value.to_bytes()), Ok(value));
    }

    #[test]
    fn tracestate(
        members in prop::collection::vec("[a-z0-9][a-z0-9_*/@-]{0,20}=[!-+.-<>-~]{1,200}", 0..=MEMBERS_MAX),
        method in prop::sample::select(Method::ALL.to_vec()),
        p in 0.0..=1.0f64,
    ) {
        let joined = members.join(",");
        let state = Tracestate::parse([joined.as_bytes()]).expect("valid");
        let ours = Member { method, p: Probability::new(p) };
        let mut value = Vec::new();
        state.write(Some(ours), &mut value);
        prop_assert!(value.len() <= BYTES_MAX);
        let again = Tracestate::parse([&value[..]]).expect("what we write we read");
        prop_assert_eq!(again.raceway(), Some(ours));
        prop_assert!(again.members().len() <= MEMBERS_MAX);
        // What is kept stays in its order, and all of it is kept where it fits.
        let kept: Vec<_> = again.members().skip(1).collect();
        let mut all = members.iter().map(|member| member.as_bytes());
        prop_assert!(kept.iter().all(|kept| all.any(|member| member == *kept)));
        if members.len() < MEMBERS_MAX && joined.len() + 20 < BYTES_MAX {
            prop_assert_eq!(kept.len(), members.len());
        }
    }

    #[test]
    fn b3(trace_id in trace_id(), span_id in span_id(), parent in prop::option::of(span_id()), sampling in 1..4u8) {
        let sampling = [Sampling::Defer, Sampling::Deny, Sampling::Accept, Sampling::Debug][usize::from(sampling)];
        let b3 = B3 { ids: Some(Ids { trace_id, span_id, parent_span_id: parent }), sampling };
        let mut value = Vec::new();
        b3.write_single(&mut value);
        prop_assert_eq!(B3::parse_single(&value), Ok(b3));
    }

    #[test]
    fn uber_trace_id(trace_id in trace_id(), span_id in span_id(), parent_span_id in prop::option::of(span_id()), flags: u8) {
        let id = UberTraceId { trace_id, span_id, parent_span_id, flags };
        let mut value = Vec::new();
        id.write(&mut value);
        prop_assert_eq!(UberTraceId::parse(&value), Ok(id));
    }

    #[test]
    fn x_raceway_vc(projection in projection()) {
        let mut value = Vec::new();
        projection.write(&mut value);
        prop_assert!(value.iter().all(|byte| (b' '..=b'~').contains(byte)));
        prop_assert_eq!(Projection::parse(&value), Ok(projection));
    }

    #[test]
    fn x_raceway_trace_id(text in "[ -~]{1,40}") {
        if let Ok(read) = XTraceId::parse(text.as_bytes()) {
            prop_assert_eq!(XTraceId::parse(&read.id.to_hex()).map(|id| id.id), Ok(read.id));
        }
    }

    #[test]
    fn raceway_clock_in_any_room(clock in raceway_clock(), room in 0..6000usize) {
        let mut whole = Vec::new();
        prop_assert_eq!(clock.as_ref().write(1 << 20, &mut whole), Some(0));
        prop_assert_eq!(RacewayClock::parse(&whole), Ok(clock.clone()));

        let mut value = Vec::new();
        let written = clock.as_ref().write(room, &mut value);
        prop_assert_eq!(written == Some(0), whole.len() <= room, "cut only where it must be");
        if let Some(elided) = written {
            prop_assert!(value.len() <= room);
            let again = RacewayClock::parse(&value).expect("what we write we read");
            prop_assert_eq!(again.clock.elided(), elided);
            let kept: Vec<_> = clock.clock.iter().skip(elided as usize).collect();
            prop_assert_eq!(again.clock.iter().collect::<Vec<_>>(), kept);
        }
    }

    #[test]
    fn a_clock_as_an_attribute(clock in clock()) {
        let mut json = Vec::new();
        clock.write_json(&mut json);
        prop_assert_eq!(VectorClock::parse_json(&json), Some(clock));
    }

    /// All our headers together stay within 4 KiB, whatever the names.
    #[test]
    fn the_size_has_a_bound(clock in raceway_clock(), projection in projection(), others in 0..5000usize) {
        let mut values = Vec::new();
        let written = stamp::clocks(&clock.as_ref(), Some(&projection), others, &mut values);
        let line = |name, range: Option<std::ops::Range<usize>>| range.map_or(0, |range| line_len(name, range.len()));
        let lines = line(raceway_clock::NAME, written.clock.clone()) + line(VC_NAME, written.projection.clone());
        prop_assert!(lines == 0 || others + lines <= stamp::BYTES_MAX);
        if let Some(at) = written.clock {
            prop_assert!(RacewayClock::parse(&values[at]).is_ok());
        }
        if let Some(at) = written.projection {
            prop_assert_eq!(Projection::parse(&values[at]), Ok(projection));
            prop_assert_eq!(written.elided, 0);
        }
    }
}

fn read_by_all(value: &[u8]) {
    let _ = Traceparent::parse(value);
    let lines = || value.split(|&byte| byte == b'\n');
    let _ = Tracestate::parse(lines()).map(|state| state.raceway());
    let _ = Baggage::parse(lines())
        .map(|baggage| baggage.entries().iter().map(|entry| entry.decoded().len()).sum::<usize>());
    let _ = RacewayClock::parse(value);
    let _ = XTraceId::parse(value);
    let _ = Projection::parse(value);
    let _ = VectorClock::parse_json(value);
    let _ = B3::parse_single(value);
    let half = value.len() / 2;
    let _ = B3::parse_multi(Multi { trace_id: value.get(..half), span_id: value.get(half..), ..Multi::default() });
    let _ = UberTraceId::parse(value);
    let _ = TraceId::parse(value);
}
