//! A strand that hostile clocks come in to at every point: lines are a step's letter and the JSON of a clock.
#![no_main]

use libfuzzer_sys::fuzz_target;
use raceway_trace::clock::{Component, ENTRIES_MAX, Strand, VectorClock};
use raceway_trace::order::{Calls, Interval, Order, Origin};
use raceway_trace::x_raceway::Projection;

fuzz_target!(|input: &[u8]| {
    let own = Component::strand("svc", "pod", 1);
    let mut strand = Strand::receive(own.clone(), None, None, "svc");
    for line in input.split(|&byte| byte == b'\n') {
        let Some((step, text)) = line.split_first() else { continue };
        let clock = VectorClock::parse_json(text);
        let projection = Projection::parse(text).ok();
        if let Some(clock) = &clock {
            let mut json = Vec::new();
            clock.write_json(&mut json);
            assert_eq!(VectorClock::parse_json(&json).as_ref(), Some(clock));
        }
        let before = strand.clone();
        match step {
            b'b' => strand = Strand::receive(own.clone(), clock.as_ref(), projection.as_ref(), "svc"),
            b's' => drop(strand.send()),
            b'r' => _ = strand.reply(clock.as_ref(), projection.as_ref()),
            b'j' => _ = strand.join(clock.as_ref(), projection.as_ref()),
            _ => _ = strand.tick(),
        }
        assert_eq!(strand.clock().iter().next_back(), Some((&own, strand.now())), "the own counter stands last");
        assert!(strand.clock().len() <= ENTRIES_MAX);
        if *step == b'b' {
            assert_eq!(strand.now(), 1);
            continue;
        }
        assert!((before.now()..=before.now() + 2).contains(&strand.now()));
        for (component, value) in before.clock().iter() {
            // Only the limit on entries makes one go, and then it is counted.
            let kept = strand.clock().get(component) >= Some(value);
            assert!(kept || strand.clock().elided() > before.clock().elided());
        }
        for (service, value) in before.projection().iter() {
            assert!(strand.projection().get(service) >= Some(value) || strand.projection().iter().len() == ENTRIES_MAX);
        }
        let calls = Calls::from_iter([(own.clone(), Origin::Root)]);

        let (a, b) = (before.now(), strand.now());
        let earlier = Interval { strand: &own, start: a, end: a, clock: Some(before.clock()) };
        let later = Interval { strand: &own, start: b, end: b, clock: Some(strand.clock()) };
        assert_eq!(calls.order(&earlier, &later), if a == b { Order::Same } else { Order::Before });
    }
});
