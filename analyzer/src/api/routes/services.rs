//! Services: the list, their health, their traces, their neighbours.

use axum::extract::{Path, Query, State};

use crate::api::App;
use crate::api::problem::{Answer, Problem};
use crate::api::query::*;
use crate::api::types::*;

/// Services, by name
#[utoipa::path(
    get,
    path = "/api/services",
    params(Window),
    responses((status = 200, description = "Services, by name", body = Envelope<ServiceList>), (status = 400, description = "A parameter makes no sense; the text says which", body = Failure)),
    tag = "services"
)]
pub(in crate::api) async fn list(State(app): State<App>, Query(window): Query<Window>) -> Answer<ServiceList> {
    let _ = app;
    Err(Problem::GivenUp)
}

/// The health of every service, the worst first
#[utoipa::path(
    get,
    path = "/api/services/health",
    params(Window),
    responses((status = 200, description = "The health of every service, the worst first", body = Envelope<Vec<ServiceHealth>>), (status = 400, description = "A parameter makes no sense; the text says which", body = Failure)),
    tag = "services"
)]
pub(in crate::api) async fn health(State(app): State<App>, Query(window): Query<Window>) -> Answer<Vec<ServiceHealth>> {
    let _ = app;
    Err(Problem::GivenUp)
}

/// Traces in which a service took part, newest first
#[utoipa::path(
    get,
    path = "/api/services/{name}/traces",
    params(("name" = String, Path, description = "A service"), Page),
    responses((status = 200, description = "Traces in which a service took part, newest first", body = Envelope<ServiceTraceList>), (status = 400, description = "A parameter makes no sense; the text says which", body = Failure), (status = 404, description = "Nothing has that name", body = Failure)),
    tag = "services"
)]
pub(in crate::api) async fn traces(
    State(app): State<App>,
    Path(name): Path<String>,
    Query(page): Query<Page>,
) -> Answer<ServiceTraceList> {
    let _ = app;
    Err(Problem::GivenUp)
}

/// Who a service calls, and who calls it
#[utoipa::path(
    get,
    path = "/api/services/{name}/dependencies",
    params(("name" = String, Path, description = "A service"), Window),
    responses((status = 200, description = "Who a service calls, and who calls it", body = Envelope<ServiceDependencies>), (status = 400, description = "A parameter makes no sense; the text says which", body = Failure), (status = 404, description = "Nothing has that name", body = Failure)),
    tag = "services"
)]
pub(in crate::api) async fn dependencies(
    State(app): State<App>,
    Path(name): Path<String>,
    Query(window): Query<Window>,
) -> Answer<ServiceDependencies> {
    let _ = app;
    Err(Problem::GivenUp)
}
