//! `raceway-clock`: the input is a header's value, or the JSON within one. What is read is written so that it reads the
//! same, in whatever room it gets.
#![no_main]

use libfuzzer_sys::fuzz_target;
use raceway_trace::clock::{Component, ENTRIES_MAX, NAME_MAX, Strand, VALUE_MAX};
use raceway_trace::raceway_clock::RacewayClock;
use raceway_trace::stamp;

fuzz_target!(|input: &[u8]| {
    for value in [input, &header(input)] {
        let Ok(read) = RacewayClock::parse(value) else { continue };
        assert!(read.clock.len() <= ENTRIES_MAX);
        for (component, value) in read.clock.iter() {
            assert!((1..=NAME_MAX).contains(&component.len()) && (1..=VALUE_MAX).contains(&value));
        }
        let mut whole = Vec::new();
        assert_eq!(read.as_ref().write(usize::MAX / 2, &mut whole), Some(0));
        assert_eq!(RacewayClock::parse(&whole), Ok(read.clone()));

        let room = whole.len() * usize::from(input.first().copied().unwrap_or(0)) / 255;
        let mut tight = Vec::new();
        if let Some(elided) = read.as_ref().write(room, &mut tight) {
            assert!(tight.len() <= room);
            let again = RacewayClock::parse(&tight).expect("what we write we read");
            assert_eq!(again.clock.elided(), read.clock.elided().saturating_add(elided));
            assert!(again.clock.iter().all(|(component, value)| read.clock.get(component) == Some(value)));
            assert_eq!(again.clock.len() + elided as usize, read.clock.len());
        }

        let strand = Strand::receive(Component::strand("svc", "pod", 1), Some(&read.clock), None, "svc");
        let fields = raceway_trace::raceway_clock::RacewayClockRef { clock: strand.clock(), ..read.as_ref() };
        let mut values = Vec::new();
        stamp::clocks(&fields, Some(strand.projection()), 500, &mut values);
        assert!(values.len() <= stamp::BYTES_MAX - 500);
    }
});

fn header(json: &[u8]) -> Vec<u8> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut header = b"v1;".to_vec();
    for triple in json.chunks(3) {
        let bits = triple.iter().enumerate().fold(0u32, |bits, (at, &byte)| bits | u32::from(byte) << (16 - 8 * at));
        header.extend((0..=triple.len()).map(|at| ALPHABET[(bits >> (18 - 6 * at) & 63) as usize]));
    }
    header
}
