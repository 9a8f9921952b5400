//! Settings: read once, checked once, every mistake reported.
//!
//! [`Args`] is the command line as text; [`Config`] is what the rest of the sidecar uses. Precedence: a flag wins over
//! its `RACEWAY_*` variable (both by clap), which wins over an `OTEL_*` variable, which wins over the file
//! ([`read`]), which wins over the default.

mod args;
mod control;
mod error;
mod example;
mod file;
mod hosts;
mod otel;
mod read;
mod redirected;
mod tls;
mod trust;
mod values;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use raceway_analyzer_client::{Compression, Endpoint, InvalidEndpoint, Protocol, Resource};
use raceway_tls::ClientFiles;
use serde::{Serialize, Serializer};
use tracing::level_filters::LevelFilter;

pub use args::{Args, Command};
pub use control::Control;
pub use error::{ConfigError, Problem, one_line};
pub use example::example;
pub use file::FileError;
pub use hosts::HostMatcher;
pub use read::Unusable;
pub use redirected::Redirected;
pub use tls::{InboundTls, TlsArgs};
pub use trust::TrustContext;
pub(crate) use values::network;
pub use values::{Clients, HostPort, Inbound, LinkPolicy, LogFormat, PortRange, Propagators, Route};

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
    /// Least severe log lines shown.
    #[serde(serialize_with = "as_text")]
    pub log_level: LevelFilter,
    /// How log lines look.
    pub log_format: LogFormat,
    /// What was set but is not used, to be logged once the log is there.
    pub warnings: Vec<String>,
}

/// Who this sidecar speaks for: the resource attributes of everything it reports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Identity {
    /// `service.name`.
    pub service: Arc<str>,
    /// `service.namespace`.
    pub namespace: Option<Arc<str>>,
    /// `deployment.environment.name`.
    pub environment: Option<Arc<str>>,
    /// `service.version`.
    pub version: Option<Arc<str>>,
    /// `service.instance.id`: the instance's name and 8 hex digits that are new at every start.
    pub instance: Arc<str>,
    /// `host.name`.
    pub host: Arc<str>,
    /// What else `OTEL_RESOURCE_ATTRIBUTES` names.
    pub attributes: Vec<(String, String)>,
}

impl Identity {
    /// The resource that all spans of this process share.
    pub fn resource(&self) -> Resource {
        let named = [
            ("service.namespace", &self.namespace),
            ("deployment.environment.name", &self.environment),
            ("service.version", &self.version),
        ];
        let mut resource = Resource::new(self.service.to_string());
        for (name, value) in named {
            if let Some(value) = value {
                resource = resource.with(name, value.to_string());
            }
        }
        resource = resource
            .with("service.instance.id", self.instance.to_string())
            .with("host.name", self.host.to_string())
            .with("telemetry.sdk.name", "raceway");
        for (name, value) in &self.attributes {
            resource = resource.with(name.clone(), value.clone());
        }
        resource
    }
}

impl Config {
    /// Whether a plain call to this destination goes by TLS.
    pub(crate) fn begins_tls(&self, host: &str, port: u16) -> bool {
        self.upstream_tls_to.iter().any(|there| there.port == port && &*there.host == host)
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

        let inbound_tls = check.inbound_tls(&args.tls);
        if inbound_tls.is_none() && inbound.iter().any(|it| it.http2) {
            check.warnings.push("--inbound: h2:// tells what to offer by TLS, and has no effect without it".to_owned());
        }
        if inbound_tls.is_some() && redirected.is_some() {
            check
                .warnings
                .push("--inbound-tls-cert: TLS of redirected connections is passed, not ended here".to_owned());
        }
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
                log_level: log_level?,
                log_format: log_format?,
                warnings: check.warnings,
            })
        };
        if check.errors.is_empty() { finished().ok_or_else(Vec::new) } else { Err(check.errors) }
    }
}

/// Collects mistakes, so that the operator mends them in one go.
#[derive(Default)]
struct Check {
    errors: Vec<ConfigError>,
    warnings: Vec<String>,
}

type Variable<'a> = &'a dyn Fn(&str) -> Option<String>;

impl Check {
    fn problem(&mut self, setting: &'static str, value: &str, problem: Problem) {
        self.errors.push(ConfigError::Value { setting, value: value.to_owned(), problem });
    }

    fn value<T>(
        &mut self,
        setting: &'static str,
        text: &str,
        parse: impl FnOnce(&str) -> Result<T, Problem>,
    ) -> Option<T> {
        parse(text.trim()).map_err(|problem| self.problem(setting, text, problem)).ok()
    }

    fn optional<T>(
        &mut self,
        setting: &'static str,
        text: Option<String>,
        parse: impl FnOnce(&str) -> Result<T, Problem>,
    ) -> Option<T> {
        given(text).and_then(|text| self.value(setting, &text, parse))
    }

    fn list<T>(
        &mut self,
        setting: &'static str,
        texts: Vec<String>,
        mut parse: impl FnMut(&str) -> Result<T, Problem>,
    ) -> Vec<T> {
        let texts = texts.into_iter().filter_map(|text| given(Some(text)));
        texts.filter_map(|text| self.value(setting, &text, &mut parse)).collect()
    }

    /// Whether one of these settings was given with a mistake: then it is not missing.
    fn saw(&self, settings: &[&str]) -> bool {
        self.errors
            .iter()
            .any(|error| matches!(error, ConfigError::Value { setting, .. } if settings.contains(setting)))
    }

    fn identity(&mut self, args: &Args, variable: Variable) -> Option<Identity> {
        let mut attributes = match variable("OTEL_RESOURCE_ATTRIBUTES") {
            Some(text) => otel::ResourceAttributes::parse(&text).unwrap_or_else(|| {
                self.warnings.push("OTEL_RESOURCE_ATTRIBUTES is not key=value,key=value: ignored".to_owned());
                otel::ResourceAttributes::default()
            }),
            None => otel::ResourceAttributes::default(),
        };
        let mut named = |flag: &'static str, text: &Option<String>, keys: &[&str]| {
            // All keys are taken out, also when the flag is given: an attribute must not contradict it.
            let attribute = keys.iter().filter_map(|key| attributes.take(key)).fold(None, |_, last| Some(last));
            match given(text.clone()) {
                Some(text) => self.value(flag, &text, |text| values::service_name(text).map(Arc::from)),
                None => given(attribute).and_then(|text| {
                    self.value("OTEL_RESOURCE_ATTRIBUTES", &text, |text| values::service_name(text).map(Arc::from))
                }),
            }
        };
        let namespace = named("--namespace", &args.namespace, &["service.namespace"]);
        // The older name is read too: many deployments still set it.
        let environment =
            named("--environment", &args.environment, &["deployment.environment", "deployment.environment.name"]);
        let version = named("--service-version", &args.service_version, &["service.version"]);
        let instance = named("--instance", &args.instance, &["service.instance.id"]);
        let host = named("", &None, &["host.name"]).unwrap_or_else(host_name);
        let service = given(args.service.clone()).or_else(|| variable("OTEL_SERVICE_NAME"));
        let service = named("--service", &service, &["service.name"]);
        attributes.take("telemetry.sdk.name");
        if service.is_none() && !self.saw(&["--service", "OTEL_RESOURCE_ATTRIBUTES"]) {
            self.errors.push(ConfigError::NoService);
        }
        let instance = format!("{}-{:08x}", instance.unwrap_or_else(|| host.clone()), random()).into();
        Some(Identity {
            service: service?,
            namespace,
            environment,
            version,
            instance,
            host,
            attributes: attributes.rest(),
        })
    }

    fn sample(&mut self, flag: Option<String>, variable: Variable) -> Option<f64> {
        if let Some(text) = flag {
            return self.value("--sample", &text, values::ratio);
        }
        let Some(sampler) = variable("OTEL_TRACES_SAMPLER") else { return Some(1.0) };
        let argument = variable("OTEL_TRACES_SAMPLER_ARG");
        match otel::sampler(&sampler, argument.as_deref()) {
            Ok(Some(ratio)) => Some(ratio),
            Ok(None) => {
                self.warnings.push(format!("OTEL_TRACES_SAMPLER={sampler} is not known here: everything is sampled"));
                Some(1.0)
            }
            Err(problem) => {
                self.problem("OTEL_TRACES_SAMPLER_ARG", &argument.unwrap_or_default(), problem);
                None
            }
        }
    }

    fn propagators(&mut self, flag: Vec<String>, variable: Variable) -> Option<Propagators> {
        let mut chosen = Propagators::default();
        if !self.list("--propagators", flag, |name| chosen.add(name)).is_empty() || self.saw(&["--propagators"]) {
            return Some(chosen);
        }
        let Some(list) = variable("OTEL_PROPAGATORS") else {
            for name in Propagators::DEFAULT.split(',') {
                self.value("--propagators", name, |name| chosen.add(name))?;
            }
            return Some(chosen);
        };
        let (chosen, unknown) = otel::propagators(&list);
        for name in unknown {
            self.warnings.push(format!("OTEL_PROPAGATORS: {name} is not known here and is left out"));
        }
        Some(chosen)
    }

    fn analyzer(&mut self, url: Option<String>, compression: Option<String>, variable: Variable) -> Option<Endpoint> {
        let (setting, found) = match url {
            Some(url) => ("--analyzer", Endpoint::parse(&url, Protocol::Grpc).map(Some)),
            None => ("OTEL_EXPORTER_OTLP_*", Endpoint::from_otel(variable)),
        };
        // What `raceway-analyzer` listens on unless told otherwise.
        let found =
            found.and_then(|it| it.map_or_else(|| Endpoint::parse("http://127.0.0.1:4317", Protocol::Grpc), Ok));
        let endpoint = found.map_err(|error| self.errors.push(ConfigError::Analyzer { setting, error })).ok();
        let Some(text) = compression else { return endpoint };
        let chosen = text.parse::<Compression>().map_err(|error: InvalidEndpoint| {
            self.errors.push(ConfigError::Analyzer { setting: "--compression", error });
        });
        Some(endpoint?.with_compression(chosen.ok()?))
    }

    /// Two listeners on one address, and a listener that would call itself.
    fn listeners(
        &mut self,
        inbound: &[Inbound],
        (outbound, redirected): (Option<SocketAddr>, Option<Redirected>),
        routes: &[Route],
        admin: Option<SocketAddr>,
    ) {
        let redirected = redirected.iter().flat_map(|it| [("--inbound", it.inbound), ("--outbound", it.outbound)]);
        let redirected = redirected.filter_map(|(setting, listen)| Some((setting, listen?, None)));
        let inbound = inbound.iter().map(|it| ("--inbound", it.listen, Some(&it.target)));
        let outbound = outbound.map(|listen| ("--outbound", listen, None));
        let routes = routes.iter().map(|it| ("--route", it.listen, Some(&it.target)));
        let admin = admin.map(|listen| ("--admin", listen, None));
        let all: Vec<_> = inbound.chain(outbound).chain(redirected).chain(routes).chain(admin).collect();
        for (at, &(second, address, target)) in all.iter().enumerate() {
            if let Some(&(first, ..)) = all.iter().take(at).find(|(_, earlier, _)| overlap(*earlier, address)) {
                self.errors.push(ConfigError::Twice { first, second, address });
            }
            if let Some(target) = target.and_then(HostPort::address)
                && let Some((flag, listen, _)) = all.iter().find(|(_, listen, _)| overlap(*listen, target))
                // Only this host's own addresses are known to be ours behind 0.0.0.0.
                && (target.ip().is_loopback() || target.ip().is_unspecified() || *listen == target)
            {
                self.errors.push(ConfigError::Loop { setting: second, target, listener: flag });
            }
        }
    }
}

/// Whether two sockets cannot both listen: the same port, and the same address or one that stands for all.
fn overlap(one: SocketAddr, two: SocketAddr) -> bool {
    let same = one.ip() == two.ip() || one.ip().is_unspecified() || two.ip().is_unspecified();
    one.port() != 0 && one.port() == two.port() && one.is_ipv4() == two.is_ipv4() && same
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

fn host_name() -> Arc<str> {
    let name = rustix::system::uname().nodename().to_string_lossy().replace(['#', '~'], "-");
    if name.is_empty() { "host".into() } else { name.into() }
}

/// 32 bits that differ between two runs.
fn random() -> u32 {
    let mut bytes = [0; 4];
    // Early at boot the pool may not be ready; the process id and the clock still tell two runs apart.
    match rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::NONBLOCK) {
        Ok(4) => u32::from_ne_bytes(bytes),
        _ => {
            let now = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
            std::process::id().rotate_left(16) ^ now.subsec_nanos()
        }
    }
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
