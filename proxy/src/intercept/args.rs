//! The subcommand's flags, and the settings they become.

use std::net::Ipv6Addr;

use clap::{Args, Subcommand};
use ipnet::{IpNet, Ipv6Net};

use super::rules::{Rule, Rules, To, Which};
use crate::config::{ConfigError, PortRange, Problem, Source, network};

/// The flags of `raceway-proxy intercept`.
#[derive(Clone, Debug, Args)]
pub struct InterceptArgs {
    #[command(subcommand)]
    pub(super) action: Action,
}

#[derive(Clone, Debug, Subcommand)]
pub(super) enum Action {
    /// Write the rules, in place of what an earlier install wrote
    #[command(after_help = INSTALL_HELP)]
    Install(InstallArgs),
    /// Take all rules away that install wrote, with whichever backend
    Remove(RemoveArgs),
    /// Print the rules that are installed; exit code 1 if some of them are missing
    Show(ShowArgs),
}

#[derive(Clone, Debug, Args)]
pub(super) struct InstallArgs {
    /// Port of the sidecar that connections to this host are redirected to; `off` leaves them alone
    #[arg(long, env = "RACEWAY_INTERCEPT_INBOUND_PORT", value_name = "PORT|off", default_value = INBOUND_PORT)]
    inbound_port: String,

    /// Port of the sidecar that connections from this host are redirected to; `off` leaves them alone
    #[arg(long, env = "RACEWAY_INTERCEPT_OUTBOUND_PORT", value_name = "PORT|off", default_value = OUTBOUND_PORT)]
    outbound_port: String,

    /// Whose address the application sees as its peer's: own, this host's, or caller, which also takes `ip` of iproute2
    /// and a sidecar that runs with --inbound-source caller and may bear others' addresses
    #[arg(long, env = "RACEWAY_INTERCEPT_INBOUND_SOURCE", value_name = "own|caller", default_value = "own")]
    inbound_source: String,

    /// User id that the sidecar runs as: its own connections are left alone, or they would come back to it (repeatable)
    #[arg(long, env = "RACEWAY_INTERCEPT_UID", value_name = "UID", default_value = UID, value_delimiter = ',')]
    uid: Vec<String>,

    /// Ports of this host that are not redirected, beside 22 (so that ssh does not depend on the sidecar) and 15020 (its
    /// admin listener): 9100 or 8000-8100 (repeatable). `none` drops those two: none,9100
    #[arg(long, env = "RACEWAY_INTERCEPT_SKIP_INBOUND_PORT", value_name = "PORT", value_delimiter = ',')]
    skip_inbound_port: Vec<String>,

    /// Ports of other hosts to which connections are not redirected: 25 or 8000-8100 (repeatable)
    #[arg(long, env = "RACEWAY_INTERCEPT_SKIP_OUTBOUND_PORT", value_name = "PORT", value_delimiter = ',')]
    skip_outbound_port: Vec<String>,

    /// Networks to which connections are not redirected: 169.254.0.0/16 (repeatable)
    #[arg(long, env = "RACEWAY_INTERCEPT_SKIP_OUTBOUND_CIDR", value_name = "CIDR", value_delimiter = ',')]
    skip_outbound_cidr: Vec<String>,

    /// Whether IPv6 is redirected too; auto: where this host has it
    #[arg(long, env = "RACEWAY_INTERCEPT_IPV6", value_name = "auto|on|off", default_value = "auto")]
    ipv6: String,

    /// The tool that writes the rules; auto: nft, or iptables (with ip6tables) where nft is absent
    #[arg(long, env = "RACEWAY_INTERCEPT_BACKEND", value_name = "auto|nft|iptables", default_value = "auto")]
    backend: String,

    /// Print what would be done, as a shell script, and do nothing
    #[arg(long)]
    pub(super) dry_run: bool,
}

#[derive(Clone, Debug, Args)]
pub(super) struct RemoveArgs {
    /// Take away only what this tool wrote
    #[arg(long, env = "RACEWAY_INTERCEPT_BACKEND", value_name = "auto|nft|iptables", default_value = "auto")]
    backend: String,
}

#[derive(Clone, Copy, Debug, Args)]
pub(super) struct ShowArgs {
    /// As JSON: {"state":"installed|partly|absent","tables":[{"backend","family","rules","missing"}]}
    #[arg(long)]
    pub(super) json: bool,
}

const INSTALL_HELP: &str = "\
The rules are those of the network namespace that this runs in: a pod, a container, a host. They need NET_ADMIN (and \
NET_RAW with iptables); the sidecar itself needs no privilege. Only TCP is redirected, and only connections made from \
now on: those that are open stay as they are.

Outbound: the sidecar's own connections pass, then what stays on this host (loopback, and its own addresses) or on \
one link (fe80::/10), then skipped ports and networks; the rest is redirected.
Inbound: skipped ports pass, and what is forwarded for others (containers); the rest is redirected.
With --inbound-source caller, inbound connections are handed to the sidecar as they are (TPROXY), the connections that \
it then makes within this host in the callers' names are marked with 15006, and the routing table of that number leads \
the answers back to it.

Start `raceway-proxy --mode transparent` first: until it runs, redirected connections are refused.";

/// What operators of service meshes know, and the defaults of `--mode transparent`.
const INBOUND_PORT: &str = "15006";
const OUTBOUND_PORT: &str = "15001";

/// What the images run the sidecar as.
const UID: &str = "1500";

/// Ports that are skipped inbound unless `none` is said.
const SKIPPED_INBOUND: [u16; 2] = [22, 15020];

/// What is sent there is bound to its interface, and would never arrive at a listener on loopback.
const LINK_LOCAL: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10);

/// Which tool writes the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Backend {
    Auto,
    Nft,
    Iptables,
}

/// Whether IPv6 is redirected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ipv6 {
    Auto,
    On,
    Off,
}

/// The flags of install, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Settings {
    inbound: Option<u16>,
    outbound: Option<u16>,
    source: Source,
    uids: Vec<u32>,
    skip_inbound: Vec<PortRange>,
    skip_outbound: Vec<PortRange>,
    skip_networks: Vec<IpNet>,
    pub(super) ipv6: Ipv6,
    pub(super) backend: Backend,
}

impl InstallArgs {
    /// All mistakes, not just the first.
    pub(super) fn check(&self) -> Result<Settings, Vec<ConfigError>> {
        let mut errors = Vec::new();
        let inbound = one(&mut errors, "--inbound-port", given(&self.inbound_port, INBOUND_PORT), port);
        let outbound = one(&mut errors, "--outbound-port", given(&self.outbound_port, OUTBOUND_PORT), port);
        if let (Some(Some(inbound)), Some(Some(outbound))) = (inbound, outbound)
            && inbound == outbound
        {
            let value = outbound.to_string();
            errors.push(ConfigError::Value { setting: "--outbound-port", value, problem: Problem::SamePort });
        }
        if (inbound, outbound) == (Some(None), Some(None)) {
            let value = self.outbound_port.clone();
            errors.push(ConfigError::Value { setting: "--outbound-port", value, problem: Problem::NothingRedirected });
        }
        let source = one(&mut errors, "--inbound-source", given(&self.inbound_source, "own"), Source::parse);
        if let (Some(Source::Caller), Some(None)) = (source, inbound) {
            let value = "caller".to_owned();
            errors.push(ConfigError::Value { setting: "--inbound-source", value, problem: Problem::NoInbound });
        }
        let mut uids = all(&mut errors, "--uid", &self.uid, uid);
        if uids.is_empty() {
            // Given as nothing. Without an exception every connection of the sidecar would come back to it.
            uids.extend(uid(UID));
        }
        let mut skip_inbound: Vec<PortRange> = SKIPPED_INBOUND.map(PortRange::from).to_vec();
        all(&mut errors, "--skip-inbound-port", &self.skip_inbound_port, |text| {
            match text {
                "none" => skip_inbound.clear(),
                range => skip_inbound.push(PortRange::parse(range)?),
            }
            Ok(())
        });
        let skip_outbound = all(&mut errors, "--skip-outbound-port", &self.skip_outbound_port, PortRange::parse);
        let skip_networks = all(&mut errors, "--skip-outbound-cidr", &self.skip_outbound_cidr, network);
        let ipv6 = one(&mut errors, "--ipv6", given(&self.ipv6, "auto"), |text| match text {
            "auto" => Ok(Ipv6::Auto),
            "on" | "true" => Ok(Ipv6::On),
            "off" | "false" => Ok(Ipv6::Off),
            _ => Err(Problem::AutoOnOff),
        });
        let backend = one(&mut errors, "--backend", given(&self.backend, "auto"), backend);
        let finished = || {
            Some(Settings {
                inbound: inbound?,
                outbound: outbound?,
                source: source?,
                uids,
                skip_inbound,
                skip_outbound,
                skip_networks,
                ipv6: ipv6?,
                backend: backend?,
            })
        };
        if errors.is_empty() { finished().ok_or(errors) } else { Err(errors) }
    }
}

impl RemoveArgs {
    pub(super) fn check(&self) -> Result<Backend, Vec<ConfigError>> {
        let mut errors = Vec::new();
        one(&mut errors, "--backend", given(&self.backend, "auto"), backend).ok_or(errors)
    }
}

impl Settings {
    pub(super) fn rules(&self) -> Rules {
        let pass = |which| Rule { which, to: To::Pass };
        let (mut outbound, mut inbound, mut answers) = (Vec::new(), Vec::new(), Vec::new());
        if let Some(port) = self.outbound {
            outbound.extend(self.uids.iter().map(|uid| pass(Which::Uid(*uid))));
            outbound.push(pass(Which::Loopback));
            if self.ipv6 != Ipv6::Off {
                outbound.push(pass(Which::Network(LINK_LOCAL.into())));
            }
            outbound.extend(self.skip_outbound.iter().map(|ports| pass(Which::Port(*ports))));
            outbound.extend(self.skip_networks.iter().map(|network| pass(Which::Network(*network))));
            outbound.push(Rule { which: Which::Rest, to: To::Port(port) });
        }
        if let Some(port) = self.inbound {
            let skipped = self.skip_inbound.iter().map(|ports| pass(Which::Port(*ports)));
            match self.source {
                Source::Own => {
                    inbound.extend(skipped);
                    inbound.push(Rule { which: Which::ForThisHost, to: To::Port(port) });
                }
                Source::Caller => {
                    // Where destinations are translated, connections from this host come by no more; here they do, the
                    // sidecar's own among them.
                    inbound.push(pass(Which::FromThisHost));
                    inbound.extend(skipped);
                    inbound.push(Rule { which: Which::NewForThisHost, to: To::Listener(port) });
                    inbound.push(Rule { which: Which::NewForThisHost, to: To::Refuse });
                    answers.push(Rule { which: Which::InCallersName, to: To::MarkConnection });
                    answers.push(Rule { which: Which::AnswerToCaller, to: To::MarkPacket });
                }
            }
        }
        Rules { outbound, inbound, answers, ipv6: self.ipv6 != Ipv6::Off }
    }

    /// In a line, for whoever installs.
    pub(super) fn told(&self) -> String {
        let port = |port: Option<u16>| port.map_or_else(|| "left alone".to_owned(), |port| format!("to port {port}"));
        let uids: Vec<String> = self.uids.iter().map(ToString::to_string).collect();
        let (inbound, outbound) = (port(self.inbound), port(self.outbound));
        let kept = if self.source == Source::Caller { " with callers' addresses" } else { "" };
        format!("inbound {inbound}{kept}, outbound {outbound} except from uid {}", uids.join(", "))
    }
}

fn port(text: &str) -> Result<Option<u16>, Problem> {
    match text {
        "off" => Ok(None),
        text => text.parse().ok().filter(|port| *port > 0).map(Some).ok_or(Problem::Port),
    }
}

fn uid(text: &str) -> Result<u32, Problem> {
    text.parse().map_err(|_| Problem::Uid)
}

fn backend(text: &str) -> Result<Backend, Problem> {
    match text {
        "auto" => Ok(Backend::Auto),
        "nft" => Ok(Backend::Nft),
        "iptables" => Ok(Backend::Iptables),
        _ => Err(Problem::Backend),
    }
}

/// An empty value is none: `${NAME:-}` in a compose file sets one.
fn given<'a>(text: &'a str, default: &'a str) -> &'a str {
    if text.trim().is_empty() { default } else { text }
}

fn one<T>(
    errors: &mut Vec<ConfigError>,
    setting: &'static str,
    value: &str,
    mut parse: impl FnMut(&str) -> Result<T, Problem>,
) -> Option<T> {
    let wrong = |problem| errors.push(ConfigError::Value { setting, value: value.to_owned(), problem });
    parse(value.trim()).map_err(wrong).ok()
}

fn all<T>(
    errors: &mut Vec<ConfigError>,
    setting: &'static str,
    values: &[String],
    mut parse: impl FnMut(&str) -> Result<T, Problem>,
) -> Vec<T> {
    let values = values.iter().filter(|value| !value.trim().is_empty());
    values.filter_map(|value| one(errors, setting, value, &mut parse)).collect()
}
