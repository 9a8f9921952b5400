//! Rules in chains of our own, written by iptables-restore and ip6tables-restore: one transaction for each.

use ipnet::IpNet;

use super::args::Ipv6;
use super::rules::{Rule, Rules, Which, comment};
use super::tool::Tool;
use super::{Installed, InstalledRule, InterceptError};

const OUTBOUND: &str = "RACEWAY_OUTBOUND";
const INBOUND: &str = "RACEWAY_INBOUND";

/// Seconds to wait for another program that changes rules: nobody holds the lock for longer.
const WAIT_SECONDS: &str = "10";

/// Which of the two protocols.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
}

impl Family {
    fn name(self) -> &'static str {
        match self {
            Self::V4 => "ip",
            Self::V6 => "ip6",
        }
    }

    fn save(self) -> &'static str {
        match self {
            Self::V4 => "iptables-save",
            Self::V6 => "ip6tables-save",
        }
    }

    pub(super) fn restore(self) -> &'static str {
        match self {
            Self::V4 => "iptables-restore",
            Self::V6 => "ip6tables-restore",
        }
    }

    fn has(self, network: &IpNet) -> bool {
        matches!((self, network), (Self::V4, IpNet::V4(_)) | (Self::V6, IpNet::V6(_)))
    }
}

/// The families to write rules for.
pub(super) fn families(ipv6: Ipv6) -> Vec<Family> {
    // A kernel without IPv6 has no such file, and nothing to redirect.
    let here = std::path::Path::new("/proc/net/if_inet6").exists();
    if ipv6 == Ipv6::On || ipv6 == Ipv6::Auto && here { vec![Family::V4, Family::V6] } else { vec![Family::V4] }
}

/// What of ours is in a saved table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    chains: Vec<String>,
    /// In other chains, to ours.
    jumps: Vec<String>,
    /// In our chains.
    rules: Vec<String>,
}

/// What iptables-restore reads. Jumps come first in their chains, ahead of what translates destinations (Docker's
/// published ports): a connection is traced first, and translated when the sidecar dials it.
pub(super) fn install_script(rules: &Rules, family: Family, found: &Found) -> String {
    let of = |list: &[Rule]| -> Vec<Rule> {
        let fits = |rule: &&Rule| !matches!(&rule.which, Which::Network(network) if !family.has(network));
        list.iter().filter(fits).cloned().collect()
    };
    let (outbound, inbound) = (of(&rules.outbound), of(&rules.inbound));
    let chains = [(OUTBOUND, "OUTPUT", outbound), (INBOUND, "PREROUTING", inbound)];
    let count: usize = chains.iter().map(|(.., rules)| rules.len() + usize::from(!rules.is_empty())).sum();
    let mut script = "*nat\n".to_owned();
    // Also what an earlier install wrote and this one does not: it ends empty, and goes.
    for chain in &found.chains {
        script += &format!(":{chain} - [0:0]\n");
    }
    let missing = |chain: &str| !found.chains.iter().any(|known| known == chain);
    for (chain, ..) in chains.iter().filter(|(chain, _, rules)| !rules.is_empty() && missing(chain)) {
        script += &format!(":{chain} - [0:0]\n");
    }
    script += &deletions(found);
    let mut place = 0;
    for (chain, hook, rules) in &chains {
        for rule in rules {
            place += 1;
            let comment = comment(place, count, &rule.which);
            let (which, target) = write(rule);
            script += &format!("-A {chain} {which}-m comment --comment \"{comment}\" -j {target}\n");
        }
        if !rules.is_empty() {
            place += 1;
            let comment = comment(place, count, &"all TCP connections");
            script += &format!("-I {hook} 1 -p tcp -m comment --comment \"{comment}\" -j {chain}\n");
        }
    }
    for (chain, ..) in chains.iter().filter(|(chain, _, rules)| rules.is_empty() && !missing(chain)) {
        script += &format!("-X {chain}\n");
    }
    script + "COMMIT\n"
}

fn write(rule: &Rule) -> (String, String) {
    let which = match &rule.which {
        Which::Uid(uid) => format!("-m owner --uid-owner {uid} "),
        Which::Loopback => "-o lo ".to_owned(),
        Which::Port(ports) => format!("-p tcp -m tcp --dport {} ", ports.to_string().replace('-', ":")),
        Which::Network(network) => format!("-d {network} "),
        Which::Rest => "-p tcp ".to_owned(),
        Which::ForThisHost => "-p tcp -m addrtype --dst-type LOCAL ".to_owned(),
    };
    let target = rule.to.map_or_else(|| "RETURN".to_owned(), |port| format!("REDIRECT --to-ports {port}"));
    (which, target)
}

/// Takes away the jumps to our chains.
fn deletions(found: &Found) -> String {
    let delete = |rule: &String| rule.strip_prefix("-A ").map(|rule| format!("-D {rule}\n"));
    found.jumps.iter().filter_map(delete).collect()
}

fn remove_script(found: &Found) -> String {
    let mut script = format!("*nat\n{}", deletions(found));
    for verb in ["-F", "-X"] {
        script.extend(found.chains.iter().map(|chain| format!("{verb} {chain}\n")));
    }
    script + "COMMIT\n"
}

pub(super) fn install(rules: &Rules, ipv6: Ipv6) -> Result<(), InterceptError> {
    for family in families(ipv6) {
        let advice = match family {
            Family::V4 => "install iptables, or --backend nft",
            Family::V6 => "install it, or leave IPv6 untraced with --ipv6 off",
        };
        let tool = Tool::find(family.restore()).ok_or(InterceptError::Missing(family.restore(), advice))?;
        let script = install_script(rules, family, &saved(family)?);
        tool.must(&["-w", WAIT_SECONDS, "--noflush"], &script)?;
    }
    // An earlier install may have had IPv6 too.
    if ipv6 == Ipv6::Off { remove_of(Family::V6) } else { Ok(()) }
}

/// Takes the chains away. No iptables, no chains.
pub(super) fn remove() -> Result<(), InterceptError> {
    let (v4, v6) = (remove_of(Family::V4), remove_of(Family::V6));
    v4.and(v6)
}

fn remove_of(family: Family) -> Result<(), InterceptError> {
    let found = saved(family)?;
    let Some(tool) = Tool::find(family.restore()) else { return Ok(()) };
    if found == Found::default() {
        return Ok(());
    }
    tool.must(&["-w", WAIT_SECONDS, "--noflush"], &remove_script(&found)).map(drop)
}

pub(super) fn look() -> Result<Vec<Installed>, InterceptError> {
    let mut installed = Vec::new();
    for family in [Family::V4, Family::V6] {
        let found = saved(family)?;
        let rules = found.rules.iter().chain(&found.jumps).filter_map(|line| {
            let (chain, rule) = line.strip_prefix("-A ")?.split_once(' ')?;
            Some(InstalledRule { chain: chain.to_owned(), rule: rule.to_owned() })
        });
        installed.extend(Installed::of("iptables", family.name(), rules.collect(), !found.chains.is_empty()));
    }
    Ok(installed)
}

fn saved(family: Family) -> Result<Found, InterceptError> {
    let Some(tool) = Tool::find(family.save()) else { return Ok(Found::default()) };
    // All tables, as asking for one that is not there would make it.
    let said = tool.run(&[], "")?;
    if said.success {
        return Ok(read(&said.stdout));
    }
    // A kernel without IPv6, or without the older tables, has no rules of ours.
    let absent = ["does not exist", "Address family not supported", "No such file"];
    if absent.iter().any(|words| said.stderr.contains(words)) {
        return Ok(Found::default());
    }
    Err(tool.failed(&[], &said.stderr))
}

/// Our part of what iptables-save prints.
pub(super) fn read(saved: &str) -> Found {
    let mut found = Found::default();
    let ours = [OUTBOUND, INBOUND];
    for line in saved.lines().skip_while(|line| *line != "*nat").take_while(|line| *line != "COMMIT") {
        if let Some(chain) = line.strip_prefix(':').and_then(|line| line.split(' ').next()) {
            if ours.contains(&chain) {
                found.chains.push(chain.to_owned());
            }
        } else if let Some(chain) = line.strip_prefix("-A ").and_then(|line| line.split(' ').next()) {
            if ours.contains(&chain) {
                found.rules.push(line.to_owned());
            } else if ours.iter().any(|ours| line.ends_with(&format!("-j {ours}"))) {
                found.jumps.push(line.to_owned());
            }
        }
    }
    found
}
