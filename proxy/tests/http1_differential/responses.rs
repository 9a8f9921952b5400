//! Responses: our codec first, then the others between a server that says just this and a client.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use raceway_proxy::http1::{Framing, Limits, ResponseHead};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

use super::Plan;
use super::generate;
use super::message::{Message, dechunk};
use super::peers::{Peers, Route};
use super::requests::pass_body;

/// How many cases are tried at a time.
const LANES: usize = 3;

/// No answer takes that long; who is silent for so long waits for bytes of a message that is over for us.
const PATIENCE: Duration = Duration::from_secs(10);

const SENTINEL: &str = "HTTP/1.1 200 OK\r\nX-Sentinel: yes\r\nContent-Length: 8\r\n\r\nsentinel";

/// What a server says, and whether it then waits for another request.
#[derive(Clone, Default)]
struct Script {
    bytes: Vec<u8>,
    persistent: bool,
}

/// Passes on one answer the way the sidecar does.
fn pass(stream: &[u8], method: &str) -> Option<(Script, Message)> {
    let mut input = BytesMut::from(stream);
    let mut head = ResponseHead::default();
    head.read(&mut input, &Limits::default(), method).ok().filter(|whole| *whole)?;
    // After an interim answer everybody waits, and after 101 there is another protocol.
    if head.status() < 200 {
        return None;
    }
    let body = match head.framing() {
        Framing::UntilClose => input.to_vec(),
        framing => pass_body(framing, &mut input)?,
    };
    let (payload, trailers) = match head.framing() {
        Framing::Chunked => dechunk(&body),
        _ => (body.clone(), Vec::new()),
    };
    head.strip_hop_by_hop(false);
    let mut out = BytesMut::new();
    head.write(&mut out);
    out.extend_from_slice(&body);
    let message = Message::new(&head.status().to_string(), b"", head.iter(), payload);
    Some((Script { bytes: out.to_vec(), persistent: head.persistent() }, Message { trailers, ..message }))
}

/// Answers every request by the script of the moment, the sentinel's by the sentinel.
async fn serve(listener: UnixListener, script: Arc<Mutex<Script>>) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let script = script.clone();
        tokio::spawn(async move {
            let mut input = Vec::new();
            while let Ok(1..) = stream.read_buf(&mut input).await {
                while let Some(end) = input.windows(4).position(|end| end == b"\r\n\r\n") {
                    let request: Vec<u8> = input.drain(..end + 4).collect();
                    let now = if request.starts_with(b"GET /sentinel ") {
                        Script { bytes: SENTINEL.into(), persistent: true }
                    } else {
                        script.lock().unwrap().clone()
                    };
                    if stream.write_all(&now.bytes).await.is_err() || !now.persistent {
                        return;
                    }
                }
            }
        });
    }
}

/// What came back for a request: nothing, where it was refused; an error, where it never ended.
type Answer = Result<Option<Message>, &'static str>;

async fn connect(front: &Path) -> SendRequest<Empty<Bytes>> {
    let stream = UnixStream::connect(front).await.expect("the peer listens");
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("no IO yet");
    // A failure shows in the answers.
    tokio::spawn(async { drop(connection.await) });
    sender
}

async fn ask(sender: &mut SendRequest<Empty<Bytes>>, method: &str, target: &str) -> Answer {
    let request = hyper::Request::builder().method(method).uri(target).header("host", "a").body(Empty::new());
    let answer = async {
        sender.ready().await?;
        let (head, body) = sender.send_request(request.expect("valid")).await?.into_parts();
        let body = body.collect().await?.to_bytes().to_vec();
        let lines = head.headers.iter().map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()));
        hyper::Result::Ok(Message::new(head.status.as_str(), b"", lines, body))
    };
    match tokio::time::timeout(PATIENCE, answer).await {
        Err(_) => Err("waits for more"),
        // What nginx and HAProxy say when they refuse an answer.
        Ok(Ok(message)) if matches!(message.what.as_str(), "502" | "504") => Ok(None),
        Ok(Ok(message)) => Ok(Some(message)),
        Ok(Err(_)) => Ok(None),
    }
}

/// Whether the peer agreed to everything; or what it saw that was never said.
async fn judge(route: &Route, method: &str, expected: &Message) -> Result<bool, String> {
    let mut sender = connect(&route.front).await;
    let answer = ask(&mut sender, method, "/").await?;
    if let Some(message) = &answer
        && !expected.means(message)
    {
        return Err(format!("saw {message:?}"));
    }
    // The peer's connection to the server may go on though this one does not.
    let sentinel = match ask(&mut sender, "GET", "/sentinel").await? {
        Some(message) => Some(message),
        None => ask(&mut connect(&route.front).await, "GET", "/sentinel").await?,
    };
    match &sentinel {
        Some(message) if message.what != "200" || message.body != b"sentinel" => {
            Err(format!("saw {message:?} instead of the sentinel"))
        }
        _ => Ok(answer.is_some() && sentinel.is_some()),
    }
}

#[derive(Default)]
struct Totals {
    tried: u64,
    passed_on: u64,
    by_peer: BTreeMap<(&'static str, bool), u64>,
    failures: Vec<String>,
}

async fn run_lane(number: u64, routes: &[Route], plan: &Plan, totals: &Mutex<Totals>) {
    let script = Arc::new(Mutex::new(Script::default()));
    for route in routes {
        tokio::spawn(serve(UnixListener::bind(&route.back).expect("a socket"), script.clone()));
    }
    for (case, mut random) in plan.cases(number, LANES as u64) {
        let method = if random.once_in(5) { "HEAD" } else { "GET" };
        let stream = generate::response(&mut random);
        totals.lock().unwrap().tried += 1;
        let Some((said, expected)) = pass(&stream, method) else { continue };
        totals.lock().unwrap().passed_on += 1;
        *script.lock().unwrap() = said.clone();
        for route in routes {
            let verdict = judge(route, method, &expected).await;
            let mut totals = totals.lock().unwrap();
            *totals.by_peer.entry((route.peer, verdict == Ok(true))).or_default() += 1;
            if let Err(what) = verdict {
                totals.failures.push(format!(
                    "{} {what}\n  from {} to {method}\n  made of {}\n  which we take for {expected:?}\n  \
                     RACEWAY_DIFFERENTIAL_SEED={} RACEWAY_DIFFERENTIAL_CASE={case} repeats it",
                    route.peer,
                    said.bytes.escape_ascii(),
                    stream.escape_ascii(),
                    plan.seed,
                ));
            }
        }
        if totals.lock().unwrap().failures.len() > 20 {
            break;
        }
    }
}

#[test]
fn what_we_pass_on_everybody_reads_the_same() {
    let plan = Plan::from_env("responses");
    let peers = Peers::start(LANES);
    let totals = Mutex::new(Totals::default());
    std::thread::scope(|scope| {
        for lane in 0..LANES {
            let (routes, plan, totals) = (peers.routes(lane), &plan, &totals);
            scope.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
                runtime.block_on(run_lane(lane as u64, &routes, plan, totals));
            });
        }
    });
    let Totals { tried, passed_on, by_peer, failures } = totals.into_inner().unwrap();
    eprintln!("responses: {tried} tried, {passed_on} passed on; (peer, all taken) {by_peer:?}");
    assert!(failures.is_empty(), "{} differences:\n{}", failures.len(), failures.join("\n"));
    if plan.only.is_none() {
        for route in peers.routes(0) {
            let same = by_peer.get(&(route.peer, true)).copied().unwrap_or_default();
            assert!(same * 4 > passed_on, "{} took {same} of {passed_on}: the comparison is worth little", route.peer);
        }
    }
}
