//! Requests: what is refused, and what is made of those that are not.

use super::*;
use crate::http1::{TargetForm, Version};

const CONNECT: &str = "CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\nX-First: one\r\n\r\n";

#[test]
fn one_flaw_is_enough() {
    let rows: &[(&str, &str, &str, &str)] = &[
        // The request line.
        (REQUEST, "POST /path", "POST  /path", "bad_target"),
        (REQUEST, "POST /path", " POST /path", "bad_method"),
        (REQUEST, "POST /path", "POST\t/path", "bad_method"),
        (REQUEST, "POST /path", "P\u{0}ST /path", "bad_method"),
        (REQUEST, "POST /path", "PO:ST /path", "bad_method"),
        (REQUEST, "POST /path", "PÖST /path", "bad_method"),
        (REQUEST, "/path?q=1", "/path?q =1", "bad_target"),
        (REQUEST, "/path?q=1", "/path\u{0}", "bad_target"),
        (REQUEST, "/path?q=1", "/path\u{7f}", "bad_target"),
        (REQUEST, "/path?q=1", "/path\tq", "bad_target"),
        (REQUEST, "/path?q=1", "/path\rq", "bad_target"),
        (REQUEST, "/path?q=1", "path", "bad_target"),
        (REQUEST, "/path?q=1", "example.com:80", "bad_target"),
        (REQUEST, "/path?q=1", "http:/path", "bad_target"),
        (REQUEST, "/path?q=1", "http://", "bad_target"),
        (REQUEST, "/path?q=1", "http:///path", "bad_target"),
        (REQUEST, "/path?q=1", "http://example.com#x", "bad_target"),
        (REQUEST, "/path?q=1", "http://user@example.com/", "bad_target"),
        (REQUEST, "/path?q=1", "http://exa\\mple.com/", "bad_target"),
        (REQUEST, "/path?q=1", "://example.com/", "bad_target"),
        (REQUEST, "/path?q=1", "**", "bad_target"),
        (REQUEST, "/path?q=1 HTTP/1.1", "/path", "no_http_version"),
        (REQUEST, "HTTP/1.1", "HTTP/1.1 ", "bad_http_version"),
        (REQUEST, "HTTP/1.1", "http/1.1", "bad_http_version"),
        (REQUEST, "HTTP/1.1", "HTTP/1.10", "bad_http_version"),
        (REQUEST, "HTTP/1.1", "HTTP/1.1\t", "bad_http_version"),
        (REQUEST, "HTTP/1.1", "HTTP/1,1", "bad_http_version"),
        (REQUEST, "HTTP/1.1", "HTTP/01.1", "bad_http_version"),
        (REQUEST, "HTTP/1.1", "HTTP/1.", "bad_http_version"),
        (REQUEST, "HTTP/1.1", "HTTPS/1.1", "bad_http_version"),
        (REQUEST, "HTTP/1.1", "ICY/1.1", "bad_http_version"),
        (REQUEST, "HTTP/1.1", "HTTP/0.9", "unsupported_http_version"),
        (REQUEST, "HTTP/1.1", "HTTP/1.2", "unsupported_http_version"),
        (REQUEST, "HTTP/1.1", "HTTP/2.0", "unsupported_http_version"),
        (REQUEST, "HTTP/1.1", "HTTP/2", "unsupported_http_version"),
        (REQUEST, "POST /path?q=1 HTTP/1.1", "PRI * HTTP/2.0", "http_2_preface"),
        (REQUEST, "POST", "\r\n\r\nPOST", "empty_request_line"),
        (REQUEST, "POST", "\nPOST", "bare_lf"),
        (REQUEST, "POST", "\r\n\nPOST", "bare_lf"),
        (REQUEST, "POST", "\rPOST", "bad_method"),
        (REQUEST, "POST /path?q=1", "CONNECT /path", "bad_target"),
        (REQUEST, "POST /path?q=1", "CONNECT example.com", "bad_target"),
        (REQUEST, "POST /path?q=1", "CONNECT example.com:", "bad_target"),
        (REQUEST, "POST /path?q=1", "CONNECT :443", "bad_target"),
        (REQUEST, "POST /path?q=1", "CONNECT http://example.com:443/", "bad_target"),
        (REQUEST, "POST /path?q=1", "CONNECT [::1]", "bad_target"),
        // Line ends.
        (REQUEST, "1.1\r\n", "1.1\n", "bare_lf"),
        (REQUEST, "one\r\n", "one\n", "bare_lf"),
        (REQUEST, "5\r\n\r\n", "5\r\n\n", "bare_lf"),
        (REQUEST, "5\r\n\r\n", "5\n\r\n", "bare_lf"),
        (REQUEST, "one\r\n", "one\r\r\n", "control_character_in_value"),
        (REQUEST, "one\r\n", "one\rX-Second: two\r\n", "control_character_in_value"),
        (REQUEST, "one\r\n", "one\r\n folded\r\n", "folded_line"),
        (REQUEST, "one\r\n", "one\r\n\tfolded\r\n", "folded_line"),
        (REQUEST, "one\r\n", "one\r\n \r\n", "folded_line"),
        (REQUEST, "Host: ", " Host: ", "folded_line"),
        (REQUEST, "5\r\n\r\n", "5\r\n\r \r\n\r\n", "bad_field_name"),
        // Names.
        (REQUEST, "X-First:", "X-First :", "space_before_colon"),
        (REQUEST, "X-First:", "X-First\t:", "space_before_colon"),
        (REQUEST, "Content-Length:", "Content-Length :", "space_before_colon"),
        (REQUEST, "X-First:", "X First:", "space_before_colon"),
        (REQUEST, "X-First:", ":", "empty_field_name"),
        (REQUEST, "X-First: one", ": one", "empty_field_name"),
        (REQUEST, "X-First: one", "X-First one", "space_before_colon"),
        (REQUEST, "X-First: one", "X-First", "no_colon"),
        (REQUEST, "X-First:", "X-F\u{0}irst:", "bad_field_name"),
        (REQUEST, "X-First:", "X-F\u{b}irst:", "bad_field_name"),
        (REQUEST, "X-First:", "X-First\u{b}:", "bad_field_name"),
        (REQUEST, "X-First:", "X-First\u{a0}:", "bad_field_name"),
        (REQUEST, "X-First:", "\u{a0}X-First:", "bad_field_name"),
        (REQUEST, "X-First:", "X-F\"irst\":", "bad_field_name"),
        (REQUEST, "X-First:", "X-F(irst):", "bad_field_name"),
        (REQUEST, "X-First:", "X-F/irst:", "bad_field_name"),
        (REQUEST, "X-First:", "X-F\rirst:", "bad_field_name"),
        // Values.
        (REQUEST, "one", "o\u{0}ne", "control_character_in_value"),
        (REQUEST, "one", "o\u{1}ne", "control_character_in_value"),
        (REQUEST, "one", "one\u{b}", "control_character_in_value"),
        (REQUEST, "one", "\u{c}one", "control_character_in_value"),
        (REQUEST, "one", "one\u{7f}", "control_character_in_value"),
        (REQUEST, "one", "a value of more than sixteen bytes with an \u{1b} escape", "control_character_in_value"),
        // Host.
        (REQUEST, "Host: example.com\r\n", "", "no_host"),
        (REQUEST, "X-First: one", "Host: example.com", "several_hosts"),
        (REQUEST, "X-First: one", "hOST: other.com", "several_hosts"),
        (REQUEST, "example.com", "example.com/path", "bad_host"),
        (REQUEST, "example.com", "user@example.com", "bad_host"),
        (REQUEST, "example.com", "example.com other.com", "bad_host"),
        (REQUEST, "example.com", "example.com:port", "bad_host"),
        (REQUEST, "example.com", "example.com:80:80", "bad_host"),
        (REQUEST, "example.com", "example.com:800000", "bad_host"),
        (REQUEST, "example.com", "example.com?", "bad_host"),
        (REQUEST, "example.com", "example.com#", "bad_host"),
        (REQUEST, "example.com", "exam\\ple.com", "bad_host"),
        (REQUEST, "example.com", "exämple.com", "bad_host"),
        (REQUEST, "example.com", "[::1", "bad_host"),
        (REQUEST, "example.com", "[]", "bad_host"),
        (REQUEST, "example.com", "[::1]80", "bad_host"),
        (REQUEST, "example.com", "[::1]:x", "bad_host"),
        (REQUEST, "example.com", "::1]", "bad_host"),
        // Content-Length.
        (REQUEST, ": 5", ": +5", "bad_content_length"),
        (REQUEST, ": 5", ": -5", "bad_content_length"),
        (REQUEST, ": 5", ": 0x5", "bad_content_length"),
        (REQUEST, ": 5", ": 5.0", "bad_content_length"),
        (REQUEST, ": 5", ": 5e0", "bad_content_length"),
        (REQUEST, ": 5", ": 5,5", "bad_content_length"),
        (REQUEST, ": 5", ": 5, 6", "bad_content_length"),
        (REQUEST, ": 5", ": 5;", "bad_content_length"),
        (REQUEST, ": 5", ": 5 5", "bad_content_length"),
        (REQUEST, ": 5", ": 1_000", "bad_content_length"),
        (REQUEST, ": 5", ": \"5\"", "bad_content_length"),
        (REQUEST, ": 5", ": five", "bad_content_length"),
        (REQUEST, ": 5", ": \u{b2}", "bad_content_length"),
        (REQUEST, ": 5", ":", "bad_content_length"),
        (REQUEST, ": 5", ": ", "bad_content_length"),
        (REQUEST, ": 5", ": 9223372036854775808", "bad_content_length"),
        (REQUEST, ": 5", ": 18446744073709551616", "bad_content_length"),
        (REQUEST, ": 5", ": 18446744073709551621", "bad_content_length"),
        (REQUEST, ": 5", ": 00000000000000000005", "bad_content_length"),
        (REQUEST, ": 5", ":\t5", "bad_content_length"),
        (REQUEST, ": 5", ": 5 \t", "bad_content_length"),
        (REQUEST, ": 5", ": 5\u{b}", "control_character_in_value"),
        (REQUEST, "X-First: one", "Content-Length: 5", "several_content_lengths"),
        (REQUEST, "X-First: one", "content-length: 6", "several_content_lengths"),
        (REQUEST, "X-First: one", "Content-Length:", "bad_content_length"),
        (REQUEST, "X-First: one", "Transfer-Encoding: chunked", "content_length_and_transfer_encoding"),
        (REQUEST, "X-First: one", "transfer-ENCODING:chunked", "content_length_and_transfer_encoding"),
        (REQUEST, "X-First: one", "Transfer-Encoding: identity", "bad_transfer_encoding"),
        // Transfer-Encoding.
        (CHUNKED, ": chunked", ": xchunked", "bad_transfer_encoding"),
        (CHUNKED, ": chunked", ": chunkedx", "bad_transfer_encoding"),
        (CHUNKED, ": chunked", ": chunk", "bad_transfer_encoding"),
        (CHUNKED, ": chunked", ": identity", "bad_transfer_encoding"),
        (CHUNKED, ": chunked", ": gzip", "bad_transfer_encoding"),
        (CHUNKED, ": chunked", ": gzip, chunked", "bad_transfer_encoding"),
        (CHUNKED, ": chunked", ": chunked, gzip", "bad_transfer_encoding"),
        (CHUNKED, ": chunked", ": chunked, chunked", "bad_transfer_encoding"),
        (CHUNKED, ": chunked", ": chunked, identity", "bad_transfer_encoding"),
        (CHUNKED, ": chunked", ": identity, chunked", "bad_transfer_encoding"),
        (CHUNKED, ": chunked", ": chunked,", "bad_transfer_encoding"),
        (CHUNKED, ": chunked", ": ,chunked", "bad_transfer_encoding"),
        (CHUNKED, ": chunked", ": chunked;q=1", "bad_transfer_encoding"),
        (CHUNKED, ": chunked", ": \"chunked\"", "bad_transfer_encoding"),
        (CHUNKED, ": chunked", ": 'chunked'", "bad_transfer_encoding"),
        (CHUNKED, ": chunked", ": chun ked", "bad_transfer_encoding"),
        (CHUNKED, ": chunked", ": chunked\u{a0}", "bad_transfer_encoding"),
        (CHUNKED, ": chunked", ":", "bad_transfer_encoding"),
        (CHUNKED, ": chunked", ":\tchunked", "bad_transfer_encoding"),
        (CHUNKED, ": chunked", ": chunked\t", "bad_transfer_encoding"),
        (CHUNKED, ": chunked", ": \u{b}chunked", "control_character_in_value"),
        (CHUNKED, ": chunked", ": chunked\u{c}", "control_character_in_value"),
        (CHUNKED, ": chunked", ": chunked\u{0}", "control_character_in_value"),
        (CHUNKED, ": chunked", ":\r\n chunked", "bad_transfer_encoding"),
        (CHUNKED, "-Encoding:", "-Encoding :", "space_before_colon"),
        (CHUNKED, "X-First: one", "Transfer-Encoding: chunked", "several_transfer_encodings"),
        (CHUNKED, "X-First: one", "Transfer-Encoding: identity", "several_transfer_encodings"),
        (CHUNKED, "X-First: one", "Transfer-Encoding:", "several_transfer_encodings"),
        (CHUNKED, "X-First: one", "Content-Length: 5", "content_length_and_transfer_encoding"),
        (CHUNKED, "X-First: one", "Content-Length: 0", "content_length_and_transfer_encoding"),
        (CHUNKED, "HTTP/1.1", "HTTP/1.0", "transfer_encoding_on_http_1_0"),
        (CONNECT, "X-First: one", "Content-Length: 5", "body_on_connect"),
        (CONNECT, "X-First: one", "Transfer-Encoding: chunked", "body_on_connect"),
    ];
    for (valid, from, to, reason) in rows {
        let bytes = flawed(valid, from, to);
        let error = request(&bytes).err();
        assert_eq!(error, Some(HeadError::Bad(reason)), "{}", bytes.escape_ascii());
    }
}

#[test]
fn what_only_looks_odd_passes_as_it_came() {
    let rows: &[(&str, &str, &str, Framing)] = &[
        (REQUEST, "POST", "POST", Framing::Length(5)),
        (REQUEST, "POST", "get", Framing::Length(5)),
        (REQUEST, "POST", "M-SEARCH!#$%&'*+.^_`|~", Framing::Length(5)),
        (REQUEST, "/path?q=1", "*", Framing::Length(5)),
        (REQUEST, "/path?q=1", "//path", Framing::Length(5)),
        (REQUEST, "/path?q=1", "/a#fragment", Framing::Length(5)),
        (REQUEST, "/path?q=1", "/{a}|\\^`\"<>[]", Framing::Length(5)),
        (REQUEST, "/path?q=1", "/\u{c3}\u{a4}\u{ff}", Framing::Length(5)),
        (REQUEST, "/path?q=1", "/%00%zz", Framing::Length(5)),
        (REQUEST, "/path?q=1", "http://example.com", Framing::Length(5)),
        (REQUEST, "/path?q=1", "http://example.com?q", Framing::Length(5)),
        (REQUEST, "/path?q=1", "HTTPS://[::1]:443/path", Framing::Length(5)),
        (CONNECT, "example.com:443 ", "example.com:443 ", Framing::None),
        (CONNECT, "example.com:443 ", "[::1]:443 ", Framing::None),
        (CONNECT, "X-First: one", "Content-Length: 0", Framing::Length(0)),
        (REQUEST, ": one", ":one", Framing::Length(5)),
        (REQUEST, ": one", ":", Framing::Length(5)),
        (REQUEST, ": one", ": \t one \t", Framing::Length(5)),
        (REQUEST, ": one", ": tab\tand \u{80}\u{ff} and : colons", Framing::Length(5)),
        (REQUEST, "X-First", "x_first", Framing::Length(5)),
        (REQUEST, "X-First", "Content_Length", Framing::Length(5)),
        (REQUEST, "X-First", "!#$%&'*+-.^_`|~09", Framing::Length(5)),
        (REQUEST, "X-First: one", "X-First: one\r\nX-First: two", Framing::Length(5)),
        (REQUEST, "example.com", "", Framing::Length(5)),
        (REQUEST, "example.com", "example.com:", Framing::Length(5)),
        (REQUEST, "example.com", "a_b-c.~%41!$&'()*+,;=:65535", Framing::Length(5)),
        (REQUEST, "example.com", "[fe80::1%25eth0]:80", Framing::Length(5)),
        (REQUEST, ": 5", ":  5 ", Framing::Length(5)),
        (REQUEST, ": 5", ": 005", Framing::Length(5)),
        (REQUEST, ": 5", ": 0", Framing::Length(0)),
        (REQUEST, ": 5", ": 9223372036854775807", Framing::Length(i64::MAX as u64)),
        (REQUEST, "Content-Length: 5\r\n", "", Framing::None),
        (REQUEST, "HTTP/1.1", "HTTP/1.0", Framing::Length(5)),
        (CHUNKED, "X", "X", Framing::Chunked),
        (CHUNKED, ": chunked", ":  CHUNKED ", Framing::Chunked),
        (CHUNKED, "Transfer-Encoding", "tRANSFER-eNCODING", Framing::Chunked),
    ];
    for (valid, from, to, framing) in rows {
        let bytes = flawed(valid, from, to);
        let head = request(&bytes).unwrap_or_else(|error| panic!("{}: {error}", bytes.escape_ascii()));
        assert_eq!(head.framing(), *framing, "{}", bytes.escape_ascii());
        assert_eq!(written(&head).chars().map(|char| char as u8).collect::<Vec<_>>(), bytes);
    }
}

#[test]
fn one_empty_line_in_front_is_dropped() {
    let head = request(&flawed(REQUEST, "POST", "\r\nPOST")).expect("one is allowed");
    assert_eq!(written(&head), REQUEST);
}

#[test]
fn the_parts_are_found() {
    let head = request(REQUEST.as_bytes()).expect("valid");
    assert_eq!((head.method(), head.target(), head.version()), ("POST", &b"/path?q=1"[..], Version::Http11));
    assert_eq!((head.host(), head.authority()), (Some(&b"example.com"[..]), Some(&b"example.com"[..])));
    assert_eq!((head.len(), head.is_empty(), head.partial()), (3, false, false));
    assert_eq!(head.first("x-first"), Some(&b"one"[..]));
    assert_eq!(head.first("X-FIRST"), Some(&b"one"[..]));
    assert_eq!(head.first("x-other"), None);
    assert_eq!(head.first(""), None);
    let lines: Vec<(&[u8], &[u8])> = head.iter().collect();
    assert_eq!(lines, [(&b"Host"[..], &b"example.com"[..]), (b"X-First", b"one"), (b"Content-Length", b"5")]);
}

#[test]
fn targets_have_a_form() {
    let form = |line: &str| {
        let head = request(format!("{line} HTTP/1.1\r\nHost: example.com\r\n\r\n").as_bytes()).expect("valid");
        match head.target_form() {
            TargetForm::Absolute { scheme, authority, rest } => {
                let text = |part| str::from_utf8(part).expect("ASCII").to_owned();
                [text(scheme), text(authority), text(rest)].join(" ")
            }
            form => format!("{form:?}"),
        }
    };
    assert_eq!(form("GET /path"), "Origin");
    assert_eq!(form("GET /http://other.com/"), "Origin");
    assert_eq!(form("OPTIONS *"), "Asterisk");
    assert_eq!(form("CONNECT other.com:443"), "Authority");
    assert_eq!(form("GET http://other.com:81/a?b"), "http other.com:81 /a?b");
    assert_eq!(form("GET HTTP://other.com"), "HTTP other.com ");
    assert_eq!(form("GET http://other.com?b@c"), "http other.com ?b@c");
}

#[test]
fn a_target_may_contradict_the_host() {
    let rows = [
        ("GET /", "example.com", true, "example.com"),
        ("GET http://example.com/", "example.com", true, "example.com"),
        ("GET http://EXAMPLE.com:80/", "example.com", true, "EXAMPLE.com:80"),
        ("GET http://example.com/", "example.com:80", true, "example.com"),
        ("GET https://example.com/", "example.com:443", true, "example.com"),
        ("GET https://example.com/", "example.com:80", false, "example.com"),
        ("GET http://example.com:81/", "example.com", false, "example.com:81"),
        ("GET http://other.com/", "example.com", false, "other.com"),
        ("GET http://other.com/", "", false, "other.com"),
        ("CONNECT example.com:443", "example.com:443", true, "example.com:443"),
        ("CONNECT other.com:443", "example.com:443", false, "other.com:443"),
    ];
    for (line, host, agrees, authority) in rows {
        let bytes = format!("{line} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let head = request(bytes.as_bytes()).expect("valid");
        assert_eq!((head.host_agrees(), head.authority()), (agrees, Some(authority.as_bytes())), "{bytes:?}");
    }
}

#[test]
fn connections_go_on_or_not() {
    let rows = [
        ("1.1", "", true),
        ("1.1", "Connection: close\r\n", false),
        ("1.1", "Connection: CLOSE\r\n", false),
        ("1.1", "Connection: keep-alive\r\n", true),
        ("1.1", "Connection: keep-alive, close\r\n", false),
        ("1.1", "Connection: keep-alive\r\nConnection: x , close\r\n", false),
        ("1.1", "Connection: closed\r\n", true),
        ("1.1", "Proxy-Connection: close\r\n", true),
        ("1.0", "", false),
        ("1.0", "Connection: keep-alive\r\n", true),
        ("1.0", "Connection: ,Keep-Alive,\r\n", true),
        ("1.0", "Connection: keep-alive, close\r\n", false),
    ];
    for (version, line, persistent) in rows {
        let head = request(format!("GET / HTTP/{version}\r\nHost: a\r\n{line}\r\n").as_bytes()).expect("valid");
        assert_eq!(head.persistent(), persistent, "{version} {line}");
    }
}

#[test]
fn http_1_0_needs_no_host_and_knows_neither_continue_nor_upgrade() {
    let lines = "Expect: 100-Continue\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let head = request(format!("GET / HTTP/1.0\r\n{lines}").as_bytes()).expect("valid");
    assert_eq!((head.host(), head.expects_continue(), head.upgrade()), (None, false, None));
    let head = request(format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}").as_bytes()).expect("valid");
    assert_eq!((head.expects_continue(), head.upgrade()), (true, Some(&b"websocket"[..])));
    let head = request(b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n").expect("valid");
    assert_eq!(head.upgrade(), None, "not named by Connection");
}

#[test]
fn limits_count_bytes_and_lines() {
    let limits = Limits { head_bytes: REQUEST.len(), fields: 3 };
    assert!(request_with(REQUEST.as_bytes(), &limits).is_ok());
    let one_byte_less = Limits { head_bytes: REQUEST.len() - 1, ..limits };
    assert_eq!(request_with(REQUEST.as_bytes(), &one_byte_less).err(), Some(HeadError::TooLarge));
    let one_line_less = Limits { fields: 2, ..limits };
    assert_eq!(request_with(REQUEST.as_bytes(), &one_line_less).err(), Some(HeadError::TooManyFields));
    let options = flawed(REQUEST, "X-First: one", "Connection: a,b,c,d");
    let limits = Limits { head_bytes: 1000, fields: 3 };
    assert_eq!(request_with(&options, &limits).err(), Some(HeadError::TooManyFields));
    let endless = [b'a'; 2000];
    assert_eq!(request_with(&endless, &limits).err(), Some(HeadError::TooLarge));
}

#[test]
fn a_head_that_trickles_in_is_looked_at_once() {
    // 64 KiB byte by byte: a quadratic reader looks at two billion bytes here, and a test would take seconds.
    let long = flawed(REQUEST, "one", &"x".repeat(60_000));
    let started = std::time::Instant::now();
    let cuts: Vec<usize> = (0..long.len()).collect();
    let read = request_in_pieces(&long, &cuts, &Limits::default());
    assert!(matches!(read, Ok(Some(_))));
    assert!(started.elapsed() < std::time::Duration::from_secs(1), "{:?}", started.elapsed());
}

#[test]
fn heads_follow_each_other_in_one_buffer() {
    let mut input = BytesMut::from([REQUEST, "12345", CHUNKED, REQUEST].concat().as_bytes());
    let mut head = RequestHead::default();
    let limits = Limits::default();
    assert_eq!(head.read(&mut input, &limits), Ok(true));
    assert_eq!(written(&head), REQUEST);
    assert_eq!(input.split_to(5), "12345");
    assert_eq!(head.read(&mut input, &limits), Ok(true));
    assert_eq!((written(&head).as_str(), head.framing()), (CHUNKED, Framing::Chunked));
    assert_eq!(head.read(&mut input, &limits), Ok(true));
    assert_eq!((written(&head).as_str(), head.framing()), (REQUEST, Framing::Length(5)));
    assert_eq!(head.read(&mut input, &limits), Ok(false));
    assert!(!head.partial());
    input.extend_from_slice(b"GE");
    assert_eq!(head.read(&mut input, &limits), Ok(false));
    assert!(head.partial());
}
