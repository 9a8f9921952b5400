//! `b3` and `X-B3-*`: what is read is written so that it reads the same, in both forms. The values of the multiple form
//! are parted by a newline.
#![no_main]

use libfuzzer_sys::fuzz_target;
use raceway_trace::b3::{self, B3, Multi, Sampling};

fuzz_target!(|input: &[u8]| {
    if let Ok(read) = B3::parse_single(input) {
        single(read);
        multi(read);
    }
    let mut values = input.split(|&byte| byte == b'\n').map(|value| Some(value).filter(|value| !value.is_empty()));
    let mut next = || values.next().flatten();
    let (trace_id, span_id, parent_span_id, sampled, flags) = (next(), next(), next(), next(), next());
    if let Ok(Some(read)) = B3::parse_multi(Multi { trace_id, span_id, parent_span_id, sampled, flags }) {
        single(read);
        multi(read);
    }
});

fn single(b3: B3) {
    let mut written = Vec::new();
    b3.write_single(&mut written);
    let again = B3::parse_single(&written);
    // A parent can only stand behind a decision, and nothing at all is no value.
    match (b3.ids, b3.sampling) {
        (None, Sampling::Defer) => assert!(written.is_empty()),
        (Some(mut ids), Sampling::Defer) => {
            ids.parent_span_id = None;
            assert_eq!(again, Ok(B3 { ids: Some(ids), ..b3 }));
        }
        _ => assert_eq!(again, Ok(b3)),
    }
}

fn multi(b3: B3) {
    let headers: Vec<_> = b3.multi().collect();
    let get = |name| headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_slice());
    let again = B3::parse_multi(Multi {
        trace_id: get(b3::TRACE_ID),
        span_id: get(b3::SPAN_ID),
        parent_span_id: get(b3::PARENT_SPAN_ID),
        sampled: get(b3::SAMPLED),
        flags: get(b3::FLAGS),
    });
    assert_eq!(again, Ok((!headers.is_empty()).then_some(b3)));
}
