//! What the rules are, before they are written in any tool's words.

use std::fmt;

use ipnet::IpNet;

use crate::config::PortRange;

/// What is redirected where, and what is not.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    /// Connections that this host makes, in this order.
    pub(super) outbound: Vec<Rule>,
    /// Connections that come to this host, in this order.
    pub(super) inbound: Vec<Rule>,
    /// Also IPv6.
    pub(super) ipv6: bool,
}

/// One rule: which connections, and what becomes of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) which: Which,
    /// `None`: they go their way.
    pub(super) to: Option<u16>,
}

/// Which connections a rule is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Which {
    /// Made by this user.
    Uid(u32),
    /// That do not leave the host.
    Loopback,
    /// To these ports.
    Port(PortRange),
    /// To these addresses.
    Network(IpNet),
    /// All that are left.
    Rest,
    /// All that are left and are for this host: what it forwards for others (containers, say) passes by.
    ForThisHost,
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // No apostrophes: the tools quote them differently.
        f.write_str(match self {
            Self::Uid(_) => "made by the sidecar itself",
            Self::Loopback => "loopback",
            Self::Port(_) => "skipped port",
            Self::Network(_) => "skipped network",
            Self::Rest | Self::ForThisHost => "to the sidecar",
        })
    }
}

/// The comment of a rule: `raceway 2/7: loopback`.
pub(super) fn comment(place: usize, count: usize, what: &dyn fmt::Display) -> String {
    format!("raceway {place}/{count}: {what}")
}

/// Which rule of how many this is, by its comment.
pub(super) fn place(rule: &str) -> Option<(usize, usize)> {
    let (_, comment) = rule.split_once("\"raceway ")?;
    let (place, _) = comment.split_once(':')?;
    let (place, count) = place.split_once('/')?;
    Some((place.parse().ok()?, count.parse().ok()?))
}
