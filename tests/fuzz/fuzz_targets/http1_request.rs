//! Heads of requests: the pieces they come in make no difference, what is passed on is what came, and stays so readable.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use raceway_proxy::http1::{Framing, HeadError, Limits, RequestHead};

type Seen = Result<Option<(Vec<u8>, Framing, bool, Vec<u8>)>, HeadError>;

fn read(bytes: &[u8], piece: usize, limits: &Limits) -> (RequestHead, Seen) {
    let mut head = RequestHead::default();
    let mut input = BytesMut::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let (now, later) = rest.split_at(piece.min(rest.len()));
        input.extend_from_slice(now);
        rest = later;
        match head.read(&mut input, limits) {
            Ok(true) => {
                let left = [&input, rest].concat();
                let seen = (written(&head), head.framing(), head.persistent(), left);
                return (head, Ok(Some(seen)));
            }
            Ok(false) => {}
            Err(error) => return (head, Err(error)),
        }
    }
    (head, Ok(None))
}

fn written(head: &RequestHead) -> Vec<u8> {
    let mut out = BytesMut::new();
    head.write(&mut out);
    out.to_vec()
}

fuzz_target!(|data: &[u8]| {
    let Some((&[piece, small], bytes)) = data.split_first_chunk::<2>() else { return };
    let limits = if small == 0 { Limits { head_bytes: 100, fields: 4 } } else { Limits::default() };
    let (mut head, seen) = read(bytes, bytes.len().max(1), &limits);
    assert_eq!(seen, read(bytes, usize::from(piece).max(1), &limits).1);
    let version = head.version();
    let Ok(Some((out, framing, persistent, left))) = seen else {
        // Nothing to pass on, but nothing to stumble over either.
        head.strip_hop_by_hop(true);
        head.announce_persistence(false, version);
        head.set_target(b"/");
        head.push("a", b"b");
        written(&head);
        return;
    };
    let taken = &bytes[..bytes.len() - left.len()];
    assert_eq!(out, taken.strip_prefix(b"\r\n").unwrap_or(taken));

    // As the simplest of readers would understand it.
    let text = out.strip_suffix(b"\r\n\r\n").expect("ends with an empty line");
    assert!(!text.windows(4).any(|end| end == b"\r\n\r\n"));
    assert!(text.split(|&byte| byte == b'\n').rev().skip(1).all(|line| line.ends_with(b"\r")), "no bare LF");
    assert_eq!(text.iter().filter(|&&byte| byte == b'\r').count(), text.iter().filter(|&&byte| byte == b'\n').count());
    let named = |name: &[u8]| head.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name)).count();
    let (lengths, codings) = (named(b"content-length"), named(b"transfer-encoding"));
    match framing {
        Framing::Length(_) => assert_eq!((lengths, codings), (1, 0)),
        Framing::Chunked => assert_eq!((lengths, codings), (0, 1)),
        Framing::None => assert_eq!((lengths, codings), (0, 0)),
        Framing::UntilClose => panic!("no request is framed like that"),
    }
    assert!(named(b"host") <= 1);
    let _ = (head.target_form(), head.host_agrees(), head.authority(), head.upgrade(), head.expects_continue());

    // Edited the way a proxy does, it is still the same message.
    head.replace("traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    head.strip_hop_by_hop(piece % 2 == 0);
    head.announce_persistence(persistent, version);
    let (again, seen) = read(&written(&head), usize::MAX, &Limits { head_bytes: 1 << 20, fields: 1000 });
    assert!(matches!(seen, Ok(Some((_, same, goes_on, _))) if (same, goes_on) == (framing, persistent)));
    assert!(again.iter().eq(head.iter()));
    assert_eq!(again.all("traceparent").count(), 1);
});
