//! What really happened, as the services themselves wrote it down: the measure for what the sidecars found out.

use std::collections::BTreeMap;
use std::fmt;
use std::time::SystemTime;

use super::shop::{Role, order_in};

/// One line of a service's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    /// `served /checkouts/1017`: a request came in.
    Served { path: String },
    /// `called /sessions/1017 because /checkouts/1017`: a call went out, and the request it was made for.
    Called { path: String, because: String },
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Served { path } => write!(f, "served {path}"),
            Self::Called { path, because } => write!(f, "called {path} because {because}"),
        }
    }
}

impl Deed {
    fn parse(line: &str) -> Option<Self> {
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["served", path] => Some(Self::Served { path: (*path).to_owned() }),
            ["called", path, "because", because] => {
                Some(Self::Called { path: (*path).to_owned(), because: (*because).to_owned() })
            }
            _ => None,
        }
    }

    fn path(&self) -> &str {
        match self {
            Self::Served { path } | Self::Called { path, .. } => path,
        }
    }
}

/// Orders that are remembered: about 700 B each, so 35 MB however long the demo runs. Older ones are not compared.
const ORDERS_MAX: usize = 50_000;

/// All logs of the newest orders.
#[derive(Debug, Default)]
pub(crate) struct Truth {
    orders: BTreeMap<u64, Chronicle>,
    /// Whether orders have been forgotten.
    forgot: bool,
}

/// What was done for one order.
#[derive(Debug)]
struct Chronicle {
    began: SystemTime,
    deeds: Vec<(Role, Deed)>,
}

impl Truth {
    /// Takes in a line of a service's log.
    pub(crate) fn note(&mut self, role: Role, line: &str) {
        let Some(deed) = Deed::parse(line) else { return };
        let Some(order) = order_in(deed.path()) else { return };
        if self.forgot && self.orders.first_key_value().is_some_and(|(oldest, _)| order < *oldest) {
            return;
        }
        let chronicle = || Chronicle { began: SystemTime::now(), deeds: Vec::new() };
        self.orders.entry(order).or_insert_with(chronicle).deeds.push((role, deed));
        if self.orders.len() > ORDERS_MAX {
            self.orders.pop_first();
            self.forgot = true;
        }
    }

    /// When the oldest order that is remembered was first heard of, if older ones have been forgotten.
    pub(crate) fn forgotten_before(&self) -> Option<SystemTime> {
        self.orders.first_key_value().map(|(_, chronicle)| chronicle.began).filter(|_| self.forgot)
    }

    /// Whether all orders are remembered.
    pub(crate) fn is_whole(&self) -> bool {
        !self.forgot
    }

    /// How many orders are remembered.
    pub(crate) fn orders(&self) -> usize {
        self.orders.len()
    }

    /// Whether this path belongs to an order that is remembered.
    pub(crate) fn knows(&self, path: &str) -> bool {
        order_in(path).is_some_and(|order| self.orders.contains_key(&order))
    }

    /// The path of the request for which `role` called `path`.
    pub(crate) fn cause(&self, role: Role, path: &str) -> Option<&str> {
        self.orders.get(&order_in(path)?)?.deeds.iter().find_map(|(by, deed)| match deed {
            Deed::Called { path: called, because } if *by == role && called == path => Some(because.as_str()),
            _ => None,
        })
    }

    /// Every request served and every call made: a span each, if none was lost.
    pub(crate) fn expected(&self) -> impl Iterator<Item = Expected> {
        self.orders.values().flat_map(|chronicle| &chronicle.deeds).map(|(role, deed)| match deed {
            Deed::Served { path } => Expected { role: *role, server: true, path: path.clone() },
            Deed::Called { path, .. } => Expected { role: *role, server: false, path: path.clone() },
        })
    }
}

/// A span that there should be.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Expected {
    pub(crate) role: Role,
    /// A SERVER span, else a CLIENT span.
    pub(crate) server: bool,
    pub(crate) path: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_read_as_written() {
        for deed in [
            Deed::Served { path: "/orders/7".into() },
            Deed::Called { path: "/payments/7".into(), because: "/orders/7".into() },
        ] {
            assert_eq!(Deed::parse(&deed.to_string()), Some(deed));
        }
        assert_eq!(Deed::parse("thread panicked"), None);
    }

    #[test]
    fn the_cause_is_the_services_own() {
        let mut truth = Truth::default();
        truth.note(Role::Api, "served /refunds/7");
        truth.note(Role::Api, "called /payouts/7 because /refunds/7");
        truth.note(Role::Order, "called /payments/8 because /orders/8");
        assert_eq!(truth.cause(Role::Api, "/payouts/7"), Some("/refunds/7"));
        assert_eq!(truth.cause(Role::Order, "/payouts/7"), None);
        assert_eq!(truth.cause(Role::Api, "/payouts/8"), None);
        assert_eq!(truth.expected().count(), 3);
    }

    #[test]
    fn memory_is_bounded_and_says_so() {
        let mut truth = Truth::default();
        let orders = ORDERS_MAX as u64 + 10;
        for order in 0..orders {
            truth.note(Role::Auth, &format!("served /sessions/{order}"));
        }
        truth.note(Role::Auth, "served /sessions/0");
        assert_eq!(truth.orders(), ORDERS_MAX);
        assert!(!truth.is_whole() && !truth.knows("/sessions/9") && truth.knows("/sessions/10"));
    }
}
