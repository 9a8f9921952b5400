//! How the analyzer itself is.

use axum::extract::{Path, Query, State};

use crate::api::App;
use crate::api::problem::{Answer, Problem};
use crate::api::query::*;
use crate::api::types::*;

/// Whether the analyzer works
#[utoipa::path(
    get,
    path = "/health",
    responses((status = 200, description = "Whether the analyzer works", body = Envelope<Warmup>), (status = 503, description = "The store is overloaded", body = Failure)),
    tag = "status"
)]
pub(in crate::api) async fn health(State(app): State<App>) -> Answer<Warmup> {
    let _ = app;
    Err(Problem::GivenUp)
}

/// How the analyzer is
#[utoipa::path(
    get,
    path = "/status",
    responses((status = 200, description = "How the analyzer is", body = Envelope<Status>)),
    tag = "status"
)]
pub(in crate::api) async fn status(State(app): State<App>) -> Answer<Status> {
    let _ = app;
    Err(Problem::GivenUp)
}
