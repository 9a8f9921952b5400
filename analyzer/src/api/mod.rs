//! Giving answers out: the routes of port 8080.

mod openapi;
mod problem;
mod query;
mod routes;
pub mod types;

use std::sync::Arc;

use axum::Router;

use crate::Parts;
use crate::analysis::View;
use crate::ingest::raceway_events;

pub use openapi::text as openapi_text;

/// What every handler answers from.
#[derive(Clone)]
struct App {
    parts: Parts,
    view: Arc<View>,
}

/// All routes of port 8080.
pub fn router(parts: Parts, view: Arc<View>) -> Router {
    let events = raceway_events::router(Arc::clone(&parts.ingest));
    let (described, _) = openapi::described();
    described.merge(openapi::route()).with_state(App { parts, view }).merge(events)
}
