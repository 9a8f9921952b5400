//! Traces: the list, one trace, its critical path, its dependencies.

use axum::extract::{Path, Query, State};

use crate::api::App;
use crate::api::problem::{Answer, Problem};
use crate::api::query::*;
use crate::api::types::*;

/// Traces, newest first
#[utoipa::path(
    get,
    path = "/api/traces",
    params(TraceFilter),
    responses((status = 200, description = "Traces, newest first", body = Envelope<TraceList>), (status = 400, description = "A parameter makes no sense; the text says which", body = Failure)),
    tag = "traces"
)]
pub(in crate::api) async fn list(State(app): State<App>, Query(filter): Query<TraceFilter>) -> Answer<TraceList> {
    let _ = app;
    Err(Problem::GivenUp)
}

/// All that is known of one trace
#[utoipa::path(
    get,
    path = "/api/traces/{id}",
    params(("id" = String, Path, description = "A trace id: UUID or 32 hex digits"), TraceShown),
    responses((status = 200, description = "All that is known of one trace", body = Envelope<TraceView>), (status = 400, description = "A parameter makes no sense; the text says which", body = Failure), (status = 404, description = "Nothing has that name", body = Failure)),
    tag = "traces"
)]
pub(in crate::api) async fn one(
    State(app): State<App>,
    Path(id): Path<String>,
    Query(shown): Query<TraceShown>,
) -> Answer<TraceView> {
    let _ = app;
    Err(Problem::GivenUp)
}

/// What made a trace as slow as it was
#[utoipa::path(
    get,
    path = "/api/traces/{id}/critical-path",
    params(("id" = String, Path, description = "A trace id: UUID or 32 hex digits")),
    responses((status = 200, description = "What made a trace as slow as it was", body = Envelope<CriticalPath>), (status = 400, description = "A parameter makes no sense; the text says which", body = Failure), (status = 404, description = "Nothing has that name", body = Failure)),
    tag = "traces"
)]
pub(in crate::api) async fn critical_path(State(app): State<App>, Path(id): Path<String>) -> Answer<CriticalPath> {
    let _ = app;
    Err(Problem::GivenUp)
}

/// Who called whom in a trace
#[utoipa::path(
    get,
    path = "/api/traces/{id}/dependencies",
    params(("id" = String, Path, description = "A trace id: UUID or 32 hex digits")),
    responses((status = 200, description = "Who called whom in a trace", body = Envelope<TraceDependencies>), (status = 400, description = "A parameter makes no sense; the text says which", body = Failure), (status = 404, description = "Nothing has that name", body = Failure)),
    tag = "traces"
)]
pub(in crate::api) async fn dependencies(State(app): State<App>, Path(id): Path<String>) -> Answer<TraceDependencies> {
    let _ = app;
    Err(Problem::GivenUp)
}

/// Events of a trace that took unusually long
#[utoipa::path(
    get,
    path = "/api/traces/{id}/anomalies",
    params(("id" = String, Path, description = "A trace id: UUID or 32 hex digits")),
    responses((status = 200, description = "Events of a trace that took unusually long", body = Envelope<TraceAnomalies>), (status = 400, description = "A parameter makes no sense; the text says which", body = Failure), (status = 404, description = "Nothing has that name", body = Failure)),
    tag = "traces"
)]
pub(in crate::api) async fn anomalies(State(app): State<App>, Path(id): Path<String>) -> Answer<TraceAnomalies> {
    let _ = app;
    Err(Problem::GivenUp)
}

/// How two spans stand to each other by cause and effect
#[utoipa::path(
    get,
    path = "/api/traces/{id}/order",
    params(("id" = String, Path, description = "A trace id: UUID or 32 hex digits"), Pair),
    responses((status = 200, description = "How two spans stand to each other by cause and effect", body = Envelope<OrderView>), (status = 400, description = "A parameter makes no sense; the text says which", body = Failure), (status = 404, description = "Nothing has that name", body = Failure)),
    tag = "traces"
)]
pub(in crate::api) async fn order(
    State(app): State<App>,
    Path(id): Path<String>,
    Query(pair): Query<Pair>,
) -> Answer<OrderView> {
    let _ = app;
    Err(Problem::GivenUp)
}
