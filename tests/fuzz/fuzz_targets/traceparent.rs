//! `traceparent`: whatever is read is written so that it reads the same, in version 00.
#![no_main]

use libfuzzer_sys::fuzz_target;
use raceway_trace::traceparent::Traceparent;

fuzz_target!(|value: &[u8]| {
    if let Ok(read) = Traceparent::parse(value) {
        let written = read.to_bytes();
        assert_eq!(Traceparent::parse(&written), Ok(read));
        if value.starts_with(b"00") {
            assert_eq!(value.trim_ascii(), written);
        }
    }
});
