//! Asking the analyzer: its REST API over HTTP, answers as JSON.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// The longest that an answer may take: a graph of a long run is worked out from running totals, not in minutes.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// The analyzer's REST API.
#[derive(Clone, Debug)]
pub struct Client {
    http: HttpClient<HttpConnector, Empty<Bytes>>,
    address: SocketAddr,
}

/// Why the analyzer gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// It could not be asked.
    #[error("asking the analyzer for {path} failed: {reason}; is it running?")]
    Unreachable {
        /// What was asked for.
        path: String,
        /// What went wrong.
        reason: String,
    },
    /// It said no.
    #[error("the analyzer refused {path} ({status}): {reason}")]
    Refused {
        /// What was asked for.
        path: String,
        /// The HTTP status.
        status: u16,
        /// What it said.
        reason: String,
    },
    /// Its answer is not what this version expects.
    #[error("the analyzer's answer to {path} could not be read: {reason}; is it of the same version?")]
    Unreadable {
        /// What was asked for.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
}

#[derive(Deserialize)]
struct Envelope<T> {
    data: Option<T>,
    error: Option<String>,
}

impl Client {
    /// Asks the analyzer that listens at `address`.
    pub fn new(address: SocketAddr) -> Self {
        Self { http: HttpClient::builder(TokioExecutor::new()).build_http(), address }
    }

    /// The `data` of the answer to `GET path`.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let unreadable = |reason: String| ClientError::Unreadable { path: path.to_owned(), reason };
        let (status, body) = self.fetch(path).await?;
        let envelope: Envelope<T> = match serde_json::from_slice(&body) {
            Ok(envelope) => envelope,
            Err(error) if status.is_success() => return Err(unreadable(error.to_string())),
            Err(_) => Envelope { data: None, error: Some(String::from_utf8_lossy(&body).into_owned()) },
        };
        match envelope {
            Envelope { data: Some(data), .. } if status.is_success() => Ok(data),
            Envelope { error, .. } => Err(ClientError::Refused {
                path: path.to_owned(),
                status: status.as_u16(),
                reason: error.unwrap_or_else(|| "it gave no reason".to_owned()),
            }),
        }
    }

    /// The answer to `GET path`, whatever it is.
    pub async fn fetch(&self, path: &str) -> Result<(hyper::StatusCode, Bytes), ClientError> {
        let unreachable = |reason: String| ClientError::Unreachable { path: path.to_owned(), reason };
        let uri = format!("http://{}{path}", self.address).parse().map_err(|error| {
            // Ours to get right: every path is written in this program, with what varies percent-encoded.
            unreachable(format!("not a path: {error}"))
        })?;
        let answer = async {
            let answer = self.http.get(uri).await.map_err(|error| chain(&error))?;
            let status = answer.status();
            let body = answer.into_body().collect().await.map_err(|error| chain(&error))?;
            Ok::<_, String>((status, body.to_bytes()))
        };
        match tokio::time::timeout(ANSWER_WITHIN, answer).await {
            Ok(answer) => answer.map_err(unreachable),
            Err(_) => Err(unreachable(format!("no answer within {ANSWER_WITHIN:?}"))),
        }
    }
}

/// An error with its causes: hyper keeps the interesting part ("connection refused") at the end of the chain.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}
