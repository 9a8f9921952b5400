//! The checked types that settings become: none of them can hold a value that does not work.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Serialize, Serializer};

use super::Problem;
use crate::forwarded::ProxyProtocol;

/// A host, by name or by address, and a port that is not 0.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostPort {
    /// A name in lower case, or an IP address without brackets.
    pub host: Arc<str>,
    /// 1..=65535.
    pub port: u16,
}

impl HostPort {
    /// `HOST:PORT`, an IPv6 address in brackets.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let (host, port) = text.rsplit_once(':').ok_or(Problem::NoPort)?;
        let port = port.parse::<u16>().map_err(|_| Problem::Port)?;
        if port == 0 {
            return Err(Problem::PortZero);
        }
        let host = match host.strip_prefix('[') {
            Some(host) => host
                .strip_suffix(']')
                .filter(|host| host.parse::<std::net::Ipv6Addr>().is_ok())
                .ok_or(Problem::Ipv6)?
                .to_owned(),
            None if host.contains(':') => return Err(Problem::Ipv6),
            None => host.to_ascii_lowercase(),
        };
        let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b':');
        // 253: the longest name that DNS can carry.
        if host.is_empty() || host.len() > 253 || !host.bytes().all(known) {
            return Err(Problem::Host);
        }
        Ok(Self { host: host.into(), port })
    }

    /// The address, where the host is one and no name has to be resolved.
    pub fn address(&self) -> Option<SocketAddr> {
        self.host.parse().ok().map(|ip: IpAddr| SocketAddr::new(ip, self.port))
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

impl Serialize for HostPort {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// `--inbound LISTEN=[http://|h2://]TARGET`: where callers come in, and the application behind it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Inbound {
    /// Where this process listens; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// Where the application listens.
    pub target: HostPort,
    /// The application speaks HTTP/2 with prior knowledge: callers by TLS may, too.
    pub http2: bool,
}

impl Inbound {
    /// `LISTEN=[http://|h2://]TARGET`.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let (listen, target) = text.split_once('=').ok_or(Problem::InboundForm)?;
        let (http2, target) = match target.split_once("://") {
            Some(("h2", target)) => (true, target),
            Some(("http", target)) => (false, target),
            Some(_) => return Err(Problem::InboundScheme),
            None => (false, target),
        };
        Ok(Self { listen: listen_address(listen)?, target: HostPort::parse(target.trim_end_matches('/'))?, http2 })
    }
}

/// `--route LISTEN=[NAME@][http[s]://]HOST:PORT`: a local port that leads to one other service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Route {
    /// Where this process listens; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// What the other service is called in spans, where it has no sidecar to say so itself.
    pub name: Option<Arc<str>>,
    /// Where the other service is.
    pub target: HostPort,
    /// It is reached by TLS.
    pub tls: bool,
}

impl Route {
    /// `LISTEN=[NAME@][http[s]://]HOST:PORT`.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let (listen, rest) = text.split_once('=').ok_or(Problem::RouteForm)?;
        let (name, target) = match rest.split_once('@') {
            Some((name, target)) => (Some(service_name(name)?.into()), target),
            None => (None, rest),
        };
        let (tls, target) = match target.split_once("://") {
            Some(("http", target)) => (false, target),
            Some(("https", target)) => (true, target),
            Some(_) => return Err(Problem::RouteScheme),
            None => (false, target),
        };
        Ok(Self { listen: listen_address(listen)?, name, target: HostPort::parse(target.trim_end_matches('/'))?, tls })
    }
}

/// A port, or a range of them: `22`, `8000-8100`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    first: u16,
    last: u16,
}

impl PortRange {
    /// `PORT` or `FIRST-LAST`.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let port = |text: &str| text.trim().parse().ok().filter(|port| *port > 0).ok_or(Problem::PortRange);
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let range = Self { first: port(first)?, last: port(last)? };
        if range.first <= range.last { Ok(range) } else { Err(Problem::PortRange) }
    }

    /// Whether a port is in it.
    pub fn contains(&self, port: u16) -> bool {
        (self.first..=self.last).contains(&port)
    }
}

impl From<u16> for PortRange {
    fn from(port: u16) -> Self {
        Self { first: port, last: port }
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last { write!(f, "{}", self.first) } else { write!(f, "{}-{}", self.first, self.last) }
    }
}

/// `IP:PORT`, where port 0 lets the system choose. A name is refused: it may stand for several addresses.
pub(super) fn listen_address(text: &str) -> Result<SocketAddr, Problem> {
    text.parse().map_err(|_| Problem::Listen)
}

/// A service's name. `#` and `~` separate the parts of a vector clock's component.
pub(super) fn service_name(text: &str) -> Result<&str, Problem> {
    // 128: the longest component that goes into a header as it is.
    if text.is_empty() || text.len() > 128 || text.contains(['#', '~']) || text.chars().any(char::is_control) {
        return Err(Problem::Name);
    }
    Ok(text)
}

/// How sure a link from a request to an outbound call must be before the call is stamped with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LinkPolicy {
    /// Only proof: a context that the application forwarded, or a carrier.
    Certain,
    /// Also links with p ≥ 0.90.
    Likely,
    /// Also links with p ≥ 0.50.
    All,
}

impl LinkPolicy {
    /// `certain`, `likely` or `all`.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        match text {
            "certain" => Ok(Self::Certain),
            "likely" => Ok(Self::Likely),
            "all" => Ok(Self::All),
            _ => Err(Problem::LinkPolicy),
        }
    }

    /// Whether a link that is no proof, but holds with probability `p`, is stamped.
    pub fn admits(self, p: f64) -> bool {
        match self {
            Self::Certain => false,
            Self::Likely => p >= 0.90,
            Self::All => p >= 0.50,
        }
    }
}

/// Which context headers are read and written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Propagators {
    /// `tracecontext`: `traceparent` and `tracestate`.
    pub tracecontext: bool,
    /// `baggage`: checked and counted; it passes untouched either way.
    pub baggage: bool,
    /// `raceway`: `raceway-clock`, `X-Raceway-Trace-Id`, `X-Raceway-VC`.
    pub raceway: bool,
    /// `b3`: the single header.
    pub b3: bool,
    /// `b3multi`: the `X-B3-*` headers.
    pub b3_multi: bool,
    /// `jaeger`: `uber-trace-id`.
    pub jaeger: bool,
}

impl Propagators {
    /// What is read and written when nobody says otherwise.
    pub const DEFAULT: &str = "tracecontext,baggage,raceway";

    /// Adds one of them by name; `none` drops all that came before.
    pub(super) fn add(&mut self, name: &str) -> Result<(), Problem> {
        match name {
            "tracecontext" => self.tracecontext = true,
            "baggage" => self.baggage = true,
            "raceway" => self.raceway = true,
            "b3" => self.b3 = true,
            "b3multi" => self.b3_multi = true,
            "jaeger" => self.jaeger = true,
            "none" => *self = Self::default(),
            _ => return Err(Problem::Propagator),
        }
        Ok(())
    }
}

/// Who may use the forward proxy: this host, and the networks named by `--outbound-allow`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Clients(#[serde(serialize_with = "as_texts")] pub(super) Vec<IpNet>);

impl Clients {
    /// Whether a client with this address is served.
    pub fn allows(&self, client: IpAddr) -> bool {
        let client = client.to_canonical();
        client.is_loopback() || self.0.iter().any(|network| network.contains(&client))
    }
}

/// `10.0.0.0/8`, or a single address.
pub(crate) fn network(text: &str) -> Result<IpNet, Problem> {
    text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).map_err(|_| Problem::Network)
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

impl LogFormat {
    pub(super) fn parse(text: &str) -> Result<Self, Problem> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(Problem::LogFormat),
        }
    }
}

/// A ratio from 0 to 1.
pub(super) fn ratio(text: &str) -> Result<f64, Problem> {
    text.parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio)).ok_or(Problem::Ratio)
}

/// Seconds, with or without a fraction, at most a year.
pub(super) fn seconds(text: &str) -> Result<Duration, Problem> {
    const YEAR: f64 = 366.0 * 86_400.0;
    let seconds = text.parse().ok().filter(|seconds| (0.0..=YEAR).contains(seconds)).ok_or(Problem::Seconds)?;
    Ok(Duration::from_secs_f64(seconds))
}

/// Seconds of which there must be some: a time-out of 0 would refuse everything.
pub(super) fn some_seconds(text: &str) -> Result<Duration, Problem> {
    seconds(text).and_then(|time| if time.is_zero() { Err(Problem::NoSeconds) } else { Ok(time) })
}

/// Bytes: a number, or one with KiB, MiB or GiB behind it.
pub(super) fn bytes(text: &str) -> Result<usize, Problem> {
    let (number, unit) = match text.find(|byte: char| !byte.is_ascii_digit()).and_then(|at| text.split_at_checked(at)) {
        Some((number, "KiB")) => (number, 1 << 10),
        Some((number, "MiB")) => (number, 1 << 20),
        Some((number, "GiB")) => (number, 1 << 30),
        Some(_) => return Err(Problem::Bytes),
        None => (text, 1),
    };
    number.parse::<usize>().ok().and_then(|number| number.checked_mul(unit)).ok_or(Problem::Bytes)
}

/// Bytes on disk, of which there must be enough for some requests.
pub(super) fn spill_bytes(text: &str) -> Result<u64, Problem> {
    bytes(text)?.try_into().ok().filter(|&bytes: &u64| bytes >= 1 << 20).ok_or(Problem::SpillBytes)
}

/// `v1` or `v2`.
pub(super) fn proxy_protocol(text: &str) -> Result<ProxyProtocol, Problem> {
    match text {
        "v1" => Ok(ProxyProtocol::V1),
        "v2" => Ok(ProxyProtocol::V2),
        _ => Err(Problem::ProxyProtocol),
    }
}

/// A port of the application.
pub(super) fn port(text: &str) -> Result<u16, Problem> {
    text.parse().ok().filter(|&port| port > 0).ok_or(Problem::Port)
}

/// A whole number that is not 0.
pub(super) fn count(text: &str) -> Result<usize, Problem> {
    text.parse().ok().filter(|&count| count > 0).ok_or(Problem::Count)
}

/// A number of threads. 64: beyond it somebody has mistaken threads for connections.
pub(super) fn threads(text: &str) -> Result<usize, Problem> {
    text.parse().ok().filter(|threads| (1..=64).contains(threads)).ok_or(Problem::Threads)
}

/// `true` or `false`.
pub(super) fn switch(text: &str) -> Result<bool, Problem> {
    match text {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err(Problem::Switch),
    }
}

/// For types that serde does not know: a list of their texts.
pub(super) fn as_texts<T: fmt::Display, S: Serializer>(list: &[T], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(list.iter().map(ToString::to_string))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_and_port() {
        for (text, shown) in [
            ("payment:8080", "payment:8080"),
            ("Payment.Shop.SVC:1", "payment.shop.svc:1"),
            ("10.0.0.1:65535", "10.0.0.1:65535"),
            ("[::1]:80", "[::1]:80"),
        ] {
            assert_eq!(HostPort::parse(text).map(|it| it.to_string()).as_deref(), Ok(shown));
        }
        for (text, problem) in [
            ("payment", Problem::NoPort),
            ("payment:http", Problem::Port),
            ("payment:70000", Problem::Port),
            ("payment:0", Problem::PortZero),
            ("::1:80", Problem::Ipv6),
            ("[::1:80", Problem::Ipv6),
            ("[payment]:80", Problem::Ipv6),
            (":80", Problem::Host),
            ("pay ment:80", Problem::Host),
            ("pay/ment:80", Problem::Host),
        ] {
            assert_eq!(HostPort::parse(text), Err(problem), "{text}");
        }
    }

    #[test]
    fn routes() {
        let route = |text| Route::parse(text).map(|it| (it.name.map(|name| name.to_string()), it.target.to_string()));
        assert_eq!(route("127.0.0.1:0=payment:80"), Ok((None, "payment:80".into())));
        assert_eq!(route("127.0.0.1:0=pay@http://[::1]:80/"), Ok((Some("pay".into()), "[::1]:80".into())));
        let tls = |text| Route::parse(text).map(|it| (it.tls, it.target.to_string()));
        assert_eq!(tls("127.0.0.1:0=https://payment:443"), Ok((true, "payment:443".into())));
        assert_eq!(tls("127.0.0.1:0=pay@http://payment:80"), Ok((false, "payment:80".into())));
        for (text, problem) in [
            ("127.0.0.1:0", Problem::RouteForm),
            ("payment:80=payment:80", Problem::Listen),
            ("127.0.0.1:0=@payment:80", Problem::Name),
            ("127.0.0.1:0=tcp://payment:443", Problem::RouteScheme),
            ("127.0.0.1:0=payment", Problem::NoPort),
        ] {
            assert_eq!(route(text), Err(problem), "{text}");
        }
    }

    #[test]
    fn numbers() {
        assert_eq!(bytes("0"), Ok(0));
        assert_eq!(bytes("64KiB"), Ok(65_536));
        assert_eq!(bytes("16MiB"), Ok(16 << 20));
        for text in ["", "KiB", "-1", "1.5MiB", "64KB", "64 KiB", "99999999999999999999", "99999999999GiB"] {
            assert_eq!(bytes(text), Err(Problem::Bytes), "{text}");
        }
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        assert_eq!(some_seconds("0"), Err(Problem::NoSeconds));
        for text in ["", "-1", "nan", "inf", "5s", "1e300"] {
            assert_eq!(seconds(text), Err(Problem::Seconds), "{text}");
        }
        for text in ["", "-0.1", "1.1", "NaN", "all"] {
            assert_eq!(ratio(text), Err(Problem::Ratio), "{text}");
        }
        assert_eq!(count("0"), Err(Problem::Count));
    }

    #[test]
    fn the_forward_proxy_is_for_this_host_and_named_networks() {
        let clients =
            Clients(vec![network("10.1.0.0/16").expect("a network"), network("fd00::7").expect("an address")]);
        for (client, allowed) in [
            ("127.0.0.1", true),
            ("127.9.9.9", true),
            ("::1", true),
            ("::ffff:127.0.0.1", true),
            ("10.1.2.3", true),
            ("::ffff:10.1.2.3", true),
            ("fd00::7", true),
            ("10.2.0.1", false),
            ("fd00::8", false),
            ("::ffff:8.8.8.8", false),
        ] {
            assert_eq!(clients.allows(client.parse().expect("an address")), allowed, "{client}");
        }
    }
}
