//! `--mode transparent`: where redirected connections come in.

use std::net::{Ipv4Addr, SocketAddr};

use serde::Serialize;

use super::check::Check;
use super::{Args, ConfigError, Problem, given, values};

/// The listeners that the rules of `raceway-proxy intercept` redirect to; `None` where that direction is off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Redirected {
    /// For connections that come to this host. Beyond loopback: the kernel redirects to the address of the interface.
    pub inbound: Option<SocketAddr>,
    /// For connections that the application makes. The kernel redirects them to loopback.
    pub outbound: Option<SocketAddr>,
    /// Whose address the application sees.
    pub inbound_source: Source,
}

/// Whose address the application sees as its peer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// This host's.
    Own,
    /// The caller's.
    Caller,
}

impl Source {
    /// `own` or `caller`.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        match text {
            "own" => Ok(Self::Own),
            "caller" => Ok(Self::Caller),
            _ => Err(Problem::Source),
        }
    }
}

/// 15006 and 15001: what operators of service meshes know, and the defaults of `raceway-proxy intercept install`.
const DEFAULT: Redirected = Redirected {
    inbound: Some(SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 15006)),
    outbound: Some(SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 15001)),
    inbound_source: Source::Own,
};

impl Check {
    /// What `--mode` says; in transparent mode `--outbound LISTEN` and `--inbound LISTEN` without a target are taken
    /// out of the arguments, as they name these listeners.
    pub(super) fn redirected(&mut self, args: &mut Args) -> Option<Redirected> {
        let source = given(Some(std::mem::take(&mut args.inbound_source)));
        let source = source.and_then(|text| self.value("--inbound-source", &text, Source::parse));
        let source = source.unwrap_or(Source::Own);
        let redirected = self.listeners_of_mode(args).map(|it| Redirected { inbound_source: source, ..it });
        if source == Source::Caller && redirected.is_none_or(|it| it.inbound.is_none()) {
            self.errors.push(ConfigError::NotRedirected {
                setting: "--inbound-source caller",
                instead: "in explicit mode --forwarded-for and --send-proxy-protocol tell who calls",
            });
        }
        redirected
    }

    fn listeners_of_mode(&mut self, args: &mut Args) -> Option<Redirected> {
        match args.mode.as_str() {
            "explicit" => return None,
            "transparent" => {}
            mode => {
                self.problem("--mode", mode, Problem::Mode);
                return None;
            }
        }
        let mut redirected = DEFAULT;
        let (explicit, listen): (Vec<String>, Vec<String>) = std::mem::take(&mut args.inbound)
            .into_iter()
            .filter_map(|text| given(Some(text)))
            .partition(|text| text.contains('='));
        args.inbound = explicit;
        if let Some(second) = listen.get(1) {
            self.problem("--inbound", second, Problem::OneInbound);
        }
        if let Some(listen) = listen.first()
            && let Some(inbound) = self.value("--inbound", listen, address)
        {
            redirected.inbound = inbound;
        }
        if let Some(listen) = given(args.outbound.take())
            && let Some(outbound) = self.value("--outbound", &listen, address)
        {
            redirected.outbound = outbound;
        }
        Some(redirected).filter(|it| it.inbound.is_some() || it.outbound.is_some())
    }
}

fn address(text: &str) -> Result<Option<SocketAddr>, Problem> {
    if text == "off" { Ok(None) } else { values::listen_address(text).map(Some) }
}
