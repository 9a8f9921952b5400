//! Taking spans in. Every way in ends in [`Ingest::take`], which answers when the spans are durable.
//!
//! [`otlp_http`] and [`otlp_grpc`] are the doors for OTLP, [`raceway_events`] that for Raceway's own SDKs; [`otlp`]
//! makes spans of messages, `body` reads requests, `limits` says how much of everything is taken.

mod body;
mod edge_counters;
mod limits;
mod metrics;
mod otlp;
mod otlp_grpc;
mod otlp_http;
mod protobuf;
pub mod raceway_events;
mod refusal;

use std::sync::Arc;

use raceway_analyzer_client::Reported;
use tokio_util::task::TaskTracker;

use crate::live::Live;
use crate::store::{SpanStore, StoreError};

pub use edge_counters::{EdgeCounter, EdgeKey, Latency};
pub use otlp::LEFT_OUT;

use body::{Held, Memory};
use metrics::Metrics;
use otlp::{Brought, Rejected};
use refusal::Refusal;

/// What all ways in share.
pub struct Ingest {
    store: Arc<dyn SpanStore>,
    live: Arc<dyn Live>,
    memory: Memory,
    metrics: Metrics,
    /// Batches on their way into the store; they go on when their sender hangs up.
    tasks: TaskTracker,
}

impl Ingest {
    /// Ends in `store`, and shows `live` what was new; counts in `registry`, which must not have another's counters yet.
    pub fn new(
        store: Arc<dyn SpanStore>,
        live: Arc<dyn Live>,
        registry: &prometheus::Registry,
    ) -> prometheus::Result<Arc<Self>> {
        let (memory, metrics, tasks) = (Memory::new(), Metrics::new(registry)?, TaskTracker::new());
        Ok(Arc::new(Self { store, live, memory, metrics, tasks }))
    }

    /// Keeps a batch. An answer means that it is durable and that the live view has seen it.
    ///
    /// Goes on to the end even if nobody waits for the answer: what becomes durable must be seen.
    async fn take(self: &Arc<Self>, batch: Vec<Reported>) -> Result<Rejected, StoreError> {
        let mut rejected = Rejected::default();
        if batch.is_empty() {
            return Ok(rejected);
        }
        let this = self.clone();
        let taking = self.tasks.spawn(async move {
            let appended = this.store.append(batch).await?;
            this.live.observe(&appended.fresh);
            Ok(appended.over_limit)
        });
        let over_limit = taking.await.map_err(|error| StoreError::Failed(error.to_string())).flatten()?;
        if over_limit > 0 {
            rejected.count = over_limit as u64;
            rejected.first = Some("the trace has as many spans as one may have".to_owned());
        }
        Ok(rejected)
    }

    /// Keeps edge counters, under the same promise.
    async fn take_edges(self: &Arc<Self>, counters: Vec<EdgeCounter>) -> Result<(), StoreError> {
        if counters.is_empty() {
            return Ok(());
        }
        let this = self.clone();
        let taking = self.tasks.spawn(async move {
            this.store.append_edges(counters.clone()).await?;
            this.live.observe_edges(&counters);
            Ok(())
        });
        taking.await.map_err(|error| StoreError::Failed(error.to_string())).flatten()
    }

    /// Keeps what a request brought, and says what of it was not.
    async fn keep(self: &Arc<Self>, brought: Brought, protocol: &str) -> Result<Rejected, Refusal> {
        match brought {
            Brought::Spans(decoded) => {
                self.metrics.left_out.inc_by(decoded.left_out);
                self.metrics.spans.with_label_values(&[protocol]).inc_by(decoded.spans.len() as u64);
                let mut rejected = decoded.rejected;
                let over_limit = self.take(decoded.spans).await?;
                rejected.count += over_limit.count;
                rejected.first = rejected.first.or(over_limit.first);
                self.metrics.spans_rejected.with_label_values(&[protocol]).inc_by(rejected.count);
                Ok(rejected)
            }
            Brought::Points(points) => {
                let mut rejected = Rejected { count: points.rejected, first: None };
                if rejected.count > 0 {
                    rejected.first = Some("a point needs raceway.edge.to and buckets that fit its bounds".to_owned());
                }
                self.metrics.metrics_ignored.inc_by(points.ignored);
                self.metrics.edge_points_rejected.inc_by(points.rejected);
                let counters = points.into_counters();
                self.metrics.edge_counters.inc_by(counters.len() as u64);
                self.take_edges(counters).await?;
                Ok(rejected)
            }
        }
    }

    async fn read(&self, body: axum::body::Body, protocol: &str) -> Result<(Vec<u8>, Held), Refusal> {
        let (bytes, held) = body::read(body, &self.memory).await?;
        self.metrics.bytes.with_label_values(&[protocol]).inc_by(bytes.len() as u64);
        Ok((bytes, held))
    }

    /// Counts a request by its outcome: `outcome` is how many of its items were rejected.
    fn count(&self, protocol: &str, outcome: Result<u64, &Refusal>) {
        let label = match outcome {
            Ok(0) => "ok",
            Ok(_) => "partial",
            Err(refusal) => refusal.label(),
        };
        self.metrics.requests.with_label_values(&[protocol, label]).inc();
        if let Err(refusal) = outcome {
            tracing::debug!(protocol, reason = %refusal, "request refused");
        }
    }

    /// Waits until nothing is on its way into the store. Only after all doors are closed.
    pub async fn finish(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// All doors for OTLP. One router for both ports: a client that takes one for the other is answered all the same.
pub fn otlp_router(ingest: Arc<Ingest>) -> axum::Router {
    otlp_http::router(ingest.clone()).merge(otlp_grpc::router(ingest))
}
