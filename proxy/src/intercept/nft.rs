//! Rules in a table of our own, written in one transaction by nft.

use ipnet::IpNet;

use super::rules::{MARK, Rule, Rules, To, Which, comment};
use super::tool::Tool;
use super::{Installed, InstalledRule, InterceptError};

/// `inet`: one table for IPv4 and IPv6 (Linux 5.2).
const FAMILY: &str = "inet";
const TABLE: &str = "raceway";

/// Just before -100, where Docker and others translate destinations: a published port is traced first, and translated
/// when the sidecar dials it.
const PRIORITY: i32 = -101;

/// Where packets are marked, as iptables' mangle table: behind the tracking of connections, ahead of all translation.
const MANGLE: i32 = -150;

/// What `nft -f -` reads. The old table goes and the new one comes in one step: no connection slips between them.
pub(super) fn install_script(rules: &Rules) -> String {
    let count = rules.outbound.len() + rules.inbound.len() + rules.answers.len();
    let mut script = format!("add table {FAMILY} {TABLE}\ndelete table {FAMILY} {TABLE}\ntable {FAMILY} {TABLE} {{\n");
    let mut place = 0;
    let inbound = match rules.keep_callers() {
        true => format!("filter hook prerouting priority {MANGLE}"),
        false => format!("nat hook prerouting priority {PRIORITY}"),
    };
    for (chain, kind, rules_of) in [
        ("outbound", format!("nat hook output priority {PRIORITY}"), &rules.outbound),
        ("inbound", inbound, &rules.inbound),
        // `route`: what is marked is routed anew.
        ("answers", format!("route hook output priority {MANGLE}"), &rules.answers),
    ] {
        if rules_of.is_empty() {
            continue;
        }
        script += &format!("\tchain {chain} {{\n\t\ttype {kind}; policy accept;\n");
        for rule in rules_of {
            place += 1;
            let written = write(rule, rules.ipv6);
            script += &format!("\t\t{written} comment \"{}\"\n", comment(place, count, rule));
        }
        script += "\t}\n";
    }
    script + "}\n"
}

fn write(rule: &Rule, ipv6: bool) -> String {
    let which = match &rule.which {
        Which::Uid(uid) => format!("meta skuid {uid}"),
        Which::Loopback => "oifname \"lo\"".to_owned(),
        Which::FromThisHost => "iifname \"lo\"".to_owned(),
        Which::Port(ports) => format!("tcp dport {ports}"),
        Which::Network(IpNet::V4(network)) => format!("ip daddr {network}"),
        Which::Network(IpNet::V6(network)) => format!("ip6 daddr {network}"),
        Which::Rest => "meta l4proto tcp".to_owned(),
        Which::ForThisHost => "fib daddr type local meta l4proto tcp".to_owned(),
        Which::NewForThisHost => "tcp flags & (fin|syn|rst|ack) == syn fib daddr type local".to_owned(),
        Which::InCallersName => "meta l4proto tcp oifname \"lo\" ct state new fib saddr type != local".to_owned(),
        Which::AnswerToCaller => format!("ct mark {MARK} ct direction reply"),
    };
    let verdict = match rule.to {
        To::Pass => return format!("{which} return"),
        To::Port(port) => format!("redirect to :{port}"),
        To::Listener(port) => format!("tproxy to :{port} accept"),
        To::Refuse => "reject with tcp reset".to_owned(),
        To::MarkConnection => format!("ct mark set {MARK}"),
        To::MarkPacket => format!("meta mark set {MARK}"),
    };
    let family = if ipv6 { "" } else { "meta nfproto ipv4 " };
    format!("{family}{which} {verdict}")
}

pub(super) fn install(rules: &Rules) -> Result<(), InterceptError> {
    let nft = Tool::find("nft").ok_or(InterceptError::Missing("nft", "install nftables, or --backend iptables"))?;
    nft.must(&["-f", "-"], &install_script(rules)).map(drop)
}

/// Takes the table away. No nft, no table.
pub(super) fn remove() -> Result<(), InterceptError> {
    let Some(nft) = Tool::find("nft") else { return Ok(()) };
    if look()?.is_none() {
        return Ok(());
    }
    nft.must(&["delete", "table", FAMILY, TABLE], "").map(drop)
}

pub(super) fn look() -> Result<Option<Installed>, InterceptError> {
    let Some(nft) = Tool::find("nft") else { return Ok(None) };
    let args = ["list", "table", FAMILY, TABLE];
    let said = nft.run(&args, "")?;
    if said.success {
        return Ok(read(&said.stdout));
    }
    // There is no such table; that is also what a kernel without nftables says.
    if said.stderr.contains("No such file or directory") || said.stderr.contains("not supported") {
        return Ok(None);
    }
    Err(nft.failed(&args, &said.stderr))
}

/// Our rules in what `nft list table` prints.
pub(super) fn read(listed: &str) -> Option<Installed> {
    let mut chain = "";
    let mut rules = Vec::new();
    for line in listed.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix("chain ") {
            chain = name.trim_end_matches([' ', '{']);
        } else if line.contains("comment \"raceway ") {
            rules.push(InstalledRule { chain: chain.to_owned(), rule: line.to_owned() });
        }
    }
    Installed::of("nft", FAMILY, rules, true)
}
