//! How fast everything is.

use axum::extract::{Path, Query, State};

use crate::api::App;
use crate::api::problem::{Answer, Problem};
use crate::api::query::*;
use crate::api::types::*;

/// How fast everything is
#[utoipa::path(
    get,
    path = "/api/performance/metrics",
    params(Limit),
    responses((status = 200, description = "How fast everything is", body = Envelope<PerformanceMetrics>), (status = 400, description = "A parameter makes no sense; the text says which", body = Failure)),
    tag = "performance"
)]
pub(in crate::api) async fn metrics(State(app): State<App>, Query(limit): Query<Limit>) -> Answer<PerformanceMetrics> {
    let _ = app;
    Err(Problem::GivenUp)
}
