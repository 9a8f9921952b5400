//! The notation for who calls whom.
//!
//! ```text
//! api -> auth, orders      api calls auth, then orders
//! api -> auth & orders     api calls both at once
//! api -> auth, auth        api calls auth twice
//! auth                     auth calls nobody
//! ```

use std::collections::BTreeMap;

/// The calls of one service: steps in turn, each of them calls side by side.
pub(crate) type Calls = Vec<Vec<String>>;

/// Who calls whom; callees that have no line of their own call nobody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Topology {
    /// The first service named: where requests from outside come in.
    pub(crate) entry: String,
    pub(crate) calls: BTreeMap<String, Calls>,
}

impl Topology {
    pub(crate) fn parse<'a>(lines: impl IntoIterator<Item = &'a str>) -> Self {
        let mut topology = Self::default();
        for line in lines {
            let (caller, callees) = line.split_once("->").unwrap_or((line, ""));
            let caller = caller.trim();
            if topology.entry.is_empty() {
                topology.entry = caller.to_owned();
            }
            let calls: Calls = callees
                .split(',')
                .map(|step| {
                    step.split('&').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect()
                })
                .filter(|step: &Vec<String>| !step.is_empty())
                .collect();
            for callee in calls.iter().flatten() {
                topology.calls.entry(callee.clone()).or_default();
            }
            topology.calls.insert(caller.to_owned(), calls);
        }
        topology
    }

    /// Whom a service calls, each once.
    pub(crate) fn neighbours(&self, caller: &str) -> Vec<String> {
        let mut callees: Vec<String> = self.calls.get(caller).into_iter().flatten().flatten().cloned().collect();
        callees.sort();
        callees.dedup();
        callees
    }

    /// All services, callees before callers.
    pub(crate) fn callees_first(&self) -> Vec<String> {
        let mut order: Vec<String> = Vec::new();
        while order.len() < self.calls.len() {
            let ready: Vec<String> = self
                .calls
                .keys()
                .filter(|name| !order.contains(name))
                .filter(|name| self.neighbours(name).iter().all(|callee| order.contains(callee)))
                .cloned()
                .collect();
            assert!(!ready.is_empty(), "services that call each other in a circle cannot be started: {self:?}");
            order.extend(ready);
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topology_reads_as_written() {
        let shop = Topology::parse(["frontend -> api", "api -> auth & stock, orders", "orders -> payment"]);
        assert_eq!(shop.entry, "frontend");
        assert_eq!(shop.calls["api"], [vec!["auth".to_owned(), "stock".to_owned()], vec!["orders".to_owned()]]);
        assert_eq!(shop.neighbours("api"), ["auth", "orders", "stock"]);
        assert_eq!(shop.callees_first(), ["auth", "payment", "stock", "orders", "api", "frontend"]);
    }
}
