//! What the rules are, before they are written in any tool's words.

use std::fmt;

use ipnet::IpNet;

use crate::config::PortRange;

/// On connections that the sidecar makes in its callers' names, in the kernel's table of connections, and on the
/// application's answers to them; also the number of the routing rule for those, and of its table. That of the inbound
/// listener: whoever meets it finds it in the documentation.
pub(super) const MARK: u32 = 15006;

/// What is redirected where, and what is not.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    /// Connections that this host makes, in this order.
    pub(super) outbound: Vec<Rule>,
    /// Connections that come to this host, in this order.
    pub(super) inbound: Vec<Rule>,
    /// What this host sends, where the sidecar calls the application in its callers' names.
    pub(super) answers: Vec<Rule>,
    /// Also IPv6.
    pub(super) ipv6: bool,
}

impl Rules {
    /// Whether the application sees its callers' addresses.
    pub(super) fn keep_callers(&self) -> bool {
        !self.answers.is_empty()
    }
}

/// One rule: which packets, and what becomes of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) which: Which,
    pub(super) to: To,
}

/// What becomes of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum To {
    /// They go their way.
    Pass,
    /// To this port, with this host's address in place of the one they were going to (REDIRECT).
    Port(u16),
    /// To the listener on this port, as they are (TPROXY).
    Listener(u16),
    /// Nobody is there.
    Refuse,
    /// Their connection is marked.
    MarkConnection,
    /// They are marked themselves, and so routed to this host.
    MarkPacket,
}

/// Which packets a rule is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Which {
    /// Made by this user.
    Uid(u32),
    /// That do not leave the host.
    Loopback,
    /// That come from this host.
    FromThisHost,
    /// To these ports.
    Port(PortRange),
    /// To these addresses.
    Network(IpNet),
    /// All that are left.
    Rest,
    /// All that are left and are for this host: what it forwards for others (containers, say) passes by.
    ForThisHost,
    /// The first packet of connections for this host: those that are open already stay as they are, and what follows
    /// the first finds its socket by itself.
    NewForThisHost,
    /// Connections within this host that begin at an address that is not its own.
    InCallersName,
    /// What is answered on these.
    AnswerToCaller,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // No apostrophes: the tools quote them differently.
        f.write_str(match (&self.which, self.to) {
            (Which::Uid(_), _) => "made by the sidecar itself",
            (Which::Loopback | Which::FromThisHost, _) => "loopback",
            (Which::Port(_), _) => "skipped port",
            (Which::Network(_), _) => "skipped network",
            (Which::NewForThisHost, To::Refuse) => "no sidecar there",
            (Which::NewForThisHost, _) => "to the sidecar, callers kept",
            (Which::Rest | Which::ForThisHost, _) => "to the sidecar",
            (Which::InCallersName, _) => "to the application for a caller",
            (Which::AnswerToCaller, _) => "answers go back to the sidecar",
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
