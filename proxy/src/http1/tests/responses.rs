//! Responses: what is refused, and where their bodies end.

use super::*;
use crate::http1::Version;

#[test]
fn one_flaw_is_enough() {
    let rows: &[(&str, &str, &str)] = &[
        ("HTTP/1.1 200 OK", "", "empty_status_line"),
        ("HTTP/1.1 200 OK", "HTTP/1.1", "bad_status_line"),
        ("HTTP/1.1 200 OK", "HTTP/1.1 ", "bad_status_line"),
        ("HTTP/1.1 200 OK", "HTTP/1.1 20", "bad_status_line"),
        ("HTTP/1.1 200 OK", "HTTP/1.1  200", "bad_status"),
        ("HTTP/1.1 200 OK", "HTTP/1.1\t200 OK", "bad_status_line"),
        ("HTTP/1.1 200 OK", "ICY 200 OK", "bad_http_version"),
        ("HTTP/1.1 200 OK", "http/1.1 200 OK", "bad_http_version"),
        ("HTTP/1.1 200 OK", " HTTP/1.1 200 OK", "bad_http_version"),
        ("HTTP/1.1", "HTTP/1.2", "unsupported_http_version"),
        ("HTTP/1.1", "HTTP/2.0", "unsupported_http_version"),
        ("200", "099", "bad_status"),
        ("200", "2000", "bad_status"),
        ("200", "2 0", "bad_status"),
        ("200", "+20", "bad_status"),
        ("200", "0x2", "bad_status"),
        ("OK", "O\u{0}K", "control_character_in_reason"),
        ("OK", "O\rK", "control_character_in_reason"),
        ("OK\r\n", "OK\n", "bare_lf"),
        ("HTTP/1.1 200", "\r\nHTTP/1.1 200", "empty_status_line"),
        ("demo\r\n", "demo\n", "bare_lf"),
        ("demo\r\n", "demo\r\n more\r\n", "folded_line"),
        ("Server:", "Server :", "space_before_colon"),
        ("Server: demo", "Content-Length: 5", "several_content_lengths"),
        ("Server: demo", "Transfer-Encoding: chunked", "content_length_and_transfer_encoding"),
        ("Server: demo", "Transfer-Encoding: gzip, chunked", "bad_transfer_encoding"),
        (": 5", ": 5, 5", "bad_content_length"),
        (
            "1.1 200 OK\r\nServer: demo\r\nContent-Length: 5",
            "1.0 200 OK\r\nTransfer-Encoding: chunked",
            "transfer_encoding_on_http_1_0",
        ),
        ("200 OK", "204 No Content", "body_on_bodyless_status"),
        ("200 OK", "100 Continue", "body_on_bodyless_status"),
        ("200 OK", "103 Early Hints", "body_on_bodyless_status"),
        ("200 OK", "101 Switching Protocols", "body_on_bodyless_status"),
    ];
    for (from, to, reason) in rows {
        let bytes = flawed(RESPONSE, from, to);
        assert_eq!(response(&bytes, "GET").err(), Some(HeadError::Bad(reason)), "{}", bytes.escape_ascii());
    }
}

#[test]
fn bodies_end_where_the_standard_says() {
    let length = "Content-Length: 5\r\n";
    let chunked = "Transfer-Encoding: chunked\r\n";
    let rows = [
        ("GET", "1.1", 200, length, Ok(Framing::Length(5))),
        ("GET", "1.1", 200, "Content-Length: 0\r\n", Ok(Framing::Length(0))),
        ("GET", "1.1", 200, chunked, Ok(Framing::Chunked)),
        ("GET", "1.1", 200, "", Ok(Framing::UntilClose)),
        ("GET", "1.0", 200, "", Ok(Framing::UntilClose)),
        ("GET", "1.0", 200, length, Ok(Framing::Length(5))),
        ("GET", "1.1", 205, "Content-Length: 0\r\n", Ok(Framing::Length(0))),
        ("GET", "1.1", 404, "", Ok(Framing::UntilClose)),
        ("GET", "1.1", 999, length, Ok(Framing::Length(5))),
        ("GET", "1.1", 204, "", Ok(Framing::None)),
        ("GET", "1.1", 204, "Content-Length: 0\r\n", Ok(Framing::None)),
        ("GET", "1.1", 204, chunked, Err("body_on_bodyless_status")),
        ("GET", "1.1", 304, "", Ok(Framing::None)),
        ("GET", "1.1", 304, length, Ok(Framing::None)),
        ("GET", "1.1", 304, chunked, Ok(Framing::None)),
        ("GET", "1.1", 100, "", Ok(Framing::None)),
        ("GET", "1.1", 101, "Upgrade: websocket\r\n", Ok(Framing::None)),
        ("GET", "1.1", 101, chunked, Err("body_on_bodyless_status")),
        ("HEAD", "1.1", 200, length, Ok(Framing::None)),
        ("HEAD", "1.1", 200, chunked, Ok(Framing::None)),
        ("HEAD", "1.1", 200, "", Ok(Framing::None)),
        ("head", "1.1", 200, length, Ok(Framing::Length(5))),
        ("CONNECT", "1.1", 200, "", Ok(Framing::None)),
        ("CONNECT", "1.1", 299, length, Ok(Framing::None)),
        ("CONNECT", "1.1", 407, length, Ok(Framing::Length(5))),
        ("CONNECT", "1.1", 500, "", Ok(Framing::UntilClose)),
    ];
    for (method, version, status, lines, framing) in rows {
        let bytes = format!("HTTP/{version} {status} Reason\r\n{lines}\r\n");
        let head = response(bytes.as_bytes(), method);
        let found = head.as_ref().map(|head| head.framing()).map_err(|error| error.reason());
        assert_eq!(found, framing, "{method}: {bytes:?}");
    }
}

#[test]
fn the_parts_are_found() {
    let head = response(RESPONSE.as_bytes(), "GET").expect("valid");
    assert_eq!((head.status(), head.reason(), head.version()), (200, &b"OK"[..], Version::Http11));
    assert_eq!((head.persistent(), head.is_interim(), head.upgrade()), (true, false, None));
    assert_eq!(written(&head), RESPONSE);
    for (from, to, reason) in
        [("200 OK", "200", ""), ("200 OK", "200 ", ""), ("OK", "Tr\u{e8}s bien ", "Tr\u{e8}s bien ")]
    {
        let bytes = flawed(RESPONSE, from, to);
        let head = response(&bytes, "GET").expect("valid");
        let found: String = head.reason().iter().map(|&byte| char::from(byte)).collect();
        assert_eq!(found, reason);
        assert_eq!(written(&head).chars().map(|char| char as u8).collect::<Vec<_>>(), bytes);
    }
}

#[test]
fn connections_go_on_or_not() {
    let rows = [
        ("1.1", "Content-Length: 1\r\n", true),
        ("1.1", "", false),
        ("1.1", "Content-Length: 1\r\nConnection: close\r\n", false),
        ("1.0", "Content-Length: 1\r\n", false),
        ("1.0", "Content-Length: 1\r\nConnection: keep-alive\r\n", true),
        ("1.0", "Connection: keep-alive\r\n", false),
    ];
    for (version, lines, persistent) in rows {
        let bytes = format!("HTTP/{version} 200 OK\r\n{lines}\r\n");
        assert_eq!(response(bytes.as_bytes(), "GET").expect("valid").persistent(), persistent, "{bytes:?}");
    }
}

#[test]
fn interim_answers_are_told_apart() {
    for (status, interim) in [(100, true), (101, false), (102, true), (103, true), (199, true), (200, false)] {
        let head = response(format!("HTTP/1.1 {status} x\r\nLink: </a>\r\n\r\n").as_bytes(), "GET").expect("valid");
        assert_eq!(head.is_interim(), interim, "{status}");
    }
    let head = response(b"HTTP/1.1 101 x\r\nUpgrade: websocket\r\n\r\n", "GET").expect("valid");
    assert_eq!(head.upgrade(), Some(&b"websocket"[..]));
}
