//! `uber-trace-id`: what is read is written so that it reads the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use raceway_trace::jaeger::UberTraceId;

fuzz_target!(|value: &[u8]| {
    if let Ok(read) = UberTraceId::parse(value) {
        let mut written = Vec::new();
        read.write(&mut written);
        assert_eq!(UberTraceId::parse(&written), Ok(read));
    }
});
