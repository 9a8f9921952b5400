//! Giving answers out: the routes of port 8080.

use std::sync::Arc;

use axum::Router;

use crate::Parts;
use crate::analysis::View;
use crate::ingest::raceway_events;

/// All routes of port 8080.
pub fn router(parts: Parts, view: Arc<View>) -> Router {
    let _ = view;
    raceway_events::router(parts.ingest)
}
