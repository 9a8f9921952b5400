//! The routing rule and its table, by `ip` of iproute2: how the application's answers to callers find the sidecar, which
//! has called in their names. Written only where callers' addresses are kept.
//!
//! ```text
//! 15006: from all fwmark 0x3a9e lookup 15006
//! local default dev lo        (table 15006)
//! ```

use super::iptables::Family;
use super::rules::MARK;
use super::tool::Tool;
use super::{Installed, InstalledRule, InterceptError};

pub(super) const BACKEND: &str = "routing";

const ADVICE: &str = "install iproute2, or --inbound-source own";

/// More of one rule than anybody writes: what stands there so often cannot be taken away.
const COPIES_MAX: usize = 16;

fn option(family: Family) -> &'static str {
    match family {
        Family::V4 => "-4",
        Family::V6 => "-6",
    }
}

fn rule(verb: &str) -> String {
    format!("rule {verb} pref {MARK} fwmark {MARK} lookup {MARK}")
}

fn route(verb: &str) -> String {
    format!("route {verb} local default dev lo table {MARK}")
}

fn ip() -> Result<Tool, InterceptError> {
    Tool::find("ip").ok_or(InterceptError::Missing("ip", ADVICE))
}

/// What [`install`] does where nothing is there, for a shell.
pub(super) fn script(families: &[Family]) -> String {
    let lines = families.iter().map(|family| {
        let ip = format!("ip {}", option(*family));
        format!("{ip} {}\n{ip} {}\n", rule("add"), route("replace"))
    });
    lines.collect()
}

pub(super) fn install(families: &[Family]) -> Result<(), InterceptError> {
    let ip = ip()?;
    for family in [Family::V4, Family::V6] {
        let (found, wanted) = (Found::of(&ip, family)?, families.contains(&family));
        match (wanted, found.rules.is_empty()) {
            (true, true) => run(&ip, family, &rule("add"))?,
            (false, false) => remove_of(&ip, family, &found)?,
            _ => {}
        }
        if wanted {
            run(&ip, family, &route("replace"))?;
        }
    }
    Ok(())
}

/// Takes them away. Without `ip` there can be none, unless rules that need them say otherwise.
pub(super) fn remove(needed: bool) -> Result<(), InterceptError> {
    let ip = match ip() {
        Ok(ip) => ip,
        Err(error) => return if needed { Err(error) } else { Ok(()) },
    };
    for family in [Family::V4, Family::V6] {
        remove_of(&ip, family, &Found::of(&ip, family)?)?;
    }
    Ok(())
}

fn remove_of(ip: &Tool, family: Family, found: &Found) -> Result<(), InterceptError> {
    for _ in found.rules.iter().take(COPIES_MAX) {
        run(ip, family, &rule("del"))?;
    }
    if found.routes.is_empty() { Ok(()) } else { run(ip, family, &route("del")) }
}

/// What is there, and what is missing for these families.
pub(super) fn look(needed: &[Family]) -> Result<Vec<Installed>, InterceptError> {
    let ip = match ip() {
        Ok(ip) => ip,
        Err(error) => return if needed.is_empty() { Ok(Vec::new()) } else { Err(error) },
    };
    let mut installed = Vec::new();
    for family in [Family::V4, Family::V6] {
        let found = Found::of(&ip, family)?;
        let missing = [(1, found.rules.is_empty()), (2, found.routes.is_empty())];
        let missing: Vec<usize> = missing.into_iter().filter(|(_, is)| *is).map(|(place, _)| place).collect();
        let rules: Vec<InstalledRule> = found.shown();
        if !rules.is_empty() || needed.contains(&family) {
            installed.push(Installed { backend: BACKEND, family: family.name(), rules, missing });
        }
    }
    Ok(installed)
}

/// What of ours is there.
#[derive(Default)]
struct Found {
    rules: Vec<String>,
    routes: Vec<String>,
}

impl Found {
    fn of(ip: &Tool, family: Family) -> Result<Self, InterceptError> {
        let table = MARK.to_string();
        let mut found = Self::default();
        if let Some(said) = shown(ip, &[option(family), "rule", "show"])? {
            let ours = [format!("fwmark {MARK:#x}"), format!("lookup {MARK}")];
            let rules = said.lines().filter(|line| ours.iter().all(|part| has_words(line, part)));
            found.rules = rules.map(|line| line.trim().replace('\t', " ")).collect();
        }
        if let Some(said) = shown(ip, &[option(family), "route", "show", "table", &table])? {
            let routes = said.lines().map(str::trim).filter(|line| line.starts_with("local default dev lo"));
            found.routes = routes.map(str::to_owned).collect();
        }
        Ok(found)
    }

    fn shown(self) -> Vec<InstalledRule> {
        let named = |chain: &str, rule: String| InstalledRule { chain: chain.to_owned(), rule };
        let rules = self.rules.into_iter().map(|rule| named("rule", rule));
        rules.chain(self.routes.into_iter().map(|route| named(&format!("table {MARK}"), route))).collect()
    }
}

/// Whether the words stand there in a row, and not as the beginning of longer ones.
fn has_words(line: &str, words: &str) -> bool {
    format!("{} ", line.trim_end()).contains(&format!("{words} "))
}

/// What `ip` shows; `None` where there is no such table, or no such protocol.
fn shown(ip: &Tool, args: &[&str]) -> Result<Option<String>, InterceptError> {
    let said = ip.run(args, "")?;
    if said.success {
        return Ok(Some(said.stdout));
    }
    let absent = ["does not exist", "not supported", "No such"];
    if absent.iter().any(|words| said.stderr.contains(words)) {
        return Ok(None);
    }
    Err(ip.failed(args, &said.stderr))
}

fn run(ip: &Tool, family: Family, words: &str) -> Result<(), InterceptError> {
    let args: Vec<&str> = std::iter::once(option(family)).chain(words.split(' ')).collect();
    ip.must(&args, "").map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_ours_by_whole_words() {
        assert!(has_words("15006:\tfrom all fwmark 0x3a9e lookup 15006 ", "fwmark 0x3a9e"));
        assert!(has_words("15006:\tfrom all fwmark 0x3a9e lookup 15006", "lookup 15006"));
        for other in ["1: from all fwmark 0x3a9e/0xffff lookup 150061", "1: from all fwmark 0x3a9ef lookup 150061"] {
            assert!(!has_words(other, "fwmark 0x3a9e") && !has_words(other, "lookup 15006"), "{other}");
        }
    }
}
