//! The dependency graph, and what else spans services.

use axum::extract::State;

use crate::analysis::now_ns;
use crate::api::App;
use crate::api::extract::Params;
use crate::api::problem::{Answer, found};
use crate::api::query::{EdgeFilter, Limit, Window};
use crate::api::shown::{self, Wanted};
use crate::api::types::*;

/// The dependency graph
#[utoipa::path(
    get,
    path = "/api/distributed/edges",
    params(EdgeFilter),
    responses(
        (status = 200, description = "The dependency graph", body = Envelope<EdgeList>),
        (status = 400, description = "A parameter makes no sense; the text says which", body = Failure)
    ),
    tag = "distributed"
)]
pub(in crate::api) async fn edges(State(app): State<App>, Params(filter): Params<EdgeFilter>) -> Answer {
    let window = filter.window();
    let EdgeFilter { service, from, to, environment, namespace, .. } = filter;
    let wanted = Wanted { service, from, to, environment, namespace };
    app.answer(move |work| Ok(shown::edge_list(&work.snapshot(&window)?, &wanted, now_ns()))).await
}

/// Where most happens
#[utoipa::path(
    get,
    path = "/api/distributed/hotspots",
    params(Limit),
    responses(
        (status = 200, description = "Where most happens", body = Envelope<Hotspots>),
        (status = 400, description = "A parameter makes no sense; the text says which", body = Failure)
    ),
    tag = "distributed"
)]
pub(in crate::api) async fn hotspots(State(app): State<App>, Params(limit): Params<Limit>) -> Answer {
    let limit = limit.limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
    app.answer(move |work| Ok(shown::hotspots(&work.snapshot(&Window::default())?, limit))).await
}

/// Races across traces
#[utoipa::path(
    get,
    path = "/api/distributed/global-races",
    responses((status = 200, description = "Races across traces", body = Envelope<GlobalRaces>)),
    tag = "distributed"
)]
pub(in crate::api) async fn global_races() -> Answer {
    // Accesses to shared data are not looked at yet, so none is known to race.
    found(GlobalRaces::default())
}

/// Running totals over all traces
#[utoipa::path(
    get,
    path = "/api/analyze/global",
    responses((status = 200, description = "Running totals over all traces", body = Envelope<GlobalAnalysis>)),
    tag = "distributed"
)]
pub(in crate::api) async fn analyze_global(State(app): State<App>) -> Answer {
    let answer = app.answer(|work| {
        let (total_traces, total_events) = (work.store().totals().traces, work.app.view.graph().totals().events);
        Ok(GlobalAnalysis { total_traces, total_events, ..GlobalAnalysis::default() })
    });
    answer.await
}
