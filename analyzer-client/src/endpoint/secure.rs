//! TLS to an endpoint: whom to trust, and what to show.

use std::sync::Arc;

use raceway_tls::{Client, ClientFiles, LoadError, Reloading};

/// Shared by the clones of an endpoint; two are equal where their files are.
#[derive(Clone, Debug)]
pub(crate) struct Secure(Arc<Client>);

impl Secure {
    /// Trusts whom the system trusts, which is read when it is first needed.
    pub(super) fn by_the_system() -> Self {
        Self(Arc::new(Reloading::lazily(ClientFiles::default())))
    }

    pub(super) fn load(files: ClientFiles) -> Result<Self, LoadError> {
        Reloading::load(files).map(|client| Self(Arc::new(client)))
    }

    pub(crate) fn client(&self) -> &Client {
        &self.0
    }
}

impl PartialEq for Secure {
    fn eq(&self, other: &Self) -> bool {
        self.0.source() == other.0.source()
    }
}

impl Eq for Secure {}
