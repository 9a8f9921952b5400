//! An OTLP/gRPC receiver that counts spans and keeps none: where the proxies that `tests/bench/run` measures report to.
//!
//! The first line it prints is its port. Every line that comes in is answered by one JSON line with the counts so far;
//! it ends with its standard input, so it never outlives whoever started it.

use std::convert::Infallible;
use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, combinators::WithTrailers};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;

static EXPORTS: AtomicU64 = AtomicU64::new(0);
static SPANS: AtomicU64 = AtomicU64::new(0);
/// Exports that were broken off or could not be read.
static BAD: AtomicU64 = AtomicU64::new(0);

/// Where spans lie in an `ExportTraceServiceRequest`: field 1 `resource_spans`, in it 2 `scope_spans`, in it 2 `spans`.
const PATH_TO_SPANS: [u64; 3] = [1, 2, 2];
/// gRPC's `UNIMPLEMENTED`: a sender whose compression is not known here should take another one.
const UNIMPLEMENTED: &str = "12";
/// Flow-control windows, larger than any batch, so that no sender waits for an update.
const WINDOW_BYTES: u32 = 4 * 1024 * 1024;

/// Serves until standard input ends.
pub(crate) fn run() -> io::Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_io().build()?.block_on(serve())
}

async fn serve() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?.port());
    std::thread::spawn(answer_questions);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let mut server = http2::Builder::new(TokioExecutor::new());
        server.initial_stream_window_size(WINDOW_BYTES).initial_connection_window_size(WINDOW_BYTES);
        let connection = server.serve_connection(TokioIo::new(stream), service_fn(export));
        // A proxy that is stopped breaks its connection off; what counts is what arrived.
        tokio::spawn(async move { drop(connection.await) });
    }
}

/// Prints the counts for every line that is read.
fn answer_questions() {
    for _ in io::stdin().lines().map_while(Result::ok) {
        let (exports, spans, bad) = (EXPORTS.load(Relaxed), SPANS.load(Relaxed), BAD.load(Relaxed));
        println!(r#"{{"exports":{exports},"spans":{spans},"bad":{bad}}}"#);
        if io::stdout().flush().is_err() {
            break;
        }
    }
    std::process::exit(0);
}

type Answer = WithTrailers<Full<Bytes>, std::future::Ready<Option<Result<HeaderMap, Infallible>>>>;

/// Takes one call. Metrics and logs are accepted as traces are, but hold nothing to count.
async fn export(request: Request<Incoming>) -> Result<Response<Answer>, Infallible> {
    let holds_spans = request.uri().path().ends_with(".TraceService/Export");
    let encoding = request.headers().get("grpc-encoding").cloned();
    let Ok(body) = request.into_body().collect().await else {
        BAD.fetch_add(1, Relaxed);
        return Ok(answer("0"));
    };
    let Some(message) = decoded(encoding.as_ref(), &body.to_bytes()) else {
        BAD.fetch_add(1, Relaxed);
        return Ok(answer(UNIMPLEMENTED));
    };
    if holds_spans {
        EXPORTS.fetch_add(1, Relaxed);
        match count(&message, &PATH_TO_SPANS) {
            Some(spans) => SPANS.fetch_add(spans, Relaxed),
            None => BAD.fetch_add(1, Relaxed),
        };
    }
    Ok(answer("0"))
}

/// An empty message, which says that everything was accepted, and the status behind it.
fn answer(status: &'static str) -> Response<Answer> {
    let trailers = HeaderMap::from_iter([("grpc-status".parse().expect("a name"), HeaderValue::from_static(status))]);
    let body = Full::new(Bytes::from_static(&[0; 5])).with_trailers(std::future::ready(Some(Ok(trailers))));
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response.headers_mut().insert("grpc-accept-encoding", HeaderValue::from_static("identity,gzip,zstd"));
    response
}

/// The message of a unary call: one byte that says whether it is compressed, four bytes of length, the message.
fn decoded(encoding: Option<&HeaderValue>, body: &[u8]) -> Option<Vec<u8>> {
    let (&compressed, rest) = body.split_first()?;
    let (length, message) = rest.split_first_chunk()?;
    let message = message.get(..usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
    if compressed == 0 {
        return Some(message.to_vec());
    }
    match encoding?.as_bytes() {
        b"zstd" => zstd::decode_all(message).ok(),
        b"gzip" => {
            let mut out = Vec::new();
            flate2::read::GzDecoder::new(message).read_to_end(&mut out).ok()?;
            Some(out)
        }
        _ => None,
    }
}

/// How many submessages lie at the end of `path`, a list of field numbers; none if the message is malformed.
fn count(mut message: &[u8], path: &[u64]) -> Option<u64> {
    let Some((&wanted, deeper)) = path.split_first() else { return Some(1) };
    let mut found = 0;
    while !message.is_empty() {
        let key = varint(&mut message)?;
        let length = match key & 7 {
            0 => varint(&mut message).map(|_| 0)?,
            1 => 8,
            2 => usize::try_from(varint(&mut message)?).ok()?,
            5 => 4,
            _ => return None,
        };
        let (content, rest) = message.split_at_checked(length)?;
        message = rest;
        if key & 7 == 2 && key >> 3 == wanted {
            found += count(content, deeper)?;
        }
    }
    Some(found)
}

/// A protobuf integer: seven bits per byte, the lowest first; the eighth says that more follow.
fn varint(message: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = message.split_first()?;
        *message = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}
