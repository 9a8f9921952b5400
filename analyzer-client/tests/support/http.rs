//! OTLP/HTTP by axum.

use std::collections::HashMap;
use std::io::Read;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::body::Bytes;
use axum::extract::{OriginalUri, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use prost::Message;

use super::{Came, Ledger, Receiver, Reply};

#[derive(Clone)]
struct Context {
    ledger: Arc<Ledger>,
    encodings: &'static [&'static str],
}

/// Starts one under a base path; what it does not know how to unpack it answers with 415.
pub(crate) fn receiver(
    address: SocketAddr,
    base: &str,
    ledger: &Arc<Ledger>,
    encodings: &'static [&'static str],
) -> Receiver {
    let context = Context { ledger: ledger.clone(), encodings };
    let app = axum::Router::new()
        .route(&format!("{base}/v1/traces"), post(traces))
        .route(&format!("{base}/v1/metrics"), post(metrics))
        .with_state(context);
    Receiver::start(address, |listener| {
        Box::pin(async move { axum::serve(listener, app).await.expect("it serves until it is ended") })
    })
}

async fn traces(
    State(context): State<Context>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let text = |name| headers.get(name).and_then(|value: &header::HeaderValue| value.to_str().ok()).map(str::to_owned);
    let encoding = text(header::CONTENT_ENCODING);
    let all: HashMap<_, _> =
        headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
    let came = Came { at: Instant::now(), encoding, headers: all, path: uri.path().to_owned() };
    let reply = context.ledger.came(came).await;
    let partial_success = match reply {
        Reply::Ok | Reply::Hold => None,
        Reply::Partial(rejected_spans, message) => {
            Some(ExportTracePartialSuccess { rejected_spans, error_message: message.into() })
        }
        Reply::Status(status, wait) => {
            let mut response = StatusCode::from_u16(status).unwrap().into_response();
            if let Some(wait) = wait {
                response.headers_mut().insert(header::RETRY_AFTER, wait.parse().unwrap());
            }
            return response;
        }
        Reply::Code(..) | Reply::RetryInfo(_) => unreachable!("that is for gRPC"),
    };
    let Some(body) = unpacked(&context, &headers, &body) else {
        return StatusCode::UNSUPPORTED_MEDIA_TYPE.into_response();
    };
    context.ledger.take(&ExportTraceServiceRequest::decode(&body[..]).expect("it is protobuf"));
    let answer = ExportTraceServiceResponse { partial_success };
    ([(header::CONTENT_TYPE, "application/x-protobuf")], answer.encode_to_vec()).into_response()
}

async fn metrics(State(context): State<Context>, headers: HeaderMap, body: Bytes) -> Response {
    let Some(body) = unpacked(&context, &headers, &body) else {
        return StatusCode::UNSUPPORTED_MEDIA_TYPE.into_response();
    };
    context.ledger.take_metrics(ExportMetricsServiceRequest::decode(&body[..]).expect("it is protobuf"));
    StatusCode::OK.into_response()
}

fn unpacked(context: &Context, headers: &HeaderMap, body: &[u8]) -> Option<Vec<u8>> {
    assert_eq!(headers[header::CONTENT_TYPE], "application/x-protobuf");
    match headers.get(header::CONTENT_ENCODING).map(|value| value.to_str().unwrap()) {
        None => Some(body.to_vec()),
        Some(encoding) if !context.encodings.contains(&encoding) => None,
        Some("gzip") => {
            let mut plain = Vec::new();
            flate2::read::GzDecoder::new(body).read_to_end(&mut plain).expect("it is gzip");
            Some(plain)
        }
        Some(_) => Some(zstd::decode_all(body).expect("it is zstd")),
    }
}
