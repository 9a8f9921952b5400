//! The certificates of both sides: loaded at the start, watched while the sidecar runs.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use raceway_tls::{Client, LoadError, Reloading, Server};

use crate::config::Config;
use crate::metrics::Metrics;
use crate::terminate::Termination;

/// How often files are looked at: a look costs a system call per file, on a thread that serves no requests. A change is
/// in use after two of them.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What is loaded; `None` for a side that speaks no TLS.
pub(crate) struct Certificates {
    server: Option<Arc<Server>>,
    client: Option<Arc<Client>>,
}

impl Certificates {
    pub(crate) fn load(config: &Config) -> Result<Self, LoadError> {
        let inbound = config.inbound_tls.as_ref();
        let server = inbound.map(|inbound| Reloading::load(inbound.files.clone()).map(Arc::new)).transpose()?;
        let outbound = config.routes.iter().any(|route| route.tls) || !config.upstream_tls_to.is_empty();
        let client = outbound.then(|| Reloading::load(config.upstream_tls.clone()).map(Arc::new)).transpose()?;
        Ok(Self { server, client })
    }

    /// For connections that we make.
    pub(crate) fn client(&self) -> Option<Arc<Client>> {
        self.client.clone()
    }

    /// For connections that we take.
    pub(crate) fn termination(&self, config: &Config, metrics: &Metrics) -> Option<Termination> {
        let (server, inbound) = self.server.as_ref().zip(config.inbound_tls.as_ref())?;
        Some(Termination::new(Arc::clone(server), inbound.plain_text, metrics.inbound_handshakes()))
    }

    /// Takes changed files into use, for ever.
    pub(crate) fn watch(self, metrics: &Metrics) -> impl Future<Output = ()> + Send + 'static {
        metrics.watch_certificates(self.server.clone(), self.client.clone());
        async move {
            if self.server.is_none() && self.client.is_none() {
                return;
            }
            loop {
                tokio::time::sleep(LOOK_EVERY).await;
                self.server.as_ref().map(|server| server.look());
                self.client.as_ref().map(|client| client.look());
            }
        }
    }
}
