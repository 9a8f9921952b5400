//! Taking spans in. Every way in ends in [`Ingest::take`], which answers when the spans are durable.

mod edge_counters;
pub mod raceway_events;

use std::sync::Arc;

use raceway_analyzer_client::Reported;

use crate::live::Live;
use crate::store::{SpanStore, StoreError};

pub use edge_counters::{EdgeCounter, EdgeKey, Latency};

/// What all ways in share.
pub struct Ingest {
    store: Arc<dyn SpanStore>,
    live: Arc<dyn Live>,
}

impl Ingest {
    /// Ends in `store`, and shows `live` what was new; counts in `registry`.
    pub fn new(store: Arc<dyn SpanStore>, live: Arc<dyn Live>, registry: &prometheus::Registry) -> Arc<Self> {
        let _ = registry;
        Arc::new(Self { store, live })
    }

    /// Keeps a batch. An answer means that it is durable.
    pub async fn take(&self, batch: Vec<Reported>) -> Result<(), StoreError> {
        let appended = self.store.append(batch).await?;
        self.live.observe(&appended.fresh);
        Ok(())
    }
}
