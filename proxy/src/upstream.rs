//! Connections to where requests go.

mod own_calls;
mod source;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use raceway_tls::{Alpn, Client};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::config::HostPort;
use crate::conn::Conn;
use crate::failure::Failure;
use crate::metrics::Handshakes;
use own_calls::OwnCalls;
pub(crate) use source::{CallsFor, bear, may_bear_callers_addresses};

/// For how long an attempt that failed speaks for the next one: whoever asks within a second would only wait for the
/// same again, and a second is little beside what a restarted server takes.
const FAILED_FOR: Duration = Duration::from_secs(1);

/// Where requests go: a host and port, with the name that spans give it.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// A host name or address, without brackets.
    pub(crate) host: Arc<str>,
    pub(crate) port: u16,
    /// What to dial, where the host is an address; a name is resolved each time.
    address: Option<SocketAddr>,
    /// Whether this is where a redirected connection was going, and not what the settings say.
    pub(crate) original: bool,
    /// The route's NAME, for `peer.service`.
    pub(crate) name: Option<Arc<str>>,
    /// We begin TLS there.
    pub(crate) tls: bool,
    /// What goes in front of every connection: the PROXY protocol's header.
    pub(crate) preamble: Option<Arc<[u8]>>,
    /// In whose name it is called: this address is what it sees as its peer's.
    pub(crate) source: Option<IpAddr>,
}

impl Target {
    pub(crate) fn new(there: &HostPort, name: Option<Arc<str>>) -> Self {
        let (host, address) = (Arc::clone(&there.host), there.address());
        Self { host, port: there.port, address, original: false, name, tls: false, preamble: None, source: None }
    }

    /// Where a redirected connection was going.
    pub(crate) fn original(there: SocketAddr) -> Self {
        let host = there.ip().to_string().into();
        let (port, address) = (there.port(), Some(there));
        Self { host, port, address, original: true, name: None, tls: false, preamble: None, source: None }
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
    /// What we have dialled, where it may come back to us: in transparent mode.
    calls: Option<OwnCalls>,
    /// For targets that are reached by TLS, where there are any.
    tls: Option<(Arc<Client>, Handshakes)>,
}

/// An attempt to connect that failed, and when.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) failure: Failure,
    at: Instant,
}

impl From<Failure> for Failed {
    fn from(failure: Failure) -> Self {
        Self { failure, at: Instant::now() }
    }
}

impl Failed {
    /// Whether it still speaks for the next attempt.
    pub(crate) fn is_recent(&self) -> bool {
        self.at.elapsed() < FAILED_FOR
    }
}

impl Dialer {
    pub(crate) fn new(timeout: Duration, own: Vec<SocketAddr>, transparent: bool) -> Self {
        Self { timeout, own, calls: transparent.then(OwnCalls::default), tls: None }
    }

    /// Lets it reach targets by TLS.
    pub(crate) fn with_tls(self, client: Arc<Client>, handshakes: Handshakes) -> Self {
        Self { tls: Some((client, handshakes)), ..self }
    }

    /// Connects, and begins TLS where the target is reached by it: for a caller who speaks this.
    pub(crate) async fn connect(&self, target: &Target, alpn: Alpn) -> Result<Conn, Failure> {
        let Some((client, handshakes)) = self.tls.as_ref().filter(|_| target.tls) else {
            return self.dial(target).await;
        };
        let (stream, address) = self.in_time(target).await?;
        // Boxed, so that those who wait for no handshake need not have room for one.
        let shaking = Box::pin(client.connect(alpn, &target.host, stream));
        let shaken = tokio::time::timeout(self.timeout, shaking).await;
        match shaken {
            Ok(Ok((stream, peer))) => {
                handshakes.done(&peer);
                Ok(Conn::tls(stream, peer, Some(address)))
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

    /// Connects to the first of the target's addresses that answers, without TLS.
    pub(crate) async fn dial(&self, target: &Target) -> Result<Conn, Failure> {
        let (stream, address) = self.in_time(target).await?;
        Ok(Conn::dialled(stream, address))
    }

    async fn in_time(&self, target: &Target) -> Result<(TcpStream, IpAddr), Failure> {
        tokio::time::timeout(self.timeout, self.reach(target))
            .await
            .unwrap_or_else(|_| Err(Failure::ConnectTimeout { target: target.to_string(), after: self.timeout }))
    }

    async fn reach(&self, target: &Target) -> Result<(TcpStream, IpAddr), Failure> {
        let unresolved = |error| Failure::Unresolved { target: target.to_string(), error };
        let addresses: Vec<SocketAddr> = match target.address {
            Some(address) => vec![address],
            None => tokio::net::lookup_host((&*target.host, target.port)).await.map_err(unresolved)?.collect(),
        };
        let mut last = None;
        for address in addresses {
            if self.is_own(address) {
                return Err(Failure::Loop { target: target.to_string() });
            }
            let connected = match &self.calls {
                Some(calls) => calls.connect(address, target.source).await,
                None => TcpStream::connect(address).await,
            };
            let connected = match (connected, &target.preamble) {
                (Ok(mut stream), Some(preamble)) => stream.write_all(preamble).await.map(|()| stream),
                (connected, _) => connected,
            };
            match connected {
                Ok(stream) => {
                    // Small writes are whole messages here; waiting for more only adds delay.
                    if let Err(error) = stream.set_nodelay(true) {
                        tracing::debug!(%error, "cannot set TCP_NODELAY");
                    }
                    return Ok((stream, address.ip()));
                }
                Err(error) => last = Some(error),
            }
        }
        let error = last.unwrap_or_else(|| std::io::Error::other("it has no address"));
        Err(Failure::Unreachable { target: target.to_string(), error })
    }

    /// Notes a caller in whose name the application is called, as long as the guard lives: the ports of these callers
    /// are not ours to use.
    pub(crate) fn calls_for(&self, caller: SocketAddr, there: SocketAddr) -> Option<CallsFor> {
        self.calls.as_ref().map(|calls| calls.sources().calls_for(caller, there))
    }

    /// Whether this is a listener of ours.
    pub(crate) fn is_own(&self, address: SocketAddr) -> bool {
        self.own.iter().any(|own| {
            own.port() == address.port()
                && (own.ip() == address.ip() || own.ip().is_unspecified() && address.ip().is_loopback())
        })
    }

    /// Whether we listen on this port of every address of this host.
    pub(crate) fn listens_everywhere_on(&self, port: u16) -> bool {
        self.own.iter().any(|own| own.port() == port && own.ip().is_unspecified())
    }

    /// Whether the connection between these two is one that we have dialled.
    pub(crate) fn is_own_call(&self, from: SocketAddr, there: SocketAddr) -> bool {
        self.calls.as_ref().is_some_and(|calls| calls.has(from, there))
    }
}
