//! The dependency graph, and what else spans services.

use axum::extract::{Path, Query, State};

use crate::api::App;
use crate::api::problem::{Answer, Problem};
use crate::api::query::*;
use crate::api::types::*;

/// The dependency graph
#[utoipa::path(
    get,
    path = "/api/distributed/edges",
    params(EdgeFilter),
    responses((status = 200, description = "The dependency graph", body = Envelope<EdgeList>), (status = 400, description = "A parameter makes no sense; the text says which", body = Failure)),
    tag = "distributed"
)]
pub(in crate::api) async fn edges(State(app): State<App>, Query(filter): Query<EdgeFilter>) -> Answer<EdgeList> {
    let _ = app;
    Err(Problem::GivenUp)
}

/// Where most happens
#[utoipa::path(
    get,
    path = "/api/distributed/hotspots",
    params(Limit),
    responses((status = 200, description = "Where most happens", body = Envelope<Hotspots>), (status = 400, description = "A parameter makes no sense; the text says which", body = Failure)),
    tag = "distributed"
)]
pub(in crate::api) async fn hotspots(State(app): State<App>, Query(limit): Query<Limit>) -> Answer<Hotspots> {
    let _ = app;
    Err(Problem::GivenUp)
}

/// Races across traces
#[utoipa::path(
    get,
    path = "/api/distributed/global-races",
    responses((status = 200, description = "Races across traces", body = Envelope<GlobalRaces>)),
    tag = "distributed"
)]
pub(in crate::api) async fn global_races(State(app): State<App>) -> Answer<GlobalRaces> {
    let _ = app;
    Err(Problem::GivenUp)
}

/// Running totals over all traces
#[utoipa::path(
    get,
    path = "/api/analyze/global",
    responses((status = 200, description = "Running totals over all traces", body = Envelope<GlobalAnalysis>)),
    tag = "distributed"
)]
pub(in crate::api) async fn analyze_global(State(app): State<App>) -> Answer<GlobalAnalysis> {
    let _ = app;
    Err(Problem::GivenUp)
}
