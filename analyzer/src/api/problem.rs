//! What the API answers when it cannot answer: a status, and a text that says what to do.

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::types::Envelope;
use crate::store::StoreError;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Problem {
    /// The request cannot be understood.
    #[error("{0}")]
    BadRequest(String),
    /// There is nothing under that name.
    #[error("{0}")]
    NotFound(String),
    /// The route exists, but not for this method.
    #[error("{0} is not allowed here")]
    NotAllowed(Method),
    /// The store did not answer.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The work was given up; only a stop or a mistake of ours does that.
    #[error("the analyzer gave up on this request; its log says why")]
    GivenUp,
}

impl Problem {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::NotAllowed(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::Store(StoreError::Overloaded { .. }) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Store(StoreError::Full(_)) => StatusCode::INSUFFICIENT_STORAGE,
            Self::Store(StoreError::Failed(_)) | Self::GivenUp => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Store(StoreError::Overloaded { retry_after }) => Some(*retry_after),
            _ => None,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.status();
        if status.is_server_error() {
            tracing::warn!(error = %self, "request failed");
        }
        let body = Envelope::<()> { success: false, data: None, error: Some(self.to_string()) };
        let mut response = (status, Json(body)).into_response();
        if let Some(wait) = self.retry_after() {
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// Answers a method that a route does not have.
pub(super) async fn not_allowed(method: Method) -> Problem {
    Problem::NotAllowed(method)
}

/// An answer in its envelope, or why there is none.
pub(super) type Answer = Result<Response, Problem>;

/// Wraps what was found. Writing JSON takes time: large answers are wrapped where blocking is allowed.
pub(super) fn found<T: Serialize>(data: T) -> Answer {
    let body = Envelope { success: true, data: Some(data), error: None };
    let json = serde_json::to_vec(&body).map_err(|error| {
        tracing::error!(%error, "an answer cannot be written as JSON");
        Problem::GivenUp
    })?;
    Ok(([(header::CONTENT_TYPE, "application/json")], json).into_response())
}
