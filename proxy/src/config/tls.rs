//! Settings of TLS.

use std::path::PathBuf;

use clap::Args;
use raceway_analyzer_client::Endpoint;
use raceway_tls::{ClientFiles, LoadError, Reloading, ServerFiles};
use serde::Serialize;

use super::check::{Check, Variable};
use super::error::{ConfigError, Problem};
use super::{Inbound, PortRange, Redirected, given};

/// The command line's part about TLS.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "TLS")]
pub struct TlsArgs {
    /// Certificate that callers of --inbound see, with its chain (PEM): TLS ends here. Read again when it changes
    #[arg(long, env = "RACEWAY_INBOUND_TLS_CERT", value_name = "FILE")]
    pub inbound_tls_cert: Option<String>,

    /// Its private key [default: in the same file]
    #[arg(long, env = "RACEWAY_INBOUND_TLS_KEY", value_name = "FILE")]
    pub inbound_tls_key: Option<String>,

    /// CA bundle that callers' certificates must be signed by (mutual TLS)
    #[arg(long, env = "RACEWAY_INBOUND_TLS_CLIENT_CA", value_name = "FILE")]
    pub inbound_tls_client_ca: Option<String>,

    /// Whether callers without TLS are served too, told apart by their first byte [default: required]
    #[arg(long, env = "RACEWAY_INBOUND_TLS", value_name = "required|optional")]
    pub inbound_tls: Option<String>,

    /// Port of the application whose connections, redirected here (--mode transparent), come by TLS that ends here: 8443
    /// or 9000-9100 (repeatable). h2:// before it says that the application speaks HTTP/2 without TLS there (gRPC), so
    /// that callers are offered it
    #[arg(long, env = "RACEWAY_INBOUND_TLS_PORT", value_name = "[h2://]PORT", value_delimiter = ',')]
    pub inbound_tls_port: Vec<String>,

    /// Destination that plain calls by --outbound or --mode transparent reach by TLS: payment:443, called as
    /// http://payment:443/ (repeatable)
    #[arg(long, env = "RACEWAY_UPSTREAM_TLS", value_name = "HOST:PORT", value_delimiter = ',')]
    pub upstream_tls: Vec<String>,

    /// CA bundle that certificates of https:// routes must be signed by [default: whom the system trusts]
    #[arg(long, env = "RACEWAY_UPSTREAM_CA", value_name = "FILE")]
    pub upstream_ca: Option<String>,

    /// Certificate to show to https:// routes that want one
    #[arg(long, env = "RACEWAY_UPSTREAM_TLS_CERT", value_name = "FILE")]
    pub upstream_tls_cert: Option<String>,

    /// Its private key [default: in the same file]
    #[arg(long, env = "RACEWAY_UPSTREAM_TLS_KEY", value_name = "FILE")]
    pub upstream_tls_key: Option<String>,

    /// CA bundle that the certificate of an https:// analyzer must be signed by [or OTEL_EXPORTER_OTLP_CERTIFICATE]
    /// [default: whom the system trusts]
    #[arg(long, env = "RACEWAY_ANALYZER_CA", value_name = "FILE")]
    pub analyzer_ca: Option<String>,

    /// Certificate to show to an analyzer that wants one [or OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE]
    #[arg(long, env = "RACEWAY_ANALYZER_TLS_CERT", value_name = "FILE")]
    pub analyzer_tls_cert: Option<String>,

    /// Its private key [or OTEL_EXPORTER_OTLP_CLIENT_KEY] [default: in the same file]
    #[arg(long, env = "RACEWAY_ANALYZER_TLS_KEY", value_name = "FILE")]
    pub analyzer_tls_key: Option<String>,

    /// Take any certificate of an https:// route for the right one: encrypted, but to whom is not known. Logs a warning
    /// at every start
    #[arg(
        long,
        env = "RACEWAY_INSECURE_SKIP_VERIFY",
        value_name = "true|false",
        num_args = 0..=1,
        require_equals = true,
        default_value = "false",
        default_missing_value = "true",
        hide_default_value = true
    )]
    pub insecure_skip_verify: String,
}

/// How callers come in by TLS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InboundTls {
    /// What they see, and what they must show.
    #[serde(flatten)]
    pub files: ServerFiles,
    /// Whether callers without TLS are served too.
    pub plain_text: bool,
    /// Of redirected connections, those that come by TLS.
    pub ports: Vec<TlsPort>,
}

/// `--inbound-tls-port [http://|h2://]PORT`: ports of the application where TLS ends here, though it was not told so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TlsPort {
    /// Where the connections were going.
    #[serde(serialize_with = "super::as_text")]
    pub ports: PortRange,
    /// The application speaks HTTP/2 with prior knowledge there.
    pub http2: bool,
}

impl TlsPort {
    /// `[http://|h2://]PORT`, as before the application's address in `--inbound`.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let (http2, ports) = match text.split_once("://") {
            Some(("h2", ports)) => (true, ports),
            Some(("http", ports)) => (false, ports),
            Some(_) => return Err(Problem::InboundScheme),
            None => (false, text),
        };
        Ok(Self { ports: PortRange::parse(ports)?, http2 })
    }
}

impl InboundTls {
    /// Whether TLS ends here on connections that were redirected on their way to this port; then, whether HTTP/2 is
    /// offered.
    pub fn ends_at(&self, port: u16) -> Option<bool> {
        self.ports.iter().find(|it| it.ports.contains(port)).map(|it| it.http2)
    }
}

impl Check {
    /// Files are read here once, so that a mistake in them is told with all others; they are read again, and then
    /// watched, when the sidecar starts.
    pub(super) fn inbound_tls(
        &mut self,
        args: &TlsArgs,
        inbound: &[Inbound],
        redirected: Option<Redirected>,
    ) -> Option<InboundTls> {
        let ports = self.list("--inbound-tls-port", args.inbound_tls_port.clone(), TlsPort::parse);
        let tls = self.inbound_tls_files(args, ports);
        let redirected = redirected.is_some_and(|it| it.inbound.is_some());
        match &tls {
            None if inbound.iter().any(|it| it.http2) => self
                .warnings
                .push("--inbound: h2:// tells what to offer by TLS, and has no effect without it".to_owned()),
            Some(tls) if !tls.ports.is_empty() && !redirected => self.errors.push(ConfigError::NotRedirected {
                setting: "--inbound-tls-port",
                instead: "in explicit mode TLS ends at every --inbound",
            }),
            Some(tls) if tls.ports.is_empty() && redirected && inbound.is_empty() => self.warnings.push(
                "--inbound-tls-cert: TLS of redirected connections is passed, except where --inbound-tls-port names \
                 the port"
                    .to_owned(),
            ),
            _ => {}
        }
        tls
    }

    fn inbound_tls_files(&mut self, args: &TlsArgs, ports: Vec<TlsPort>) -> Option<InboundTls> {
        let path = |text: &Option<String>| given(text.clone()).map(PathBuf::from);
        let mode = given(args.inbound_tls.clone());
        let (key, client_ca) = (path(&args.inbound_tls_key), path(&args.inbound_tls_client_ca));
        let plain_text = match mode.as_deref() {
            Some("optional") => true,
            None | Some("required") => false,
            Some(other) => {
                self.problem("--inbound-tls", other, Problem::InboundTls);
                return None;
            }
        };
        let Some(certificate) = path(&args.inbound_tls_cert) else {
            let alone = [("--inbound-tls", mode.is_some()), ("--inbound-tls-key", key.is_some())];
            let alone = alone
                .into_iter()
                .chain([("--inbound-tls-client-ca", client_ca.is_some()), ("--inbound-tls-port", !ports.is_empty())]);
            let alone = alone.filter(|(_, given)| *given);
            self.errors
                .extend(alone.map(|(setting, _)| ConfigError::NoCertificate { setting, wants: "--inbound-tls-cert" }));
            return None;
        };
        let files = ServerFiles { certificate, key, client_ca };
        if let Err(error) = Reloading::load(files.clone()) {
            let named = [("--inbound-tls-key", &files.key), ("--inbound-tls-client-ca", &files.client_ca)];
            self.unusable(&error, "--inbound-tls-cert", &named);
        }
        Some(InboundTls { files, plain_text, ports })
    }

    /// How the analyzer is reached, where that is by TLS.
    pub(super) fn analyzer_tls(&mut self, endpoint: Endpoint, args: &TlsArgs, variable: Variable) -> Endpoint {
        let path = |text: &Option<String>| given(text.clone()).map(PathBuf::from);
        let given = [
            ("--analyzer-ca", path(&args.analyzer_ca)),
            ("--analyzer-tls-cert", path(&args.analyzer_tls_cert)),
            ("--analyzer-tls-key", path(&args.analyzer_tls_key)),
        ];
        let flag = given.iter().find(|(_, path)| path.is_some()).map(|(flag, _)| *flag);
        let [(_, ca), (_, certificate), (_, key)] = given;
        let stated = Endpoint::files_from_otel(variable);
        let files = ClientFiles {
            ca: ca.or(stated.ca),
            // A key belongs to its certificate: one of them alone is not mixed with another's.
            key: if certificate.is_some() || key.is_some() { key } else { stated.key },
            certificate: certificate.or(stated.certificate),
            insecure_skip_verify: false,
        };
        if files == ClientFiles::default() || flag.is_none() && !endpoint.is_secure() {
            return endpoint;
        }
        if files.key.is_some() && files.certificate.is_none() {
            let wants = "--analyzer-tls-cert";
            self.errors.push(ConfigError::NoCertificate { setting: "--analyzer-tls-key", wants });
            return endpoint;
        }
        endpoint.clone().with_tls(files).unwrap_or_else(|error| {
            let setting = flag.unwrap_or("OTEL_EXPORTER_OTLP_*");
            self.errors.push(ConfigError::Analyzer { setting, error });
            endpoint
        })
    }

    /// The error under the setting that names its file.
    fn unusable(&mut self, error: &LoadError, or: &'static str, named: &[(&'static str, &Option<PathBuf>)]) {
        let about = |path: &Option<PathBuf>| path.is_some() && path.as_deref() == error.path();
        let setting = named.iter().find(|(_, path)| about(path)).map_or(or, |(setting, _)| setting);
        self.errors.push(ConfigError::Tls { setting, error: error.to_string() });
    }

    pub(super) fn upstream_tls(&mut self, args: &TlsArgs, used: bool) -> ClientFiles {
        let path = |text: &Option<String>| given(text.clone()).map(PathBuf::from);
        let files = ClientFiles {
            ca: path(&args.upstream_ca),
            certificate: path(&args.upstream_tls_cert),
            key: path(&args.upstream_tls_key),
            insecure_skip_verify: self
                .value("--insecure-skip-verify", &args.insecure_skip_verify, super::values::switch)
                .unwrap_or(false),
        };
        if files.key.is_some() && files.certificate.is_none() {
            self.errors
                .push(ConfigError::NoCertificate { setting: "--upstream-tls-key", wants: "--upstream-tls-cert" });
        } else if (used || files != ClientFiles::default())
            && let Err(error) = Reloading::load(files.clone())
        {
            let named = [("--upstream-tls-key", &files.key), ("--upstream-tls-cert", &files.certificate)];
            self.unusable(&error, "--upstream-ca", &named);
        }
        if files.insecure_skip_verify {
            self.warnings.push(
                "--insecure-skip-verify: certificates of https:// routes are not checked, anybody can answer in their \
                 name"
                    .to_owned(),
            );
        }
        if !used && files != ClientFiles::default() {
            self.warnings.push(
                "--upstream-* settings are for https:// routes and --upstream-tls, and there is neither".to_owned(),
            );
        }
        files
    }
}
