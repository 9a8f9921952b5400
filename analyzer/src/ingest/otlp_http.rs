//! OTLP over HTTP: `POST /v1/traces` and `/v1/metrics`, protobuf or JSON, plain, gzip or zstd.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, StatusCode};

use super::Ingest;
use super::body::{Encoding, Held, blocking_if_large, decompress};
use super::otlp::{self, Rejected, Signal, Syntax};
use super::protobuf::{write_bytes, write_number};
use super::refusal::Refusal;

pub(super) fn router(ingest: Arc<Ingest>) -> Router {
    Router::new().route("/v1/traces", post(traces)).route("/v1/metrics", post(edge_metrics)).with_state(ingest)
}

async fn traces(State(ingest): State<Arc<Ingest>>, request: Request) -> Response {
    answer(&ingest, Signal::Traces, request).await
}

async fn edge_metrics(State(ingest): State<Arc<Ingest>>, request: Request) -> Response {
    answer(&ingest, Signal::Metrics, request).await
}

/// The life of a request: read, undo the compression, decode, keep, answer in its own syntax.
async fn answer(ingest: &Arc<Ingest>, signal: Signal, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let syntax = syntax(&head.headers);
    let shown = *syntax.as_ref().unwrap_or(&Syntax::Json);
    let protocol = match shown {
        Syntax::Protobuf => "http_protobuf",
        Syntax::Json => "http_json",
    };
    let outcome = async {
        let syntax = syntax?;
        let encoding = Encoding::from_name(head.headers.get(CONTENT_ENCODING))?;
        let (bytes, held) = ingest.read(body, protocol).await?;
        let decode = move |held: &mut Held| otlp::decode(signal, syntax, &decompress(bytes, encoding, held)?);
        let (brought, _held) = blocking_if_large(held, decode).await?;
        ingest.keep(brought, protocol).await
    };
    let outcome = outcome.await;
    ingest.count(protocol, outcome.as_ref().map(|rejected| rejected.count));
    match outcome {
        Ok(rejected) => success(shown, signal, &rejected),
        Err(refusal) => failure(shown, &refusal),
    }
}

fn syntax(headers: &HeaderMap) -> Result<Syntax, Refusal> {
    let name = headers.get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    let essence = name.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii().to_ascii_lowercase();
    match &*essence {
        b"application/x-protobuf" | b"application/protobuf" => Ok(Syntax::Protobuf),
        b"application/json" => Ok(Syntax::Json),
        _ => Err(Refusal::UnknownType(String::from_utf8_lossy(name).chars().take(80).collect())),
    }
}

fn content_type(syntax: Syntax) -> HeaderValue {
    HeaderValue::from_static(match syntax {
        Syntax::Protobuf => "application/x-protobuf",
        Syntax::Json => "application/json",
    })
}

fn success(syntax: Syntax, signal: Signal, rejected: &Rejected) -> Response {
    let body = match syntax {
        Syntax::Protobuf => partial_success(rejected),
        Syntax::Json if rejected.count == 0 => b"{}".to_vec(),
        Syntax::Json => {
            let (count, why) = (rejected.count.to_string(), rejected.first.as_deref().unwrap_or_default());
            let rejected_name = if signal == Signal::Traces { "rejectedSpans" } else { "rejectedDataPoints" };
            let partial = serde_json::json!({"partialSuccess": {rejected_name: count, "errorMessage": why}});
            partial.to_string().into_bytes()
        }
    };
    ([(CONTENT_TYPE, content_type(syntax))], body).into_response()
}

/// `ExportTraceServiceResponse`, or its twin for metrics: the same fields.
pub(super) fn partial_success(rejected: &Rejected) -> Vec<u8> {
    let mut response = Vec::new();
    if rejected.count > 0 {
        let mut partial = Vec::new();
        write_number(&mut partial, 1, rejected.count);
        write_bytes(&mut partial, 2, rejected.first.as_deref().unwrap_or_default().as_bytes());
        write_bytes(&mut response, 1, &partial);
    }
    response
}

/// `google.rpc.Status`, as OTLP has it.
fn failure(syntax: Syntax, refusal: &Refusal) -> Response {
    let (code, why) = (refusal.grpc_status(), refusal.to_string());
    let body = match syntax {
        Syntax::Protobuf => {
            let mut status = Vec::new();
            write_number(&mut status, 1, code.into());
            write_bytes(&mut status, 2, why.as_bytes());
            status
        }
        Syntax::Json => serde_json::json!({"code": code, "message": why}).to_string().into_bytes(),
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = refusal.http_status();
    response.headers_mut().insert(CONTENT_TYPE, content_type(syntax));
    if let Some(seconds) = refusal.retry_after_seconds() {
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    if refusal.http_status() == StatusCode::REQUEST_TIMEOUT {
        response.headers_mut().insert(http::header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
