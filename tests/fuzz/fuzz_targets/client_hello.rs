//! TLS ClientHellos: a name that is read is one that can be written, and stays what it is whatever follows.
#![no_main]

use libfuzzer_sys::fuzz_target;
use raceway_proxy::hello::{self, Hello};

fuzz_target!(|input: &[u8]| {
    let read = hello::read(input);
    if let Hello::Whole(Some(name)) = &read {
        assert!(!name.is_empty() && name.len() <= 253 && name.is_ascii());
    }
    if read != Hello::Begun {
        assert_eq!(hello::read(&[input, b"more"].concat()), read);
    }
});
