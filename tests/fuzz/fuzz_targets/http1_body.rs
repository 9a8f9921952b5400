//! Bodies: the pieces they come in make no difference, and what is passed on is read the same by the next one.
#![no_main]

use libfuzzer_sys::fuzz_target;
use raceway_proxy::http1::{Body, BodyError, Framing, Limits, Step};

#[derive(Debug, PartialEq)]
struct Passed {
    out: Vec<u8>,
    left: Vec<u8>,
    payload: u64,
    done: bool,
}

fn pass(framing: Framing, limits: Limits, bytes: &[u8], piece: usize) -> Result<Passed, BodyError> {
    let mut body = Body::with_limits(framing, limits);
    let (mut out, mut input) = (Vec::new(), Vec::new());
    let mut rest = bytes;
    while !rest.is_empty() && !body.is_done() {
        let (now, later) = rest.split_at(piece.min(rest.len()));
        input.extend_from_slice(now);
        rest = later;
        loop {
            match body.step(&input)? {
                Step::Forward(size) => {
                    assert!(size > 0);
                    out.extend(input.drain(..size));
                }
                Step::Skip(size) => {
                    assert!(size > 0);
                    input.drain(..size);
                }
                Step::More => break assert!(input.len() < limits.head_bytes.max(1 << 10)),
                Step::End => break assert!(body.is_done()),
            }
        }
    }
    input.extend_from_slice(rest);
    let done = body.is_done();
    assert_eq!(body.eof().is_ok(), done || framing == Framing::UntilClose);
    Ok(Passed { out, left: input, payload: body.payload(), done })
}

/// The payload of chunks that are known to be valid and free of extensions.
fn payload(mut chunks: &[u8]) -> u64 {
    let mut sum = 0;
    loop {
        let line = chunks.iter().position(|&byte| byte == b'\r').expect("a size line");
        let size = u64::from_str_radix(str::from_utf8(&chunks[..line]).expect("digits"), 16).expect("digits");
        if size == 0 {
            return sum;
        }
        sum += size;
        chunks = &chunks[line + 2 + size as usize + 2..];
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((&[piece, kind, small], bytes)) = data.split_first_chunk::<3>() else { return };
    let limits = if small == 0 { Limits { head_bytes: 30, fields: 2 } } else { Limits::default() };
    let framing = match kind {
        0 => Framing::None,
        1 => Framing::UntilClose,
        2 => Framing::Length(u64::from(small)),
        _ => Framing::Chunked,
    };
    let seen = pass(framing, limits, bytes, usize::MAX);
    assert_eq!(seen, pass(framing, limits, bytes, usize::from(piece).max(1)));
    let Ok(seen) = seen else { return };
    if framing != Framing::Chunked {
        assert_eq!([seen.out, seen.left].concat(), bytes);
    } else if seen.done {
        assert_eq!(payload(&seen.out), seen.payload);
        let again = pass(framing, limits, &seen.out, usize::MAX).expect("what is passed on is valid");
        assert_eq!((&again.out, &again.left[..], again.payload, again.done), (&seen.out, &b""[..], seen.payload, true));
    }
});
