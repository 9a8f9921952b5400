//! Who calls, told to the application: `X-Forwarded-For` (`--forwarded-for`) and the PROXY protocol
//! (`--send-proxy-protocol`), for applications that would else see the sidecar's address.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use serde::Serialize;

use crate::message::Fields;

const NAME: &str = "X-Forwarded-For";

/// Puts the caller's address behind those of the proxies before it.
pub(crate) fn add(head: &mut impl Fields, caller: &str) {
    let mut addresses = Vec::new();
    head.each(NAME, &mut |line| {
        addresses.extend_from_slice(line);
        addresses.extend_from_slice(b", ");
    });
    addresses.extend_from_slice(caller.as_bytes());
    head.replace(NAME, &mut |value| value.extend_from_slice(&addresses));
}

/// The versions of HAProxy's PROXY protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ProxyProtocol {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}

impl ProxyProtocol {
    /// What goes in front of a connection that was made for this caller, who had come to `here`.
    pub(crate) fn preamble(self, caller: SocketAddr, here: SocketAddr) -> Arc<[u8]> {
        let ips = (caller.ip().to_canonical(), here.ip().to_canonical());
        let ports = (caller.port(), here.port());
        match self {
            Self::V1 => v1(ips, ports).into_bytes().into(),
            Self::V2 => v2(ips, ports).into(),
        }
    }
}

/// PROXY TCP4 203.0.113.7 10.0.0.1 50000 8080\r\n
fn v1((caller, here): (IpAddr, IpAddr), (from, to): (u16, u16)) -> String {
    let family = match (caller, here) {
        (IpAddr::V4(_), IpAddr::V4(_)) => "TCP4",
        (IpAddr::V6(_), IpAddr::V6(_)) => "TCP6",
        _ => return "PROXY UNKNOWN\r\n".to_owned(),
    };
    format!("PROXY {family} {caller} {here} {from} {to}\r\n")
}

/// Signature, version and command (PROXY), family and transport (TCP), length, addresses, ports.
fn v2(ips: (IpAddr, IpAddr), (from, to): (u16, u16)) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21".to_vec();
    match ips {
        (IpAddr::V4(caller), IpAddr::V4(here)) => {
            header.extend_from_slice(&[0x11, 0, 12]);
            header.extend_from_slice(&caller.octets());
            header.extend_from_slice(&here.octets());
        }
        (IpAddr::V6(caller), IpAddr::V6(here)) => {
            header.extend_from_slice(&[0x21, 0, 36]);
            header.extend_from_slice(&caller.octets());
            header.extend_from_slice(&here.octets());
        }
        _ => {
            header.extend_from_slice(&[0, 0, 0]);
            return header;
        }
    }
    header.extend_from_slice(&from.to_be_bytes());
    header.extend_from_slice(&to.to_be_bytes());
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(version: ProxyProtocol, caller: &str, here: &str) -> Vec<u8> {
        let address = |text: &str| text.parse::<SocketAddr>().expect("an address");
        version.preamble(address(caller), address(here)).to_vec()
    }

    #[test]
    fn the_first_version_is_a_line() {
        for (caller, here, expected) in [
            ("203.0.113.7:50000", "10.0.0.1:80", "PROXY TCP4 203.0.113.7 10.0.0.1 50000 80\r\n"),
            ("[::ffff:203.0.113.7]:1", "10.0.0.1:80", "PROXY TCP4 203.0.113.7 10.0.0.1 1 80\r\n"),
            ("[2001:db8::1]:1", "[fd00::1]:2", "PROXY TCP6 2001:db8::1 fd00::1 1 2\r\n"),
            ("[2001:db8::1]:1", "10.0.0.1:2", "PROXY UNKNOWN\r\n"),
        ] {
            assert_eq!(said(ProxyProtocol::V1, caller, here), expected.as_bytes());
        }
    }

    #[test]
    fn the_second_version_is_binary() {
        let four = said(ProxyProtocol::V2, "203.0.113.7:258", "10.0.0.1:80");
        assert_eq!(four, b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xcb\0\x71\x07\x0a\0\0\x01\x01\x02\0\x50");
        assert_eq!(said(ProxyProtocol::V2, "[2001:db8::1]:1", "[fd00::1]:2").len(), 16 + 36);
        assert_eq!(said(ProxyProtocol::V2, "[2001:db8::1]:1", "10.0.0.1:2").len(), 16);
    }
}
