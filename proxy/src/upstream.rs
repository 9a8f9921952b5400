//! Connections to where requests go.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use raceway_tls::{Alpn, Client};
use tokio::net::TcpStream;

use crate::config::HostPort;
use crate::conn::Conn;
use crate::failure::Failure;
use crate::metrics::Handshakes;

/// Where requests go: a host and port, with the name that spans give it.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// A host name or address, without brackets.
    pub(crate) host: Arc<str>,
    pub(crate) port: u16,
    /// The route's NAME, for `peer.service`.
    pub(crate) name: Option<Arc<str>>,
    /// We begin TLS there.
    pub(crate) tls: bool,
}

impl Target {
    pub(crate) fn new(there: &HostPort, name: Option<Arc<str>>) -> Self {
        Self { host: Arc::clone(&there.host), port: there.port, name, tls: false }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Makes connections, and knows where it must not.
#[derive(Debug)]
pub(crate) struct Dialer {
    timeout: Duration,
    /// Our own listeners: dialling one of them would be a loop.
    own: Vec<SocketAddr>,
    /// For targets that are reached by TLS, where there are any.
    tls: Option<(Arc<Client>, Handshakes)>,
}

impl Dialer {
    pub(crate) fn new(timeout: Duration, own: Vec<SocketAddr>) -> Self {
        Self { timeout, own, tls: None }
    }

    /// Lets it reach targets by TLS.
    pub(crate) fn with_tls(self, client: Arc<Client>, handshakes: Handshakes) -> Self {
        Self { tls: Some((client, handshakes)), ..self }
    }

    /// Connects, and begins TLS where the target is reached by it: for a caller who speaks this.
    pub(crate) async fn connect(&self, target: &Target, alpn: Alpn) -> Result<Conn, Failure> {
        let stream = self.dial(target).await?;
        let Some((client, handshakes)) = self.tls.as_ref().filter(|_| target.tls) else { return Ok(Conn::new(stream)) };
        let shaken = tokio::time::timeout(self.timeout, client.connect(alpn, &target.host, stream)).await;
        match shaken {
            Ok(Ok((stream, peer))) => {
                handshakes.done(&peer);
                Ok(Conn::tls(stream, peer))
            }
            Ok(Err(trouble)) => {
                handshakes.failed(trouble.reason());
                Err(Failure::Tls { target: target.to_string(), trouble })
            }
            Err(_) => {
                handshakes.failed("connect_timeout");
                Err(Failure::ConnectTimeout { target: target.to_string(), after: self.timeout })
            }
        }
    }

    /// Connects to the first of the target's addresses that answers.
    pub(crate) async fn dial(&self, target: &Target) -> Result<TcpStream, Failure> {
        tokio::time::timeout(self.timeout, self.reach(target))
            .await
            .unwrap_or_else(|_| Err(Failure::ConnectTimeout { target: target.to_string(), after: self.timeout }))
    }

    async fn reach(&self, target: &Target) -> Result<TcpStream, Failure> {
        let unresolved = |error| Failure::Unresolved { target: target.to_string(), error };
        let addresses: Vec<SocketAddr> = match target.host.parse() {
            Ok(address) => vec![SocketAddr::new(address, target.port)],
            Err(_) => tokio::net::lookup_host((&*target.host, target.port)).await.map_err(unresolved)?.collect(),
        };
        let mut last = None;
        for address in addresses {
            if self.is_own(address) {
                return Err(Failure::Loop { target: target.to_string() });
            }
            match TcpStream::connect(address).await {
                Ok(stream) => {
                    // Small writes are whole messages here; waiting for more only adds delay.
                    if let Err(error) = stream.set_nodelay(true) {
                        tracing::debug!(%error, "cannot set TCP_NODELAY");
                    }
                    return Ok(stream);
                }
                Err(error) => last = Some(error),
            }
        }
        let error = last.unwrap_or_else(|| std::io::Error::other("it has no address"));
        Err(Failure::Unreachable { target: target.to_string(), error })
    }

    fn is_own(&self, address: SocketAddr) -> bool {
        self.own.iter().any(|own| {
            own.port() == address.port()
                && (own.ip() == address.ip() || own.ip().is_unspecified() && address.ip().is_loopback())
        })
    }
}
