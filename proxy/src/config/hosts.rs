//! Which destinations are inside the house (`--propagate-to`): they get clocks and service names, others do not.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Serialize, Serializer};

use super::Problem;
use crate::pattern::glob;

/// The destinations to which everything is propagated; towards all others only `traceparent` is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostMatcher {
    private: bool,
    networks: Vec<IpNet>,
    names: Vec<Name>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Name {
    text: Box<str>,
    /// The pieces around the stars; a single one for a name without star.
    pieces: Box<[Box<str>]>,
}

/// Ranges that are not routed on the internet.
const PRIVATE_V4: [Ipv4Net; 6] = [
    Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8),
    Ipv4Net::new_assert(Ipv4Addr::new(10, 0, 0, 0), 8),
    Ipv4Net::new_assert(Ipv4Addr::new(172, 16, 0, 0), 12),
    Ipv4Net::new_assert(Ipv4Addr::new(192, 168, 0, 0), 16),
    Ipv4Net::new_assert(Ipv4Addr::new(169, 254, 0, 0), 16),
    // Carrier-grade NAT, from which clouds take pod addresses.
    Ipv4Net::new_assert(Ipv4Addr::new(100, 64, 0, 0), 10),
];

const PRIVATE_V6: [Ipv6Net; 3] = [
    Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128),
    Ipv6Net::new_assert(Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7),
    Ipv6Net::new_assert(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10),
];

/// Suffixes of names that only resolve inside: Kubernetes Services, and what RFC 6761, 6762, 8375 and ICANN set aside.
const INSIDE: [&str; 6] = [".svc", ".cluster.local", ".local", ".localhost", ".internal", ".home.arpa"];

impl Default for HostMatcher {
    /// Private ranges, loopback, and names that only resolve inside.
    fn default() -> Self {
        Self { private: true, networks: Vec::new(), names: Vec::new() }
    }
}

impl HostMatcher {
    /// Adds a CIDR, an address, a host name, or a glob such as `*.shop.example`; `none` drops all that came before,
    /// the defaults included.
    pub(super) fn add(&mut self, text: &str) -> Result<(), Problem> {
        if text == "none" {
            *self = Self { private: false, networks: Vec::new(), names: Vec::new() };
        } else if let Ok(network) = super::values::network(text) {
            self.networks.push(network);
        } else {
            let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'*');
            if text.is_empty() || !text.bytes().all(known) {
                return Err(Problem::HostGlob);
            }
            let text = text.trim_end_matches('.').to_ascii_lowercase();
            let pieces = text.split('*').map(Box::from).collect();
            self.names.push(Name { text: text.into(), pieces });
        }
        Ok(())
    }

    /// Whether a destination is inside: the name the call was made to (or its address, IPv6 with or without brackets),
    /// and the address that was dialled.
    ///
    /// The address decides, whatever the name promises: `payment` may be somebody else's host in a search domain. Names
    /// that the operator has listed are believed, and those that no public DNS can hold.
    pub fn allows(&self, host: &str, address: IpAddr) -> bool {
        if self.allows_address(address) {
            return true;
        }
        let name = host.strip_suffix('.').unwrap_or(host);
        self.private && INSIDE.iter().any(|suffix| ends_with(name, suffix))
            || self.names.iter().any(|pattern| pattern.matches(name))
    }

    fn allows_address(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let private = match address {
            IpAddr::V4(address) => PRIVATE_V4.iter().any(|network| network.contains(&address)),
            IpAddr::V6(address) => PRIVATE_V6.iter().any(|network| network.contains(&address)),
        };
        (self.private && private) || self.networks.iter().any(|network| network.contains(&address))
    }
}

impl Name {
    fn matches(&self, name: &str) -> bool {
        match &*self.pieces {
            [whole] => whole.eq_ignore_ascii_case(name),
            // Names come in lower case nearly always; the copy is for those that do not.
            pieces if name.bytes().any(|byte| byte.is_ascii_uppercase()) => glob(pieces, &name.to_ascii_lowercase()),
            pieces => glob(pieces, name),
        }
    }
}

fn ends_with(name: &str, suffix: &str) -> bool {
    name.len()
        .checked_sub(suffix.len())
        .and_then(|at| name.get(at..))
        .is_some_and(|end| end.eq_ignore_ascii_case(suffix))
}

impl Serialize for HostMatcher {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let private = self.private.then(|| "private".to_owned());
        let networks = self.networks.iter().map(ToString::to_string);
        serializer
            .collect_seq(private.into_iter().chain(networks).chain(self.names.iter().map(|name| name.text.to_string())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matcher(texts: &[&str]) -> HostMatcher {
        let mut matcher = HostMatcher::default();
        for text in texts {
            matcher.add(text).unwrap_or_else(|problem| panic!("{text}: {problem}"));
        }
        matcher
    }

    /// Whether `host`, dialled at `address`, is inside.
    fn allows(matcher: &HostMatcher, (host, address): (&str, &str)) -> bool {
        matcher.allows(host, address.parse().expect("an address"))
    }

    const PUBLIC: &str = "203.0.113.9";
    const PRIVATE: &str = "10.2.3.4";

    #[test]
    fn what_is_inside_by_default() {
        let matcher = matcher(&[]);
        for destination in [
            ("payment", PRIVATE),
            ("payment.example.com", PRIVATE),
            ("payment.shop.svc", PRIVATE),
            // Cluster networks may have public addresses; nobody outside can own these names.
            ("payment.shop.svc", PUBLIC),
            ("payment.shop.svc.cluster.local.", "2600:1f14::7"),
            ("printer.LOCAL", PUBLIC),
            ("127.0.0.1", "127.0.0.1"),
            ("172.31.0.1", "172.31.0.1"),
            ("192.168.1.1", "192.168.1.1"),
            ("100.100.0.1", "100.100.0.1"),
            ("::1", "::1"),
            ("[fd00::1]", "fd00::1"),
            ("fe80::1", "fe80::1"),
            ("a", "::ffff:10.0.0.1"),
        ] {
            assert!(allows(&matcher, destination), "{destination:?}");
        }
        for destination in [
            // A search domain or an entry in /etc/hosts leads anywhere.
            ("payment", PUBLIC),
            ("localhost", PUBLIC),
            ("example.com", PUBLIC),
            ("internal.example", PUBLIC),
            ("notlocal.svc.example", PUBLIC),
            ("8.8.8.8", "8.8.8.8"),
            ("172.32.0.1", "172.32.0.1"),
            ("100.128.0.1", "100.128.0.1"),
            ("[2606:4700::1]", "2606:4700::1"),
            ("a", "::ffff:8.8.8.8"),
            ("134744072", "8.8.8.8"),
            ("é.x", PUBLIC),
        ] {
            assert!(!allows(&matcher, destination), "{destination:?}");
        }
    }

    #[test]
    fn additions_and_none() {
        let added = matcher(&["*.shop.example", "partner.example", "203.0.114.0/24", "2001:db8::/32"]);
        for destination in [
            ("a.shop.example", PUBLIC),
            ("A.B.Shop.Example", PUBLIC),
            ("PARTNER.example.", PUBLIC),
            ("anything", "203.0.114.9"),
            ("2001:db8::5", "2001:db8::5"),
            ("payment", PRIVATE),
        ] {
            assert!(allows(&added, destination), "{destination:?}");
        }
        for host in ["shop.example", "a.shop.example.com", "xpartner.example", "payment"] {
            assert!(!allows(&added, (host, PUBLIC)), "{host}");
        }
        let only = matcher(&["none", "payment"]);
        assert!(allows(&only, ("payment", PUBLIC)));
        for host in ["orders", "127.0.0.1", "payment.shop.svc"] {
            assert!(!allows(&only, (host, PRIVATE)), "{host}");
        }
        assert!(allows(&matcher(&["*"]), ("example.com", PUBLIC)));
    }

    #[test]
    fn what_is_no_host() {
        for text in ["", "http://payment", "payment:80", "a/b", "a b"] {
            assert_eq!(HostMatcher::default().add(text), Err(Problem::HostGlob), "{text}");
        }
    }
}
