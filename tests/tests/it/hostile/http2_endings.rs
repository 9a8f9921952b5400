//! HTTP/2 frame by frame on both sides: streams and connections that end at an odd moment, or say little of themselves.

use raceway_tests::{Chain, PATIENCE};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::frames::{
    DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, RST_STREAM, SETTINGS, block, connect, frame, get, listen,
};

const INTERNAL_ERROR: u8 = 2;
const REFUSED_STREAM: u8 = 7;

/// A caller and an application with a sidecar between; the caller has sent its first frames, and they have arrived.
struct Scene {
    chain: Chain,
    caller: TcpStream,
    app: TcpStream,
}

impl Scene {
    async fn with(flags: &[&str], frames: &[u8]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let target = listener.local_addr().expect("a bound listener has an address");
        let chain = Chain::with(target, 1, flags).await;
        let mut caller = connect(chain.door(), &[]).await;
        caller.write_all(frames).await.expect("it reads");
        let (mut app, _) = timeout(PATIENCE, listener.accept()).await.expect("in time").expect("a connection");
        let mut preface = [0; 24];
        timeout(PATIENCE, app.read_exact(&mut preface)).await.expect("in time").expect("a preface");
        app.write_all(&frame(SETTINGS, 0, 0, &[])).await.expect("it reads");
        let heard = listen(&mut app, |heard| heard.answered(1)).await;
        assert!(heard.answered(1), "{heard:?}");
        Self { chain, caller, app }
    }

    async fn stop(self) {
        drop((self.caller, self.app));
        self.chain.stop().await;
    }
}

fn asks(flags: u8) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | flags, 1, &get("/"))
}

/// `:status: 200` (RFC 7541, appendix A).
fn answer(flags: u8) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | flags, 1, &[0x88])
}

#[tokio::test]
async fn what_came_before_a_reset_is_delivered() {
    let mut scene = Scene::with(&[], &asks(END_STREAM)).await;
    let reset = frame(RST_STREAM, 0, 1, &[0, 0, 0, INTERNAL_ERROR]);
    let said = [answer(0), frame(DATA, 0, 1, b"half"), reset].concat();
    scene.app.write_all(&said).await.expect("it reads");
    let heard = listen(&mut scene.caller, |heard| heard.reset(1).is_some()).await;
    assert!(heard.answered(1) && heard.content(1) == b"half", "{heard:?}");
    assert_eq!(heard.reset(1), Some(INTERNAL_ERROR));
    scene.stop().await;
}

#[tokio::test]
async fn a_request_goes_on_behind_its_answer() {
    let mut scene = Scene::with(&[], &asks(0)).await;
    scene.app.write_all(&[answer(0), frame(DATA, END_STREAM, 1, b"ok")].concat()).await.expect("it reads");
    let heard = listen(&mut scene.caller, |heard| heard.content(1) == b"ok").await;
    assert_eq!(heard.content(1), b"ok", "{heard:?}");
    for (piece, flags) in [("more ", 0), ("of it", END_STREAM)] {
        scene.caller.write_all(&frame(DATA, flags, 1, piece.as_bytes())).await.expect("it reads");
    }
    let heard = listen(&mut scene.app, |heard| heard.content(1) == b"more of it").await;
    assert_eq!(heard.content(1), b"more of it", "{heard:?}");
    assert_eq!(heard.reset(1), None, "{heard:?}");
    scene.stop().await;
}

#[tokio::test]
async fn a_caller_learns_that_its_request_was_not_looked_at() {
    let mut scene = Scene::with(&[], &asks(END_STREAM)).await;
    // No stream was processed, and there is no error.
    scene.app.write_all(&frame(GOAWAY, 0, 0, &[0; 8])).await.expect("it reads");
    let heard = listen(&mut scene.caller, |heard| heard.reset(1).is_some() || heard.answered(1)).await;
    assert_eq!(heard.reset(1), Some(REFUSED_STREAM), "{heard:?}");
    scene.stop().await;
}

#[tokio::test]
async fn a_caller_may_repeat_what_a_closing_server_did_not_answer() {
    let mut scene = Scene::with(&[], &asks(END_STREAM)).await;
    scene.app.write_all(&answer(END_STREAM)).await.expect("it reads");
    let heard = listen(&mut scene.caller, |heard| heard.answered(1)).await;
    assert!(heard.answered(1), "{heard:?}");
    scene.caller.write_all(&frame(HEADERS, END_HEADERS | END_STREAM, 3, &get("/"))).await.expect("it reads");
    listen(&mut scene.app, |heard| heard.answered(3)).await;
    scene.app.shutdown().await.expect("an open connection");
    let heard = listen(&mut scene.caller, |heard| heard.reset(3).is_some() || heard.answered(3)).await;
    assert_eq!(heard.reset(3), Some(REFUSED_STREAM), "{heard:?}");
    scene.stop().await;
}

#[tokio::test]
async fn whom_a_request_is_for_may_stand_in_host() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let chain = Chain::before(listener.local_addr().expect("a bound listener has an address"), 1).await;
    let fields: [(&str, &[u8]); 4] =
        [(":method", b"GET"), (":scheme", b"http"), (":path", b"/"), ("host", b"orders.example")];
    let mut caller = connect(chain.door(), &[]).await;
    caller.write_all(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(&fields))).await.expect("it reads");
    let app = async {
        let (stream, _) = listener.accept().await.expect("a connection");
        let mut connection = h2::server::handshake(stream).await.expect("a preface");
        let (request, mut respond) = connection.accept().await.expect("a request").expect("a good one");
        assert_eq!(request.uri().authority(), None);
        assert_eq!(request.headers().get("host").expect("as it was written"), "orders.example");
        respond.send_response(http::Response::new(()), true).expect("it is awaited");
        while connection.accept().await.is_some() {}
    };
    let heard = tokio::select! {
        heard = listen(&mut caller, |heard| heard.answered(1)) => heard,
        () = app => panic!("the connection ended"),
    };
    assert!(heard.answered(1) && heard.content(1).is_empty(), "{heard:?}");
    drop(caller);
    chain.stop().await;
}

/// 250 fields, where 200 is the limit.
fn many_trailers() -> Vec<u8> {
    let names: Vec<String> = (0..250).map(|n| format!("x-{n}")).collect();
    let fields: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), b"y".as_slice())).collect();
    frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(&fields))
}

#[tokio::test]
async fn trailers_have_the_limits_of_heads() {
    let mut scene = Scene::with(&[], &asks(0)).await;
    scene.caller.write_all(&many_trailers()).await.expect("it reads");
    let heard = listen(&mut scene.caller, |heard| heard.answered(1)).await;
    assert!(heard.answered(1), "{heard:?}");
    scene.chain.outermost().metric_reaches("refused_total", &["inbound", "too_many_fields"], 1.0).await;
    let heard = listen(&mut scene.app, |heard| heard.reset(1).is_some()).await;
    assert!(heard.reset(1).is_some() && !heard.answered(1), "the trailers do not pass: {heard:?}");
    scene.stop().await;

    let mut scene = Scene::with(&[], &asks(END_STREAM)).await;
    scene.app.write_all(&[answer(0), many_trailers()].concat()).await.expect("it reads");
    let heard = listen(&mut scene.caller, |heard| heard.reset(1).is_some()).await;
    assert_eq!(heard.reset(1), Some(INTERNAL_ERROR), "{heard:?}");
    let reason = ["inbound", "answer_head_too_large"];
    scene.chain.outermost().metric_reaches("upstream_failures_total", &reason, 1.0).await;
    scene.stop().await;
}

#[tokio::test]
async fn a_caller_that_does_not_acknowledge_the_farewell_is_let_go() {
    let mut scene = Scene::with(&["--idle-timeout=1"], &asks(END_STREAM)).await;
    scene.app.write_all(&answer(END_STREAM)).await.expect("it reads");
    drop(scene.app);
    let mut rest = Vec::new();
    let ended = timeout(PATIENCE, scene.caller.read_to_end(&mut rest)).await;
    assert!(ended.is_ok(), "still open after {} bytes", rest.len());
    drop(scene.caller);
    scene.chain.stop().await;
}
