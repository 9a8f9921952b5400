//! Reading what a request asks for, with refusals that say what is wrong.

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{FromRequestParts, Path, Query};
use axum::http::request::Parts;
use raceway_trace::{SpanId, TraceId};
use serde::de::DeserializeOwned;

use super::problem::Problem;
use super::query::{EdgeFilter, Home, Window};
use super::time;
use crate::analysis::graph;

/// What follows the `?`.
pub(super) struct Params<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query = Query::from_request_parts(parts, state).await;
        let query = query.map_err(|refused: QueryRejection| Problem::BadRequest(refused.body_text()))?;
        Ok(Self(query.0))
    }
}

/// The variable part of a path, decoded.
pub(super) struct Name(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Name {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::from_request_parts(parts, state).await;
        let path = path.map_err(|refused: PathRejection| Problem::BadRequest(refused.body_text()))?;
        Ok(Self(path.0))
    }
}

/// A trace id in a path: UUID or 32 hex digits.
pub(super) struct TraceIn(pub(super) TraceId);

impl<S: Send + Sync> FromRequestParts<S> for TraceIn {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Name(text) = Name::from_request_parts(parts, state).await?;
        TraceId::parse(text.as_bytes()).map(Self).ok_or_else(|| {
            Problem::BadRequest(format!("`{text}` is no trace id: give a UUID or 32 hex digits, not all zero"))
        })
    }
}

/// A span id.
pub(super) fn span_id(text: &str) -> Result<SpanId, Problem> {
    SpanId::from_hex(text.to_ascii_lowercase().as_bytes())
        .ok_or_else(|| Problem::BadRequest(format!("`{text}` is no span id: give 16 hex digits, not all zero")))
}

/// A moment.
pub(super) fn moment(name: &str, text: Option<&str>) -> Result<Option<u64>, Problem> {
    text.map(|text| {
        time::parse(text).ok_or_else(|| {
            Problem::BadRequest(format!(
                "{name}: `{text}` is no time: give RFC 3339 (2026-11-22T17:30:00Z) or a number since 1970 in s, ms, µs or ns"
            ))
        })
    })
    .transpose()
}

impl Window {
    /// The window as the graph takes it.
    pub(super) fn read(&self, now_ns: u64) -> Result<graph::Window, Problem> {
        let since = moment("since", self.since.as_deref())?;
        let until_ns = moment("until", self.until.as_deref())?;
        let since_ns = match (since, self.time_window_minutes) {
            (Some(_), Some(_)) => {
                let text = "give either time_window_minutes or since, not both";
                return Err(Problem::BadRequest(text.to_owned()));
            }
            (Some(since), None) => Some(since),
            (None, Some(0)) => return Err(Problem::BadRequest("time_window_minutes must be at least 1".to_owned())),
            (None, Some(minutes)) => {
                let until = until_ns.unwrap_or(now_ns);
                Some(until.saturating_sub(minutes.saturating_mul(60_000_000_000)))
            }
            (None, None) => None,
        };
        if let (Some(since), Some(until)) = (since_ns, until_ns)
            && since >= until
        {
            return Err(Problem::BadRequest("the window is empty: since must be before until".to_owned()));
        }
        Ok(graph::Window { since_ns, until_ns })
    }
}

impl EdgeFilter {
    /// Its time window.
    pub(super) fn window(&self) -> Window {
        let Self { time_window_minutes, since, until, .. } = self;
        Window { time_window_minutes: *time_window_minutes, since: since.clone(), until: until.clone() }
    }
}

impl Home {
    /// Its time window.
    pub(super) fn window(&self) -> Window {
        let Self { time_window_minutes, since, until, .. } = self;
        Window { time_window_minutes: *time_window_minutes, since: since.clone(), until: until.clone() }
    }
}
