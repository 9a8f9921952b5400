//! Heads edited in place: what is asked for changes, and nothing else.

use super::*;
use crate::http1::Version;

const HEAD: &str =
    "GET /a HTTP/1.1\r\nhost:  example.com \r\nX-Trace: 1\r\nAccept:*/*\r\nx-trace: 2\r\nX-Last: z\r\n\r\n";

fn edited(edit: impl FnOnce(&mut RequestHead)) -> String {
    let mut head = request(HEAD.as_bytes()).expect("valid");
    edit(&mut head);
    written(&head)
}

#[test]
fn lines_are_added_replaced_and_dropped() {
    assert_eq!(edited(|_| {}), HEAD);
    assert_eq!(edited(|head| assert!(head.push("New", b"value"))), HEAD.replace("\r\n\r\n", "\r\nNew: value\r\n\r\n"));
    assert_eq!(
        edited(|head| assert!(head.replace("x-TRACE", b"3"))),
        HEAD.replace("X-Trace: 1", "x-TRACE: 3").replace("x-trace: 2\r\n", ""),
        "the first one's place is kept"
    );
    assert_eq!(
        edited(|head| assert!(head.replace("New", b"value"))),
        HEAD.replace("\r\n\r\n", "\r\nNew: value\r\n\r\n")
    );
    assert_eq!(
        edited(|head| assert_eq!(head.remove("x-trace"), 2)),
        HEAD.replace("X-Trace: 1\r\n", "").replace("x-trace: 2\r\n", "")
    );
    assert_eq!(edited(|head| assert_eq!(head.remove("x-trac"), 0)), HEAD);
    assert_eq!(
        edited(|head| ["host", "x-trace", "accept", "x-last"]
            .into_iter()
            .for_each(|name| assert!(head.remove(name) > 0))),
        "GET /a HTTP/1.1\r\n\r\n"
    );
}

#[test]
fn edits_are_seen_by_lookups() {
    let mut head = request(HEAD.as_bytes()).expect("valid");
    assert_eq!(head.all("x-trace").collect::<Vec<_>>(), [b"1", b"2"]);
    assert!(head.push("X-Trace", b" 3\t"));
    assert_eq!(head.all("X-trace").collect::<Vec<_>>(), [b"1", b"2", b"3"]);
    assert!(head.replace("x-trace", b"4"));
    assert!(head.replace("x-trace", b"5"));
    assert_eq!(head.all("X-TRACE").collect::<Vec<_>>(), [b"5"]);
    assert!(head.push_with("X-Trace", |out| out.extend_from_slice(b"6")));
    assert_eq!((head.first("x-trace"), head.len()), (Some(&b"5"[..]), 5));
    head.remove("x-trace");
    assert_eq!((head.first("x-trace"), head.len()), (None, 3));
}

#[test]
fn edits_that_would_break_the_head_are_refused() {
    for value in ["a\r\nb", "a\nb", "a\rb", "a\0b", "a\x7fb", "\x0b"] {
        assert_eq!(edited(|head| assert!(!head.push("New", value.as_bytes()))), HEAD);
        assert_eq!(edited(|head| assert!(!head.replace("x-trace", value.as_bytes()))), HEAD);
    }
    for name in ["", "a b", "a:b", "a\r\nb", "\u{e4}"] {
        assert_eq!(edited(|head| assert!(!head.push(name, b"value"))), HEAD);
        assert_eq!(edited(|head| assert!(!head.replace(name, b"value"))), HEAD);
    }
    for target in [&b""[..], b"/a b", b"/a\r\nb", b"/a\0", b"\t"] {
        assert_eq!(edited(|head| assert!(!head.set_target(target))), HEAD);
    }
    let mut unread = RequestHead::default();
    assert!(!unread.push("New", b"value"), "there is nothing to add to");
    assert!(!unread.set_target(b"/a"));
}

#[test]
fn the_target_is_replaced() {
    let mut head = request(HEAD.as_bytes()).expect("valid");
    assert!(head.set_target(b"/a/longer/one"));
    assert!(head.replace("host", b"other.com"));
    assert!(head.set_target(b"/b"));
    assert_eq!((head.method(), head.target()), ("GET", &b"/b"[..]));
    assert_eq!(written(&head), HEAD.replace("/a ", "/b ").replace("host:  example.com ", "host: other.com"));
}

#[test]
fn a_head_is_reused_and_released() {
    let mut head = request(HEAD.as_bytes()).expect("valid");
    head.push("New", b"value");
    let mut input = BytesMut::from(REQUEST);
    assert_eq!(head.read(&mut input, &Limits::default()), Ok(true));
    assert_eq!((written(&head).as_str(), head.first("new")), (REQUEST, None));
    head.release();
    assert_eq!((head.len(), head.method(), head.target()), (0, "", &b""[..]));
    let mut input = BytesMut::from(REQUEST);
    assert_eq!(head.read(&mut input, &Limits::default()), Ok(true));
    assert_eq!(written(&head), REQUEST);
}

/// What is left of these header lines, `|` between them.
fn stripped(lines: &str, keep_upgrade: bool) -> String {
    let lines = lines.replace('|', "\r\n");
    let mut head = request(format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n\r\n").as_bytes()).expect("valid");
    head.strip_hop_by_hop(keep_upgrade);
    let written = written(&head);
    let lines = written.strip_prefix("GET / HTTP/1.1\r\nHost: a\r\n").expect("these stay");
    let lines = lines.strip_suffix("\r\n").expect("an empty line");
    lines.strip_suffix("\r\n").unwrap_or(lines).replace("\r\n", "|")
}

#[test]
fn what_is_for_this_hop_does_not_pass() {
    let rows = [
        ("A: 1|B: 2", "A: 1|B: 2"),
        ("A: 1|Connection: B|B: 2", "A: 1"),
        ("B: 1|Connection:  b , c|B: 2|C: 3|D: 4", "D: 4"),
        ("connection: b|B: 2|Connection: c|C: 3", ""),
        ("C: 3|connection: b|B: 2|A: 1|Connection: c|D: 4", "A: 1|D: 4"),
        ("Connection:", ""),
        ("Connection: close", "Connection: close"),
        ("CONNECTION:Close ", "CONNECTION:Close "),
        ("Connection: Keep-Alive|Keep-Alive: timeout=5", "Connection: Keep-Alive"),
        ("Connection: close, b|B: 2|A: 1", "Connection: close|A: 1"),
        ("Connection: close|Connection: keep-alive", "Connection: close|Connection: keep-alive"),
        ("Proxy-Connection: keep-alive|A: 1", "A: 1"),
        ("TE: gzip|A: 1", "A: 1"),
        ("TE: trailers|Connection: te", "TE: trailers|Connection: te"),
        ("TE: gzip;q=0.5, Trailers|Connection: TE", "TE: trailers|Connection: TE"),
        ("TE: trailers|TE: gzip", "TE: trailers"),
        ("TE: gzip|Connection: close, TE", "Connection: close"),
        ("Upgrade: h2c|Connection: upgrade, HTTP2-Settings|HTTP2-Settings: x", ""),
        ("Transfer-Encoding: chunked|Connection: transfer-encoding", "Transfer-Encoding: chunked"),
        ("Content-Length: 5|Connection: content-length, host", "Content-Length: 5"),
        (
            "X-Forwarded-For: 1|X-FORWARDED-HOST: b|Connection: x-forwarded-for, x-forwarded-host",
            "X-Forwarded-For: 1|X-FORWARDED-HOST: b",
        ),
        ("Authorization: a|Cookie: b|Connection: authorization, cookie", "Authorization: a|Cookie: b"),
        ("Connection: connection, b, b, b|B: 2", ""),
    ];
    for (lines, left) in rows {
        assert_eq!(stripped(lines, false), left, "{lines}");
    }
    let upgrade = "Upgrade: websocket|Connection: keep-alive, Upgrade|Sec-WebSocket-Key: x";
    assert_eq!(stripped(upgrade, true), upgrade);
    assert_eq!(stripped(upgrade, false), "Connection: keep-alive|Sec-WebSocket-Key: x");
    let h2c = "Upgrade: h2c|Connection: upgrade, HTTP2-Settings|HTTP2-Settings: x";
    assert_eq!(stripped(h2c, true), h2c);
}

#[test]
fn a_peer_cannot_name_our_lines_away() {
    let bytes = b"GET / HTTP/1.1\r\nHost: a\r\nTraceparent: theirs\r\nConnection: traceparent, baggage\r\n\r\n";
    let mut head = request(bytes).expect("valid");
    head.replace("traceparent", b"ours");
    head.push("baggage", b"ours");
    head.strip_hop_by_hop(false);
    assert_eq!(written(&head), "GET / HTTP/1.1\r\nHost: a\r\ntraceparent: ours\r\nbaggage: ours\r\n\r\n");
}

#[test]
fn responses_say_how_long_they_wait() {
    let bytes = b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5\r\nContent-Length: 0\r\n\r\n";
    let mut head = response(bytes, "GET").expect("valid");
    head.strip_hop_by_hop(false);
    assert_eq!(written(&head).as_bytes(), bytes);
    head.announce_persistence(false, Version::Http11);
    assert_eq!(written(&head), "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
}

#[test]
fn persistence_is_announced_where_it_is_not_taken_for_granted() {
    use Version::{Http10, Http11};
    let rows = [
        ("A: 1", true, Http11, "A: 1"),
        ("A: 1", true, Http10, "A: 1|Connection: keep-alive"),
        ("A: 1", false, Http11, "A: 1|Connection: close"),
        ("connection: Close|A: 1", false, Http11, "connection: Close|A: 1"),
        ("connection: Keep-Alive|A: 1", true, Http10, "connection: Keep-Alive|A: 1"),
        ("connection: Keep-Alive|A: 1", true, Http11, "connection: Keep-Alive|A: 1"),
        ("connection: Keep-Alive, te|A: 1", false, Http11, "Connection: close, te|A: 1"),
        ("connection: close|A: 1", true, Http11, "A: 1"),
        ("connection: close|A: 1|Connection: upgrade", true, Http10, "Connection: keep-alive, upgrade|A: 1"),
    ];
    for (lines, persistent, reader, left) in rows {
        let text = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n\r\n", lines.replace('|', "\r\n"));
        let mut head = request(text.as_bytes()).expect("valid");
        head.announce_persistence(persistent, reader);
        let left = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n\r\n", left.replace('|', "\r\n"));
        assert_eq!(written(&head), left, "{lines}");
    }
}

#[test]
fn a_refused_head_cannot_be_edited() {
    for bytes in [flawed(REQUEST, ": 5", ": +5"), flawed(REQUEST, "5\r\n", "5\n"), flawed(REQUEST, "POST", "P ST")] {
        let mut head = RequestHead::default();
        let error = head.read(&mut BytesMut::from(&bytes[..]), &Limits::default());
        assert!(error.is_err());
        assert!(!head.set_target(b"/a") && !head.push("New", b"value") && !head.replace("host", b"value"));
        head.remove("host");
        head.strip_hop_by_hop(true);
        head.announce_persistence(false, Version::Http11);
        assert_eq!((head.method(), head.target(), written(&head).as_str()), ("", &b""[..], "\r\n"));
    }
}
