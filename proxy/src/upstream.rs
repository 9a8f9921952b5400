//! Connections to where requests go.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;

use crate::config::HostPort;
use crate::failure::Failure;

/// Where requests go: a host and port, with the name that spans give it.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// A host name or address, without brackets.
    pub(crate) host: Arc<str>,
    pub(crate) port: u16,
    /// The route's NAME, for `peer.service`.
    pub(crate) name: Option<Arc<str>>,
}

impl Target {
    pub(crate) fn new(there: &HostPort, name: Option<Arc<str>>) -> Self {
        Self { host: Arc::clone(&there.host), port: there.port, name }
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
}

impl Dialer {
    pub(crate) fn new(timeout: Duration, own: Vec<SocketAddr>) -> Self {
        Self { timeout, own }
    }

    /// Connects to the first of the target's addresses that answers.
    pub(crate) async fn dial(&self, target: &Target) -> Result<TcpStream, Failure> {
        tokio::time::timeout(self.timeout, self.connect(target))
            .await
            .unwrap_or_else(|_| Err(Failure::ConnectTimeout { target: target.to_string(), after: self.timeout }))
    }

    async fn connect(&self, target: &Target) -> Result<TcpStream, Failure> {
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
