//! TLS from files, the same way for everybody who speaks it here: the sidecar on both of its sides, and the exporter.
//!
//! [`Reloading`] is where to start: it holds what a [`Source`] (the files of a [`ServerFiles`] or of a [`ClientFiles`])
//! was built into, and builds it again when they change. [`Peer`] is who the other side is, [`Trouble`] why there is no
//! connection, in words that say what to look at.
//!
//! TLS 1.2 and 1.3 only, by rustls with ring.

mod client;
mod files;
mod peer;
mod reload;
mod server;
#[cfg(feature = "testing")]
pub mod testing;
mod trouble;

pub use client::{Alpn, Client, ClientConfigs, ClientFiles};
pub use files::LoadError;
pub use peer::Peer;
pub use reload::{Look, Reloading, Source};
pub use server::{Server, ServerConfigs, ServerFiles};
pub use trouble::Trouble;

pub use tokio_rustls::TlsStream;

use std::sync::Arc;

use tokio_rustls::rustls::crypto::{CryptoProvider, ring};

/// Ours, whatever a library in the same process has chosen as its default.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}
