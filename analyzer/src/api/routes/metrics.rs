//! `/metrics`: the analyzer's own numbers for Prometheus.

use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus::{Encoder, TextEncoder};

use crate::api::App;
use crate::api::problem::Problem;

/// The route.
pub(in crate::api) fn route() -> Router<App> {
    Router::new().route("/metrics", get(metrics))
}

async fn metrics(State(app): State<App>) -> Result<Response, Problem> {
    let encoder = TextEncoder::new();
    let mut text = Vec::new();
    encoder.encode(&app.parts.registry.gather(), &mut text).map_err(|error| {
        tracing::error!(%error, "metrics cannot be written");
        Problem::GivenUp
    })?;
    Ok(([(CONTENT_TYPE, encoder.format_type().to_owned())], text).into_response())
}
