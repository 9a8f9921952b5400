//! Giving answers out: the routes of port 8080.
//!
//! [`types`] has everything that is answered; `routes` the handlers, `shown` what they make of the analysis, `page` the
//! web page; [`openapi_text`] describes it all, from the same types.

mod extract;
mod openapi;
mod page;
mod problem;
mod query;
mod routes;
mod shown;
mod time;
pub mod types;

use std::sync::Arc;

use axum::Router;

use crate::Parts;
use crate::analysis::View;
use crate::analysis::graph::{GraphTotals, Snapshot};
use crate::ingest::raceway_events;
use crate::store::Totals;
use problem::Problem;

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
    let answers = described.merge(openapi::route()).merge(routes::metrics::route()).with_state(App { parts, view });
    answers.merge(events).method_not_allowed_fallback(problem::not_allowed).fallback(page::answer)
}

impl App {
    /// Does what may block where blocking is allowed.
    async fn blocking<R: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<R, Problem> + Send + 'static,
    ) -> Result<R, Problem> {
        let app = self.clone();
        tokio::task::spawn_blocking(move || work(&app)).await.map_err(|_| Problem::GivenUp)?
    }

    /// The graph of a window.
    async fn snapshot(&self, window: &query::Window) -> Result<Snapshot, Problem> {
        let window = window.read(self.now_ns())?;
        self.blocking(move |app| Ok(app.view.graph().snapshot(window))).await
    }

    /// How much is kept, and what was counted.
    async fn totals(&self) -> Result<(Totals, GraphTotals), Problem> {
        self.blocking(|app| Ok((app.parts.store.totals(), app.view.graph().totals()))).await
    }

    /// The time of day, ns since the epoch.
    fn now_ns(&self) -> u64 {
        crate::analysis::now_ns()
    }
}
