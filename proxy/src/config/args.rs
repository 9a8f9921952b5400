//! The command line: every flag with its environment variable, its default and what it is for.
//!
//! Values stay text here, so that [`super::Config::check`] can report every mistake and not just the first.

use clap::{Parser, Subcommand};

use crate::admin::client::Reach;
use crate::carriers::CarriersArgs;
use crate::intercept::InterceptArgs;

/// The Raceway sidecar: stands in front of one service, stamps and records every call in and out.
///
/// Nothing in the service has to change: callers reach it through --inbound, it reaches others through --route or the
/// forward proxy (--outbound), and every call becomes a span at the analyzer.
#[derive(Clone, Debug, Parser)]
#[command(name = "raceway-proxy", version, after_help = EXAMPLES, max_term_width = 120, args_conflicts_with_subcommands = true)]
pub struct Args {
    /// What to do instead of carrying traffic
    #[command(subcommand)]
    pub command: Option<Command>,
    /// YAML file with these settings: the flags' names are the keys. `raceway-proxy config --example` shows one with all
    #[arg(long, env = "RACEWAY_CONFIG", value_name = "FILE", help_heading = "Who it is")]
    pub config: Option<String>,

    /// Name of the service behind this sidecar [or OTEL_SERVICE_NAME]
    #[arg(long, env = "RACEWAY_SERVICE", value_name = "NAME", help_heading = "Who it is")]
    pub service: Option<String>,

    /// Group of services that the name belongs to, such as a team or a Kubernetes namespace
    #[arg(long, env = "RACEWAY_NAMESPACE", value_name = "NAME", help_heading = "Who it is")]
    pub namespace: Option<String>,

    /// Where it is deployed: production, staging …
    #[arg(long, env = "RACEWAY_ENVIRONMENT", value_name = "NAME", help_heading = "Who it is")]
    pub environment: Option<String>,

    /// Version of the service, to compare one release with the next
    #[arg(long, env = "RACEWAY_SERVICE_VERSION", value_name = "VERSION", help_heading = "Who it is")]
    pub service_version: Option<String>,

    /// Name of this instance [default: the host's name]. 8 random hex digits are put behind it at every start, because
    /// no two runs may share a vector clock's component
    #[arg(long, env = "RACEWAY_INSTANCE", value_name = "NAME", help_heading = "Who it is")]
    pub instance: Option<String>,

    /// Where callers come in, and the application behind: 0.0.0.0:8080=127.0.0.1:9090 (repeatable). h2:// before the
    /// application says that it speaks HTTP/2 without TLS (gRPC), so that callers with TLS are offered it
    #[arg(
        long,
        env = "RACEWAY_INBOUND",
        value_name = "LISTEN=[h2://]TARGET",
        value_delimiter = ',',
        help_heading = "What it carries"
    )]
    pub inbound: Vec<String>,

    /// Forward proxy for clients that honour http_proxy; serves this host only, unless --outbound-allow names more
    #[arg(long, env = "RACEWAY_OUTBOUND", value_name = "LISTEN", help_heading = "What it carries")]
    pub outbound: Option<String>,

    /// Local port that leads to another service: 127.0.0.1:9001=payment:8080 (repeatable). NAME is what spans call it
    /// where it has no sidecar of its own; with https:// the sidecar speaks TLS there, and the application none
    #[arg(
        long,
        env = "RACEWAY_ROUTE",
        value_name = "LISTEN=[NAME@][http[s]://]HOST:PORT",
        value_delimiter = ',',
        help_heading = "What it carries"
    )]
    pub route: Vec<String>,

    /// How traffic gets here. explicit: by the addresses above. transparent: redirected by the kernel (`raceway-proxy
    /// intercept install`) to one listener for each direction: --inbound LISTEN [0.0.0.0:15006 and [::]:15006] and
    /// --outbound LISTEN [127.0.0.1:15001 and [::1]:15001], either may be `off`
    #[arg(
        long,
        env = "RACEWAY_MODE",
        value_name = "explicit|transparent",
        default_value = "explicit",
        help_heading = "What it carries"
    )]
    pub mode: String,

    /// Whose address the application sees in --mode transparent. caller: the caller's own, which takes NET_ADMIN or
    /// NET_RAW here, and rules installed with `intercept install --inbound-source caller`
    // own: a sidecar needs no privilege.
    #[arg(
        long,
        env = "RACEWAY_INBOUND_SOURCE",
        value_name = "own|caller",
        default_value = "own",
        help_heading = "What it carries"
    )]
    pub inbound_source: String,

    /// Ports to which connections are passed as bytes, whatever they carry: 5432 or 9000-9100 (repeatable)
    #[arg(
        long,
        env = "RACEWAY_OPAQUE_PORT",
        value_name = "PORT",
        value_delimiter = ',',
        help_heading = "What it carries"
    )]
    pub opaque_port: Vec<String>,

    /// Networks beside this host that may use the forward proxy: 10.0.0.0/8 (repeatable)
    #[arg(
        long,
        env = "RACEWAY_OUTBOUND_ALLOW",
        value_name = "CIDR",
        value_delimiter = ',',
        help_heading = "What it carries"
    )]
    pub outbound_allow: Vec<String>,

    /// Certificates, and whose are trusted.
    #[command(flatten)]
    pub tls: super::TlsArgs,

    /// Tell the application who calls: add the caller's address to X-Forwarded-For
    #[arg(
        long,
        env = "RACEWAY_FORWARDED_FOR",
        value_name = "true|false",
        num_args = 0..=1,
        require_equals = true,
        default_value = "false",
        default_missing_value = "true",
        hide_default_value = true,
        help_heading = "What it carries"
    )]
    pub forwarded_for: String,

    /// Tell the application who calls by the PROXY protocol, in front of every connection of --inbound; the application
    /// must expect it
    #[arg(long, env = "RACEWAY_SEND_PROXY_PROTOCOL", value_name = "v1|v2", help_heading = "What it carries")]
    pub send_proxy_protocol: Option<String>,

    /// Where spans go, by OTLP over gRPC [or OTEL_EXPORTER_OTLP_ENDPOINT with _PROTOCOL, _HEADERS and _TIMEOUT]
    /// [default: http://127.0.0.1:4317]
    #[arg(long, env = "RACEWAY_ANALYZER", value_name = "URL", help_heading = "What it records")]
    pub analyzer: Option<String>,

    /// Share of new traces that is recorded, 0 to 1; a trace that comes in keeps what its caller chose
    /// [or OTEL_TRACES_SAMPLER] [default: 1]
    #[arg(long, env = "RACEWAY_SAMPLE", value_name = "RATIO", help_heading = "What it records")]
    pub sample: Option<String>,

    /// Record calls that end in errors also where their trace is not sampled: each sidecar keeps its own spans of them
    #[arg(
        long,
        env = "RACEWAY_KEEP_ERRORS",
        value_name = "true|false",
        num_args = 0..=1,
        require_equals = true,
        default_value = "false",
        default_missing_value = "true",
        hide_default_value = true,
        help_heading = "What it records"
    )]
    pub keep_errors: String,

    /// Callers whose trace context is believed: always, never, or networks such as 10.0.0.0/8 (repeatable). For others
    /// a new trace begins, with a link to what they said [default: always]
    #[arg(
        long,
        env = "RACEWAY_TRUST_CONTEXT",
        value_name = "always|never|CIDR",
        value_delimiter = ',',
        help_heading = "What it records"
    )]
    pub trust_context: Vec<String>,

    /// How sure a link from a request to the calls it causes must be to be stamped on the wire: certain (proof only),
    /// likely (p ≥ 0.90) or all (p ≥ 0.50)
    // likely: a chain of five such links is still right more often than not (0.9⁵ = 0.59).
    #[arg(
        long,
        env = "RACEWAY_LINK_POLICY",
        value_name = "certain|likely|all",
        default_value = "likely",
        help_heading = "What it records"
    )]
    pub link_policy: String,

    /// All context headers to read and write: tracecontext, baggage, raceway, b3, b3multi, jaeger, none. Clocks need
    /// raceway among them [or OTEL_PROPAGATORS, with raceway] [default: tracecontext,baggage,raceway]
    #[arg(
        long,
        env = "RACEWAY_PROPAGATORS",
        value_name = "NAME",
        value_delimiter = ',',
        help_heading = "What it records"
    )]
    pub propagators: Vec<String>,

    /// Destinations beside those at private addresses that get clocks and service names, by host, glob or CIDR
    /// (repeatable); all others get traceparent only. `none` drops the private ones: --propagate-to none,payment
    #[arg(
        long,
        env = "RACEWAY_PROPAGATE_TO",
        value_name = "HOST|CIDR",
        value_delimiter = ',',
        help_heading = "What it records"
    )]
    pub propagate_to: Vec<String>,

    /// Template of http.route for paths that fit it, ahead of what is learned: /orders/{order}/items/* (repeatable)
    #[arg(
        long,
        env = "RACEWAY_ROUTE_PATTERN",
        value_name = "PATTERN",
        value_delimiter = ',',
        help_heading = "What it records"
    )]
    pub route_pattern: Vec<String>,

    /// Paths beside the usual probes (/livez, /readyz, /healthz …) that pass without a span: /metrics (repeatable).
    /// `none` drops the probes: --ignore none
    #[arg(
        long,
        env = "RACEWAY_IGNORE",
        value_name = "PATTERN",
        value_delimiter = ',',
        help_heading = "What it records"
    )]
    pub ignore: Vec<String>,

    /// Paths of which the part in braces is never recorded: /reset/{code} (repeatable). Segments that look like tokens
    /// or e-mail addresses never are; `none` turns that off
    #[arg(
        long,
        env = "RACEWAY_REDACT",
        value_name = "PATTERN",
        value_delimiter = ',',
        help_heading = "What it records"
    )]
    pub redact: Vec<String>,

    /// Put X-Raceway-Trace-Id on responses, so that `curl -i` leads to the trace
    #[arg(
        long,
        env = "RACEWAY_EXPOSE_TRACE_ID",
        value_name = "true|false",
        num_args = 0..=1,
        require_equals = true,
        default_value = "false",
        default_missing_value = "true",
        hide_default_value = true,
        help_heading = "What it records"
    )]
    pub expose_trace_id: String,

    /// Listener for /metrics, /live, /ready and /probe/tcp/PORT; `off` for none
    // 15020: where operators of service meshes look for it. Loopback: metrics name services.
    #[arg(
        long,
        env = "RACEWAY_ADMIN",
        value_name = "LISTEN",
        default_value = "127.0.0.1:15020",
        help_heading = "How it runs"
    )]
    pub admin: String,

    /// Port of the application that /probe/tcp/PORT of the admin listener tells about (repeatable)
    #[arg(long, env = "RACEWAY_PROBE_PORT", value_name = "PORT", value_delimiter = ',', help_heading = "How it runs")]
    pub probe_port: Vec<String>,

    /// Where this host's operator reaches the sidecar (/config, /edges, log-level, quit): the path of a Unix socket
    /// that only this user can open, such as /run/raceway/control.sock, or a loopback address with a token
    /// [default: off]
    // off: two sidecars on one host must not take each other's socket.
    #[arg(long, env = "RACEWAY_CONTROL", value_name = "PATH|ADDR", help_heading = "How it runs")]
    pub control: Option<String>,

    /// File with the token (16 or more characters) that a --control address asks for
    #[arg(long, env = "RACEWAY_CONTROL_TOKEN_FILE", value_name = "FILE", help_heading = "How it runs")]
    pub control_token_file: Option<String>,

    /// Write all bound addresses to this file, as JSON, once everything listens
    #[arg(long, env = "RACEWAY_READY_FILE", value_name = "FILE", help_heading = "How it runs")]
    pub ready_file: Option<String>,

    /// After a first SIGTERM: seconds that open connections have to finish
    // 25: Kubernetes kills after 30, and the exporter needs a moment to flush.
    #[arg(long, env = "RACEWAY_GRACE", value_name = "SECONDS", default_value = "25", help_heading = "How it runs")]
    pub grace: String,

    /// Threads that carry requests; a connection stays on one of them. More than one pays where the sidecar uses up a
    /// core (top -H, process_cpu_seconds_total) and others are free: some 50,000 small requests a second
    // 1: a sidecar rarely earns more than a core, and one thread never waits for another.
    #[arg(long, env = "RACEWAY_THREADS", value_name = "COUNT", default_value = "1", help_heading = "How it runs")]
    pub threads: String,

    /// Least severe log lines shown: error, warn, info, debug, trace or off
    #[arg(long, env = "RACEWAY_LOG_LEVEL", value_name = "LEVEL", default_value = "info", help_heading = "How it runs")]
    pub log_level: String,

    /// How log lines look: text or json
    #[arg(
        long,
        env = "RACEWAY_LOG_FORMAT",
        value_name = "text|json",
        default_value = "text",
        help_heading = "How it runs"
    )]
    pub log_format: String,

    /// Seconds to wait for a connection to the other side
    // 5: Linux repeats a lost SYN after 1 and 3 seconds, so two losses in a row are survived.
    #[arg(long, env = "RACEWAY_CONNECT_TIMEOUT", value_name = "SECONDS", default_value = "5", help_heading = "Limits")]
    pub connect_timeout: String,

    /// Seconds from the first byte of a request head to its last
    // 30: a 64 KiB head over a 20 kbit/s link; a slow-loris connection is gone after it.
    #[arg(long, env = "RACEWAY_HEADER_TIMEOUT", value_name = "SECONDS", default_value = "30", help_heading = "Limits")]
    pub header_timeout: String,

    /// Seconds after which a connection is closed on which nothing moves: between two requests, and in tunnels. An answer
    /// is waited for as long as the caller waits
    // 3600: longer than either side's own limit nearly always, so that theirs stays the one that acts.
    #[arg(long, env = "RACEWAY_IDLE_TIMEOUT", value_name = "SECONDS", default_value = "3600", help_heading = "Limits")]
    pub idle_timeout: String,

    /// Largest head of a request, response or trailer section
    // 64 KiB: eight times what common servers take, so that the application's own limit is the one that is met.
    #[arg(
        long,
        env = "RACEWAY_HEAD_BYTES_MAX",
        value_name = "BYTES",
        default_value = "64KiB",
        help_heading = "Limits"
    )]
    pub head_bytes_max: String,

    /// Most header lines in one head
    // 200: twice what common servers take.
    #[arg(long, env = "RACEWAY_HEAD_FIELDS_MAX", value_name = "COUNT", default_value = "200", help_heading = "Limits")]
    pub head_fields_max: String,

    /// Most connections open at once, all listeners together; more are answered with 503
    // 10000: some 200 MB if all are busy, and two descriptors each stay far below the usual hard limit.
    #[arg(
        long,
        env = "RACEWAY_CONNECTIONS_MAX",
        value_name = "COUNT",
        default_value = "10000",
        help_heading = "Limits"
    )]
    pub connections_max: String,

    /// Most requests and tunnels in flight at once; a request beyond them is answered with 503
    // 10000: as many as connections; only HTTP/2, with many requests on one connection, could bring more.
    #[arg(long, env = "RACEWAY_REQUESTS_MAX", value_name = "COUNT", default_value = "10000", help_heading = "Limits")]
    pub requests_max: String,

    /// Most memory that spans take while the analyzer is away; what comes after it is dropped and counted
    // 16 MiB: at 500 bytes a span, half a minute of 1000 requests a second.
    #[arg(long, env = "RACEWAY_QUEUE_BYTES", value_name = "BYTES", default_value = "16MiB", help_heading = "Limits")]
    pub queue_bytes: String,

    /// Folder for spans that find no room in memory while the analyzer is away, or that could not be sent before the
    /// end; they are sent when it is back, by this process or the next. One for each sidecar [default: none]
    #[arg(long, env = "RACEWAY_SPILL_DIR", value_name = "DIR", help_heading = "Limits")]
    pub spill_dir: Option<String>,

    /// Most bytes in that folder; the oldest spans give way and are counted
    // 256 MiB: at 500 bytes a span, nine minutes of 1000 requests a second.
    #[arg(long, env = "RACEWAY_SPILL_MAX", value_name = "BYTES", default_value = "256MiB", help_heading = "Limits")]
    pub spill_max: String,

    /// Compression of what goes to the analyzer: zstd, gzip or none; one that the receiver does not know gives way to
    /// a weaker one [or OTEL_EXPORTER_OTLP_COMPRESSION] [default: zstd]
    // zstd: a quarter of the bytes for about a millisecond per batch, on a thread that serves no requests.
    #[arg(long, env = "RACEWAY_COMPRESSION", value_name = "zstd|gzip|none", help_heading = "Limits")]
    pub compression: Option<String>,
}

/// What else this program does.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Redirect this host's (or pod's) TCP connections to a sidecar: install, remove or show the rules
    Intercept(InterceptArgs),
    /// Write out the small agents that make links certain for Node.js and Python, without a change to the application
    Carriers(CarriersArgs),
    /// Show the settings that a running sidecar has, or with --example a file for --config
    Config {
        /// A configuration file with every key, what it is for and its default
        #[arg(long)]
        example: bool,
        #[command(flatten)]
        #[allow(missing_docs, reason = "the fields say it")]
        reach: Reach,
    },
    /// Show whom the service called in the last minutes, as a running sidecar counts it (JSON)
    Edges(Reach),
    /// Change what a running sidecar logs: error, warn, info, debug, trace or off
    LogLevel {
        /// The least severe lines shown
        #[arg(value_parser = ["error", "warn", "info", "debug", "trace", "off"], ignore_case = true)]
        level: String,
        #[command(flatten)]
        #[allow(missing_docs, reason = "the fields say it")]
        reach: Reach,
    },
    /// Stop a running sidecar as SIGTERM does: for jobs, whose pod ends when all its containers have
    Quit(Reach),
}

const EXAMPLES: &str = "\
Examples:
  Orders listens on 9090; callers come to 8080; it reaches payment by http://127.0.0.1:9001:
    raceway-proxy --service orders --inbound 0.0.0.0:8080=127.0.0.1:9090 --route 127.0.0.1:9001=payment:8080

  A client that honours http_proxy (start it with http_proxy=http://127.0.0.1:15001):
    raceway-proxy --service crawler --outbound 127.0.0.1:15001

  The same by environment, repeated flags separated by commas:
    RACEWAY_SERVICE=orders RACEWAY_INBOUND=0.0.0.0:8080=127.0.0.1:9090 raceway-proxy

Every flag has an environment variable, RACEWAY_<FLAG>. A flag wins over RACEWAY_*, which wins over OTEL_*, which wins
over the file of --config.
Port 0 lets the system choose; the address is logged and written to --ready-file.
Exit codes: 0 stopped as asked, 1 failed while running, 2 bad usage or configuration.";
