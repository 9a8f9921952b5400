//! How the analyzer itself is.

use std::time::{Duration, SystemTime};

use axum::extract::State;

use crate::api::App;
use crate::api::problem::{Answer, found};
use crate::api::shown;
use crate::api::time::rfc3339;
use crate::api::types::*;

/// Whether the analyzer works
#[utoipa::path(
    get,
    path = "/health",
    responses((status = 200, description = "It works", body = Envelope<Warmup>)),
    tag = "status"
)]
pub(in crate::api) async fn health(State(app): State<App>) -> Answer {
    found(app.warmup())
}

/// How the analyzer is
#[utoipa::path(
    get,
    path = "/status",
    responses((status = 200, description = "How the analyzer is", body = Envelope<Status>)),
    tag = "status"
)]
pub(in crate::api) async fn status(State(app): State<App>) -> Answer {
    let answer = app.answer(|work| {
        let (kept, counted) = (work.store().totals(), work.app.view.graph().totals());
        let links = counted.links;
        Ok(Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_seconds: work.app.parts.started.elapsed().as_secs(),
            events_captured: counted.events,
            traces_active: kept.traces,
            warmup: work.app.warmup(),
            spans: kept.spans,
            bytes_on_disk: kept.bytes,
            links: LinkCounts { certain: links.certain, likely: links.likely, unlinked: links.unlinked },
            overflow: shown::overflow(counted.overflow),
        })
    });
    answer.await
}

impl App {
    fn warmup(&self) -> Warmup {
        let warmup = &self.parts.warmup;
        let ready = warmup.ready();
        // The two clocks agree but for what the time of day was set by since the start.
        let started = SystemTime::now().checked_sub(self.parts.started.elapsed());
        let since_epoch = started.and_then(|started| started.duration_since(SystemTime::UNIX_EPOCH).ok());
        let ns = since_epoch.map_or(0, |since: Duration| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX));
        Warmup {
            phase: if ready { WarmupPhase::Completed } else { WarmupPhase::Replaying },
            ready,
            total_spans: warmup.spans_total(),
            processed_spans: warmup.spans(),
            started_at: Some(rfc3339(ns)),
        }
    }
}
