//! Listeners that stand in each other's way.

use std::net::SocketAddr;

use super::check::Check;
use super::{ConfigError, HostPort, Inbound, Redirected, Route};

impl Check {
    /// Two listeners on one address, and a listener that would call itself.
    pub(super) fn listeners(
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
