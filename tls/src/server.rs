//! The side that is connected to.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::server::{Acceptor, WebPkiClientVerifier};
use tokio_rustls::{LazyConfigAcceptor, TlsStream};

use crate::files::{self, LoadError};
use crate::peer::Peer;
use crate::provider;
use crate::reload::{Reloading, Source};
use crate::trouble::Trouble;

/// Connections of others, with what these files hold.
pub type Server = Reloading<ServerFiles>;

/// What a server shows of itself, and whom it wants to see.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ServerFiles {
    /// Its certificate with its chain.
    pub certificate: PathBuf,
    /// The certificate's key; `None` where it is in the same file.
    pub key: Option<PathBuf>,
    /// Who signs the certificates that clients must show (mutual TLS); `None` for clients that need none.
    pub client_ca: Option<PathBuf>,
}

/// Ready for each kind of client.
#[derive(Debug)]
pub struct ServerConfigs {
    any: Arc<ServerConfig>,
    http1: Arc<ServerConfig>,
    http2: Arc<ServerConfig>,
}

impl Source for ServerFiles {
    type Built = ServerConfigs;

    fn paths(&self) -> Vec<&Path> {
        let others = [&self.key, &self.client_ca].into_iter().filter_map(Option::as_deref);
        std::iter::once(self.certificate.as_path()).chain(others).collect()
    }

    fn build(&self) -> Result<ServerConfigs, LoadError> {
        let provider = provider();
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("ring has what TLS 1.2 and 1.3 need");
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let verifier = WebPkiClientVerifier::builder_with_provider(files::roots(Some(path))?, provider);
                let unusable = |why: String| LoadError::Verifier { path: path.clone(), why };
                builder.with_client_cert_verifier(verifier.build().map_err(|error| unusable(error.to_string()))?)
            }
        };
        let key = self.key.as_ref().unwrap_or(&self.certificate);
        let config = builder
            .with_single_cert(files::own_chain(&self.certificate)?, files::key(key)?)
            .map_err(|error| LoadError::Pair { certificate: self.certificate.clone(), key: key.clone(), error })?;
        let choosing = |protocols: &[&[u8]]| {
            let mut config = config.clone();
            config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
            Arc::new(config)
        };
        Ok(ServerConfigs {
            http1: choosing(&[b"http/1.1"]),
            http2: choosing(&[b"h2", b"http/1.1"]),
            any: Arc::new(config),
        })
    }
}

impl Reloading<ServerFiles> {
    /// Speaks TLS over a connection that has just come; HTTP/2 is chosen only where it is spoken behind us.
    ///
    /// A client that asks for something else than HTTP by ALPN is not refused: nothing is chosen, and what it says is
    /// passed on.
    pub async fn accept<IO>(&self, http2: bool, stream: IO) -> Result<(TlsStream<IO>, Peer), Trouble>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        let configs = self.current().map_err(|error| Trouble::Files(error.to_string()))?;
        let failed = |error| Trouble::of_handshake(&error);
        let start = LazyConfigAcceptor::new(Acceptor::default(), stream).await.map_err(failed)?;
        let hello = start.client_hello();
        let config = if http2 { &configs.http2 } else { &configs.http1 };
        let known = hello
            .alpn()
            .is_some_and(|mut offered| offered.any(|offer| config.alpn_protocols.iter().any(|known| known == offer)));
        let config = if known { config } else { &configs.any };
        let server_name = hello.server_name().map(str::to_owned);
        let stream = start.into_stream(Arc::clone(config)).await.map_err(failed)?;
        let peer = Peer::of(stream.get_ref().1, server_name.as_deref());
        Ok((TlsStream::Server(stream), peer))
    }
}
