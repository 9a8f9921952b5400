//! Where spans are sent, and how: an address that is known to be usable before anything starts.
//!
//! Read [`Endpoint::parse`] first. Names follow OpenTelemetry's `OTEL_EXPORTER_OTLP_*`.

mod secure;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use http::header::{HeaderName, HeaderValue};
use http::uri::Uri;
use raceway_tls::ClientFiles;

pub(crate) use secure::Secure;

/// An OTLP receiver: an analyzer, or any collector.
///
/// ```
/// use raceway_analyzer_client::{Endpoint, Protocol};
///
/// let analyzer = Endpoint::parse("http://analyzer", Protocol::Grpc)?;
/// assert_eq!(analyzer.to_string(), "http://analyzer:4317");
/// let collector = Endpoint::parse("http://[::1]:9000/otlp", Protocol::HttpProtobuf)?;
/// assert_eq!(collector.to_string(), "http://[::1]:9000/otlp");
/// # Ok::<(), raceway_analyzer_client::InvalidEndpoint>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    host: String,
    port: u16,
    /// Without a slash at its end; empty for the root.
    path: String,
    protocol: Protocol,
    compression: Compression,
    headers: Vec<(HeaderName, HeaderValue)>,
    timeout: Duration,
    /// For `https://`.
    secure: Option<Secure>,
}

/// How OTLP travels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// OTLP/gRPC over HTTP/2 with prior knowledge.
    #[default]
    Grpc,
    /// OTLP/HTTP with protobuf bodies over HTTP/1.1.
    HttpProtobuf,
}

/// How request bodies are compressed.
///
/// A receiver that does not know one is sent the next weaker one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// As encoded.
    None,
    /// gzip, which every receiver knows.
    Gzip,
    /// zstd: smaller than gzip in under half of its time.
    #[cfg(feature = "zstd")]
    Zstd,
}

/// Why a text is not an endpoint; each says what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEndpoint {
    /// Nothing was given.
    #[error("the address is empty; write http://HOST:PORT")]
    Empty,
    /// It is no URL.
    #[error("`{0}` is not a URL ({1}); write http://HOST:PORT")]
    NotAUrl(String, String),
    /// `analyzer:4317`.
    #[error("`{0}` has no scheme; write http://{0}")]
    NoScheme(String),
    /// `ftp://…`.
    #[error("`{0}` has the scheme `{1}`; only http and https are spoken here: write http://HOST:PORT")]
    UnknownScheme(String, String),
    /// Certificates for `http://…`.
    #[error("`{0}` is reached without TLS, so no certificate is of use there; write https://HOST:PORT")]
    NoTls(String),
    /// Certificates that cannot be used.
    #[error("{0}")]
    Certificates(String),
    /// `http://:4317`.
    #[error("`{0}` has no host; write http://HOST:PORT")]
    NoHost(String),
    /// `http://analyzer:99999`.
    #[error("`{0}` has no usable port; ports are 1 to 65535")]
    BadPort(String),
    /// `http://user:password@analyzer`.
    #[error("`{0}` holds a user name; credentials go into a header, as in authorization=Bearer%20KEY")]
    Credentials(String),
    /// `http://analyzer?x=1`.
    #[error("`{0}` has a query; write http://HOST:PORT/PATH without one")]
    Query(String),
    /// A path where gRPC has none.
    #[error("`{0}` has a path, which OTLP/gRPC has no use for; leave it out or choose the protocol http/protobuf")]
    Path(String),
    /// `OTEL_EXPORTER_OTLP_PROTOCOL=http/json`.
    #[error("`{0}` is not a protocol that is spoken here; write grpc or http/protobuf")]
    UnknownProtocol(String),
    /// `OTEL_EXPORTER_OTLP_COMPRESSION=brotli`.
    #[error("`{0}` is not a compression that is known here; write {names}", names = Compression::NAMES)]
    UnknownCompression(String),
    /// `OTEL_EXPORTER_OTLP_HEADERS` that are no list of `name=value`.
    #[error("the header `{0}` is not NAME=VALUE with a value as in a URL (a space is %20)")]
    BadHeader(String),
    /// `OTEL_EXPORTER_OTLP_TIMEOUT` that is no number of milliseconds.
    #[error("`{0}` is not a time to wait; write a whole number of milliseconds, 10000 for ten seconds")]
    BadTimeout(String),
}

impl Endpoint {
    /// How long an answer is waited for, unless said otherwise: OpenTelemetry's default, and many times what a
    /// durable commit takes.
    pub const TIMEOUT: Duration = Duration::from_secs(10);

    /// Reads `http[s]://HOST[:PORT][/PATH]`; without a port, 4317 for gRPC and 4318 for HTTP.
    ///
    /// A path is the base under which HTTP's `/v1/traces` and `/v1/metrics` lie. Nothing is resolved here: a name that
    /// does not exist yet may exist later.
    pub fn parse(url: &str, protocol: Protocol) -> Result<Self, InvalidEndpoint> {
        Parts::parse(url)?.spoken(protocol)
    }

    /// What `OTEL_EXPORTER_OTLP_ENDPOINT`, `_PROTOCOL`, `_HEADERS`, `_COMPRESSION`, `_TIMEOUT`, `_CERTIFICATE`,
    /// `_CLIENT_CERTIFICATE` and `_CLIENT_KEY` say, or `None` where no endpoint is named.
    ///
    /// Without a protocol it is gRPC, but for an address that names the port of OTLP/HTTP. `variable` looks a name up,
    /// so that a test or a file can stand in for the environment:
    ///
    /// ```
    /// use raceway_analyzer_client::Endpoint;
    /// let endpoint = Endpoint::from_otel(|name| std::env::var(name).ok())?;
    /// # Ok::<(), raceway_analyzer_client::InvalidEndpoint>(())
    /// ```
    pub fn from_otel(variable: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, InvalidEndpoint> {
        // The specification wants an empty variable to count as one that is not set.
        let setting = |what| variable(&format!("OTEL_EXPORTER_OTLP_{what}")).filter(|text| !text.trim().is_empty());
        let Some(url) = setting("ENDPOINT") else { return Ok(None) };
        let parts = Parts::parse(&url)?;
        let protocol = match setting("PROTOCOL") {
            Some(text) => text.parse()?,
            // OpenTelemetry's own default is HTTP: who names its port and no protocol means just that.
            None if parts.port == Some(Protocol::HttpProtobuf.port()) => Protocol::HttpProtobuf,
            None => Protocol::Grpc,
        };
        let mut endpoint = parts.spoken(protocol)?;
        if let Some(text) = setting("COMPRESSION") {
            endpoint = endpoint.with_compression(text.parse()?);
        }
        if let Some(text) = setting("HEADERS") {
            endpoint = endpoint.with_headers(&text)?;
        }
        if let Some(text) = setting("TIMEOUT") {
            let milliseconds = text.trim().parse().ok().filter(|&value| value > 0);
            endpoint = endpoint.with_timeout(Duration::from_millis(
                milliseconds.ok_or_else(|| InvalidEndpoint::BadTimeout(text.clone()))?,
            ));
        }
        let files = Self::files_from_otel(&variable);
        if endpoint.is_secure() && files != ClientFiles::default() {
            endpoint = endpoint.with_tls(files)?;
        }
        Ok(Some(endpoint))
    }

    /// What `OTEL_EXPORTER_OTLP_CERTIFICATE`, `_CLIENT_CERTIFICATE` and `_CLIENT_KEY` name.
    pub fn files_from_otel(variable: impl Fn(&str) -> Option<String>) -> ClientFiles {
        let file = |what: &str| {
            let path = variable(&format!("OTEL_EXPORTER_OTLP_{what}")).map(|text| text.trim().to_owned());
            path.filter(|path| !path.is_empty()).map(Into::into)
        };
        let (ca, certificate, key) = (file("CERTIFICATE"), file("CLIENT_CERTIFICATE"), file("CLIENT_KEY"));
        ClientFiles { ca, certificate, key, insecure_skip_verify: false }
    }

    /// The same with another compression; the default is the strongest that was built in.
    #[must_use]
    pub fn with_compression(mut self, compression: Compression) -> Self {
        self.compression = compression;
        self
    }

    /// The same with another time to wait for an answer; the default is [`Endpoint::TIMEOUT`].
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The same with headers on every request: `name=value,name=value`, values percent-encoded as in W3C Baggage.
    pub fn with_headers(mut self, list: &str) -> Result<Self, InvalidEndpoint> {
        for pair in list.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            // Only the name is shown: the value may be a key.
            let bad = || InvalidEndpoint::BadHeader(pair.split('=').next().unwrap_or_default().to_owned());
            let (name, value) = pair.split_once('=').ok_or_else(bad)?;
            let name = HeaderName::from_bytes(name.trim().as_bytes()).map_err(|_| bad())?;
            let value = percent_decoded(value.trim()).ok_or_else(bad)?;
            let mut value = HeaderValue::from_bytes(&value).map_err(|_| bad())?;
            value.set_sensitive(true);
            self.headers.push((name, value));
        }
        Ok(self)
    }

    /// The same with these certificates in place of whom the system trusts; they are read now, and again when they
    /// change.
    pub fn with_tls(mut self, files: ClientFiles) -> Result<Self, InvalidEndpoint> {
        if self.secure.is_none() {
            return Err(InvalidEndpoint::NoTls(self.to_string()));
        }
        self.secure = Some(Secure::load(files).map_err(|error| InvalidEndpoint::Certificates(error.to_string()))?);
        Ok(self)
    }

    /// Whether it is reached by TLS.
    pub fn is_secure(&self) -> bool {
        self.secure.is_some()
    }

    /// The name or address to connect to, without brackets.
    pub fn host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }

    /// The port to connect to.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// How OTLP travels to it.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// How bodies are compressed, as long as the receiver knows it.
    pub fn compression(&self) -> Compression {
        self.compression
    }

    /// How long an answer is waited for.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// `host:port`, as a request names it.
    pub(crate) fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    pub(crate) fn scheme(&self) -> &'static str {
        if self.secure.is_some() { "https" } else { "http" }
    }

    pub(crate) fn secure(&self) -> Option<&Secure> {
        self.secure.as_ref()
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    pub(crate) fn headers(&self) -> &[(HeaderName, HeaderValue)] {
        &self.headers
    }
}

/// A URL that is sound in itself.
struct Parts<'a> {
    url: &'a str,
    host: String,
    port: Option<u16>,
    path: String,
    secure: bool,
}

impl<'a> Parts<'a> {
    fn parse(url: &'a str) -> Result<Self, InvalidEndpoint> {
        let url = url.trim();
        let shown = || url.to_owned();
        if url.is_empty() {
            return Err(InvalidEndpoint::Empty);
        }
        let Some((scheme, rest)) = url.split_once("://") else {
            return Err(InvalidEndpoint::NoScheme(shown()));
        };
        let secure = match scheme.to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            _ => return Err(InvalidEndpoint::UnknownScheme(shown(), scheme.to_owned())),
        };
        // The parser below takes a missing host for a syntax error, which would hide what is missing.
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if authority.contains('@') {
            // A password must not come back in an error message.
            let after = rest.rsplit_once('@').map_or("", |(_, after)| after);
            return Err(InvalidEndpoint::Credentials(format!("{scheme}://…@{after}")));
        }
        if authority.is_empty() || authority.starts_with(':') {
            return Err(InvalidEndpoint::NoHost(shown()));
        }
        if rest.contains(['?', '#']) {
            return Err(InvalidEndpoint::Query(shown()));
        }
        let uri: Uri = url.parse().map_err(|error| InvalidEndpoint::NotAUrl(shown(), format!("{error}")))?;
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(|| InvalidEndpoint::NoHost(shown()))?;
        let port = match authority.strip_prefix(host).and_then(|rest| rest.strip_prefix(':')) {
            Some(_) => Some(uri.port_u16().filter(|&port| port > 0).ok_or_else(|| InvalidEndpoint::BadPort(shown()))?),
            None => None,
        };
        let path = uri.path().trim_end_matches('/').to_owned();
        Ok(Self { url, host: host.to_owned(), port, path, secure })
    }

    fn spoken(self, protocol: Protocol) -> Result<Endpoint, InvalidEndpoint> {
        if protocol == Protocol::Grpc && !self.path.is_empty() {
            return Err(InvalidEndpoint::Path(self.url.to_owned()));
        }
        Ok(Endpoint {
            host: self.host,
            port: self.port.unwrap_or(protocol.port()),
            path: self.path,
            protocol,
            compression: Compression::default(),
            headers: Vec::new(),
            timeout: Endpoint::TIMEOUT,
            secure: self.secure.then(Secure::by_the_system),
        })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}{}", self.scheme(), self.host, self.port, self.path)
    }
}

impl Protocol {
    /// The port that OTLP has for it.
    pub const fn port(self) -> u16 {
        match self {
            Self::Grpc => 4317,
            Self::HttpProtobuf => 4318,
        }
    }
}

impl FromStr for Protocol {
    type Err = InvalidEndpoint;

    fn from_str(text: &str) -> Result<Self, InvalidEndpoint> {
        match text.trim() {
            "grpc" => Ok(Self::Grpc),
            "http/protobuf" => Ok(Self::HttpProtobuf),
            other => Err(InvalidEndpoint::UnknownProtocol(other.to_owned())),
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Grpc => "grpc",
            Self::HttpProtobuf => "http/protobuf",
        })
    }
}

impl Compression {
    #[cfg(feature = "zstd")]
    const NAMES: &str = "zstd, gzip or none";
    #[cfg(not(feature = "zstd"))]
    const NAMES: &str = "gzip or none (zstd was not built in)";

    /// What to try when a receiver does not know this one.
    pub(crate) const fn weaker(self) -> Option<Self> {
        match self {
            Self::None => None,
            Self::Gzip => Some(Self::None),
            #[cfg(feature = "zstd")]
            Self::Zstd => Some(Self::Gzip),
        }
    }

    /// Its name in `content-encoding` and `grpc-encoding`; `None` for no header at all.
    pub(crate) const fn token(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Gzip => Some("gzip"),
            #[cfg(feature = "zstd")]
            Self::Zstd => Some("zstd"),
        }
    }
}

impl Default for Compression {
    /// The strongest that was built in.
    fn default() -> Self {
        #[cfg(feature = "zstd")]
        return Self::Zstd;
        #[cfg(not(feature = "zstd"))]
        return Self::Gzip;
    }
}

impl FromStr for Compression {
    type Err = InvalidEndpoint;

    fn from_str(text: &str) -> Result<Self, InvalidEndpoint> {
        match text.trim() {
            "none" => Ok(Self::None),
            "gzip" => Ok(Self::Gzip),
            #[cfg(feature = "zstd")]
            "zstd" => Ok(Self::Zstd),
            other => Err(InvalidEndpoint::UnknownCompression(other.to_owned())),
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.token().unwrap_or("none"))
    }
}

/// The bytes that `%XX` stand for; `None` where two hex digits are missing.
fn percent_decoded(text: &str) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let high = char::from(bytes.next()?).to_digit(16)?;
                let low = char::from(bytes.next()?).to_digit(16)?;
                u8::try_from(high * 16 + low).ok()?
            }
            other => other,
        });
    }
    Some(decoded)
}

#[cfg(test)]
mod tests;
