//! `POST /events`: events of Raceway's own SDKs, each kept as a span as soon as it comes.
//!
//! An SDK reports what happens within one request (a *strand*) event by event, over several batches. So that a batch
//! sent again changes nothing, every event becomes a span of its own that depends on nothing else ([`event`]); for
//! showing, [`fold`] puts the events of a strand together into one span.

mod event;
mod fold;
pub(crate) mod time;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::post;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use raceway_analyzer_client::Reported;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::Ingest;
use super::body::{Encoding, Held, blocking_if_large, decompress};
use super::otlp::{Brought, Decoded, Rejected as OtlpRejected};
use super::refusal::Refusal;

pub use fold::fold;

/// The attribute of a span event that holds a Raceway event's JSON, to the letter.
pub const EVENT_JSON: &str = "raceway.event";

/// The instrumentation scope of spans that are made of Raceway events.
pub const SCOPE: &str = "raceway-sdk";

const PROTOCOL: &str = "raceway";

/// The route `POST /events`, with its own limits; merge it into the API's router.
pub fn router(ingest: Arc<Ingest>) -> Router {
    Router::new().route("/events", post(events)).with_state(ingest)
}

/// Events that were read, and why others were not.
#[derive(Debug, Default)]
struct Batch {
    spans: Vec<Reported>,
    rejected: Vec<Rejected>,
}

/// An event that was not kept.
#[derive(Debug, Serialize)]
struct Rejected {
    /// Its place in the batch; `None` where the reason concerns several.
    index: Option<usize>,
    reason: String,
}

async fn events(State(ingest): State<Arc<Ingest>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let outcome = async {
        let encoding = Encoding::from_name(head.headers.get(CONTENT_ENCODING))?;
        let (bytes, held) = ingest.read(body, PROTOCOL).await?;
        let decode = move |held: &mut Held| read(&decompress(bytes, encoding, held)?);
        let (Batch { spans, mut rejected }, _held) = blocking_if_large(held, decode).await?;
        let (count, bad) = (spans.len() as u64, rejected.len() as u64);
        let brought =
            Brought::Spans(Decoded { spans, rejected: OtlpRejected { count: bad, first: None }, left_out: 0 });
        let kept = ingest.keep(brought, PROTOCOL).await?;
        let over_limit = kept.count - bad;
        if over_limit > 0 {
            let reason = format!("{over_limit} events: {}", kept.first.unwrap_or_default());
            rejected.push(Rejected { index: None, reason });
        }
        Ok((count - over_limit, rejected))
    };
    let outcome = outcome.await;
    ingest.count(PROTOCOL, outcome.as_ref().map(|(_, rejected)| rejected.len() as u64));
    match outcome {
        Ok((kept, rejected)) => {
            let data = format!("Ingested {kept} events");
            let answer = Answer { success: true, data: Some(data), error: None, rejected: &rejected };
            json(if rejected.is_empty() { StatusCode::OK } else { StatusCode::PARTIAL_CONTENT }, &answer)
        }
        Err(refusal) => {
            let error = Some(refusal.to_string());
            let mut response =
                json(refusal.http_status(), &Answer { success: false, data: None, error, rejected: &[] });
            if let Some(seconds) = refusal.retry_after_seconds() {
                response.headers_mut().insert(RETRY_AFTER, seconds.into());
            }
            response
        }
    }
}

/// The envelope of all answers on this port.
#[derive(Serialize)]
struct Answer<'a> {
    success: bool,
    data: Option<String>,
    error: Option<String>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    rejected: &'a [Rejected],
}

fn json(status: StatusCode, answer: &Answer<'_>) -> Response {
    let body = serde_json::to_vec(answer).expect("texts and numbers can always be written");
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Reads a batch. An error means that nothing of it can be made out; single bad events are told one by one.
fn read(request: &[u8]) -> Result<Batch, Refusal> {
    #[derive(Deserialize)]
    struct Request<'a> {
        #[serde(borrow)]
        events: Vec<&'a RawValue>,
    }
    let malformed = |error: serde_json::Error| Refusal::Malformed(format!("expected {{\"events\":[…]}}: {error}"));
    let request: Request<'_> = serde_json::from_slice(request).map_err(malformed)?;
    let mut batch = Batch::default();
    let mut processes = event::Processes::default();
    for (index, json) in request.events.into_iter().enumerate() {
        match event::span(json.get(), &mut processes) {
            Ok(span) => batch.spans.push(span),
            Err(reason) => batch.rejected.push(Rejected { index: Some(index), reason }),
        }
    }
    Ok(batch)
}
