//! Running the system's own tools.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::InterceptError;

/// A program found on this host.
#[derive(Clone, Debug)]
pub(super) struct Tool {
    name: &'static str,
    path: PathBuf,
}

/// What a tool said.
pub(super) struct Said {
    pub(super) success: bool,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

impl Tool {
    /// Looks in PATH, then where administrators' tools lie, which the PATH of other users leaves out.
    pub(super) fn find(name: &'static str) -> Option<Self> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
        let path = folders.map(|folder| folder.join(name)).find(|path| path.is_file())?;
        Some(Self { name, path })
    }

    /// Runs it with `input` on its stdin, in plain English.
    pub(super) fn run(&self, args: &[&str], input: &str) -> Result<Said, InterceptError> {
        let failed = |error: std::io::Error| InterceptError::Failed {
            command: self.path.display().to_string(),
            said: error.to_string(),
            advice: "see whether it can be run by hand",
        };
        let mut command = Command::new(&self.path);
        command.args(args).env("LC_ALL", "C");
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(failed)?;
        if let Some(mut stdin) = child.stdin.take() {
            // A tool that ends before it has read everything says why itself.
            let _ = stdin.write_all(input.as_bytes());
        }
        let output = child.wait_with_output().map_err(failed)?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(Said { success: output.status.success(), stdout: text(&output.stdout), stderr: text(&output.stderr) })
    }

    /// Runs it; what it prints, or an error with what it said.
    pub(super) fn must(&self, args: &[&str], input: &str) -> Result<String, InterceptError> {
        let said = self.run(args, input)?;
        if said.success { Ok(said.stdout) } else { Err(self.failed(args, &said.stderr)) }
    }

    /// The error for a run that failed with these words.
    pub(super) fn failed(&self, args: &[&str], said: &str) -> InterceptError {
        let said = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" / ");
        let denied = ["ermission denied", "not permitted"].iter().any(|word| said.contains(word));
        let advice = if denied {
            "the namespace's owner has to allow it: NET_ADMIN and NET_RAW are needed in the user namespace that owns \
             the network"
        } else if ["o such file or directory", "not supported", "No chain/target/match", "does not exist"]
            .iter()
            .any(|word| said.contains(word))
        {
            "the kernel may lack a module (nf_nat, nft_redir, nft_fib, xt_owner, xt_addrtype, xt_REDIRECT; for \
             --inbound-source caller nft_tproxy, nft_ct, xt_TPROXY, xt_connmark); try the \
             other --backend, or --ipv6 off"
        } else {
            "look at what --dry-run prints"
        };
        InterceptError::Failed { command: format!("{} {}", self.name, args.join(" ")), said, advice }
    }
}
