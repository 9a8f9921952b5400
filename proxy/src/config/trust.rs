//! `--trust-context`: whose context is believed.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Serialize, Serializer};

use super::{Problem, values};

/// Callers whose trace context is believed; others' traces begin here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TrustContext {
    /// All of them.
    #[default]
    Always,
    /// None.
    Never,
    /// Those with addresses in these networks.
    Networks(Vec<IpNet>),
}

impl TrustContext {
    /// Adds what one word says; `always` and `never` stand alone.
    pub(super) fn add(&mut self, text: &str, first: bool) -> Result<(), Problem> {
        match (text, &mut *self) {
            ("always", _) if first => *self = Self::Always,
            ("never", _) if first => *self = Self::Never,
            ("always" | "never", _) => return Err(Problem::Trust),
            (network, Self::Networks(networks)) => {
                networks.push(values::network(network).map_err(|_| Problem::Trust)?);
            }
            (network, _) if first => {
                *self = Self::Networks(vec![values::network(network).map_err(|_| Problem::Trust)?]);
            }
            _ => return Err(Problem::Trust),
        }
        Ok(())
    }

    /// Whether what a caller with this address says of its trace is believed.
    pub fn believes(&self, caller: &str) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Networks(networks) => caller.parse().is_ok_and(|caller: IpAddr| {
                let caller = caller.to_canonical();
                networks.iter().any(|network| network.contains(&caller))
            }),
        }
    }
}

impl Serialize for TrustContext {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Always => serializer.serialize_str("always"),
            Self::Never => serializer.serialize_str("never"),
            Self::Networks(networks) => values::as_texts(networks, serializer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<TrustContext, Problem> {
        let mut trust = TrustContext::default();
        text.split(',').enumerate().try_for_each(|(at, word)| trust.add(word, at == 0))?;
        Ok(trust)
    }

    #[test]
    fn who_is_believed() {
        for (text, caller, believed) in [
            ("always", "8.8.8.8", true),
            ("never", "127.0.0.1", false),
            ("10.0.0.0/8,fd00::/8", "10.1.2.3", true),
            ("10.0.0.0/8,fd00::/8", "::ffff:10.1.2.3", true),
            ("10.0.0.0/8,fd00::/8", "fd00::1", true),
            ("10.0.0.0/8,fd00::/8", "8.8.8.8", false),
            ("192.0.2.7", "192.0.2.7", true),
        ] {
            assert_eq!(parsed(text).expect(text).believes(caller), believed, "{text} {caller}");
        }
        for text in ["sometimes", "always,never", "10.0.0.0/8,always", "never,10.0.0.0/8"] {
            assert_eq!(parsed(text), Err(Problem::Trust), "{text}");
        }
    }
}
