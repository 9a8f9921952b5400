//! One request from bytes to verdict: connecting, framing, compressing, asking again where that is free.

use std::error::Error;
use std::fmt::Write;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HOST, HeaderValue, TE, USER_AGENT};
use http::{Method, Request, Uri};
use http_body_util::Full;
use raceway_tls::{Look, Trouble};
use tokio::time::timeout;

use crate::compress::Compressor;
use crate::connection::{self, ConnectError, Connection, ExchangeError};
use crate::endpoint::{Compression, Endpoint, Protocol};
use crate::otlp::reply::{self, Verdict};

/// Which of OTLP's services a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    Traces,
    Metrics,
}

impl Signal {
    const fn grpc_path(self) -> &'static str {
        match self {
            Self::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            Self::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        }
    }

    const fn http_path(self) -> &'static str {
        match self {
            Self::Traces => "/v1/traces",
            Self::Metrics => "/v1/metrics",
        }
    }
}

/// Why a request got no answer at all.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoAnswer {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("{}", with_causes(.0))]
    Exchange(#[from] ExchangeError),
    #[error("{}; check that this is the port for OTLP over {protocol}", with_causes(.source))]
    FirstExchange { protocol: Protocol, source: ExchangeError },
    #[error("no answer within {0:?}; the analyzer may be overloaded")]
    Timeout(std::time::Duration),
    #[error("compressing failed: {0}")]
    Compress(#[from] std::io::Error),
}

impl NoAnswer {
    /// A word for it by which a change of state is noticed.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Connect(error) => error.kind(),
            Self::Exchange(_) | Self::FirstExchange { .. } => "lost",
            Self::Timeout(_) => "timeout",
            Self::Compress(_) => "compress",
        }
    }
}

/// Talks to one endpoint, one request at a time.
pub(crate) struct Client {
    endpoint: Endpoint,
    connection: Option<Connection>,
    compressor: Compressor,
    /// The strongest compression that the receiver is not known to lack.
    compression: Compression,
    /// When the endpoint's certificates were last looked at.
    looked: Option<Instant>,
    /// Connections opened so far.
    pub(crate) connects: u64,
}

impl Client {
    pub(crate) fn new(endpoint: Endpoint) -> Self {
        let compression = endpoint.compression();
        Self { endpoint, connection: None, compressor: Compressor::default(), compression, looked: None, connects: 0 }
    }

    /// What bodies are compressed with at present.
    pub(crate) fn compression(&self) -> Compression {
        self.compression
    }

    /// Sends one request and judges its answer.
    ///
    /// Where the receiver does not seem to know the compression, the same request goes out in weaker ones at once; the
    /// first that passes is kept.
    pub(crate) async fn post(&mut self, signal: Signal, message: &[u8]) -> Result<Verdict, NoAnswer> {
        let mut compression = self.compression;
        let mut first_why = None;
        loop {
            match self.post_compressed(signal, message, compression).await? {
                Verdict::UnknownEncoding { why } => match compression.weaker() {
                    Some(weaker) => {
                        first_why.get_or_insert(why);
                        compression = weaker;
                    }
                    // It was not the compression. The last complaint is about the request as such.
                    None => return Ok(Verdict::Refused { why }),
                },
                verdict => {
                    if let Some(why) = first_why.filter(|_| matches!(verdict, Verdict::Accepted { .. })) {
                        tracing::info!(
                            endpoint = %self.endpoint, refused = %self.compression, using = %compression, %why,
                            "the receiver does not know the compression"
                        );
                        self.compression = compression;
                    }
                    return Ok(verdict);
                }
            }
        }
    }

    async fn post_compressed(&mut self, signal: Signal, message: &[u8], how: Compression) -> Result<Verdict, NoAnswer> {
        self.renew_certificates();
        let body = self.body(message, how)?;
        // A receiver that was restarted has left a dead connection behind: that is found out by using it. Sending again
        // is harmless, since receivers know spans by their ids.
        if let Some(connection) = self.connection.take().filter(|connection| !connection.is_closed()) {
            match self.exchange(connection, signal, body.clone(), how).await {
                Err(NoAnswer::Exchange(_)) => {}
                settled => return settled,
            }
        }
        let connection = self.open().await?;
        let protocol = self.endpoint.protocol();
        self.exchange(connection, signal, body, how).await.map_err(|error| match error {
            NoAnswer::Exchange(source) => NoAnswer::FirstExchange { protocol, source },
            other => other,
        })
    }

    /// Makes sure that there is a connection.
    pub(crate) async fn connect(&mut self) -> Result<(), NoAnswer> {
        self.renew_certificates();
        if !self.is_connected() {
            self.connection = Some(self.open().await?);
        }
        Ok(())
    }

    /// Whether there is a connection that the other side is not known to have closed.
    pub(crate) fn is_connected(&self) -> bool {
        self.connection.as_ref().is_some_and(|connection| !connection.is_closed())
    }

    /// Takes changed certificates into use, and with them a new connection.
    fn renew_certificates(&mut self) {
        let Some(secure) = self.endpoint.secure() else { return };
        if self.looked.is_none_or(|looked| looked.elapsed() >= LOOK_EVERY) {
            self.looked = Some(Instant::now());
            if secure.client().look() == Look::Reloaded {
                self.connection = None;
            }
        }
    }

    async fn open(&mut self) -> Result<Connection, ConnectError> {
        let connection = Connection::open(&self.endpoint).await?;
        self.connects += 1;
        Ok(connection)
    }

    /// Keeps the connection only if it worked.
    async fn exchange(
        &mut self,
        mut connection: Connection,
        signal: Signal,
        body: Bytes,
        how: Compression,
    ) -> Result<Verdict, NoAnswer> {
        let wait = self.endpoint.timeout();
        let request = self.request(signal, body, how);
        let answer = timeout(wait, connection.exchange(request)).await.map_err(|_| NoAnswer::Timeout(wait))??;
        self.connection = Some(connection);
        Ok(match self.endpoint.protocol() {
            Protocol::Grpc => reply::grpc(answer.status, &answer.headers, answer.trailers.as_ref(), &answer.body),
            Protocol::HttpProtobuf => reply::http(answer.status, &answer.headers, &answer.body),
        })
    }

    /// gRPC puts five bytes in front: whether what follows is compressed, and its length.
    fn body(&mut self, message: &[u8], how: Compression) -> Result<Bytes, NoAnswer> {
        let mut body = Vec::new();
        if self.endpoint.protocol() == Protocol::Grpc {
            body.extend_from_slice(&[u8::from(how != Compression::None), 0, 0, 0, 0]);
        }
        let prefix = body.len();
        self.compressor.compress(how, message, &mut body)?;
        let len = u32::try_from(body.len() - prefix).unwrap_or(u32::MAX).to_be_bytes();
        if let Some((_flag, place)) = body.split_first_mut().filter(|_| prefix > 0) {
            place.iter_mut().zip(len).for_each(|(byte, value)| *byte = value);
        }
        Ok(body.into())
    }

    fn request(&self, signal: Signal, body: Bytes, how: Compression) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        let authority = self.endpoint.authority();
        let uri = match self.endpoint.protocol() {
            Protocol::Grpc => format!("{}://{authority}{}", self.endpoint.scheme(), signal.grpc_path()),
            Protocol::HttpProtobuf => format!("{}{}", self.endpoint.path(), signal.http_path()),
        };
        *request.uri_mut() = Uri::try_from(uri).expect("made of parts that were parsed when the endpoint was read");
        let headers = request.headers_mut();
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        let encoding_header = match self.endpoint.protocol() {
            Protocol::Grpc => {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
                headers.insert(TE, HeaderValue::from_static("trailers"));
                let wait = format!("{}m", self.endpoint.timeout().as_millis().min(99_999_999));
                headers.insert("grpc-timeout", wait.parse().expect("digits and a letter are a header value"));
                "grpc-encoding".parse().expect("this is a header name")
            }
            Protocol::HttpProtobuf => {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
                headers.insert(HOST, authority.parse().expect("the authority of a URL is a header value"));
                CONTENT_ENCODING
            }
        };
        if let Some(token) = how.token() {
            headers.insert(encoding_header, HeaderValue::from_static(token));
        }
        for (name, value) in self.endpoint.headers() {
            headers.append(name, value.clone());
        }
        request
    }

    /// Ends the connection and what runs for it.
    pub(crate) async fn close(mut self) {
        if let Some(connection) = self.connection.take() {
            connection.close().await;
        }
    }
}

/// How often certificates are looked at, while there is something to send: a system call per file.
const LOOK_EVERY: Duration = Duration::from_secs(1);

const AGENT: &str = concat!("raceway-analyzer-client/", env!("CARGO_PKG_VERSION"));

/// The whole chain: hyper keeps what happened in the causes ("connection error: … frame with invalid size").
fn with_causes(error: &ExchangeError) -> String {
    // A server of TLS 1.3 says only after the handshake that it wants another certificate.
    let first: &(dyn Error + 'static) = error;
    let mut causes = std::iter::successors(Some(first), |&error| error.source());
    let told = causes.find_map(|error| {
        let by_h2 = error.downcast_ref::<h2::Error>().and_then(h2::Error::get_io);
        by_h2.or_else(|| error.downcast_ref()).and_then(Trouble::in_error)
    });
    if let Some(trouble) = told {
        return format!("TLS: {trouble}{}", connection::advice(&trouble));
    }
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let part = error.to_string();
        if !text.contains(&part) {
            // Writing into a String does not fail.
            write!(text, ": {part}").ok();
        }
        cause = error.source();
    }
    text
}
