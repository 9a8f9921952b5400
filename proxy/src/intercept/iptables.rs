//! Rules in chains of our own, written by iptables-restore and ip6tables-restore: one transaction for each.

use ipnet::IpNet;

use super::args::Ipv6;
use super::rules::{MARK, Rule, Rules, To, Which, comment};
use super::tool::Tool;
use super::{Installed, InstalledRule, InterceptError};

const OUTBOUND: &str = "RACEWAY_OUTBOUND";
const INBOUND: &str = "RACEWAY_INBOUND";
const ANSWERS: &str = "RACEWAY_ANSWERS";

/// Seconds to wait for another program that changes rules: nobody holds the lock for longer.
const WAIT_SECONDS: &str = "10";

/// Which of the two protocols.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
}

impl Family {
    pub(super) fn name(self) -> &'static str {
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

/// What of ours is in the tables that are saved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    nat: FoundIn,
    mangle: FoundIn,
}

/// What of ours is in one table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct FoundIn {
    chains: Vec<String>,
    /// In other chains, to ours.
    jumps: Vec<String>,
    /// In our chains.
    rules: Vec<String>,
}

impl Found {
    fn tables(&self) -> [(&'static str, &FoundIn); 2] {
        [("nat", &self.nat), ("mangle", &self.mangle)]
    }
}

/// A chain of ours, the system's chain that leads to it, and what is in it.
type Chain = (&'static str, &'static str, Vec<Rule>);

/// What iptables-restore reads. Jumps come first in their chains, ahead of what translates destinations (Docker's
/// published ports): a connection is traced first, and translated when the sidecar dials it.
pub(super) fn install_script(rules: &Rules, family: Family, found: &Found) -> String {
    let of = |list: &[Rule]| -> Vec<Rule> {
        // Where nobody listens, the kernel drops what TPROXY was to take: there is nothing left to refuse.
        let fits = |rule: &&Rule| {
            rule.to != To::Refuse && !matches!(&rule.which, Which::Network(network) if !family.has(network))
        };
        list.iter().filter(fits).cloned().collect()
    };
    let (redirected, taken) = match rules.keep_callers() {
        true => (Vec::new(), of(&rules.inbound)),
        false => (of(&rules.inbound), Vec::new()),
    };
    let nat: [Chain; 2] = [(OUTBOUND, "OUTPUT", of(&rules.outbound)), (INBOUND, "PREROUTING", redirected)];
    let mangle: [Chain; 2] = [(INBOUND, "PREROUTING", taken), (ANSWERS, "OUTPUT", of(&rules.answers))];
    let chains = nat.iter().chain(&mangle);
    let count = chains.map(|(.., rules)| rules.len() + usize::from(!rules.is_empty())).sum();
    let mut place = 0;
    let script = [("nat", nat, &found.nat), ("mangle", mangle, &found.mangle)];
    script.iter().map(|(table, chains, found)| table_script(table, chains, found, &mut place, count)).collect()
}

fn table_script(table: &str, chains: &[Chain], found: &FoundIn, place: &mut usize, count: usize) -> String {
    if *found == FoundIn::default() && chains.iter().all(|(.., rules)| rules.is_empty()) {
        return String::new();
    }
    let mut script = format!("*{table}\n");
    // Also what an earlier install wrote and this one does not: it ends empty, and goes.
    for chain in &found.chains {
        script += &format!(":{chain} - [0:0]\n");
    }
    let missing = |chain: &str| !found.chains.iter().any(|known| known == chain);
    for (chain, ..) in chains.iter().filter(|(chain, _, rules)| !rules.is_empty() && missing(chain)) {
        script += &format!(":{chain} - [0:0]\n");
    }
    script += &deletions(found);
    for (chain, hook, rules) in chains {
        for rule in rules {
            *place += 1;
            let comment = comment(*place, count, rule);
            let (which, target) = write(rule);
            script += &format!("-A {chain} {which}-m comment --comment \"{comment}\" -j {target}\n");
        }
        if !rules.is_empty() {
            *place += 1;
            let comment = comment(*place, count, &"all TCP connections");
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
        Which::FromThisHost => "-i lo ".to_owned(),
        Which::Port(ports) => format!("-p tcp -m tcp --dport {} ", ports.to_string().replace('-', ":")),
        Which::Network(network) => format!("-d {network} "),
        Which::Rest => "-p tcp ".to_owned(),
        Which::ForThisHost => "-p tcp -m addrtype --dst-type LOCAL ".to_owned(),
        Which::NewForThisHost => {
            "-p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -m addrtype --dst-type LOCAL ".to_owned()
        }
        Which::InCallersName => "-o lo -p tcp -m conntrack --ctstate NEW -m addrtype ! --src-type LOCAL ".to_owned(),
        Which::AnswerToCaller => format!("-m connmark --mark {MARK} -m conntrack --ctdir REPLY "),
    };
    let target = match rule.to {
        To::Pass => "RETURN".to_owned(),
        To::Port(port) => format!("REDIRECT --to-ports {port}"),
        To::Listener(port) => format!("TPROXY --on-port {port}"),
        To::Refuse => "DROP".to_owned(),
        To::MarkConnection => format!("CONNMARK --set-mark {MARK}"),
        To::MarkPacket => format!("MARK --set-mark {MARK}"),
    };
    (which, target)
}

/// Takes away the jumps to our chains.
fn deletions(found: &FoundIn) -> String {
    let delete = |rule: &String| rule.strip_prefix("-A ").map(|rule| format!("-D {rule}\n"));
    found.jumps.iter().filter_map(delete).collect()
}

fn remove_script(found: &Found) -> String {
    let mut script = String::new();
    for (table, found) in found.tables() {
        if *found == FoundIn::default() {
            continue;
        }
        script += &format!("*{table}\n{}", deletions(found));
        for verb in ["-F", "-X"] {
            script.extend(found.chains.iter().map(|chain| format!("{verb} {chain}\n")));
        }
        script += "COMMIT\n";
    }
    script
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
        let lines = found.tables().into_iter().flat_map(|(_, found)| found.rules.iter().chain(&found.jumps));
        let rules = lines.filter_map(|line| {
            let (chain, rule) = line.strip_prefix("-A ")?.split_once(' ')?;
            Some(InstalledRule { chain: chain.to_owned(), rule: rule.to_owned() })
        });
        let empty = found.tables().iter().any(|(_, found)| !found.chains.is_empty());
        installed.extend(Installed::of("iptables", family.name(), rules.collect(), empty));
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
    let ours = [OUTBOUND, INBOUND, ANSWERS];
    let mut table = None;
    for line in saved.lines() {
        if let Some(name) = line.strip_prefix('*') {
            table = Some(name);
        }
        let found = match table {
            Some("nat") => &mut found.nat,
            Some("mangle") => &mut found.mangle,
            _ => continue,
        };
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
