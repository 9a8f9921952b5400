//! What can be wrong with the settings, each in one line that says what to do.

use std::net::SocketAddr;

use raceway_analyzer_client::InvalidEndpoint;

use super::FileError;
use crate::pattern::InvalidPattern;

/// One mistake in the settings.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// No name.
    #[error("no service name: give --service NAME (or RACEWAY_SERVICE, or OTEL_SERVICE_NAME)")]
    NoService,
    /// No traffic.
    #[error(
        "nothing to carry: give --inbound LISTEN=TARGET for calls to the service, --route LISTEN=HOST:PORT or \
         --outbound LISTEN for calls it makes"
    )]
    NothingToCarry,
    /// Clients of a forward proxy that is not there.
    #[error("--outbound-allow names clients of the forward proxy, but there is none: give --outbound LISTEN too")]
    AllowedToNothing,
    /// Two listeners on one address.
    #[error("{first} and {second} both listen on {address}: give one of them another port (0 lets the system choose)")]
    Twice {
        /// The setting that has the address.
        first: &'static str,
        /// The setting that wants it too.
        second: &'static str,
        /// The address.
        address: SocketAddr,
    },
    /// A listener that leads to a listener of this process.
    #[error("{setting} leads to {target}, where this sidecar itself listens ({listener}): name the application's port")]
    Loop {
        /// The setting whose target it is.
        setting: &'static str,
        /// The target.
        target: SocketAddr,
        /// The setting that listens there.
        listener: &'static str,
    },
    /// Nowhere to send spans.
    #[error("{setting}: {error}")]
    Analyzer {
        /// `--analyzer`, or OpenTelemetry's variables.
        setting: &'static str,
        /// What is wrong.
        error: InvalidEndpoint,
    },
    /// Something in the configuration file.
    #[error("{0}")]
    File(FileError),
    /// Certificates that cannot be used.
    #[error("{setting}: {error}")]
    Tls {
        /// The setting that names the file.
        setting: &'static str,
        /// What is wrong.
        error: String,
    },
    /// A setting that goes with a certificate, and none is given.
    #[error("{setting} goes with a certificate, and there is none: give {wants} FILE too")]
    NoCertificate {
        /// What was given.
        setting: &'static str,
        /// What is missing.
        wants: &'static str,
    },
    /// A setting about redirected connections, and none are taken.
    #[error("{setting} is about connections redirected here: give --mode transparent with an --inbound; {instead}")]
    NotRedirected {
        /// What was given.
        setting: &'static str,
        /// What there is without.
        instead: &'static str,
    },
    /// A value that is not what the setting takes.
    #[error("{setting} {}: {problem}", shown(value))]
    Value {
        /// The flag, or the OpenTelemetry variable.
        setting: &'static str,
        /// What was given.
        value: String,
        /// What is wrong with it.
        problem: Problem,
    },
}

impl ConfigError {
    /// The flags that it is about, the one to change first; and the value, where one is wrong by itself.
    pub(super) fn about(&self) -> (Vec<&'static str>, Option<&str>) {
        match self {
            Self::NoService | Self::NothingToCarry | Self::File(_) => (Vec::new(), None),
            Self::AllowedToNothing => (vec!["--outbound-allow"], None),
            Self::Twice { first, second, .. } => (vec![second, first], None),
            Self::Loop { setting, .. } | Self::Analyzer { setting, .. } => (vec![setting], None),
            Self::Tls { setting, .. } | Self::NoCertificate { setting, .. } => (vec![setting], None),
            Self::NotRedirected { setting, .. } => (vec![setting], None),
            Self::Value { setting, value, .. } => (vec![setting], Some(value)),
        }
    }
}

/// What is wrong with a value, and what to write instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages are the documentation")]
pub enum Problem {
    #[error("listen on IP:PORT, as in 127.0.0.1:8080, 0.0.0.0:8080 or [::]:8080")]
    Listen,
    #[error("write LISTEN=TARGET, as in 0.0.0.0:8080=127.0.0.1:9090")]
    InboundForm,
    #[error("write LISTEN=[NAME@]HOST:PORT, as in 127.0.0.1:9001=payment:8080")]
    RouteForm,
    #[error("only http:// and https:// can stand before HOST:PORT")]
    RouteScheme,
    #[error("only http:// and h2:// (HTTP/2 without TLS) can stand before the application's HOST:PORT")]
    InboundScheme,
    #[error("must be required or optional")]
    InboundTls,
    #[error("a port is missing: write HOST:PORT")]
    NoPort,
    #[error("the port must be a number from 1 to 65535")]
    Port,
    #[error("port 0 is for listening; nothing can be reached there: name the real port")]
    PortZero,
    #[error("must be a port from 1 to 65535, or a range such as 8000-8100")]
    PortRange,
    #[error("both directions cannot go to one port: the sidecar could not tell them apart")]
    SamePort,
    #[error("nothing would be redirected: give --inbound-port or --outbound-port; `intercept remove` takes rules away")]
    NothingRedirected,
    #[error("must be a number; `id -u NAME` tells a user's")]
    Uid,
    #[error("must be own or caller")]
    Source,
    #[error("inbound connections are left alone, so there are no callers: give --inbound-port too")]
    NoInbound,
    #[error("must be auto, on or off")]
    AutoOnOff,
    #[error("must be auto, nft or iptables")]
    Backend,
    #[error("write an IPv6 address in brackets, as in [::1]:8080")]
    Ipv6,
    #[error("the host must be a name or an IP address (letters, digits, '-', '.', '_')")]
    Host,
    #[error(
        "a name is 1 to 128 bytes without '#', '~' (they separate the parts of a vector clock) and control characters"
    )]
    Name,
    #[error("must be explicit or transparent")]
    Mode,
    #[error("must be a path with a slash, as in /run/raceway/control.sock, an address on loopback, or off")]
    Control,
    #[error("must be on loopback: who reaches it can stop this sidecar")]
    ControlOutside,
    #[error("is open to everybody on this host: give --control-token-file FILE too, or name a path for a Unix socket")]
    ControlToken,
    #[error("all redirected connections come in by one listener: give --inbound LISTEN once")]
    OneInbound,
    #[error("must be certain, likely or all")]
    LinkPolicy,
    #[error("must be among tracecontext, baggage, raceway, b3, b3multi, jaeger, none")]
    Propagator,
    #[error(
        "must be a host name, a glob such as *.shop.example, a CIDR such as 10.0.0.0/8, or none (no scheme, no port)"
    )]
    HostGlob,
    #[error("must be a network such as 10.0.0.0/8, or an IP address")]
    Network,
    #[error("must be always, never, or networks such as 10.0.0.0/8")]
    Trust,
    #[error("must be v1 or v2")]
    ProxyProtocol,
    #[error("must be text or json")]
    LogFormat,
    #[error("must be error, warn, info, debug, trace or off")]
    LogLevel,
    #[error("must be a ratio from 0 (none) to 1 (all)")]
    Ratio,
    #[error("must be a number of seconds, as in 5 or 0.5")]
    Seconds,
    #[error("must be more than 0 seconds: with 0 nothing would ever be in time")]
    NoSeconds,
    #[error("must be a number of bytes, as in 65536, 64KiB or 16MiB")]
    Bytes,
    #[error("must be between 8KiB, which every common server takes, and 16MiB")]
    HeadBytes,
    #[error("must be at least 1MiB: less holds nothing")]
    SpillBytes,
    #[error("must be a whole number above 0")]
    Count,
    #[error("must be from 1 to 64; a thread for each core that the sidecar may use up is the most that helps")]
    Threads,
    #[error("must be true or false")]
    Switch,
    #[error("put what is to be hidden in braces, as in /reset/{{code}}")]
    NothingHidden,
    #[error("{0}")]
    Pattern(InvalidPattern),
}

impl From<InvalidPattern> for Problem {
    fn from(error: InvalidPattern) -> Self {
        Self::Pattern(error)
    }
}

/// What is wrong with a command line, on one line, as all other mistakes are told.
pub fn one_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let told = text.split("\nUsage:").next().unwrap_or_default();
    let told: Vec<&str> = told
        .lines()
        .map(|line| line.trim().trim_start_matches("error: ").trim_start_matches("tip: "))
        .filter(|line| !line.is_empty() && !line.starts_with("For more information"))
        .collect();
    // A line that ends in a colon is the heading of the next.
    format!("{}; --help lists what there is", told.join("; ").replace(":; ", ": "))
}

/// The value as the message shows it: quoted, and cut where a whole file was given by mistake.
fn shown(value: &str) -> String {
    if value.len() > 200 {
        return format!("{:?}…", value.chars().take(200).collect::<String>());
    }
    format!("{value:?}")
}
