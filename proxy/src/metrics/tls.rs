//! TLS: handshakes, and certificates taken into use while running.

use std::sync::Arc;

use prometheus::IntCounterVec;
use raceway_tls::{Client, Peer, Server};

use super::Make;
use super::pulled::{Pulled, Shape};

/// The handshakes of one direction.
#[derive(Clone, Debug)]
pub struct Handshakes {
    direction: &'static str,
    done: IntCounterVec,
    failed: IntCounterVec,
}

impl Handshakes {
    pub(super) fn both(make: &Make) -> [Self; 2] {
        let done = make.counters(
            "tls_handshakes_total",
            "TLS connections that came about; certificate: the other side showed one.",
            &["direction", "version", "certificate"],
        );
        let failed = make.counters(
            "tls_handshake_failures_total",
            "TLS connections that did not come about, by reason.",
            &["direction", "reason"],
        );
        ["inbound", "outbound"].map(|direction| Self { direction, done: done.clone(), failed: failed.clone() })
    }

    /// A handshake is done.
    pub fn done(&self, peer: &Peer) {
        let certificate = if peer.certificate { "true" } else { "false" };
        self.done.with_label_values(&[self.direction, peer.version, certificate]).inc();
    }

    /// A handshake has failed.
    pub fn failed(&self, reason: &'static str) {
        self.failed.with_label_values(&[self.direction, reason]).inc();
    }
}

/// How often changed certificates were taken into use, and how often they could not be.
pub(super) fn reloads(server: Option<Arc<Server>>, client: Option<Arc<Client>>) -> Pulled {
    let shapes = vec![Shape::counter(
        "tls_reloads_total",
        "Changes of certificate files, by whose they are; kept: the new ones are unusable, those from before stay.",
        &["files", "result"],
    )];
    Pulled::new(shapes, move || {
        let inbound = server.as_ref().map(|server| ("inbound", server.counts()));
        let upstream = client.as_ref().map(|client| ("upstream", client.counts()));
        let sample = |files: &str, result: &str, count: u64| (vec![files.to_owned(), result.to_owned()], count as f64);
        let samples = inbound.into_iter().chain(upstream);
        vec![
            samples
                .flat_map(|(files, (done, kept))| [sample(files, "reloaded", done), sample(files, "kept", kept)])
                .collect(),
        ]
    })
}
