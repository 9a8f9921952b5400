//! Bodies: which bytes go on, which are dropped, which are refused.

use super::*;

const CHUNKS: &str = "5\r\nhello\r\n0\r\n\r\n";

fn chunks(bytes: &[u8]) -> Result<Passed, (BodyError, Vec<u8>)> {
    let cuts: Vec<usize> = (0..bytes.len()).collect();
    let slowly = pass(Framing::Chunked, Limits::default(), bytes, &cuts);
    let at_once = pass(Framing::Chunked, Limits::default(), bytes, &[]);
    match (&at_once, &slowly) {
        (Ok(passed), Ok(same)) => assert_eq!(passed, same),
        (Err((error, _)), Err((same, _))) => assert_eq!(error, same),
        _ => panic!("{}: {at_once:?} but {slowly:?}", bytes.escape_ascii()),
    }
    at_once
}

#[test]
fn one_flaw_is_enough() {
    let rows: &[(&str, &str, &str)] = &[
        ("5\r\n", "+5\r\n", "bad_chunk_size"),
        ("5\r\n", "-5\r\n", "bad_chunk_size"),
        ("5\r\n", "0x5\r\n", "bad_chunk_size"),
        ("5\r\n", "x5\r\n", "bad_chunk_size"),
        ("5\r\n", "5h\r\n", "bad_chunk_size"),
        ("5\r\n", "5_\r\n", "bad_chunk_size"),
        ("5\r\n", "5,\r\n", "bad_chunk_size"),
        ("5\r\n", "5.0\r\n", "bad_chunk_size"),
        ("5\r\n", " 5\r\n", "bad_chunk_size"),
        ("5\r\n", "\t5\r\n", "bad_chunk_size"),
        ("5\r\n", "5 \r\n", "bad_chunk_size"),
        ("5\r\n", "5\t\r\n", "bad_chunk_size"),
        ("5\r\n", "5 5\r\n", "bad_chunk_size"),
        ("5\r\n", "5\u{0}\r\n", "bad_chunk_size"),
        ("5\r\n", "5\u{b}\r\n", "bad_chunk_size"),
        ("5\r\n", "5\u{b2}\r\n", "bad_chunk_size"),
        ("5\r\n", "\r\n5\r\n", "bad_chunk_size"),
        ("5\r\n", "\r\n", "bad_chunk_size"),
        ("5\r\n", ";a\r\n", "bad_chunk_size"),
        ("5\r\n", "00000000000000005\r\n", "bad_chunk_size"),
        ("5\r\n", "10000000000000005\r\n", "bad_chunk_size"),
        ("5\r\n", "8000000000000000\r\n", "bad_chunk_size"),
        ("5\r\n", "ffffffffffffffff\r\n", "bad_chunk_size"),
        ("5\r\n", "5\n", "bare_lf"),
        ("5\r\n", "5;a\n", "bare_lf"),
        ("5\r\n", "5;a\nb\r\n", "bare_lf"),
        ("5\r\n", "5\r\r\n", "bad_chunk_size"),
        ("5\r\n", "5\rX\r\n", "bad_chunk_size"),
        ("5\r\n", "5;a\rb\r\n", "control_character_in_chunk_extension"),
        ("5\r\n", "5;a\u{0}\r\n", "control_character_in_chunk_extension"),
        ("5\r\n", "5;a=\"\u{7f}\"\r\n", "control_character_in_chunk_extension"),
        ("hello\r\n", "hello\n", "no_crlf_after_chunk"),
        ("hello\r\n", "hello\r", "no_crlf_after_chunk"),
        ("hello\r\n", "hello", "no_crlf_after_chunk"),
        ("hello\r\n", "hello!\r\n", "no_crlf_after_chunk"),
        ("hello\r\n", "hell\r\n", "no_crlf_after_chunk"),
        ("hello\r\n", "hello\r\r\n", "no_crlf_after_chunk"),
        ("hello\r\n", "hello\n\r\n", "no_crlf_after_chunk"),
        ("0\r\n\r\n", "0\n\r\n", "bare_lf"),
        ("0\r\n\r\n", "0\r\n\n", "bare_lf"),
        ("0\r\n\r\n", "0\r\nX\r\n\r\n", "no_colon"),
        ("0\r\n\r\n", "0\r\nX: y\n\r\n", "bare_lf"),
        ("0\r\n\r\n", "0\r\nX : y\r\n\r\n", "space_before_colon"),
        ("0\r\n\r\n", "0\r\n X: y\r\n\r\n", "folded_line"),
        ("0\r\n\r\n", "0\r\nX: y\r\n z\r\n\r\n", "folded_line"),
        ("0\r\n\r\n", "0\r\n: y\r\n\r\n", "empty_field_name"),
        ("0\r\n\r\n", "0\r\nX: y\rz\r\n\r\n", "control_character_in_value"),
        ("0\r\n\r\n", "0\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "space_before_colon"),
        ("0\r\n\r\n", "0\r\nContent-Length: 5\r\n\r\n", "forbidden_trailer"),
        ("0\r\n\r\n", "0\r\ntransfer-encoding: chunked\r\n\r\n", "forbidden_trailer"),
        ("0\r\n\r\n", "0\r\nHOST: a\r\n\r\n", "forbidden_trailer"),
        ("0\r\n\r\n", "0\r\nConnection: close\r\n\r\n", "forbidden_trailer"),
    ];
    for (from, to, reason) in rows {
        let bytes = flawed(CHUNKS, from, to);
        let error = chunks(&bytes).err().map(|(error, _)| error);
        assert_eq!(error, Some(BodyError::Bad(reason)), "{}", bytes.escape_ascii());
    }
}

#[test]
fn chunks_go_on_as_they_came_without_extensions() {
    let rows: &[(&str, &str, u64)] = &[
        (CHUNKS, CHUNKS, 5),
        ("0\r\n\r\n", "0\r\n\r\n", 0),
        ("000\r\n\r\n", "000\r\n\r\n", 0),
        ("0000000000000005\r\nhello\r\n0\r\n\r\n", "0000000000000005\r\nhello\r\n0\r\n\r\n", 5),
        ("A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", "A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", 20),
        ("5;a=b\r\nhello\r\n0;c\r\n\r\n", "5\r\nhello\r\n0\r\n\r\n", 5),
        ("5 ; a = \"b;c\" \t\r\nhello\r\n0;\r\n\r\n", "5\r\nhello\r\n0\r\n\r\n", 5),
        ("5;\u{80}\r\nhello\r\n0\r\n\r\n", "5\r\nhello\r\n0\r\n\r\n", 5),
        ("2\r\n\r\n\r\n0\r\n\r\n", "2\r\n\r\n\r\n0\r\n\r\n", 2),
        ("3\r\n0\r\n\r\n0\r\n\r\n", "3\r\n0\r\n\r\n0\r\n\r\n", 3),
        ("1\r\nx\r\n0\r\nX-Sum: 1\r\nx-sum:\r\n\r\n", "1\r\nx\r\n0\r\nX-Sum: 1\r\nx-sum:\r\n\r\n", 1),
    ];
    for (bytes, out, payload) in rows {
        let bytes = [flawed(bytes, bytes, bytes), b"GET / next".to_vec()].concat();
        let passed = chunks(&bytes).unwrap_or_else(|error| panic!("{}: {error:?}", bytes.escape_ascii()));
        assert_eq!((passed.out.as_slice(), passed.payload, passed.done), (out.as_bytes(), *payload, true));
        assert_eq!(passed.left, b"GET / next");
    }
}

#[test]
fn what_is_whole_goes_on_in_one_step() {
    let mut body = Body::new(Framing::Chunked);
    let bytes = "1\r\nx\r\n".repeat(10_000) + "0\r\nX-Sum: 1\r\n\r\nnext";
    assert_eq!(body.step(bytes.as_bytes()), Ok(Step::Forward(bytes.len() - 4)));
    assert_eq!((body.step(b"next"), body.payload()), (Ok(Step::End), 10_000));
}

#[test]
fn data_goes_on_before_its_chunk_is_whole() {
    let mut body = Body::new(Framing::Chunked);
    assert_eq!(body.step(b"64\r\nevent: 1\n\n"), Ok(Step::Forward(14)));
    assert_eq!(body.step(b""), Ok(Step::More));
    assert_eq!(body.step(b"event: 2\n\n"), Ok(Step::Forward(10)));
    assert_eq!(body.eof(), Err(BodyError::Truncated));
}

#[test]
fn lines_have_a_length() {
    let size_line = format!("5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(1020));
    assert!(chunks(size_line.as_bytes()).is_ok());
    let size_line = format!("5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(1021));
    assert_eq!(chunks(size_line.as_bytes()).err().map(|(error, _)| error), Some(BodyError::TooLarge));

    let limits = Limits { head_bytes: 20, fields: 2 };
    let trailers = |text: &str| pass(Framing::Chunked, limits, format!("0\r\n{text}\r\n").as_bytes(), &[]);
    assert!(trailers("a: 1\r\nb: 2\r\n").is_ok());
    assert!(trailers("a: 4567890123456\r\n").is_ok());
    assert_eq!(trailers("a: 45678901234567\r\n").err().map(|(error, _)| error), Some(BodyError::TooLarge));
    assert_eq!(trailers("a:\r\nb:\r\nc:\r\n").err().map(|(error, _)| error), Some(BodyError::TooManyFields));
    assert_eq!(trailers(&"x".repeat(100)).err().map(|(error, _)| error), Some(BodyError::TooLarge));
}

#[test]
fn other_bodies_are_counted_only() {
    let limits = Limits::default();
    let passed = pass(Framing::Length(5), limits, b"hellonext", &[2]).expect("no framing to break");
    assert_eq!(
        (&passed.out[..], &passed.left[..], passed.payload, passed.done),
        (&b"hello"[..], &b"next"[..], 5, true)
    );
    for framing in [Framing::None, Framing::Length(0)] {
        let passed = pass(framing, limits, b"next", &[]).expect("nothing to break");
        assert_eq!((&passed.out[..], &passed.left[..], passed.done), (&b""[..], &b"next"[..], true));
    }
    let passed = pass(Framing::UntilClose, limits, b"all of it", &[3]).expect("nothing to break");
    assert_eq!((&passed.out[..], passed.payload, passed.done), (&b"all of it"[..], 9, false));
}

#[test]
fn the_peer_may_close_in_between() {
    for (framing, bytes, end) in [
        (Framing::None, "", Ok(())),
        (Framing::Length(5), "hello", Ok(())),
        (Framing::Length(5), "hell", Err(BodyError::Truncated)),
        (Framing::UntilClose, "hell", Ok(())),
        (Framing::Chunked, "", Err(BodyError::Truncated)),
        (Framing::Chunked, "5\r\nhel", Err(BodyError::Truncated)),
        (Framing::Chunked, "5\r\nhello\r\n0\r\n", Err(BodyError::Truncated)),
        (Framing::Chunked, CHUNKS, Ok(())),
    ] {
        let mut body = Body::new(framing);
        let mut rest = bytes.as_bytes();
        while let Ok(Step::Forward(size)) = body.step(rest) {
            rest = &rest[size..];
        }
        assert_eq!((body.eof(), body.is_done()), (end, end.is_ok()), "{framing:?} {bytes:?}");
    }
}

#[test]
fn a_trailer_that_trickles_in_is_looked_at_once() {
    let bytes = format!("0\r\nX: {}\r\n\r\n", "x".repeat(60_000));
    let cuts: Vec<usize> = (0..bytes.len()).collect();
    let started = std::time::Instant::now();
    let mut body = Body::new(Framing::Chunked);
    assert_eq!(body.step(b"0\r\n"), Ok(Step::Forward(3)));
    for cut in cuts.into_iter().skip(3) {
        let step = body.step(&bytes.as_bytes()[3..cut.max(3)]);
        assert!(matches!(step, Ok(Step::More | Step::Forward(_))));
        if matches!(step, Ok(Step::Forward(_))) {
            break;
        }
    }
    assert!(started.elapsed() < std::time::Duration::from_secs(1), "{:?}", started.elapsed());
}
