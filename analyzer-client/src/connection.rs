//! One connection to a receiver, and the requests on it: HTTP/2 for OTLP/gRPC, HTTP/1.1 for OTLP/HTTP.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::TokioIo;
use raceway_tls::{Alpn, Trouble};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::endpoint::{Endpoint, Protocol};

/// How long each address of a name is given: connecting inside a network takes milliseconds, and a lost SYN is
/// repeated after one second.
const CONNECT_MAX: Duration = Duration::from_secs(2);

/// How long resolving a name may take: the usual resolver asks its first server again after five seconds.
const RESOLVE_MAX: Duration = Duration::from_secs(8);

/// How long a TLS handshake may take: two round trips and a few milliseconds of work.
const HANDSHAKE_MAX: Duration = Duration::from_secs(5);

/// Answers are some bytes long; what is longer is not from a receiver of OTLP.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Closing politely is worth no more than this.
const CLOSE_MAX: Duration = Duration::from_millis(100);

/// Why there is no connection; each says what to look at.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("the name `{host}` does not resolve ({source}); check its spelling, and that the service exists")]
    Resolve { host: String, source: io::Error },
    #[error("resolving the name `{0}` took over {RESOLVE_MAX:?}; check the name server")]
    ResolveTimeout(String),
    #[error("the name `{0}` has no address; check that the service exists")]
    NoAddress(String),
    #[error("connecting to {address} failed ({source}); check that the analyzer runs and listens there")]
    Connect { address: SocketAddr, source: io::Error },
    #[error("{0} did not answer within {CONNECT_MAX:?}; a firewall or NetworkPolicy may block it")]
    ConnectTimeout(SocketAddr),
    #[error("TLS with `{host}` at {address} failed: {trouble}{}", advice(trouble))]
    Tls { host: String, address: SocketAddr, trouble: Trouble },
    #[error("TLS with {0} was not there after {HANDSHAKE_MAX:?}; check that it speaks TLS on that port")]
    TlsTimeout(SocketAddr),
    #[error("{address} closed the connection at once ({source}); check that it speaks {protocol}")]
    Handshake { address: SocketAddr, protocol: Protocol, source: hyper::Error },
}

impl ConnectError {
    /// A word for it by which a change of state is noticed.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Resolve { .. } | Self::ResolveTimeout(_) | Self::NoAddress(_) => "resolve",
            Self::Connect { .. } => "connect",
            Self::ConnectTimeout(_) => "connect timeout",
            Self::Tls { trouble, .. } => trouble.reason(),
            Self::TlsTimeout(_) => "tls timeout",
            Self::Handshake { .. } => "handshake",
        }
    }
}

/// The setting that mends it.
pub(crate) fn advice(trouble: &Trouble) -> &'static str {
    match trouble {
        Trouble::UnknownIssuer => " (--analyzer-ca, OTEL_EXPORTER_OTLP_CERTIFICATE)",
        Trouble::ClientCertificate(_) => " (--analyzer-tls-cert, OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE)",
        Trouble::NotTls => ", or write http://",
        _ => "",
    }
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) trailers: Option<HeaderMap>,
    pub(crate) body: Bytes,
}

/// Why a request got no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExchangeError {
    #[error("the connection was lost: {0}")]
    Lost(#[from] hyper::Error),
    #[error("the answer could not be read: {0}")]
    Body(Box<dyn std::error::Error + Send + Sync>),
}

#[derive(Debug)]
pub(crate) struct Connection {
    sender: Sender,
    tasks: Tasks,
}

#[derive(Debug)]
enum Sender {
    Http2(http2::SendRequest<Full<Bytes>>),
    Http1(http1::SendRequest<Full<Bytes>>),
}

impl Connection {
    /// Resolves the name afresh and tries its addresses one after another.
    pub(crate) async fn open(endpoint: &Endpoint) -> Result<Self, ConnectError> {
        let host = || endpoint.host().to_owned();
        let addresses = match timeout(RESOLVE_MAX, tokio::net::lookup_host((endpoint.host(), endpoint.port()))).await {
            Err(_) => return Err(ConnectError::ResolveTimeout(host())),
            Ok(Err(source)) => return Err(ConnectError::Resolve { host: host(), source }),
            Ok(Ok(addresses)) => addresses,
        };
        let mut failure = ConnectError::NoAddress(host());
        for address in addresses {
            match timeout(CONNECT_MAX, TcpStream::connect(address)).await {
                Err(_) => failure = ConnectError::ConnectTimeout(address),
                Ok(Err(source)) => failure = ConnectError::Connect { address, source },
                Ok(Ok(stream)) => {
                    let protocol = endpoint.protocol();
                    // Without it a small request may wait for the acknowledgement of the one before; a failure costs only
                    // that.
                    stream.set_nodelay(true).ok();
                    let opened = match endpoint.secure() {
                        None => Self::over(stream, protocol).await,
                        Some(secure) => {
                            let alpn = match protocol {
                                Protocol::Grpc => Alpn::Http2,
                                Protocol::HttpProtobuf => Alpn::Http1,
                            };
                            let shaken = secure.client().connect(alpn, endpoint.host(), stream);
                            let (stream, _) = timeout(HANDSHAKE_MAX, shaken)
                                .await
                                .map_err(|_| ConnectError::TlsTimeout(address))?
                                .map_err(|trouble| ConnectError::Tls { host: host(), address, trouble })?;
                            Self::over(stream, protocol).await
                        }
                    };
                    return opened.map_err(|source| ConnectError::Handshake { address, protocol, source });
                }
            }
        }
        Err(failure)
    }

    async fn over<IO>(stream: IO, protocol: Protocol) -> hyper::Result<Self>
    where
        IO: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let tasks = Tasks::default();
        let io = TokioIo::new(stream);
        let sender = match protocol {
            Protocol::Grpc => {
                let (sender, connection) = http2::handshake(tasks.spawner(), io).await?;
                tasks.spawn(async move {
                    // How it ended is told to the request that needed it.
                    connection.await.ok();
                });
                Sender::Http2(sender)
            }
            Protocol::HttpProtobuf => {
                let (sender, connection) = http1::handshake(io).await?;
                tasks.spawn(async move {
                    connection.await.ok();
                });
                Sender::Http1(sender)
            }
        };
        Ok(Self { sender, tasks })
    }

    /// Sends a request and reads its answer. After an error or a drop half way the connection is of no more use.
    pub(crate) async fn exchange(&mut self, request: Request<Full<Bytes>>) -> Result<Answer, ExchangeError> {
        let response = match &mut self.sender {
            Sender::Http2(sender) => {
                sender.ready().await?;
                sender.send_request(request).await?
            }
            Sender::Http1(sender) => {
                sender.ready().await?;
                sender.send_request(request).await?
            }
        };
        let (head, body) = response.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await.map_err(ExchangeError::Body)?;
        let trailers = body.trailers().cloned();
        Ok(Answer { status: head.status, headers: head.headers, trailers, body: body.to_bytes() })
    }

    /// Whether the other side has hung up, as far as is known yet.
    pub(crate) fn is_closed(&self) -> bool {
        match &self.sender {
            Sender::Http2(sender) => sender.is_closed(),
            Sender::Http1(sender) => sender.is_closed(),
        }
    }

    /// Ends the connection and whatever runs for it.
    pub(crate) async fn close(self) {
        drop(self.sender);
        self.tasks.finish().await;
    }
}

/// The tasks of one connection; dropping it ends them.
#[derive(Debug, Default)]
struct Tasks(Arc<Mutex<JoinSet<()>>>);

/// Lets hyper start tasks without keeping them alive: what holds [`Tasks`] must not be one of them.
#[derive(Clone, Debug)]
struct Spawner(Weak<Mutex<JoinSet<()>>>);

impl Tasks {
    fn spawner(&self) -> Spawner {
        Spawner(Arc::downgrade(&self.0))
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = lock(&self.0);
        // One that ended leaves its place to the new one.
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }

    async fn finish(self) {
        let mut tasks = std::mem::take(&mut *lock(&self.0));
        let ended = async { while tasks.join_next().await.is_some() {} };
        if timeout(CLOSE_MAX, ended).await.is_err() {
            tasks.shutdown().await;
        }
    }
}

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Spawner {
    fn execute(&self, task: F) {
        if let Some(tasks) = self.0.upgrade() {
            Tasks(tasks).spawn(task);
        }
    }
}

fn lock(tasks: &Mutex<JoinSet<()>>) -> MutexGuard<'_, JoinSet<()>> {
    tasks.lock().unwrap_or_else(PoisonError::into_inner)
}
