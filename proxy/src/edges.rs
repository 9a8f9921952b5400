//! Who speaks with whom, counted for `/edges` of the control face. Only the calls travel to the analyzer as metrics: of
//! connections and callers it hears by spans.

use std::time::{Duration, SystemTime};

use raceway_analyzer_client::EdgeCounters;
use raceway_tls::Peer;

/// The counters of one sidecar; clones share them.
#[derive(Clone, Debug)]
pub struct Edges {
    /// Calls of the application, by callee.
    pub calls: EdgeCounters,
    /// Its connections that are not HTTP, by where they go: how many ended, how long they lasted, what they moved.
    pub tunnels: EdgeCounters,
    /// Calls to the application of those who proved by a certificate who they are, by its first name.
    pub callers: EdgeCounters,
}

impl Edges {
    /// None yet.
    pub fn new(started: SystemTime) -> Self {
        let [calls, tunnels, callers] = [(); 3].map(|()| EdgeCounters::new(started));
        Self { calls, tunnels, callers }
    }

    /// A call of the application has ended.
    pub(crate) fn called(&self, to: &str, peer: Option<&Peer>, took: Duration, failed: bool) {
        let edge = self.calls.edge(to);
        edge.record(took, failed);
        if let Some(peer) = peer {
            edge.known_as(&peer.names);
        }
    }

    /// The same for a connection that is not HTTP.
    pub(crate) fn carried(&self, to: &str, peer: Option<&Peer>, took: Duration, failed: bool, bytes: (u64, u64)) {
        let edge = self.tunnels.edge(to);
        edge.record(took, failed);
        edge.moved(bytes);
        if let Some(peer) = peer {
            edge.known_as(&peer.names);
        }
    }

    /// A request to the application has ended.
    pub(crate) fn came(&self, peer: &Peer, took: Duration, failed: bool) {
        if let Some(name) = peer.names.first() {
            let edge = self.callers.edge(name);
            edge.record(took, failed);
            edge.known_as(&peer.names);
        }
    }
}
