//! `raceway-proxy carriers`: small agents for runtimes, which make links certain where the application forwards nothing.
//!
//! A carrier is switched on by an environment variable, remembers the trace context of the request that is being handled
//! in the runtime's own context, and puts it on outbound calls. The sidecar wrote that context with the id of its own
//! SERVER span, so a call that comes back with it is proof: [`crate::link`] reads it like any forwarded header.
//!
//! They are text files, held in this binary and written out where asked: `proxy/carriers` has them.

use std::fmt::Write;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

/// Where each file goes, and what is in it.
const FILES: [(&str, &str); 3] = [
    ("node/raceway.cjs", include_str!("../carriers/node/raceway.cjs")),
    ("python/sitecustomize.py", include_str!("../carriers/python/sitecustomize.py")),
    ("python/raceway_carrier.py", include_str!("../carriers/python/raceway_carrier.py")),
];

/// The flags of `raceway-proxy carriers`.
#[derive(Clone, Debug, Args)]
#[command(after_help = HELP)]
pub struct CarriersArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Clone, Debug, Subcommand)]
enum Action {
    /// Write the carriers into a folder, and print the environment to set as NAME=VALUE lines
    Install {
        /// Made if it is not there; files of an earlier version are replaced
        dir: PathBuf,
    },
    /// Print shell lines that add the carriers in a folder to what the environment holds already
    Env {
        /// Where they were installed
        dir: PathBuf,
    },
}

const HELP: &str = "\
Examples:
  raceway-proxy carriers install /opt/raceway/carriers
  eval \"$(raceway-proxy carriers env /opt/raceway/carriers)\" && node server.js

Node.js from 12.17 and Python from 3.7 are carried; other versions start as ever. RACEWAY_CARRIER=off in an
application's environment switches its carrier off, RACEWAY_CARRIER=debug lets it say what it could not hook.";

/// Does what was asked; the text is for standard output, the error for the operator.
pub(crate) fn run(args: &CarriersArgs) -> Result<String, String> {
    match &args.action {
        Action::Install { dir } => {
            let dir = named(dir)?;
            install(&dir)?;
            Ok(lines(&dir))
        }
        Action::Env { dir } => {
            let dir = named(dir)?;
            match FILES.iter().map(|(path, _)| Path::new(&dir).join(path)).find(|path| !path.is_file()) {
                Some(missing) => Err(format!(
                    "{} is not there; write the carriers first: raceway-proxy carriers install {dir}",
                    missing.display()
                )),
                None => Ok(shell(&dir)),
            }
        }
    }
}

/// The folder's full path, as the variables need it. Neither variable can hold every path.
fn named(dir: &Path) -> Result<String, String> {
    let full = std::path::absolute(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    match full.to_str() {
        Some(text) if !text.contains([':', '"', '\'', '\\', '$', '`', '\n']) => Ok(text.to_owned()),
        _ => Err(format!(
            "{}: choose a folder whose path has no colon, quote, backslash, dollar or line break: PYTHONPATH and \
             NODE_OPTIONS could not name it",
            full.display()
        )),
    }
}

fn install(dir: &str) -> Result<(), String> {
    for (path, text) in FILES {
        let path = Path::new(dir).join(path);
        replace(&path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    }
    Ok(())
}

/// Whole or not at all: an application may start this very moment.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    for folder in folder.ancestors().filter(|folder| !folder.exists()).collect::<Vec<_>>().into_iter().rev() {
        fs::create_dir(folder)?;
        readable(folder, 0o755)?;
    }
    let new = path.with_extension(format!("new-{}", std::process::id()));
    let written = fs::write(&new, text).and_then(|()| readable(&new, 0o644));
    written.and_then(|()| fs::rename(&new, path)).inspect_err(|_| {
        // What is left of the attempt is in nobody's way, but it is ours.
        let _ = fs::remove_file(&new);
    })
}

/// By the application, which runs as somebody else, whatever this user's umask says.
fn readable(path: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, Permissions::from_mode(mode))
}

/// Node's own quotes, for paths with spaces.
fn node_options(dir: &str) -> String {
    format!("--require \"{dir}/node/raceway.cjs\"")
}

fn lines(dir: &str) -> String {
    format!("NODE_OPTIONS={}\nPYTHONPATH={dir}/python\n", node_options(dir))
}

fn shell(dir: &str) -> String {
    let mut text = String::new();
    // Writing into a String does not fail.
    writeln!(text, "export NODE_OPTIONS='{} '\"${{NODE_OPTIONS:-}}\"", node_options(dir)).ok();
    writeln!(text, "export PYTHONPATH='{dir}/python'\"${{PYTHONPATH:+:$PYTHONPATH}}\"").ok();
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_written_and_named() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let dir = folder.path().join("a b");
        let args = |action| CarriersArgs { action };
        let early = run(&args(Action::Env { dir: dir.clone() })).expect_err("they are not there yet");
        assert!(early.contains("carriers install"), "{early}");
        for _ in 0..2 {
            let said = run(&args(Action::Install { dir: dir.clone() })).expect("a folder of ours");
            let here = dir.display();
            assert_eq!(said, format!("NODE_OPTIONS=--require \"{here}/node/raceway.cjs\"\nPYTHONPATH={here}/python\n"));
        }
        let names = |folder: &str| {
            let entries = fs::read_dir(dir.join(folder)).expect("a folder");
            let mut names: Vec<_> = entries.map(|entry| entry.expect("an entry").file_name()).collect();
            names.sort();
            names
        };
        assert_eq!(names("node"), ["raceway.cjs"]);
        assert_eq!(names("python"), ["raceway_carrier.py", "sitecustomize.py"]);
        run(&args(Action::Env { dir })).expect("they are there");
    }

    #[test]
    fn shell_lines_add_to_what_is_there() {
        let lines = shell("/opt/a b");
        let told = std::process::Command::new("sh")
            .args(["-c", &format!("{lines}printf '%s|%s' \"$NODE_OPTIONS\" \"$PYTHONPATH\"")])
            .env("NODE_OPTIONS", "--no-warnings")
            .env("PYTHONPATH", "/mine")
            .output()
            .expect("a shell");
        let told = String::from_utf8_lossy(&told.stdout).into_owned();
        assert_eq!(told, "--require \"/opt/a b/node/raceway.cjs\" --no-warnings|/opt/a b/python:/mine");
    }

    #[test]
    fn folders_that_no_variable_can_name_are_refused() {
        for dir in ["/a:b", "/a\"b", "/a$b", "/a\nb"] {
            let refused = named(Path::new(dir)).expect_err(dir);
            assert!(refused.contains("choose a folder"), "{refused}");
        }
    }
}
