//! HTTP/1 and bytes, scripted on both sides: every row is played without a sidecar, through one, and through two.
//!
//! What arrives is compared byte for byte, our own header lines aside. Where a sidecar changes something, the row says
//! what arrives instead.

use std::time::Duration;

use raceway_tests::Chain;
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::script::{Side, Step, app, caller, ends, hears, play, resets};

const GET: &str = "GET / HTTP/1.1\r\nHost: app\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// How long connections of a failed row may still come.
const LEFTOVERS: Duration = Duration::from_millis(500);

pub(super) type Row = (&'static str, Vec<Step>);

fn requests() -> Vec<Row> {
    vec![
        (
            "names, case, order, repetition and odd spaces stay, also of unknown fields",
            vec![
                caller("GET /a%2F..//b?x=%zz&y HTTP/1.1\r\nhOST: app\r\nX-Odd:  two  spaces \r\nx-odd:\r\nAccept: */*\r\n\r\n"),
                app("HTTP/1.1 200 Fine by me\r\nset-cookie: a\r\nContent-length: 2\r\nSet-Cookie: b\r\nX: é\r\n\r\nok"),
                caller(GET),
                app(OK),
            ],
        ),
        ("bytes beyond ASCII stay", vec![caller(b"GET /\xff HTTP/1.1\r\nHost: app\r\nX: \xe9\x80\r\n\r\n"), app(OK)]),
        (
            "HTTP/1.0 without Host ends with the connection",
            vec![
                caller("GET / HTTP/1.0\r\n\r\n"),
                app("HTTP/1.0 200 OK\r\n\r\nall of it"),
                ends(Side::App),
            ],
        ),
        (
            "HTTP/1.0 with Host and keep-alive goes on",
            vec![
                caller("GET / HTTP/1.0\r\nHost: app\r\nConnection: keep-alive\r\n\r\n"),
                app("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok"),
                caller("GET / HTTP/1.0\r\nHost: app\r\nConnection: Keep-Alive\r\n\r\n"),
                app("HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok"),
            ],
        ),
        (
            "HEAD has a length and no body",
            vec![
                caller("HEAD / HTTP/1.1\r\nHost: app\r\n\r\n"),
                app("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n"),
                caller("HEAD / HTTP/1.1\r\nHost: app\r\n\r\n"),
                app("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
                caller(GET),
                app(OK),
            ],
        ),
        (
            "204 and 304 have no body",
            vec![
                caller(GET),
                app("HTTP/1.1 204 No Content\r\n\r\n"),
                caller(GET),
                app("HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\nETag: \"a\"\r\n\r\n"),
                caller(GET),
                app("HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n"),
                caller(GET),
                app(OK),
            ],
        ),
        (
            "Content-Length: 0 stays, both ways",
            vec![
                caller("POST / HTTP/1.1\r\nHost: app\r\nContent-Length: 0\r\n\r\n"),
                app("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
                caller("POST / HTTP/1.1\r\nHost: app\r\n\r\n"),
                app(OK),
            ],
        ),
        (
            "a body by length comes in pieces, and the answer too",
            vec![
                caller("POST / HTTP/1.1\r\nHost: app\r\nContent-Length: 10\r\n\r\n01"),
                caller("234"),
                caller("56789"),
                app("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
                app("he"),
                app("llo"),
                caller(GET),
                app(OK),
            ],
        ),
        (
            "chunks stay as they are, extensions are dropped, trailers kept",
            vec![
                caller("POST / HTTP/1.1\r\nHost: app\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n"),
                caller("5;a=b;c=\"d\"\r\nhello\r\n").arrives_as("5\r\nhello\r\n"),
                caller("00A\r\n0123456789\r\n"),
                caller("0\r\nX-Sum: 5\r\n\r\n"),
                app("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-end\r\n\r\n3\r\nabc\r\n"),
                app("0\r\nx-end: 1\r\nX-End: 2\r\n\r\n"),
                caller(GET),
                app(OK),
            ],
        ),
        (
            "a body until the end of the connection",
            vec![
                caller(GET),
                app("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nall "),
                app("of it"),
                ends(Side::App),
            ],
        ),
        (
            "Connection: close of the caller reaches the application, and its end the caller",
            vec![
                caller("GET / HTTP/1.1\r\nHost: app\r\nConnection: close\r\n\r\n"),
                app("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"),
                ends(Side::App),
            ],
        ),
        (
            "an answer before the body is through, which goes on",
            vec![
                caller("POST / HTTP/1.1\r\nHost: app\r\nContent-Length: 4\r\n\r\nab"),
                app(OK),
                caller("cd"),
                caller(GET),
                app(OK),
            ],
        ),
        (
            "a refusal of a body that is still coming",
            vec![
                caller("POST / HTTP/1.1\r\nHost: app\r\nContent-Length: 1000000\r\n\r\nab"),
                app("HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno"),
                ends(Side::App),
            ],
        ),
        (
            "an answer before the body is through, on a connection that ends, which goes on",
            vec![
                caller("POST / HTTP/1.1\r\nHost: app\r\nConnection: close\r\nContent-Length: 4\r\n\r\nab"),
                app("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"),
                caller("cd"),
                ends(Side::App),
            ],
        ),
        (
            "requests in one go are answered one after the other",
            vec![
                caller([GET, GET].concat()).arrives_as(GET),
                app(OK), hears(Side::App, GET), app(OK),
            ],
        ),
        (
            "what is meant for this hop goes no further",
            vec![
                caller(
                    "GET / HTTP/1.1\r\nHost: app\r\nConnection: X-Mine, keep-alive\r\nX-Mine: 1\r\nKeep-Alive: timeout=5\r\n\
                     Proxy-Connection: keep-alive\r\nTE: gzip, trailers\r\nX-Other: 2\r\n\r\n",
                )
                .arrives_as("GET / HTTP/1.1\r\nHost: app\r\nConnection: keep-alive\r\nTE: trailers\r\nX-Other: 2\r\n\r\n"),
                app("HTTP/1.1 200 OK\r\nKeep-Alive: timeout=5\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok"),
            ],
        ),
        (
            "an asterisk and an absolute target that agrees with Host",
            vec![
                caller("OPTIONS * HTTP/1.1\r\nHost: app\r\n\r\n"),
                app(OK),
                caller("GET http://app/x?y HTTP/1.1\r\nHost: app\r\n\r\n"),
                app(OK),
            ],
        ),
        (
            "the empty line that old clients send after a body is dropped",
            vec![
                caller("POST / HTTP/1.1\r\nHost: app\r\nContent-Length: 1\r\n\r\na"),
                app(OK),
                caller("\r\nGET / HTTP/1.1\r\nHost: app\r\n\r\n").arrives_as(GET),
                app(OK),
            ],
        ),
        (
            "150 header lines, both ways",
            vec![caller(many_fields("GET / HTTP/1.1\r\nHost: app\r\n")), app(many_fields("HTTP/1.1 204 No\r\n"))],
        ),
        (
            "20 KB in one header line, both ways",
            vec![caller(long_field("GET / HTTP/1.1\r\nHost: app\r\n")), app(long_field("HTTP/1.1 204 No\r\n"))],
        ),
    ]
}

fn many_fields(start: &str) -> String {
    (0..150).fold(start.to_owned(), |head, n| head + &format!("X-Field-{n}: {n}\r\n")) + "\r\n"
}

fn long_field(start: &str) -> String {
    format!("{start}X-Long: {}\r\n\r\n", "x".repeat(20_000))
}

fn interim() -> Vec<Row> {
    const EXPECTS: &str = "POST / HTTP/1.1\r\nHost: app\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n";
    vec![
        (
            "100-continue is the application's to say",
            vec![caller(EXPECTS), app("HTTP/1.1 100 Continue\r\n\r\n"), caller("body"), app(OK), caller(GET), app(OK)],
        ),
        (
            "a body that is not wanted",
            vec![
                caller(EXPECTS),
                app("HTTP/1.1 417 No\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"),
                ends(Side::App),
            ],
        ),
        (
            "every interim answer passes",
            vec![
                caller(GET),
                app("HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n"),
                app("HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </b.css>\r\n\r\n"),
                app(OK),
                caller(GET),
                app(OK),
            ],
        ),
    ]
}

fn streams() -> Vec<Row> {
    vec![
        (
            "events arrive as they are sent",
            vec![
                caller("GET /events HTTP/1.1\r\nHost: app\r\nAccept: text/event-stream\r\n\r\n"),
                app("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"),
                app("9\r\ndata: 1\n\n\r\n"),
                app("9\r\ndata: 2\n\n\r\n"),
                app("0\r\n\r\n"),
                caller(GET),
                app(OK),
            ],
        ),
        (
            "a caller that ends its side still gets its answer",
            vec![
                caller(GET),
                ends(Side::Caller),
                app("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok"),
                ends(Side::App),
            ],
        ),
        (
            "an answer that breaks off breaks off",
            vec![caller(GET), app("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"), ends(Side::App)],
        ),
        (
            "an answer that is reset is reset",
            vec![caller(GET), app("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"), resets(Side::App)],
        ),
        (
            "a chunked answer that breaks off has no last chunk",
            vec![
                caller(GET),
                app("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"),
                ends(Side::App),
            ],
        ),
        (
            "a caller that resets in its body resets",
            vec![caller("POST / HTTP/1.1\r\nHost: app\r\nContent-Length: 10\r\n\r\nhalf"), resets(Side::Caller)],
        ),
        ("a caller that resets while it waits resets", vec![caller(GET), resets(Side::Caller)]),
        (
            "a caller that resets in the answer resets",
            vec![caller(GET), app("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"), resets(Side::Caller)],
        ),
        (
            "a caller that breaks off its body",
            vec![caller("POST / HTTP/1.1\r\nHost: app\r\nContent-Length: 10\r\n\r\nhalf"), ends(Side::Caller)],
        ),
        ("an idle connection that the application closes", vec![caller(GET), app(OK), ends(Side::App)]),
        ("an idle connection that the application resets", vec![caller(GET), app(OK), resets(Side::App)]),
        ("an idle connection that the caller closes", vec![caller(GET), app(OK), ends(Side::Caller)]),
        ("an idle connection that the caller resets", vec![caller(GET), app(OK), resets(Side::Caller)]),
        (
            "what an application says before it closes an idle connection",
            vec![
                caller(GET),
                app(OK),
                app("HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n"),
                ends(Side::App),
            ],
        ),
    ]
}

fn tunnels() -> Vec<Row> {
    const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
    vec![
        (
            "a WebSocket",
            vec![
                caller(
                    "GET /ws HTTP/1.1\r\nHost: app\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n",
                ),
                app(SWITCH),
                app(b"\x81\x05hello"),
                caller(b"\x81\x85\x01\x02\x03\x04ignor"),
                ends(Side::App),
                caller(b"\x88\x80\0\0\0\0"),
                ends(Side::Caller),
            ],
        ),
        (
            "any other token, with bytes right behind the answer",
            vec![
                caller(
                    "POST / HTTP/1.1\r\nHost: app\r\nConnection: upgrade\r\nUpgrade: foo/2, bar\r\nContent-Length: 2\r\n\r\nhi",
                ),
                app("HTTP/1.1 101 OK\r\nConnection: upgrade\r\nUpgrade: foo/2\r\n\r\n\0\x01raw\n"),
                caller(b"GET / HTTP/1.1\n\n"),
                resets(Side::App),
            ],
        ),
        (
            "an upgrade that is declined",
            vec![
                caller("GET /ws HTTP/1.1\r\nHost: app\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"),
                app("HTTP/1.1 426 No\r\nUpgrade: foo/2\r\nConnection: Upgrade\r\nContent-Length: 0\r\n\r\n"),
                caller(GET),
                app(OK),
            ],
        ),
        (
            "an upgrade to HTTP/2 is not offered on",
            vec![
                caller(
                    "GET / HTTP/1.1\r\nHost: app\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
                     HTTP2-Settings: AAMAAABk\r\nAccept: */*\r\n\r\n",
                )
                .arrives_as("GET / HTTP/1.1\r\nHost: app\r\nAccept: */*\r\n\r\n"),
                app(OK),
                caller(GET),
                app(OK),
            ],
        ),
        (
            "CONNECT to an application that is a proxy",
            vec![
                caller("CONNECT db:5432 HTTP/1.1\r\nHost: db:5432\r\n\r\n"),
                app("HTTP/1.1 200 Connected\r\n\r\n"),
                caller(b"\0\0\0\x08\x04\xd2\x16\x2f"),
                app("N"),
                ends(Side::Caller),
                app("rest"),
                ends(Side::App),
            ],
        ),
        (
            "CONNECT refused",
            vec![
                caller("CONNECT db:5432 HTTP/1.1\r\nHost: db:5432\r\n\r\n"),
                app("HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n"),
                caller(GET),
                app(OK),
            ],
        ),
        (
            "a server that speaks first",
            vec![app("220 mail\r\n"), caller("EHLO me\r\n"), app("250 ok\r\n"), ends(Side::Caller), ends(Side::App)],
        ),
        (
            "bytes that are not HTTP",
            vec![
                caller(b"*1\r\n$4\r\nPING\r\n"),
                app("+PONG\r\n"),
                ends(Side::App),
                caller(b"*1\r\n$4\r\nQUIT\r\n"),
                ends(Side::Caller),
            ],
        ),
        (
            "bytes that are not HTTP, reset by the caller",
            vec![caller(b"\x16\x03\x01"), app("\x15"), resets(Side::Caller)],
        ),
        ("bytes that are not HTTP, reset by the server", vec![caller(b"\x16\x03\x01"), resets(Side::App)]),
        (
            "a first line that trickles",
            vec![caller("\n").arrives_as(""), caller("X").arrives_as(""), caller(" y\n").arrives_as("\nX y\n")],
        ),
        ("nothing said, and the caller leaves", vec![ends(Side::Caller)]),
        ("nothing said, and the server leaves", vec![ends(Side::App)]),
        ("nothing said, and the server resets", vec![resets(Side::App)]),
        ("nothing said, and the caller resets", vec![resets(Side::Caller)]),
        ("half a first line, and the caller leaves", vec![caller("HEL").arrives_as(""), hears(Side::App, "")]),
    ]
}

/// All of them.
pub(super) fn rows() -> Vec<Row> {
    [requests(), interim(), streams(), tunnels()].concat()
}

async fn same_through_sidecars(rows: Vec<Row>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let target = listener.local_addr().expect("a bound listener has an address");
    let mut wrong = Vec::new();
    for sidecars in 0..=2 {
        let chain = Chain::before(target, sidecars).await;
        for (name, steps) in &rows {
            if let Err(what) = play(steps, chain.door(), &listener, sidecars).await {
                wrong.push(format!("{name}, through {sidecars} sidecars: {what}"));
                // What a failed row left behind is not the next one's.
                while timeout(LEFTOVERS, listener.accept()).await.is_ok() {}
            }
        }
        chain.stop().await;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[tokio::test]
async fn requests_and_answers_pass_as_they_are() {
    same_through_sidecars(requests()).await;
}

#[tokio::test]
async fn interim_answers_pass_as_they_are() {
    same_through_sidecars(interim()).await;
}

#[tokio::test]
async fn endings_pass_as_they_are() {
    same_through_sidecars(streams()).await;
}

#[tokio::test]
async fn tunnels_pass_as_they_are() {
    same_through_sidecars(tunnels()).await;
}
