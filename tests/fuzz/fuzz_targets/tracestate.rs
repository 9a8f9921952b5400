//! `tracestate`: lines are parted by a newline. What is written reads, keeps to the limits and holds our member.
#![no_main]

use libfuzzer_sys::fuzz_target;
use raceway_trace::tracestate::{BYTES_MAX, MEMBERS_MAX, Member, Method, Probability, Tracestate};

fuzz_target!(|lines: &[u8]| {
    let Ok(state) = Tracestate::parse(lines.split(|&byte| byte == b'\n')) else { return };
    let own = state.raceway();
    let fallback = Member { method: Method::Sole, p: Probability::new(0.9) };
    for ours in [None, own, Some(fallback)] {
        let mut written = Vec::new();
        state.write(ours, &mut written);
        assert!(written.len() <= BYTES_MAX);
        let again = Tracestate::parse([&written[..]]).expect("what we write we read");
        assert!(again.members().len() <= MEMBERS_MAX);
        assert_eq!(again.raceway(), ours);
    }
});
