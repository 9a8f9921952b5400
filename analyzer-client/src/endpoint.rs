//! Where spans are sent, and how: an address that is known to be usable before anything starts.
//!
//! Read [`Endpoint::parse`] first. Names follow OpenTelemetry's `OTEL_EXPORTER_OTLP_*`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use http::header::{HeaderName, HeaderValue};
use http::uri::Uri;

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
    #[error("`{0}` has the scheme `{1}`; only http is spoken here: write http://HOST:PORT")]
    UnknownScheme(String, String),
    /// `https://…`.
    #[error(
        "`{0}` asks for TLS, which this exporter does not speak; write http://HOST:PORT and let a mesh or a collector \
         beside it encrypt"
    )]
    Tls(String),
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

    /// Reads `http://HOST[:PORT][/PATH]`; without a port, 4317 for gRPC and 4318 for HTTP.
    ///
    /// A path is the base under which HTTP's `/v1/traces` and `/v1/metrics` lie. Nothing is resolved here: a name that
    /// does not exist yet may exist later.
    pub fn parse(url: &str, protocol: Protocol) -> Result<Self, InvalidEndpoint> {
        Parts::parse(url)?.spoken(protocol)
    }

    /// What `OTEL_EXPORTER_OTLP_ENDPOINT`, `_PROTOCOL`, `_HEADERS`, `_COMPRESSION` and `_TIMEOUT` say, or `None` where
    /// no endpoint is named.
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
        Ok(Some(endpoint))
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
        match scheme.to_ascii_lowercase().as_str() {
            "http" => {}
            "https" => return Err(InvalidEndpoint::Tls(shown())),
            _ => return Err(InvalidEndpoint::UnknownScheme(shown(), scheme.to_owned())),
        }
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
        Ok(Self { url, host: host.to_owned(), port, path: uri.path().trim_end_matches('/').to_owned() })
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
        })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}:{}{}", self.host, self.port, self.path)
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
mod tests {
    use super::*;

    #[test]
    fn what_is_accepted() {
        for (url, protocol, host, port, shown) in [
            ("http://127.0.0.1:4317", Protocol::Grpc, "127.0.0.1", 4317, "http://127.0.0.1:4317"),
            ("HTTP://Analyzer", Protocol::Grpc, "Analyzer", 4317, "http://Analyzer:4317"),
            (" http://a.b.svc:1/ ", Protocol::Grpc, "a.b.svc", 1, "http://a.b.svc:1"),
            ("http://[::1]", Protocol::HttpProtobuf, "::1", 4318, "http://[::1]:4318"),
            ("http://h/otlp/", Protocol::HttpProtobuf, "h", 4318, "http://h:4318/otlp"),
        ] {
            let endpoint = Endpoint::parse(url, protocol).expect(url);
            assert_eq!((endpoint.host(), endpoint.port()), (host, port), "{url}");
            assert_eq!(endpoint.to_string(), shown);
        }
    }

    #[test]
    fn one_flaw_each() {
        use InvalidEndpoint::*;
        let text = String::from;
        for (url, expected) in [
            ("", Empty),
            ("  ", Empty),
            ("analyzer:4317", NoScheme(text("analyzer:4317"))),
            ("analyzer", NoScheme(text("analyzer"))),
            ("ftp://h:1", UnknownScheme(text("ftp://h:1"), text("ftp"))),
            ("://h:1", UnknownScheme(text("://h:1"), text(""))),
            ("https://h:4317", Tls(text("https://h:4317"))),
            ("http://", NoHost(text("http://"))),
            ("http://:4317", NoHost(text("http://:4317"))),
            ("http:///x", NoHost(text("http:///x"))),
            ("http://h:0", BadPort(text("http://h:0"))),
            ("http://h:", BadPort(text("http://h:"))),
            ("http://h:65536", BadPort(text("http://h:65536"))),
            ("http://me:secret@h:1", Credentials(text("http://…@h:1"))),
            ("http://h:1?x=1", Query(text("http://h:1?x=1"))),
            ("http://h:1/#x", Query(text("http://h:1/#x"))),
            ("http://h:1/otlp", Path(text("http://h:1/otlp"))),
        ] {
            assert_eq!(Endpoint::parse(url, Protocol::Grpc), Err(expected), "{url}");
        }
        for url in ["http://a b", "http://[::1", "http://h:x", "http://h\u{7f}"] {
            assert!(Endpoint::parse(url, Protocol::Grpc).is_err(), "{url}");
        }
    }

    #[test]
    fn the_variables_of_opentelemetry() {
        let read = |pairs: &'static [(&str, &str)]| {
            Endpoint::from_otel(|name| {
                let name = name.strip_prefix("OTEL_EXPORTER_OTLP_")?;
                pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
            })
        };
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&[("ENDPOINT", "")]), Ok(None));
        let full = read(&[
            ("ENDPOINT", "http://h"),
            ("PROTOCOL", "http/protobuf"),
            ("COMPRESSION", "gzip"),
            ("TIMEOUT", "250"),
            ("HEADERS", "authorization=Bearer%20k, x-tenant=t"),
        ]);
        let full = full.expect("all of it is valid").expect("an endpoint is named");
        assert_eq!(full.to_string(), "http://h:4318");
        assert_eq!(full.compression(), Compression::Gzip);
        assert_eq!(full.timeout(), Duration::from_millis(250));
        let values: Vec<_> = full.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        assert_eq!(values, [("authorization", &b"Bearer k"[..]), ("x-tenant", b"t")]);
        for (url, protocol) in [("http://h", Protocol::Grpc), ("http://h:4318/x", Protocol::HttpProtobuf)] {
            let endpoint = Endpoint::from_otel(|name| name.ends_with("_ENDPOINT").then(|| url.to_owned()));
            assert_eq!(endpoint.expect(url).map(|endpoint| endpoint.protocol()), Some(protocol), "{url}");
        }
        for flaw in [("PROTOCOL", "http/json"), ("COMPRESSION", "br"), ("TIMEOUT", "0"), ("HEADERS", "k%zz=%4")] {
            let pairs: &'static [(&str, &str)] = Box::leak(Box::new([("ENDPOINT", "http://h"), flaw]));
            assert!(read(pairs).is_err(), "{flaw:?}");
        }
    }
}
