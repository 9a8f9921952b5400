//! What clocks and orders promise, on simulated systems whose message graph is known.
#![allow(clippy::indexing_slicing, reason = "in a test a panic is the answer")]

mod sim;

use proptest::prelude::*;
use raceway_trace::clock::{Component, Strand, VectorClock};
use raceway_trace::order::{Call, Calls, Interval, Join, Order, Origin};
use raceway_trace::x_raceway::Projection;
use sim::{Clocks, Links, Sim, script};

/// Room for anything from no entry to four or so.
const TIGHT: std::ops::Range<usize> = 200..420;

/// A third of the usual cases, since every one compares thousands of pairs; `PROPTEST_CASES` asks for more.
fn config() -> ProptestConfig {
    let usual = ProptestConfig::default();
    ProptestConfig { cases: usual.cases.div_ceil(3), failure_persistence: None, ..usual }
}

/// The order that the message graph itself gives.
fn truth(
    reached: impl Fn(sim::Node, sim::Node) -> bool,
    a: (sim::Node, sim::Node),
    b: (sim::Node, sim::Node),
) -> Order {
    let leads = |(_, end): (sim::Node, sim::Node), (start, _)| end != start && reached(end, start);
    match () {
        () if a == b => Order::Same,
        () if leads(a, b) => Order::Before,
        () if leads(b, a) => Order::After,
        () => Order::Concurrent,
    }
}

proptest! {
    #![proptest_config(config())]

    /// Both ways, with whole clocks, with clocks that were cut on the way, and with none at all.
    #[test]
    fn order_is_reachability(script in script(30), room in TIGHT) {
        let sim = Sim::run(&script, room);
        let (reached, calls) = (sim.reached_from(Links::All), sim.calls(Links::All, |_| true));
        for a in sim.intervals() {
            for b in sim.intervals() {
                let expected = truth(&reached, a, b);
                for clocks in [Clocks::Full, Clocks::Lean, Clocks::None] {
                    let order = calls.order(&sim.interval(a, clocks), &sim.interval(b, clocks));
                    prop_assert_eq!(order, expected, "{:?} {:?} {:?}", a, b, clocks);
                }
            }
        }
    }

    /// A clock alone tells exactly what headers carried; one that was cut on the way tells less, and nothing else.
    #[test]
    fn a_clock_alone_never_says_too_much(script in script(30), room in TIGHT) {
        let sim = Sim::run(&script, room);
        let reached = sim.reached_from(Links::Heads);
        for a in sim.intervals() {
            for b in sim.intervals() {
                let expected = truth(&reached, a, b) == Order::Before;
                let says = |clocks| sim.interval(a, clocks).precedes(&sim.interval(b, clocks));
                prop_assert_eq!(says(Clocks::Full), expected, "{:?} {:?}", a, b);
                prop_assert!(expected || !says(Clocks::Lean), "{:?} {:?}", a, b);
            }
        }
    }

    /// With spans missing an order may be unknown, but never another one.
    #[test]
    fn a_missing_span_makes_unknown_never_concurrent(
        script in script(30),
        room in TIGHT,
        missing in prop::collection::vec(prop::bool::weighted(0.3), 64),
    ) {
        let sim = Sim::run(&script, room);
        let reached = sim.reached_from(Links::All);
        let calls = sim.calls(Links::All, |who| !missing[who % missing.len()]);
        for a in sim.intervals() {
            for b in sim.intervals() {
                for clocks in [Clocks::Full, Clocks::Lean, Clocks::None] {
                    let order = calls.order(&sim.interval(a, clocks), &sim.interval(b, clocks));
                    let expected = truth(&reached, a, b);
                    prop_assert!(order == expected || order == Order::Unknown, "{:?} {:?} {:?}", a, b, order);
                }
            }
        }
    }

    /// R7: what holds over the certain calls alone is asked without the clocks that likely ones have touched.
    #[test]
    fn what_is_certain_is_reachability_over_certain_calls(script in script(30)) {
        let sim = Sim::run(&script, 4096);
        let (reached, calls) = (sim.reached_from(Links::Certain), sim.calls(Links::Certain, |_| true));
        for a in sim.intervals() {
            for b in sim.intervals() {
                let order = calls.order(&sim.interval(a, Clocks::None), &sim.interval(b, Clocks::None));
                prop_assert_eq!(order, truth(&reached, a, b), "{:?} {:?}", a, b);
            }
        }
    }

    #[test]
    fn happens_before_is_a_strict_partial_order(script in script(30), room in TIGHT) {
        let sim = Sim::run(&script, room);
        let (calls, all) = (sim.calls(Links::All, |_| true), sim.intervals());
        let order: Vec<Vec<_>> = all.iter().map(|&a| {
            let a = sim.interval(a, Clocks::Lean);
            all.iter().map(|&b| calls.order(&a, &sim.interval(b, Clocks::Lean))).collect()
        }).collect();
        for a in 0..all.len() {
            prop_assert_eq!(order[a][a], Order::Same);
            for b in 0..all.len() {
                prop_assert_eq!(order[a][b], order[b][a].reverse());
                if order[a][b] != Order::Before {
                    continue;
                }
                let behind = order[b].iter().zip(&order[a]).filter(|(from_b, _)| **from_b == Order::Before);
                prop_assert!(behind.map(|(_, from_a)| from_a).all(|from_a| *from_a == Order::Before));
            }
        }
    }

    /// One clock timed all of this, so what comes first began no later than the other ended.
    #[test]
    fn order_agrees_with_time(script in script(30), room in TIGHT) {
        let sim = Sim::run(&script, room);
        let calls = sim.calls(Links::All, |_| true);
        for a in sim.intervals() {
            for b in sim.intervals() {
                if calls.order(&sim.interval(a, Clocks::Lean), &sim.interval(b, Clocks::Lean)) == Order::Before {
                    prop_assert!(sim.time(a.0) <= sim.time(b.1));
                    prop_assert!(sim.time(a.1) < sim.time(b.0), "and even ended before");
                }
            }
        }
    }

    #[test]
    fn every_component_is_monotone_and_the_own_one_counts_ticks(script in script(60), room in TIGHT) {
        let sim = Sim::run(&script, room);
        for actor in &sim.actors {
            let own = actor.full.component();
            for (tick, (full, lean, _)) in (1..).zip(&actor.seen) {
                prop_assert_eq!((full.get(own), lean.get(own)), (Some(tick), Some(tick)));
                prop_assert_eq!(full.elided(), 0);
                for (component, value) in lean.iter() {
                    prop_assert!(full.get(component) >= Some(value), "a cut clock knows nothing of its own");
                }
            }
            for pair in actor.seen.windows(2) {
                let [(full, lean, _), (full_then, lean_then, _)] = pair else { unreachable!() };
                prop_assert!(full.iter().all(|(component, value)| full_then.get(component) >= Some(value)));
                prop_assert!(lean.iter().all(|(component, value)| lean_then.get(component) >= Some(value)));
            }
        }
    }
}

/// Few names, so that clocks meet; values of every size, also such as make no sense.
fn clock() -> impl Strategy<Value = VectorClock> {
    let entry = (0..90u32, prop_oneof![1..20u64, any::<u64>()]);
    prop::collection::vec(entry, 0..60).prop_map(|entries| {
        entries.into_iter().filter_map(|(name, value)| Some((Component::new(&format!("s#i~{name}"))?, value))).collect()
    })
}

fn merged(a: &VectorClock, b: &VectorClock) -> VectorClock {
    let mut merged = a.clone();
    merged.merge_max(b);
    merged
}

/// Text that is nearly a clock.
fn hostile() -> impl Strategy<Value = String> {
    let name = prop_oneof![3 => "svc#pod~[0-3]", 1 => "svc#pod", 1 => ".{0,4}"];
    let value = prop_oneof![
        4 => (1..9u64).prop_map(|value| value.to_string()),
        1 => any::<i64>().prop_map(|value| value.to_string()),
        1 => any::<u64>().prop_map(|value| value.to_string()),
        1 => any::<f64>().prop_map(|value| value.to_string()),
        1 => Just("null".to_owned()),
        1 => Just("NaN".to_owned()),
    ];
    let entry = (name, value).prop_map(|(name, value)| format!("[{name:?},{value}]"));
    let entries = prop::collection::vec(entry, 0..8).prop_map(|entries| format!("[{}]", entries.join(",")));
    prop_oneof![6 => entries, 1 => "[\\[\\],\"0-9a-]{0,20}", 1 => Just("null".to_owned())]
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn merge_is_commutative_associative_and_idempotent(a in clock(), b in clock(), c in clock()) {
        prop_assert_eq!(merged(&a, &b), merged(&b, &a));
        prop_assert_eq!(merged(&merged(&a, &b), &c), merged(&a, &merged(&b, &c)));
        prop_assert_eq!(merged(&a, &a), a.clone());
        let both = merged(&a, &b);
        for component in a.iter().chain(b.iter()).map(|(component, _)| component) {
            prop_assert_eq!(both.get(component), a.get(component).max(b.get(component)));
        }
    }

    /// Whatever comes in, at whatever point: nothing that was known is known less well, and the own counter counts.
    #[test]
    fn hostile_clocks_never_panic_and_never_lower(
        inbound in hostile(),
        steps in prop::collection::vec((0..5u8, hostile()), 0..12),
    ) {
        let parse = |text: &str| VectorClock::parse_json(text.as_bytes());
        let own = Component::strand("svc", "pod", 0);
        let inbound = parse(&inbound);
        let mut strand = Strand::receive(own.clone(), inbound.as_ref(), None, "svc");
        prop_assert_eq!(strand.clock().get(&own), Some(1), "claims about the own component are ignored");
        for (component, value) in inbound.iter().flat_map(VectorClock::iter).filter(|(component, _)| **component != own) {
            prop_assert_eq!(strand.clock().get(component), Some(value));
        }
        for (step, text) in steps {
            let before = strand.clone();
            let clock = parse(&text);
            let ticks = match step {
                0 => { strand.tick(); 1 }
                1 => { strand.send(); 2 }
                2 => { strand.reply(clock.as_ref(), None); 1 }
                3 => { strand.join(clock.as_ref(), None); 0 }
                _ => { strand.respond(); 1 }
            };
            prop_assert_eq!(strand.now(), before.now() + ticks);
            prop_assert_eq!(strand.clock().get(&own), Some(strand.now()));
            prop_assert_eq!(strand.clock().iter().next_back().map(|(last, _)| last), Some(&own));
            for (component, value) in before.clock().iter() {
                prop_assert!(strand.clock().get(component) >= Some(value));
            }
            for (service, value) in before.projection().iter() {
                prop_assert!(strand.projection().get(service) >= Some(value));
            }
            prop_assert!(strand.clock().iter().all(|(_, value)| value > 0));
        }
    }

    /// Spans may say anything: circles, ticks that do not fit, clocks that contradict each other.
    #[test]
    fn forged_spans_never_panic_and_the_order_stays_symmetric(
        origins in prop::collection::vec((0..6u64, prop::option::of((0..6u64, 0..9u64, prop::option::of((0..9u64, 0..9u64))))), 0..12),
        a in (0..7u64, 0..9u64, 0..9u64, hostile()),
        b in (0..7u64, 0..9u64, 0..9u64, hostile()),
    ) {
        let strand = |k| Component::strand("svc", "pod", k);
        let calls: Calls = origins.into_iter().map(|(k, call)| {
            let origin = call.map_or(Origin::Root, |(caller, sent, join)| Origin::Call(Call {
                caller: strand(caller),
                sent,
                answered: join.map(|(callee, caller)| Join { callee, caller }),
                ended: None,
            }));
            (strand(k), origin)
        }).collect();
        let (a_strand, b_strand) = (strand(a.0), strand(b.0));
        let (a_clock, b_clock) = (VectorClock::parse_json(a.3.as_bytes()), VectorClock::parse_json(b.3.as_bytes()));
        let a = Interval { strand: &a_strand, start: a.1, end: a.2, clock: a_clock.as_ref() };
        let b = Interval { strand: &b_strand, start: b.1, end: b.2, clock: b_clock.as_ref() };
        prop_assert_eq!(calls.order(&a, &b), calls.order(&b, &a).reverse());
    }

    #[test]
    fn projections_rise_by_one_per_tick(inbound in prop::option::of(0..5u64), ticks in 0..20u64) {
        let inbound = inbound.map(|value| Projection::parse(format!(r#"{{"svc":{value},"a":5}}"#).as_bytes()).expect("valid"));
        let received = inbound.as_ref().and_then(|projection| projection.get("svc")).unwrap_or(0);
        let mut strand = Strand::receive(Component::strand("svc", "pod", 0), None, inbound.as_ref(), "svc");
        for _ in 0..ticks {
            strand.tick();
        }
        prop_assert_eq!(strand.projection().get("svc"), Some(received + 1 + ticks));
        prop_assert_eq!(strand.projection().get("a"), inbound.map(|_| 5));
    }
}

/// A chain of calls far deeper than the limit is unknown rather than slow, and building it recurses nowhere.
#[test]
fn depth_has_an_end() {
    let strand = |k| Component::strand("svc", "pod", k);
    let call = |k| {
        let answered = Some(Join { callee: 9, caller: 9 });
        (strand(k + 1), Origin::Call(Call { caller: strand(k), sent: 2, answered, ended: None }))
    };
    let calls: Calls = (0..100_000).map(call).chain([(strand(0), Origin::Root)]).collect();
    let order = |a: u64, b: u64| {
        let (a, b) = (strand(a), strand(b));
        let point = |strand, tick| Interval { strand, start: tick, end: tick, clock: None };
        calls.order(&point(&a, 1), &point(&b, 1))
    };
    assert_eq!(order(10, 500), Order::Before);
    assert_eq!(order(500, 10), Order::After);
    assert_eq!(order(0, 100_000), Order::Unknown);
}

/// An application that takes a clock from one request along to another one's call adds a path that no call shows.
#[test]
fn a_clock_that_the_application_carried_over_counts() {
    let strand = |service, k| Component::strand(service, "pod", k);
    let mut first = Strand::receive(strand("api", 1), None, None, "api");
    let sent = first.send();
    let mut child = Strand::receive(strand("auth", 1), Some(&sent.clock), None, "auth");
    child.tick();
    child.respond();
    let reply = first.reply(None, None); // the head was too small for a clock
    let carried = first.send();
    let mut second = Strand::receive(strand("api", 2), None, None, "api");
    assert!(second.join(Some(&carried.clock), None));
    assert!(!second.join(Some(&carried.clock), None), "nothing new in it");
    let at = second.tick();

    let answered = Some(Join { callee: 3, caller: reply });
    let call = Call { caller: strand("api", 1), sent: sent.at, answered, ended: None };
    let calls: Calls =
        [(strand("api", 1), Origin::Root), (strand("api", 2), Origin::Root), (strand("auth", 1), Origin::Call(call))]
            .into_iter()
            .collect();
    let child = Interval { strand: child.component(), start: 2, end: 2, clock: None };
    let second = Interval { strand: second.component(), start: at, end: at, clock: Some(second.clock()) };
    assert_eq!(calls.order(&child, &second), Order::Before);
    assert_eq!(calls.order(&child, &Interval { clock: None, ..second }), Order::Concurrent);
}

/// A component without a strand is shared by requests that know nothing of each other.
#[test]
fn components_of_sdks_order_nothing() {
    let calls = Calls::default();
    let (sdk, strand) = (Component::new("svc#inst").expect("not empty"), Component::strand("svc", "inst", 1));
    let knows: VectorClock = [(sdk.clone(), 9), (strand.clone(), 9)].into_iter().collect();
    let at = |strand, start| Interval { strand, start, end: start, clock: Some(&knows) };
    assert_eq!(calls.order(&at(&sdk, 1), &at(&strand, 5)), Order::Unknown);
    assert_eq!(calls.order(&at(&sdk, 1), &at(&sdk, 2)), Order::Unknown);
    assert!(!at(&sdk, 1).precedes(&at(&strand, 5)));
    assert!(!at(&sdk, 1).precedes(&at(&sdk, 2)));
    assert_eq!(calls.order(&at(&strand, 1), &at(&strand, 2)), Order::Before);
}

#[test]
fn what_arrives_is_what_the_requirements_show() {
    let inbound = Projection::parse(br#"{"service-a":5}"#).expect("valid");
    let strand = Strand::receive(Component::strand("service-b", "pod", 1), None, Some(&inbound), "service-b");
    let mut value = Vec::new();
    strand.projection().write(&mut value);
    assert_eq!(String::from_utf8_lossy(&value), r#"{"service-a":5,"service-b":1}"#);
    // Where only the exact clock came, its components show their services.
    let clock: VectorClock = [("service-a#x~1", 5), ("service-a#x~2", 7), ("sdk#y", 2)]
        .into_iter()
        .filter_map(|(name, value)| Some((Component::new(name)?, value)))
        .collect();
    let strand = Strand::receive(Component::strand("service-b", "pod", 1), Some(&clock), None, "service-b");
    let entries: Vec<_> = strand.projection().iter().collect();
    assert_eq!(entries, [("service-a", 7), ("sdk", 2), ("service-b", 1)]);
}
