//! `raceway-proxy intercept`: the rules that redirect this network namespace's TCP connections to a sidecar in
//! `--mode transparent`.
//!
//! [`rules`] says what the rules are, [`nft`] and [`iptables`] write and read them; [`routes`] is what answers need where
//! callers' addresses are kept. Everything lies in a table
//! (nft) or chains (iptables) of our own, and each rule's comment says which of how many it is, so that whoever looks
//! can tell whether all of them are there.

mod args;
mod iptables;
mod nft;
mod routes;
mod rules;
mod tool;

use std::io::Write;
use std::process::ExitCode;

use rustix::thread::CapabilitySet;
use serde::Serialize;

pub use args::InterceptArgs;
use args::{Action, Backend, Ipv6, Settings};
use iptables::Family;
use rules::Rules;
use tool::Tool;

use crate::config::ConfigError;

/// Why the rules could not be written, read or taken away.
#[derive(Debug, thiserror::Error)]
enum InterceptError {
    #[error(
        "no privilege to look at or change network rules: the capability NET_ADMIN is missing; run this as root \
         (sudo), or give the container that runs it NET_ADMIN and NET_RAW"
    )]
    NoPrivilege,
    #[error("neither nft nor iptables is here (looked in PATH, /usr/sbin and /sbin): install nftables or iptables")]
    NoTool,
    #[error("{0} is not here (looked in PATH, /usr/sbin and /sbin): {1}")]
    Missing(&'static str, &'static str),
    #[error("{command} failed: {said}; {advice}")]
    Failed { command: String, said: String, advice: &'static str },
    #[error("{error}; what had been written is taken away again, so nothing is redirected")]
    RolledBack { error: Box<InterceptError> },
    #[error("only partly installed ({}): run `raceway-proxy intercept install` again, or `remove`", .0.join("; "))]
    Partly(Vec<String>),
    #[error("cannot print: {0}")]
    Print(std::io::Error),
}

/// What one table or family of chains holds of ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Installed {
    backend: &'static str,
    /// `inet`, `ip` or `ip6`.
    family: &'static str,
    rules: Vec<InstalledRule>,
    /// Rules that should be there by what the others say, and are not.
    missing: Vec<usize>,
}

/// A rule as the system shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct InstalledRule {
    chain: String,
    rule: String,
}

impl Installed {
    /// What is there in place, `None` for nothing. An empty table or chain counts as a rule that is missing.
    fn of(backend: &'static str, family: &'static str, rules: Vec<InstalledRule>, empty: bool) -> Option<Self> {
        if rules.is_empty() && !empty {
            return None;
        }
        let places: Vec<(usize, usize)> = rules.iter().filter_map(|rule| rules::place(&rule.rule)).collect();
        let count = places.iter().map(|(_, count)| *count).max().unwrap_or(1);
        let missing = (1..=count).filter(|wanted| !places.iter().any(|(place, _)| place == wanted)).collect();
        Some(Self { backend, family, rules, missing })
    }

    /// Whether the rules keep the addresses of callers of this protocol, and so need a route for the answers.
    fn keeps_callers(&self, family: Family) -> bool {
        self.rules.iter().map(|it| it.rule.to_lowercase()).any(|rule| {
            rule.contains("tproxy ")
                && match self.family {
                    "inet" => family == Family::V4 || !rule.contains("nfproto ipv4"),
                    name => name == family.name(),
                }
        })
    }

    fn told(&self) -> String {
        let (have, missing) = (self.rules.len(), self.missing.len());
        match missing {
            0 => format!("{} {}: {have} rules", self.backend, self.family),
            _ => format!("{} {}: {have} rules, {missing} missing", self.backend, self.family),
        }
    }
}

/// Runs the subcommand: 0 when done, 1 when it failed, 2 when the settings are wrong.
pub fn main(args: InterceptArgs) -> ExitCode {
    let done = match args.action {
        Action::Install(args) => match args.check() {
            Ok(settings) if args.dry_run => dry_run(&settings),
            Ok(settings) => install(&settings),
            Err(errors) => return wrong(&errors),
        },
        Action::Remove(args) => match args.check() {
            Ok(backend) => remove(backend),
            Err(errors) => return wrong(&errors),
        },
        Action::Show(args) => show(args.json),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell(&error);
            ExitCode::FAILURE
        }
    }
}

fn wrong(errors: &[ConfigError]) -> ExitCode {
    errors.iter().for_each(|error| tell(error));
    ExitCode::from(2)
}

#[expect(clippy::print_stderr, reason = "a command line tool tells its mistakes there")]
fn tell(error: &dyn std::fmt::Display) {
    eprintln!("raceway-proxy intercept: {error}");
}

fn print(text: &str) -> Result<(), InterceptError> {
    writeln!(std::io::stdout(), "{}", text.trim_end()).map_err(InterceptError::Print)
}

/// The backend to use: as asked, else nft where it is there, else iptables.
fn choose(asked: Backend) -> Result<Backend, InterceptError> {
    match asked {
        Backend::Auto if Tool::find("nft").is_some() => Ok(Backend::Nft),
        Backend::Auto if Tool::find("iptables").is_some() => Ok(Backend::Iptables),
        Backend::Auto => Err(InterceptError::NoTool),
        chosen => Ok(chosen),
    }
}

/// A script for a shell, which does what `install` would do where nothing is installed yet.
fn dry_run(settings: &Settings) -> Result<(), InterceptError> {
    let rules = settings.rules();
    let mut script = match rules.keep_callers() {
        true => routes::script(&iptables::families(settings.ipv6)),
        false => String::new(),
    };
    match choose(settings.backend)? {
        Backend::Iptables => {
            for family in iptables::families(settings.ipv6) {
                let rules = iptables::install_script(&rules, family, &iptables::Found::default());
                script += &format!("{} --noflush <<'END'\n{rules}END\n", family.restore());
            }
        }
        Backend::Auto | Backend::Nft => script += &format!("nft -f - <<'END'\n{}END", nft::install_script(&rules)),
    }
    print(&script)
}

fn install(settings: &Settings) -> Result<(), InterceptError> {
    let backend = choose(settings.backend)?;
    privileged()?;
    let rules = settings.rules();
    let written = write(backend, settings, &rules).and_then(|()| look());
    let installed = match written {
        Ok(installed) => installed,
        // Half of the rules would trace half of the traffic, or send connections round in circles.
        Err(error) if remove_all(false).is_ok() => {
            return Err(InterceptError::RolledBack { error: Box::new(error) });
        }
        Err(error) => return Err(error),
    };
    whole(&installed)?;
    let told: Vec<String> = installed.iter().map(Installed::told).collect();
    print(&format!("installed: {}; {}", told.join("; "), settings.told()))
}

/// Writes with one tool and takes away what the other had written: two redirections in a row are one too many. The way
/// back is there before anybody needs it, and as long as anybody does.
fn write(backend: Backend, settings: &Settings, rules: &Rules) -> Result<(), InterceptError> {
    if rules.keep_callers() {
        routes::install(&iptables::families(settings.ipv6))?;
    }
    match backend {
        Backend::Iptables => {
            iptables::install(rules, settings.ipv6)?;
            nft::remove()?;
        }
        Backend::Auto | Backend::Nft => {
            nft::install(rules)?;
            iptables::remove()?;
        }
    }
    if rules.keep_callers() { Ok(()) } else { routes::remove(false) }
}

fn remove(backend: Backend) -> Result<(), InterceptError> {
    privileged()?;
    let before = look()?;
    match backend {
        Backend::Auto => remove_all(!keeping(&before).is_empty())?,
        Backend::Nft => nft::remove()?,
        Backend::Iptables => iptables::remove()?,
    }
    if backend != Backend::Auto && keeping(&look_at_rules()?).is_empty() {
        routes::remove(!keeping(&before).is_empty())?;
    }
    if before.is_empty() {
        return print("nothing was installed");
    }
    let told: Vec<String> = before.iter().map(Installed::told).collect();
    let left: Vec<String> = look()?.iter().map(Installed::told).collect();
    match left.is_empty() {
        true => print(&format!("removed: {}", told.join("; "))),
        false => print(&format!("left: {}", left.join("; "))),
    }
}

fn remove_all(keeps_callers: bool) -> Result<(), InterceptError> {
    // All are tried, also when the first fails.
    let (nft, iptables, routes) = (nft::remove(), iptables::remove(), routes::remove(keeps_callers));
    nft.and(iptables).and(routes)
}

fn show(json: bool) -> Result<(), InterceptError> {
    privileged()?;
    let installed = look()?;
    if json {
        let state = match (installed.is_empty(), whole(&installed).is_ok()) {
            (true, _) => "absent",
            (false, true) => "installed",
            (false, false) => "partly",
        };
        let shown = serde_json::json!({"state": state, "tables": installed});
        print(&shown.to_string())?;
    } else if installed.is_empty() {
        print("nothing is installed")?;
    } else {
        let mut text = String::new();
        for table in &installed {
            text += &format!("{}\n", table.told());
            for rule in &table.rules {
                text += &format!("  {}: {}\n", rule.chain, rule.rule);
            }
        }
        print(&text)?;
    }
    whole(&installed)
}

/// Everything of ours that is installed, by whichever tool.
fn look() -> Result<Vec<Installed>, InterceptError> {
    let mut found = look_at_rules()?;
    let needed = keeping(&found);
    found.extend(routes::look(&needed)?);
    Ok(found)
}

/// The protocols whose callers' addresses are kept.
fn keeping(installed: &[Installed]) -> Vec<Family> {
    // The protocols that this kernel has: one table of nft is for both.
    let families = iptables::families(Ipv6::Auto).into_iter();
    families.filter(|family| installed.iter().any(|it| it.keeps_callers(*family))).collect()
}

fn look_at_rules() -> Result<Vec<Installed>, InterceptError> {
    if Tool::find("nft").is_none() && Tool::find("iptables").is_none() {
        return Err(InterceptError::NoTool);
    }
    let mut found: Vec<Installed> = nft::look()?.into_iter().collect();
    found.extend(iptables::look()?);
    Ok(found)
}

fn whole(installed: &[Installed]) -> Result<(), InterceptError> {
    let broken: Vec<String> = installed.iter().filter(|it| !it.missing.is_empty()).map(Installed::told).collect();
    if broken.is_empty() { Ok(()) } else { Err(InterceptError::Partly(broken)) }
}

fn privileged() -> Result<(), InterceptError> {
    // Where the question is not answered, the tools' own answer has to do.
    let may = rustix::thread::capabilities(None).map_or(true, |has| has.effective.contains(CapabilitySet::NET_ADMIN));
    if may { Ok(()) } else { Err(InterceptError::NoPrivilege) }
}

#[cfg(test)]
mod tests;
