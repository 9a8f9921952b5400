//! `baggage`: lines are parted by a newline. Entries joined again read the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use raceway_trace::baggage::Baggage;

fuzz_target!(|lines: &[u8]| {
    let Ok(baggage) = Baggage::parse(lines.split(|&byte| byte == b'\n')) else { return };
    let members: Vec<_> = baggage
        .entries()
        .iter()
        .map(|entry| {
            assert!(entry.decoded().len() <= 3 * entry.value.len());
            format!("{}={};{}", entry.key, entry.value, entry.properties)
        })
        .collect();
    // One line each, so that commas which were not there add nothing to the length.
    let again = Baggage::parse(members.iter().map(|member| member.as_bytes()));
    if let Ok(again) = again {
        assert_eq!(again, baggage);
    } else {
        assert!(members.iter().map(String::len).sum::<usize>() > raceway_trace::baggage::BYTES_MAX);
    }
});
