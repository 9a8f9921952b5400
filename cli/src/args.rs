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

A sidecar beside each service stamps trace context and vector clocks on every call and reports what it saw. \
The analyzer stores it and shows who calls whom, how often, how long it takes, and what made a request slow. \
The services are not changed and forward no header.";

const AFTER_HELP: &str = "\
Start here:
  raceway demo                      see it work: services, customers, a page
  raceway demo --seconds 10 --json  for scripts: one JSON object when it is over

For services of your own: start raceway-analyzer, and raceway-proxy beside each; \
see their --help.

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
    let asked = args.clone();
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
            say::complaint(one_line(&error, &asked));
            ExitCode::from(2)
        }
    })
}

/// clap's account of a mistake on one line, with where to read on: logs and scripts show one line.
fn one_line(error: &clap::Error, args: &[OsString]) -> String {
    let text = error.render().to_string();
    let (mistake, _) = text.split_once("Usage: ").unwrap_or((&text, ""));
    let mistake: Vec<&str> = mistake
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with("For more information"))
        .map(|line| line.strip_prefix("error: ").unwrap_or(line))
        .collect();
    // Not from clap's usage, which is missing where a value is wrong.
    let command = Args::command();
    let named =
        args.get(1).and_then(|word| command.find_subcommand(word)).map(|named| format!(" {}", named.get_name()));
    format!("{}; see raceway{} --help", mistake.join("; "), named.unwrap_or_default())
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
        let args: Vec<OsString> = args.iter().map(OsString::from).collect();
        one_line(&Args::try_parse_from(&args).expect_err("these arguments are wrong"), &args)
    }

    #[test]
    fn a_wrong_value_says_what_is_expected_and_where_to_read_on() {
        for (args, expected) in [
            (&["raceway", "demo", "--seconds", "abc"][..], "a whole number of seconds, 1 or more"),
            (&["raceway", "demo", "--seconds", "0"], "a whole number of seconds, 1 or more"),
            (&["raceway", "demo", "--concurrency", "99999"], "a whole number, 1 to 10000"),
            (&["raceway", "demo", "--listen", "8080"], "HOST:PORT, as in localhost:8080"),
        ] {
            let line = refused(args);
            assert!(line.contains(expected), "{args:?}: {line}");
            assert!(line.ends_with("see raceway demo --help"), "{args:?}: {line}");
        }
        assert!(refused(&["raceway", "dmeo"]).ends_with("see raceway --help"));
    }

    #[test]
    fn an_address_may_be_a_name() {
        let args = Args::try_parse_from(["raceway", "demo", "--listen", "localhost:8099"]).unwrap();
        let Command::Demo(settings) = args.command else { panic!("{args:?}") };
        assert!(settings.listen.ip().is_loopback() && settings.listen.port() == 8099, "{settings:?}");
    }

    /// Help is wrapped by clap, to the reader's terminal: a line break inside a paragraph leaves ragged lines.
    #[test]
    fn paragraphs_of_the_help_are_single_lines() {
        let mut command = Args::command().term_width(100);
        for text in [
            command.render_long_help().to_string(),
            command.find_subcommand_mut("demo").unwrap().clone().term_width(100).render_long_help().to_string(),
        ] {
            let lines: Vec<&str> = text.lines().collect();
            for pair in lines.windows(2) {
                let next = pair[1].split(' ').next().unwrap_or_default();
                let prose = pair.iter().all(|line| line.starts_with(char::is_alphabetic) && !line.ends_with(':'));
                let fits = pair[0].chars().count() + 1 + next.chars().count() <= 100;
                let ends = pair[0].ends_with(['.', 'e']) || pair[1].starts_with("Exit codes");
                assert!(!prose || !fits || ends, "{pair:#?} would fit on one line");
            }
        }
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
