//! The command line `raceway`: the front door on a laptop.
//!
//! [`main`] reads the arguments and hands over to [`demo`]. The sidecar, the analyzer and the demo's services are in
//! this one program as well: it starts itself again under the names in [`Part`], so that one binary is all it needs.

mod args;
pub mod child;
pub mod client;
pub mod demo;
mod say;

use std::ffi::OsString;
use std::process::ExitCode;

pub use say::Say;

/// Runs the command line: 0 fine, 1 failed while running, 2 bad usage.
///
/// `args` begin with the program's name, as [`std::env::args_os`] has them.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    if let [program, part, rest @ ..] = args.as_slice()
        && let Some(part) = Part::named(part)
    {
        let args = std::iter::once(program).chain(rest).cloned();
        return part.run(args);
    }
    match args::read(args) {
        Ok(args::Command::Demo(settings)) => demo::run(settings),
        Ok(args::Command::Completions { shell }) => args::completions(shell),
        Err(refused) => refused,
    }
}

/// A process that `raceway` starts from its own program file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// A sidecar: `raceway-proxy`.
    Proxy,
    /// The analyzer: `raceway-analyzer`.
    Analyzer,
    /// One of the demo's services.
    Service,
}

impl Part {
    /// The word on the command line. Not in the help: people start `raceway-proxy` and `raceway-analyzer`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Proxy => "__proxy",
            Self::Analyzer => "__analyzer",
            Self::Service => "__service",
        }
    }

    fn named(word: &OsString) -> Option<Self> {
        [Self::Proxy, Self::Analyzer, Self::Service].into_iter().find(|part| word == part.word())
    }

    fn run(self, args: impl Iterator<Item = OsString>) -> ExitCode {
        match self {
            Self::Proxy => {
                child::end_with_parent();
                raceway_proxy::main(args)
            }
            Self::Analyzer => {
                child::end_with_parent();
                raceway_analyzer::main(args)
            }
            Self::Service => demo::service::main(args),
        }
    }
}
