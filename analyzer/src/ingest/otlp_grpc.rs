//! OTLP over gRPC. Its services have nothing but unary calls, which are an HTTP/2 request and answer with a frame of
//! five bytes around the message and the status in trailers: no more than that is implemented here.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};
use http_body_util::{BodyExt, Full};

use super::Ingest;
use super::body::{Encoding, Held, blocking_if_large, decompress};
use super::otlp::{self, Signal, Syntax};
use super::otlp_http::partial_success;
use super::protobuf::{write_bytes, write_number};
use super::refusal::Refusal;

const PROTOCOL: &str = "grpc";

pub(super) fn router(ingest: Arc<Ingest>) -> Router {
    Router::new()
        .route("/opentelemetry.proto.collector.trace.v1.TraceService/Export", post(traces))
        .route("/opentelemetry.proto.collector.metrics.v1.MetricsService/Export", post(edge_metrics))
        .route("/grpc.health.v1.Health/Check", post(health))
        .fallback(unknown)
        .with_state(ingest)
}

async fn traces(State(ingest): State<Arc<Ingest>>, request: Request) -> Response {
    answer(&ingest, Signal::Traces, request).await
}

async fn edge_metrics(State(ingest): State<Arc<Ingest>>, request: Request) -> Response {
    answer(&ingest, Signal::Metrics, request).await
}

/// gRPC's own health check, for probes that know nothing else.
async fn health() -> Response {
    const SERVING: &[u8] = &[8, 1];
    message(SERVING)
}

/// A service or path that is not here, told in the language of whoever asks.
async fn unknown(request: Request) -> Response {
    let content_type = request.headers().get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    if content_type.starts_with(b"application/grpc") {
        return error(12, "only the services for traces and metrics are here");
    }
    (StatusCode::NOT_FOUND, "not found; OTLP over HTTP goes to /v1/traces and /v1/metrics\n").into_response()
}

/// The life of a call: read, take the frame off, undo the compression, decode, keep, answer.
async fn answer(ingest: &Arc<Ingest>, signal: Signal, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let outcome = async {
        let encoding = Encoding::from_name(head.headers.get("grpc-encoding"))?;
        let (bytes, held) = ingest.read(body, PROTOCOL).await?;
        let decode = move |held: &mut Held| {
            let (compressed, message) = unframe(&bytes)?;
            match (compressed, encoding) {
                (false, _) => otlp::decode(signal, Syntax::Protobuf, message),
                (true, encoding) => {
                    otlp::decode(signal, Syntax::Protobuf, &decompress(message.to_vec(), encoding, held)?)
                }
            }
        };
        let (brought, _held) = blocking_if_large(held, decode).await?;
        ingest.keep(brought, PROTOCOL).await
    };
    let outcome = outcome.await;
    ingest.count(PROTOCOL, outcome.as_ref().map(|rejected| rejected.count));
    match outcome {
        Ok(rejected) => message(&partial_success(&rejected)),
        Err(refusal) => failure(&refusal),
    }
}

/// `compressed u8, length u32, message`: exactly one in a unary call.
fn unframe(bytes: &[u8]) -> Result<(bool, &[u8]), Refusal> {
    let malformed = || Refusal::Malformed("a unary call has exactly one message".to_owned());
    let (&[flag, a, b, c, d], message) = bytes.split_first_chunk().ok_or_else(malformed)?;
    let length = u32::from_be_bytes([a, b, c, d]);
    if flag > 1 || usize::try_from(length) != Ok(message.len()) {
        return Err(malformed());
    }
    Ok((flag == 1, message))
}

fn failure(refusal: &Refusal) -> Response {
    let why = refusal.to_string();
    let mut response = error(refusal.grpc_status(), &why);
    if let Some(details) = details(refusal, &why) {
        response.headers_mut().insert("grpc-status-details-bin", details);
    }
    response
}

fn message(message: &[u8]) -> Response {
    let mut frame = vec![0];
    frame.extend((message.len() as u32).to_be_bytes());
    frame.extend_from_slice(message);
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let body = Full::new(Bytes::from(frame)).with_trailers(std::future::ready(Some(Ok(trailers))));
    head(Body::new(body))
}

/// An answer of nothing but headers, which are then the trailers.
fn error(code: u8, why: &str) -> Response {
    let mut response = head(Body::empty());
    response.headers_mut().insert("grpc-status", HeaderValue::from(u16::from(code)));
    if let Ok(why) = HeaderValue::from_str(&percent_encoded(why)) {
        response.headers_mut().insert("grpc-message", why);
    }
    response
}

fn head(body: Body) -> Response {
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response.headers_mut().insert("grpc-accept-encoding", HeaderValue::from_static("identity,gzip,zstd"));
    response
}

/// `google.rpc.Status` with a `RetryInfo`, in base64: without it, a client must not send a RESOURCE_EXHAUSTED again.
fn details(refusal: &Refusal, why: &str) -> Option<HeaderValue> {
    let after = refusal.retry_after()?;
    let (mut duration, mut info, mut any, mut status) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    write_number(&mut duration, 1, after.as_secs());
    write_number(&mut duration, 2, after.subsec_nanos().into());
    write_bytes(&mut info, 1, &duration);
    write_bytes(&mut any, 1, b"type.googleapis.com/google.rpc.RetryInfo");
    write_bytes(&mut any, 2, &info);
    write_number(&mut status, 1, refusal.grpc_status().into());
    write_bytes(&mut status, 2, why.as_bytes());
    write_bytes(&mut status, 3, &any);
    HeaderValue::from_str(&base64(&status)).ok()
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().fold(0u32, |group, &byte| group << 8 | u32::from(byte)) << (8 * (3 - chunk.len()));
        // gRPC wants no padding.
        for at in 0..=chunk.len() {
            let digit = ALPHABET.get((group >> (18 - 6 * at) & 63) as usize);
            text.push(digit.map_or('A', |&digit| char::from(digit)));
        }
    }
    text
}

/// gRPC's: everything but printable ASCII, and `%` itself.
fn percent_encoded(text: &str) -> String {
    use std::fmt::Write;
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'%' | ..b' ' | 0x7f.. => drop(write!(encoded, "%{byte:02X}")),
            _ => encoded.push(char::from(byte)),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_hold_exactly_one_message() {
        assert_eq!(unframe(&[0, 0, 0, 0, 0]).unwrap(), (false, &[][..]));
        assert_eq!(unframe(&[1, 0, 0, 0, 2, 8, 9]).unwrap(), (true, &[8, 9][..]));
        for flawed in
            [&[0, 0, 0, 0][..], &[0, 0, 0, 0, 1], &[0, 0, 0, 0, 0, 1], &[2, 0, 0, 0, 0], &[0, 255, 255, 255, 255]]
        {
            assert!(unframe(flawed).is_err(), "{flawed:?}");
        }
    }

    #[test]
    fn headers_hold_any_text() {
        assert_eq!(percent_encoded("100% grün\n"), "100%25 gr%C3%BCn%0A");
        assert_eq!(
            ["", "f", "fo", "foo", "foob"].map(|text| base64(text.as_bytes())),
            ["", "Zg", "Zm8", "Zm9v", "Zm9vYg"]
        );
    }
}
