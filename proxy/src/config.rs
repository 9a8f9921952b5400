//! Settings: read once, checked once, every mistake reported.
//!
//! [`Args`] is the command line as text; [`Config`] is what the rest of the sidecar uses. Precedence: a flag wins over
//! its `RACEWAY_*` variable (both by clap), which wins over an `OTEL_*` variable, which wins over the file
//! ([`read`]), which wins over the default.

mod args;
mod check;
mod control;
mod error;
mod example;
mod file;
mod hosts;
mod identity;
mod listeners;
mod otel;
mod read;
mod redirected;
mod tls;
mod trust;
mod values;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use raceway_analyzer_client::Endpoint;
use raceway_tls::ClientFiles;
use serde::{Serialize, Serializer};
use tracing::level_filters::LevelFilter;

pub use args::{Args, Command};
pub use control::Control;
pub use error::{ConfigError, Problem, one_line};
pub use example::example;
pub use file::FileError;
pub use hosts::HostMatcher;
pub use identity::Identity;
pub use read::Unusable;
pub use redirected::{Redirected, Source};
pub use tls::{InboundTls, TlsArgs, TlsPort};
pub use trust::TrustContext;
pub(crate) use values::network;
pub use values::{Clients, HostPort, Inbound, LinkPolicy, LogFormat, PortRange, Propagators, Route};

use check::Check;

use crate::forwarded::ProxyProtocol;
use crate::ignore::Ignore;
use crate::pattern::PathPattern;
use crate::redact::Redact;

/// Everything that can be set, checked.
#[derive(Clone, Debug, Serialize)]
pub struct Config {
    /// Who reports.
    pub identity: Identity,
    /// Where callers come in; may be empty.
    pub inbound: Vec<Inbound>,
    /// The forward proxy.
    pub outbound: Option<SocketAddr>,
    /// Where redirected connections come in; `None` in explicit mode.
    pub redirected: Option<Redirected>,
    /// Ports of destinations whose connections are passed as bytes, whatever they carry.
    #[serde(serialize_with = "values::as_texts")]
    pub opaque_ports: Vec<PortRange>,
    /// Local ports that lead to one other service each.
    pub routes: Vec<Route>,
    /// Who may use the forward proxy.
    pub outbound_allow: Clients,
    /// How callers come in by TLS; `None` where they do not.
    pub inbound_tls: Option<InboundTls>,
    /// How `https://` routes are reached.
    pub upstream_tls: ClientFiles,
    /// Destinations beside `https://` routes that plain calls reach by TLS.
    pub upstream_tls_to: Vec<HostPort>,
    /// Where spans go, and how they are compressed.
    #[serde(serialize_with = "as_endpoint")]
    pub analyzer: Endpoint,
    /// Share of new roots that is sampled, 0 to 1.
    pub sample: f64,
    /// Whether errors are recorded where their trace is not sampled.
    pub keep_errors: bool,
    /// Whose context is believed.
    pub trust_context: TrustContext,
    /// Whether the application is told who calls by `X-Forwarded-For` …
    pub forwarded_for: bool,
    /// … or by the PROXY protocol.
    pub send_proxy_protocol: Option<ProxyProtocol>,
    /// Which links are stamped.
    pub link_policy: LinkPolicy,
    /// Which context headers are read and written.
    pub propagators: Propagators,
    /// Which destinations get more than `traceparent`.
    pub propagate_to: HostMatcher,
    /// Templates of `http.route` that the operator knows.
    pub route_patterns: Vec<PathPattern>,
    /// Paths that pass without a span.
    pub ignore: Ignore,
    /// What is kept out of `url.path`.
    pub redact: Redact,
    /// Whether responses carry `X-Raceway-Trace-Id`.
    pub expose_trace_id: bool,
    /// The admin listener; `None` for none.
    pub admin: Option<SocketAddr>,
    /// Ports of the application that the admin listener may be asked about.
    pub probe_ports: Vec<u16>,
    /// The operator's way in; `None` for none.
    pub control: Option<Control>,
    /// File to write all bound addresses to.
    pub ready_file: Option<PathBuf>,
    /// How long open connections may go on after the first SIGTERM.
    pub grace: Duration,
    /// How long a connection to the other side may take.
    pub connect_timeout: Duration,
    /// How long a request head may take, from its first byte to its last.
    pub header_timeout: Duration,
    /// How long nothing may move on a connection.
    pub idle_timeout: Duration,
    /// Largest head, bytes.
    pub head_bytes_max: usize,
    /// Most header lines in one head.
    pub head_fields_max: usize,
    /// Most connections open at once.
    pub connections_max: usize,
    /// Most requests and tunnels in flight at once.
    pub requests_max: usize,
    /// Most memory that waiting spans take, bytes.
    pub queue_bytes: usize,
    /// Folder for spans that find no room there.
    pub spill_dir: Option<PathBuf>,
    /// Most bytes in it.
    pub spill_max: u64,
    /// Threads that carry requests.
    pub threads: usize,
    /// Least severe log lines shown.
    #[serde(serialize_with = "as_text")]
    pub log_level: LevelFilter,
    /// How log lines look.
    pub log_format: LogFormat,
    /// What was set but is not used, to be logged once the log is there.
    pub warnings: Vec<String>,
}

impl Config {
    /// Whether a plain call to this destination goes by TLS.
    pub(crate) fn begins_tls(&self, host: &str, port: u16) -> bool {
        self.upstream_tls_to.iter().any(|there| there.port == port && &*there.host == host)
    }

    /// Whether the application sees its callers' addresses.
    pub(crate) fn keeps_callers(&self) -> bool {
        self.redirected.is_some_and(|it| it.inbound_source == Source::Caller)
    }

    /// Whether connections to this port are passed as bytes, whatever they carry.
    pub(crate) fn is_opaque(&self, port: u16) -> bool {
        self.opaque_ports.iter().any(|ports| ports.contains(port))
    }

    /// Checks what was given, with the given environment behind it.
    pub fn check(mut args: Args, environment: &dyn Fn(&str) -> Option<String>) -> Result<Self, Vec<ConfigError>> {
        let variable = |name: &str| given(environment(name));
        let mut check = Check::default();

        let redirected = check.redirected(&mut args);
        let opaque_ports = check.list("--opaque-port", std::mem::take(&mut args.opaque_port), PortRange::parse);
        let identity = check.identity(&args, &variable);
        let inbound: Vec<Inbound> = check.list("--inbound", args.inbound, Inbound::parse);
        let outbound = check.optional("--outbound", args.outbound, values::listen_address);
        let routes: Vec<Route> = check.list("--route", args.route, Route::parse);
        let admin = match given(Some(args.admin)).as_deref() {
            None | Some("off") => None,
            Some(address) => check.value("--admin", address, values::listen_address),
        };
        let probe_ports = check.list("--probe-port", args.probe_port, values::port);
        let control = given(args.control).filter(|control| control != "off");
        let token_file = given(args.control_token_file);
        let control = control
            .and_then(|text| check.value("--control", &text, |text| Control::parse(text, token_file.as_deref())));
        if inbound.is_empty()
            && outbound.is_none()
            && routes.is_empty()
            && redirected.is_none()
            && !check.saw(&["--inbound", "--outbound", "--route"])
        {
            check.errors.push(ConfigError::NothingToCarry);
        }
        check.listeners(&inbound, (outbound, redirected), &routes, admin);
        let outbound_allow = Clients(check.list("--outbound-allow", args.outbound_allow, values::network));
        if !outbound_allow.0.is_empty() && outbound.is_none() && !check.saw(&["--outbound"]) {
            check.errors.push(ConfigError::AllowedToNothing);
        }

        let inbound_tls = check.inbound_tls(&args.tls, &inbound, redirected);
        let upstream_tls =
            check.upstream_tls(&args.tls, routes.iter().any(|route| route.tls) || !args.tls.upstream_tls.is_empty());
        let upstream_tls_to = check.list("--upstream-tls", args.tls.upstream_tls.clone(), HostPort::parse);
        let analyzer = check.analyzer(given(args.analyzer), given(args.compression), &variable);
        let analyzer = analyzer.map(|endpoint| check.analyzer_tls(endpoint, &args.tls, &variable));
        let sample = check.sample(given(args.sample), &variable);
        let keep_errors = check.value("--keep-errors", &args.keep_errors, values::switch);
        let (mut trust_context, mut first) = (TrustContext::default(), true);
        check.list("--trust-context", args.trust_context, |text| {
            trust_context.add(text, std::mem::replace(&mut first, false))
        });
        let forwarded_for = check.value("--forwarded-for", &args.forwarded_for, values::switch);
        let send_proxy_protocol =
            check.optional("--send-proxy-protocol", args.send_proxy_protocol, values::proxy_protocol);
        let link_policy = check.value("--link-policy", &args.link_policy, LinkPolicy::parse);
        let propagators = check.propagators(args.propagators, &variable);
        let mut propagate_to = HostMatcher::default();
        check.list("--propagate-to", args.propagate_to, |text| propagate_to.add(text));
        let route_patterns = check.list("--route-pattern", args.route_pattern, |text| Ok(PathPattern::parse(text)?));
        let mut ignore = Ignore::default();
        check.list("--ignore", args.ignore, |text| Ok(ignore.add(text)?));
        let mut redact = Redact::default();
        check.list("--redact", args.redact, |text| redact.add(text));
        let expose_trace_id = check.value("--expose-trace-id", &args.expose_trace_id, values::switch);

        let grace = check.value("--grace", &args.grace, values::seconds);
        let threads = check.threads(&args.threads);
        let log_level = check.value("--log-level", &args.log_level, |text| text.parse().map_err(|_| Problem::LogLevel));
        let log_format = check.value("--log-format", &args.log_format, LogFormat::parse);
        let connect_timeout = check.value("--connect-timeout", &args.connect_timeout, values::some_seconds);
        let header_timeout = check.value("--header-timeout", &args.header_timeout, values::some_seconds);
        let idle_timeout = check.value("--idle-timeout", &args.idle_timeout, values::some_seconds);
        let head_bytes_max = check.value("--head-bytes-max", &args.head_bytes_max, head_bytes);
        let head_fields_max = check.value("--head-fields-max", &args.head_fields_max, values::count);
        let connections_max = check.value("--connections-max", &args.connections_max, values::count);
        let requests_max = check.value("--requests-max", &args.requests_max, values::count);
        let queue_bytes = check.value("--queue-bytes", &args.queue_bytes, values::bytes);
        let spill_max = check.value("--spill-max", &args.spill_max, values::spill_bytes);

        // Every `None` below has put its error into `check`.
        let finished = || {
            Some(Self {
                identity: identity?,
                inbound,
                outbound,
                redirected,
                opaque_ports,
                routes,
                outbound_allow,
                inbound_tls,
                upstream_tls,
                upstream_tls_to,
                analyzer: analyzer?,
                sample: sample?,
                keep_errors: keep_errors?,
                trust_context,
                forwarded_for: forwarded_for?,
                send_proxy_protocol,
                link_policy: link_policy?,
                propagators: propagators?,
                propagate_to,
                route_patterns,
                ignore,
                redact,
                expose_trace_id: expose_trace_id?,
                admin,
                probe_ports,
                control,
                ready_file: given(args.ready_file).map(PathBuf::from),
                grace: grace?,
                connect_timeout: connect_timeout?,
                header_timeout: header_timeout?,
                idle_timeout: idle_timeout?,
                head_bytes_max: head_bytes_max?,
                head_fields_max: head_fields_max?,
                connections_max: connections_max?,
                requests_max: requests_max?,
                queue_bytes: queue_bytes?,
                spill_dir: given(args.spill_dir).map(PathBuf::from),
                spill_max: spill_max?,
                threads: threads?,
                log_level: log_level?,
                log_format: log_format?,
                warnings: check.warnings,
            })
        };
        if check.errors.is_empty() { finished().ok_or_else(Vec::new) } else { Err(check.errors) }
    }
}

/// An empty value is none: `${NAME:-}` in a compose file sets one.
fn given(text: Option<String>) -> Option<String> {
    text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

fn head_bytes(text: &str) -> Result<usize, Problem> {
    // 8 KiB: below it, requests that every common server takes would be refused; 16 MiB: above it, one connection could
    // take the memory of a thousand.
    values::bytes(text)?
        .checked_sub(8 << 10)
        .filter(|more| *more <= 16 << 20)
        .map(|more| more + (8 << 10))
        .ok_or(Problem::HeadBytes)
}

/// Without its headers: they may hold a key.
fn as_endpoint<S: Serializer>(endpoint: &Endpoint, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Shown {
        url: String,
        protocol: String,
        compression: String,
    }
    let (protocol, compression) = (endpoint.protocol().to_string(), endpoint.compression().to_string());
    Shown { url: endpoint.to_string(), protocol, compression }.serialize(serializer)
}

fn as_text<T: std::fmt::Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

#[cfg(test)]
mod tests;
