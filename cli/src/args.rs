//! What `raceway` can be asked to do.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};

use crate::{demo, say};

/// Distributed tracing for services that contain no tracing code
#[derive(Debug, Parser)]
#[command(name = "raceway", version, arg_required_else_help = true, max_term_width = 100, long_about = LONG_ABOUT)]
#[command(after_help = AFTER_HELP)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

const LONG_ABOUT: &str = "\
Distributed tracing for services that contain no tracing code

A sidecar beside each service stamps trace context and vector clocks on every call and reports what it saw. The
analyzer stores it and shows who calls whom, how often, how long it takes, and what made a request slow. The services
are not changed and forward no header.";

const AFTER_HELP: &str = "\
Start here:
  raceway demo                      see it work: five services, customers, a web page; Ctrl-C ends it
  raceway demo --seconds 10 --json  the same for scripts: one JSON object when it is over

For services of your own: start raceway-analyzer, and raceway-proxy beside each; see their --help.
Exit codes: 0 fine, 1 failed while running, 2 bad usage.";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Demo(demo::Settings),
    /// Print a completion script for a shell
    ///
    /// For bash:  raceway completions bash > ~/.local/share/bash-completion/completions/raceway
    Completions {
        /// The shell to complete in
        shell: clap_complete::Shell,
    },
}

/// Reads the command line. What cannot be read is answered here, with the exit code that belongs to it.
pub(crate) fn read(args: Vec<OsString>) -> Result<Command, ExitCode> {
    Args::try_parse_from(args).map(|args| args.command).map_err(|error| match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let _ = error.print();
            ExitCode::SUCCESS
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
            ExitCode::from(2)
        }
        _ => {
            say::complaint(one_line(&error));
            ExitCode::from(2)
        }
    })
}

/// clap's account of a mistake on one line, with where to read on: logs and scripts show one line.
fn one_line(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let (mistake, usage) = text.split_once("Usage: ").unwrap_or((&text, "raceway"));
    let mistake: Vec<&str> = mistake
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with("For more information"))
        .map(|line| line.strip_prefix("error: ").unwrap_or(line))
        .collect();
    let command: Vec<&str> = usage.split_whitespace().take_while(|word| word.starts_with(char::is_lowercase)).collect();
    format!("{}; see {} --help", mistake.join("; "), command.join(" "))
}

/// Writes the completion script.
pub(crate) fn completions(shell: clap_complete::Shell) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "raceway", &mut script);
    say::result(String::from_utf8_lossy(&script).trim_end());
    ExitCode::SUCCESS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(args: &[&str]) -> String {
        one_line(&Args::try_parse_from(args).expect_err("these arguments are wrong"))
    }

    #[test]
    fn definition_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn mistakes_are_one_line_that_names_them() {
        for (args, named) in [
            (&["raceway", "demo", "--sceonds", "3"][..], "--sceonds"),
            (&["raceway", "dmeo"], "dmeo"),
            (&["raceway", "demo", "--rate", "0"], "--rate"),
            (&["raceway", "demo", "--rate", "many"], "many"),
            (&["raceway", "demo", "--concurrency", "0"], "--concurrency"),
            (&["raceway", "demo", "--seconds", "-1"], "-1"),
            (&["raceway", "demo", "--listen", "here"], "here"),
            (&["raceway", "completions", "tcl"], "tcl"),
        ] {
            let line = refused(args);
            assert!(line.contains(named), "{args:?}: {line}");
            assert!(!line.contains('\n'), "{args:?}: {line}");
        }
    }
}
