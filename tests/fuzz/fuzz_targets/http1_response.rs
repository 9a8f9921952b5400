//! Heads of responses: the pieces they come in make no difference, and what is passed on is what came.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use raceway_proxy::http1::{Framing, HeadError, Limits, ResponseHead};

type Seen = Result<Option<(Vec<u8>, Framing, u16, Vec<u8>)>, HeadError>;

fn read(bytes: &[u8], piece: usize, method: &str) -> (ResponseHead, Seen) {
    let mut head = ResponseHead::default();
    let mut input = BytesMut::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let (now, later) = rest.split_at(piece.min(rest.len()));
        input.extend_from_slice(now);
        rest = later;
        match head.read(&mut input, &Limits::default(), method) {
            Ok(true) => {
                let seen = (written(&head), head.framing(), head.status(), [&input, rest].concat());
                return (head, Ok(Some(seen)));
            }
            Ok(false) => {}
            Err(error) => return (head, Err(error)),
        }
    }
    (head, Ok(None))
}

fn written(head: &ResponseHead) -> Vec<u8> {
    let mut out = BytesMut::new();
    head.write(&mut out);
    out.to_vec()
}

fuzz_target!(|data: &[u8]| {
    let Some((&[piece, method], bytes)) = data.split_first_chunk::<2>() else { return };
    let method = ["GET", "HEAD", "CONNECT"][usize::from(method) % 3];
    let (mut head, seen) = read(bytes, bytes.len().max(1), method);
    assert_eq!(seen, read(bytes, usize::from(piece).max(1), method).1);
    let Ok(Some((out, framing, status, left))) = seen else { return };
    assert_eq!(out, &bytes[..bytes.len() - left.len()]);
    let bodyless = method == "HEAD" || matches!(status, 100..=199 | 204 | 304);
    assert!(!bodyless || framing == Framing::None);
    assert!(framing != Framing::UntilClose || !head.persistent());

    let (persistent, version) = (head.persistent(), head.version());
    head.replace("x-raceway-vc", b"{\"a\":1}");
    head.strip_hop_by_hop(piece % 2 == 0);
    head.announce_persistence(persistent, version);
    let (again, seen) = read(&written(&head), usize::MAX, method);
    // With our own line and a longer `Connection` it may be over the limit now.
    if !matches!(seen, Err(HeadError::TooLarge | HeadError::TooManyFields)) {
        assert!(matches!(seen, Ok(Some((_, same, code, _))) if (same, code) == (framing, status)));
        assert!(again.iter().eq(head.iter()));
        assert_eq!((again.reason(), again.persistent()), (head.reason(), persistent));
    }
});
