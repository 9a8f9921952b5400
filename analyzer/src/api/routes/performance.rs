//! How fast everything is.

use axum::extract::State;

use crate::api::App;
use crate::api::extract::Params;
use crate::api::problem::{Answer, Problem};
use crate::api::query::{Limit, Window};
use crate::api::shown;
use crate::api::types::*;
use crate::store::TraceQuery;

/// Traces looked at where nobody says how many.
const TRACES: u64 = 50;
/// And at most.
const TRACES_MAX: u64 = 1000;

/// How fast everything is
#[utoipa::path(
    get,
    path = "/api/performance/metrics",
    params(Limit),
    responses(
        (status = 200, description = "How fast everything is", body = Envelope<PerformanceMetrics>),
        (status = 400, description = "A parameter makes no sense; the text says which", body = Failure)
    ),
    tag = "performance"
)]
pub(in crate::api) async fn metrics(State(app): State<App>, Params(limit): Params<Limit>) -> Answer {
    let limit = limit.limit.unwrap_or(TRACES);
    if !(1..=TRACES_MAX).contains(&limit) {
        return Err(Problem::BadRequest(format!("limit must be 1 to {TRACES_MAX}")));
    }
    let query = TraceQuery { limit: usize::try_from(limit).unwrap_or(usize::MAX), ..TraceQuery::default() };
    let answer = app.answer(move |work| {
        let latest = work.store().traces(&query)?;
        Ok(shown::performance(&latest.rows, &work.snapshot(&Window::default())?))
    });
    answer.await
}
