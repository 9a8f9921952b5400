//! `X-Raceway-Trace-Id` and `X-Raceway-VC`: ids are stable, and a projection is written so that it reads the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use raceway_trace::x_raceway::{Projection, XTraceId};

fuzz_target!(|value: &[u8]| {
    if let Ok(read) = XTraceId::parse(value) {
        assert_eq!(XTraceId::parse(value).as_ref(), Ok(&read));
        let id = XTraceId::parse(&read.id.to_hex()).expect("an id");
        assert_eq!((id.id, id.text), (read.id, None));
    }
    if let Ok(read) = Projection::parse(value) {
        let mut written = Vec::new();
        read.write(&mut written);
        assert!(written.iter().all(|byte| (b' '..=b'~').contains(byte)), "it has to stand in a header");
        assert_eq!(Projection::parse(&written), Ok(read));
    }
});
