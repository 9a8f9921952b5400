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
use raceway_trace::TraceId;
use serde::Serialize;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::Parts;
use crate::analysis::graph::Snapshot;
use crate::analysis::trace::Trace;
use crate::analysis::{View, now_ns};
use crate::ingest::raceway_events;
use crate::store::SpanStore;
use problem::{Answer, Problem};

pub use openapi::text as openapi_text;

/// Answers that are worked out at a time; others wait, or go when their client does. One about the largest trace that is
/// kept (50,000 spans) takes two seconds and some 500 MB.
const AT_A_TIME: usize = 4;

/// What every handler answers from.
#[derive(Clone)]
struct App {
    parts: Parts,
    view: Arc<View>,
    room: Arc<Semaphore>,
}

/// All routes of port 8080.
pub fn router(parts: Parts, view: Arc<View>) -> Router {
    let events = raceway_events::router(Arc::clone(&parts.ingest));
    let (described, _) = openapi::described();
    let app = App { parts, view, room: Arc::new(Semaphore::new(AT_A_TIME)) };
    let answers = described.merge(openapi::route()).merge(routes::metrics::route()).with_state(app);
    answers.merge(events).method_not_allowed_fallback(problem::not_allowed).fallback(page::answer)
}

impl App {
    /// Works an answer out where blocking is allowed.
    async fn answer<T: Serialize>(&self, work: impl FnOnce(&Work) -> Result<T, Problem> + Send + 'static) -> Answer {
        let room = Arc::clone(&self.room).acquire_owned().await.map_err(|_| Problem::GivenUp)?;
        let gone = CancellationToken::new();
        let worker = Work { app: self.clone(), gone: gone.clone() };
        // Whoever hangs up drops this future, and with it the guard.
        let _guard = gone.drop_guard();
        let working = tokio::task::spawn_blocking(move || {
            let _room = room;
            let data = work(&worker)?;
            worker.wanted()?;
            problem::found(data)
        });
        working.await.map_err(|_| Problem::GivenUp)?
    }
}

/// An answer being worked out. Its methods block.
struct Work {
    app: App,
    gone: CancellationToken,
}

impl Work {
    /// Whether the client still waits; between steps that take long.
    fn wanted(&self) -> Result<(), Problem> {
        if self.gone.is_cancelled() { Err(Problem::GivenUp) } else { Ok(()) }
    }

    fn store(&self) -> &dyn SpanStore {
        &*self.app.parts.store
    }

    /// A trace, worked out.
    fn trace(&self, id: TraceId, raw: bool) -> Result<Arc<Trace>, Problem> {
        self.app.view.trace(id, raw, || {
            let spans = self.store().trace(id)?;
            self.wanted()?;
            if spans.is_empty() {
                let id = id.uuid();
                let text = format!("there is no trace {id}: it has not come yet, or was kept as long as traces are");
                return Err(Problem::NotFound(text));
            }
            Ok(raceway_events::fold(spans))
        })
    }

    /// The graph of a window.
    fn snapshot(&self, window: &query::Window) -> Result<Snapshot, Problem> {
        Ok(self.app.view.graph().snapshot(window.read(now_ns())?))
    }
}
