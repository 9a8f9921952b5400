//! The same over HTTP/2: what a header block must not hold, and floods of frames.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use raceway_tests::{Chain, PATIENCE};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::frames::{
    CONTINUATION, END_HEADERS, END_STREAM, GOAWAY, HEADERS, RST_STREAM, SETTINGS, block, connect, frame, get, listen,
};

/// What a sidecar may grow by while it is flooded. Debug builds hold more than what is shipped.
const GROWTH_KIB_MAX: u64 = 48 * 1024;

struct Scene {
    chain: Chain,
    heard: Arc<Mutex<Vec<String>>>,
    _app: JoinSet<()>,
}

/// An application that answers everything, `/large` with 4 MB, and notes which paths it was asked for.
async fn scene(flags: &[&str]) -> Scene {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("a bound listener has an address");
    let heard = Arc::<Mutex<Vec<String>>>::default();
    let mut app = JoinSet::new();
    app.spawn(application(listener, Arc::clone(&heard)));
    Scene { chain: Chain::with(address, 1, flags).await, heard, _app: app }
}

async fn application(listener: TcpListener, heard: Arc<Mutex<Vec<String>>>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let heard = Arc::clone(&heard);
        connections.spawn(async move {
            let Ok(mut connection) = h2::server::handshake(stream).await else { return };
            while let Some(Ok((request, mut respond))) = connection.accept().await {
                let path = request.uri().path().to_owned();
                let length = if path == "/large" { 4 << 20 } else { 2 };
                heard.lock().unwrap_or_else(PoisonError::into_inner).push(path);
                if let Ok(mut to) = respond.send_response(http::Response::new(()), false) {
                    let _ = to.send_data(Bytes::from(vec![b'x'; length]), true);
                }
            }
        });
    }
}

impl Scene {
    fn heard(&self) -> Vec<String> {
        std::mem::take(&mut *self.heard.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A connection of somebody else is served.
    async fn others_are_well(&self) {
        let mut other = connect(self.chain.door(), &[]).await;
        other.write_all(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &get("/other"))).await.expect("it reads");
        let heard = listen(&mut other, |heard| heard.answered(1)).await;
        assert!(heard.answered(1), "{heard:?}");
    }
}

#[tokio::test]
async fn what_a_header_block_must_not_hold_gets_nowhere() {
    let fine: [(&str, &[u8]); 4] =
        [(":method", b"POST"), (":scheme", b"http"), (":authority", b"app"), (":path", b"/evil")];
    let with = |fields: &[(&str, &[u8])]| block(&[&fine[..], fields].concat());
    let table: [(&str, Vec<u8>); 17] = [
        ("CRLF in a value", with(&[("x", b"a\r\nTransfer-Encoding: chunked")])),
        ("LF in a value", with(&[("x", b"a\nb")])),
        ("NUL in a value", with(&[("x", b"a\0b")])),
        ("CRLF in a name", with(&[("x: y\r\nz", b"a")])),
        ("a colon in a name", with(&[("x:", b"a")])),
        ("a space in a name", with(&[("x ", b"a")])),
        ("capitals in a name", with(&[("X-Odd", b"a")])),
        ("Transfer-Encoding", with(&[("transfer-encoding", b"chunked")])),
        ("Connection", with(&[("connection", b"close")])),
        ("Upgrade", with(&[("upgrade", b"websocket")])),
        ("TE other than trailers", with(&[("te", b"gzip")])),
        ("a pseudo-header behind a field", with(&[("x", b"a"), (":path", b"/evil")])),
        ("a path twice", with(&[(":path", b"/evil")])),
        ("a pseudo-header that is none", with(&[(":evil", b"a")])),
        ("the pseudo-header of an answer", with(&[(":status", b"200")])),
        ("no path", block(&fine[..3])),
        ("a length without a body", with(&[("content-length", b"5")])),
    ];
    let scene = scene(&[]).await;
    let mut wrong = Vec::new();
    let mut refusals = 0.0;
    for (flaw, fields) in table {
        refusals += 1.0;
        let mut stream = connect(scene.chain.door(), &[]).await;
        stream.write_all(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &fields)).await.expect("it reads");
        let heard = listen(&mut stream, |heard| heard.reset(1).is_some() || heard.goaway().is_some()).await;
        let refused = heard.reset(1).is_some() || heard.goaway().is_some() || heard.closed;
        if !refused || heard.answered(1) {
            wrong.push(format!("{flaw}: {heard:?}"));
        }
        let asked = scene.heard();
        if asked.iter().any(|path| path == "/evil") {
            wrong.push(format!("{flaw}: the application heard {asked:?}"));
        }
    }
    scene.others_are_well().await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // Each by its reason, though it is the library that refuses.
    scene.chain.outermost().metric_reaches("refused_total", &["reason=\"h2_"], refusals).await;
    scene.chain.stop().await;
}

#[tokio::test]
async fn what_the_library_does_not_mind_is_refused_and_counted() {
    let many: Vec<(String, Vec<u8>)> = (0..250).map(|n| (format!("x-{n}"), b"y".to_vec())).collect();
    let mut fields: Vec<(&str, &[u8])> =
        vec![(":method", b"GET"), (":scheme", b"http"), (":authority", b"app"), (":path", b"/evil")];
    let host = block(&[&fields[..], &[("host", b"other")]].concat());
    let hosts = block(&[&fields[..], &[("host", b"app"), ("host", b"app")]].concat());
    fields.extend(many.iter().map(|(name, value)| (name.as_str(), value.as_slice())));
    let scene = scene(&[]).await;
    for (reason, fields) in
        [("host_contradicts_target", host), ("several_hosts", hosts), ("too_many_fields", block(&fields))]
    {
        let mut stream = connect(scene.chain.door(), &[]).await;
        stream.write_all(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &fields)).await.expect("it reads");
        let heard = listen(&mut stream, |heard| heard.answered(1)).await;
        assert!(heard.answered(1), "{reason}: {heard:?}");
        let label = format!("reason=\"{reason}\"");
        scene.chain.outermost().metric_reaches("refused_total", &[&label], 1.0).await;
        assert_eq!(scene.heard(), Vec::<String>::new(), "{reason}");
    }
    scene.chain.stop().await;
}

/// Writes until the other side has had enough.
async fn flood(stream: &mut TcpStream, mut next: impl FnMut(u32) -> Option<Vec<u8>>) {
    for place in 0.. {
        let Some(bytes) = next(place) else { return };
        match timeout(PATIENCE, stream.write_all(&bytes)).await {
            Ok(Ok(())) => {}
            // Closed, or no longer read.
            Ok(Err(_)) | Err(_) => return,
        }
    }
}

#[tokio::test]
async fn streams_that_are_reset_at_once_end_the_connection() {
    let scene = scene(&[]).await;
    let before = scene.chain.outermost().resident_kib();
    let mut stream = connect(scene.chain.door(), &[]).await;
    flood(&mut stream, |place| {
        let id = 2 * place + 1;
        let asked = frame(HEADERS, END_HEADERS | END_STREAM, id, &get("/reset"));
        (place < 20_000).then(|| [asked, frame(RST_STREAM, 0, id, &8_u32.to_be_bytes())].concat())
    })
    .await;
    scene.others_are_well().await;
    let grown = scene.chain.outermost().resident_kib().saturating_sub(before);
    assert!(grown < GROWTH_KIB_MAX, "{grown} KiB more");
    scene.chain.outermost().metric_reaches("refused_total", &["reason=\"h2_enhance_your_calm\""], 1.0).await;
    scene.chain.stop().await;
}

#[tokio::test]
async fn a_head_that_goes_on_for_ever_ends_the_connection() {
    let scene = scene(&[]).await;
    let before = scene.chain.outermost().resident_kib();
    let mut stream = connect(scene.chain.door(), &[]).await;
    let piece = block(&[("x", &[b'y'; 16_000])]);
    flood(&mut stream, |place| match place {
        0 => Some(frame(HEADERS, END_STREAM, 1, &get("/endless"))),
        1..4_000 => Some(frame(CONTINUATION, 0, 1, &piece)),
        _ => None,
    })
    .await;
    let heard = listen(&mut stream, |heard| heard.goaway().is_some()).await;
    assert!(heard.goaway().is_some() || heard.closed, "{heard:?}");
    scene.others_are_well().await;
    let grown = scene.chain.outermost().resident_kib().saturating_sub(before);
    assert!(grown < GROWTH_KIB_MAX, "{grown} KiB more");
    assert!(!scene.heard().contains(&"/endless".to_owned()));
    scene.chain.outermost().metric_reaches("refused_total", &["reason=\"h2_"], 1.0).await;
    scene.chain.stop().await;
}

#[tokio::test]
async fn a_caller_that_opens_no_window_makes_nobody_hold_its_answers() {
    let scene = scene(&[]).await;
    let before = scene.chain.outermost().resident_kib();
    // SETTINGS_INITIAL_WINDOW_SIZE = 0.
    let mut stream = connect(scene.chain.door(), &[0, 4, 0, 0, 0, 0]).await;
    for place in 0..100 {
        let asked = frame(HEADERS, END_HEADERS | END_STREAM, 2 * place + 1, &get("/large"));
        stream.write_all(&asked).await.expect("it reads");
    }
    let heard = listen(&mut stream, |heard| heard.answered(199)).await;
    assert!(heard.answered(199), "heads need no window");
    scene.others_are_well().await;
    let grown = scene.chain.outermost().resident_kib().saturating_sub(before);
    assert!(grown < GROWTH_KIB_MAX, "{grown} KiB more for 400 MB of answers");
    scene.chain.stop().await;
}

#[tokio::test]
async fn settings_without_end_are_answered_within_bounds() {
    let scene = scene(&[]).await;
    let before = scene.chain.outermost().resident_kib();
    let mut stream = connect(scene.chain.door(), &[]).await;
    // Acknowledgements are not read.
    let flooded = flood(&mut stream, |place| (place < 200_000).then(|| frame(SETTINGS, 0, 0, &[])));
    let _ = timeout(Duration::from_secs(5), flooded).await;
    scene.others_are_well().await;
    let grown = scene.chain.outermost().resident_kib().saturating_sub(before);
    assert!(grown < GROWTH_KIB_MAX, "{grown} KiB more");
    drop(stream);
    scene.chain.stop().await;
}

#[tokio::test]
async fn a_stopping_sidecar_says_so_and_an_idle_connection_is_closed() {
    let idle = scene(&["--idle-timeout=1"]).await;
    let mut stream = connect(idle.chain.door(), &[]).await;
    let heard = listen(&mut stream, |heard| heard.closed).await;
    assert!(heard.frames.iter().any(|frame| frame.0 == GOAWAY) && heard.closed, "{heard:?}");
    idle.chain.outermost().metric_reaches("idle_closed_total", &["protocol=\"http2\""], 1.0).await;
    idle.chain.stop().await;

    let stopping = scene(&[]).await;
    let mut stream = connect(stopping.chain.door(), &[]).await;
    stream.write_all(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &get("/"))).await.expect("it reads");
    let heard = listen(&mut stream, |heard| heard.answered(1)).await;
    assert!(heard.answered(1), "{heard:?}");
    stopping.chain.outermost().terminate();
    let heard = listen(&mut stream, |heard| heard.closed).await;
    assert!(
        heard.frames.iter().any(|frame| frame.0 == GOAWAY) && heard.goaway().is_none(),
        "a graceful one: {heard:?}"
    );
    stopping.chain.stop().await;
}
