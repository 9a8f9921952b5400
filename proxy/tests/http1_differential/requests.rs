//! Requests: our codec first, then the others with an echo behind them.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use raceway_proxy::http1::{Body, Framing, Limits, RequestHead, Step};

use super::Plan;
use super::generate;
use super::message::{Message, collect, dechunk};
use super::peers::{Peers, Route};

/// How many cases are tried at a time.
const LANES: usize = 3;

/// No answer takes that long; a peer that is silent for so long waits for bytes of a message that is over for us.
const PATIENCE: Duration = Duration::from_secs(10);

type Log = Arc<Mutex<Vec<Message>>>;

/// What the codec made of a stream.
struct Passed {
    /// The bytes that went on.
    bytes: Vec<u8>,
    messages: Vec<Message>,
    /// The last of them lets another one follow.
    persistent: bool,
}

/// Passes on as many requests as there are, the way the sidecar does.
fn pass(stream: &[u8]) -> Passed {
    let mut passed = Passed { bytes: Vec::new(), messages: Vec::new(), persistent: true };
    let mut input = BytesMut::from(stream);
    let mut head = RequestHead::default();
    while let Ok(true) = head.read(&mut input, &Limits::default()) {
        let Some(body) = pass_body(head.framing(), &mut input) else { break };
        // Tunnels begin here, where messages end.
        if head.method() == "CONNECT" || !head.host_agrees() {
            break;
        }
        let (payload, trailers) =
            if head.framing() == Framing::Chunked { dechunk(&body) } else { (body.clone(), Vec::new()) };
        head.strip_hop_by_hop(head.upgrade().is_some());
        let mut out = BytesMut::new();
        head.write(&mut out);
        passed.bytes.extend_from_slice(&out);
        passed.bytes.extend_from_slice(&body);
        let message = Message::new(head.method(), head.target(), head.iter(), payload);
        passed.messages.push(Message { trailers, ..message });
        passed.persistent = head.persistent();
        if !passed.persistent {
            break;
        }
    }
    passed
}

/// The bytes of a body as they go on; none where it is refused or not all there.
pub(crate) fn pass_body(framing: Framing, input: &mut BytesMut) -> Option<Vec<u8>> {
    let mut body = Body::new(framing);
    let mut out = Vec::new();
    loop {
        match body.step(input).ok()? {
            Step::Forward(size) => out.extend_from_slice(&input.split_to(size)),
            Step::Skip(size) => drop(input.split_to(size)),
            Step::More => return None,
            Step::End => return Some(out),
        }
    }
}

/// Answers every request and remembers it. Only those that came whole count.
async fn echo(listener: tokio::net::UnixListener, log: Log) {
    while let Ok((stream, _)) = listener.accept().await {
        let log = log.clone();
        let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
            let log = log.clone();
            async move {
                let (head, body) = request.into_parts();
                let collected = body.collect().await?;
                let trailers = collected.trailers().cloned().unwrap_or_default();
                let lines = head.headers.iter().map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()));
                let target = head.uri.to_string();
                let message =
                    Message::new(head.method.as_str(), target.as_bytes(), lines, collected.to_bytes().to_vec());
                let trailers =
                    collect(trailers.iter().map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes())));
                log.lock().unwrap().push(Message { trailers, ..message });
                hyper::Result::Ok(hyper::Response::new(Full::new(Bytes::from_static(b"seen"))))
            }
        });
        tokio::spawn(async move {
            // Whatever breaks here was refused, which is the peer's right.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// A request that nobody can misread, and that ends the connection.
fn sentinel(case: u64) -> (Vec<u8>, Message) {
    let target = format!("/sentinel/{case}");
    let bytes = format!("GET {target} HTTP/1.1\r\nHost: a\r\nX-Sentinel: {case}\r\nConnection: close\r\n\r\n");
    let lines = [("host", "a".to_owned()), ("x-sentinel", case.to_string())];
    let lines = lines.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    (bytes.into_bytes(), Message::new("GET", target.as_bytes(), lines, Vec::new()))
}

/// One lane's way to one peer.
struct Lane {
    route: Route,
    log: Log,
}

/// What came of a case at one peer.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    /// All messages as we understood them.
    Same,
    /// Some, and nothing else.
    Fewer,
    /// Something that we never passed on, or a message never ended.
    Different(String),
}

impl Lane {
    fn send(&self, bytes: &[u8]) -> UnixStream {
        self.log.lock().unwrap().clear();
        let mut stream = UnixStream::connect(&self.route.front).expect("the peer listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time");
        // A peer may close before it has read all.
        let _ = stream.write_all(bytes);
        stream
    }

    /// `needed`: how many of `expected` have to be there for the peer to agree to everything. The sentinel is not where
    /// the last of ours ends the connection.
    fn judge(&self, mut stream: UnixStream, expected: &[Message], needed: usize) -> Verdict {
        let mut answers = Vec::new();
        let end = stream.read_to_end(&mut answers);
        let seen = std::mem::take(&mut *self.log.lock().unwrap());
        let mut rest = expected.iter();
        for message in &seen {
            if !rest.any(|passed| passed.means(message)) {
                return Verdict::Different(format!("saw {message:?}"));
            }
        }
        match end {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Verdict::Different(format!(
                "waits for more after {} of {} messages, having answered {:?}",
                seen.len(),
                expected.len(),
                answers.escape_ascii().to_string()
            )),
            _ if seen.len() >= needed => Verdict::Same,
            _ => Verdict::Fewer,
        }
    }
}

/// How one case went, for those who read the log.
fn report(case: u64, seed: u64, stream: &[u8], passed: &Passed, peer: &str, what: &str) -> String {
    let (stream, bytes) = (stream.escape_ascii(), passed.bytes.escape_ascii());
    let messages = &passed.messages;
    format!(
        "{peer} {what}\n  from {bytes}\n  made of {stream}\n  which we take for {messages:#?}\n  \
         RACEWAY_DIFFERENTIAL_SEED={seed} RACEWAY_DIFFERENTIAL_CASE={case} repeats it"
    )
}

#[test]
fn what_we_pass_on_everybody_reads_the_same() {
    let plan = Plan::from_env("requests");
    let peers = Peers::start(LANES);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let lanes: Vec<Vec<Lane>> = (0..LANES)
        .map(|lane| {
            let start = |route: Route| {
                let log = Log::default();
                let _guard = runtime.enter();
                let listener = tokio::net::UnixListener::bind(&route.back).expect("a socket");
                runtime.spawn(echo(listener, log.clone()));
                Lane { route, log }
            };
            peers.routes(lane).into_iter().map(start).collect()
        })
        .collect();
    let totals = Mutex::new((0_u64, 0_u64, BTreeMap::<(&str, bool), u64>::new()));
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for (number, lane) in lanes.iter().enumerate() {
            let (plan, totals, failures) = (&plan, &totals, &failures);
            scope.spawn(move || {
                let (mut tried, mut passed_on) = (0, 0);
                for (case, mut random) in plan.cases(number as u64, LANES as u64) {
                    let stream = generate::request(&mut random);
                    tried += 1;
                    let passed = pass(&stream);
                    if passed.messages.is_empty() {
                        continue;
                    }
                    passed_on += 1;
                    let (sentinel, last) = sentinel(case);
                    let bytes = [passed.bytes.clone(), sentinel].concat();
                    let expected: Vec<Message> = passed.messages.iter().cloned().chain([last]).collect();
                    let needed = passed.messages.len() + usize::from(passed.persistent);
                    let open: Vec<UnixStream> = lane.iter().map(|lane| lane.send(&bytes)).collect();
                    for (lane, stream_open) in lane.iter().zip(open) {
                        let mut verdict = lane.judge(stream_open, &expected, needed);
                        if let Verdict::Different(_) = verdict {
                            // What was logged late by the case before would look like this, once.
                            verdict = lane.judge(lane.send(&bytes), &expected, needed);
                        }
                        if let Verdict::Different(what) = &verdict {
                            let report = report(case, plan.seed, &stream, &passed, lane.route.peer, what);
                            failures.lock().unwrap().push(report);
                        }
                        let same = verdict == Verdict::Same;
                        *totals.lock().unwrap().2.entry((lane.route.peer, same)).or_default() += 1;
                    }
                    if failures.lock().unwrap().len() > 20 {
                        break;
                    }
                }
                let mut totals = totals.lock().unwrap();
                totals.0 += tried;
                totals.1 += passed_on;
            });
        }
    });
    let (tried, passed_on, by_peer) = totals.into_inner().unwrap();
    eprintln!("requests: {tried} tried, {passed_on} passed on; (peer, all taken) {by_peer:?}");
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{} differences:\n{}", failures.len(), failures.join("\n"));
    if plan.only.is_none() {
        for route in peers.routes(0) {
            let same = by_peer.get(&(route.peer, true)).copied().unwrap_or_default();
            assert!(same * 4 > passed_on, "{} took {same} of {passed_on}: the comparison is worth little", route.peer);
        }
    }
}

#[test]
fn nothing_valid_is_refused() {
    let rows = [
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST /path?q HTTP/1.1\r\nhost:a\r\nContent-Length: 5\r\n\r\nhello",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n",
        "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
        "GET http://a/ HTTP/1.1\r\nHost: a\r\nX-A: \t b\t c \r\n\r\n",
    ];
    for row in rows {
        let passed = pass(row.repeat(2).as_bytes());
        assert_eq!(passed.messages.len(), 2, "{row:?}");
    }
}
