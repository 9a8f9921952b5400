//! Processes that we start, wait for, and end: nothing outlives us, nothing is found by name.
//!
//! A [`Child`] holds the writing end of a pipe that the child reads as its stdin. [`end_with_parent`], called first
//! thing in the child, ends it when that pipe closes, which the system does for us even when we are killed.

use std::ffi::OsStr;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, getpid, kill_process};
use serde::de::DeserializeOwned;
use tokio::io::AsyncWriteExt;
use tokio::process::{ChildStdout, Command};
use tokio::time::{Instant, sleep, timeout};

/// How long a child may take until it listens. Debug builds on a busy machine need seconds.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// Pause between looks at the ready-file: short beside the start of a process, long beside a look.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// How long a child that was told to end by a closed stdin may take before it ends at once.
const ORPHAN_GRACE: Duration = Duration::from_secs(5);

/// Ends this process when its stdin closes: by SIGTERM to itself, and for good if that takes too long.
///
/// What comes in on stdin is dropped: a process that wants some of it reads that first.
pub fn end_with_parent() {
    watch_stdin(true);
}

/// Like [`end_with_parent`], without the grace: for processes that have nothing to finish.
pub fn end_now_with_parent() {
    watch_stdin(false);
}

fn watch_stdin(gracefully: bool) {
    let watch = move || {
        let mut scratch = [0; 256];
        let mut stdin = std::io::stdin();
        while !matches!(stdin.read(&mut scratch), Ok(0) | Err(_)) {}
        if gracefully {
            let _ = kill_process(getpid(), Signal::TERM);
            std::thread::sleep(ORPHAN_GRACE);
        }
        std::process::exit(1);
    };
    // Without the thread the process would outlive a killed parent, which is bad, but no reason not to work.
    let _ = std::thread::Builder::new().name("watch-parent".into()).spawn(watch);
}

/// Why a child is of no use.
#[derive(Debug, thiserror::Error)]
pub enum ChildError {
    /// It could not be started.
    #[error("{name} could not be started: {source}")]
    Start {
        /// Which child.
        name: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// It ended before it was ready, or while it was needed.
    #[error("{name} ended unexpectedly ({status}): {last_words}")]
    Ended {
        /// Which child.
        name: String,
        /// How.
        status: ExitStatus,
        /// The last lines it wrote.
        last_words: String,
    },
    /// It runs, and is not ready.
    #[error("{name} was not ready after {READY_WITHIN:?}: {last_words}")]
    Slow {
        /// Which child.
        name: String,
        /// The last lines it wrote.
        last_words: String,
    },
    /// It did not end when told to; it was killed.
    #[error("{name} did not end within {patience:?} and was killed: {last_words}")]
    Hung {
        /// Which child.
        name: String,
        /// How long it was given.
        patience: Duration,
        /// The last lines it wrote.
        last_words: String,
    },
}

impl ChildError {
    /// The exit code of a child that ended too early.
    pub fn exit_code(&self) -> Option<i32> {
        match self {
            Self::Ended { status, .. } => status.code(),
            Self::Start { .. } | Self::Slow { .. } | Self::Hung { .. } => None,
        }
    }
}

/// Where a child's stdout goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stdout {
    /// To the log file, beside its stderr.
    Log,
    /// To [`Child::take_stdout`]. Somebody has to read it, or the child stops when the pipe is full.
    Pipe,
}

/// A process of ours.
#[derive(Debug)]
pub struct Child {
    name: String,
    process: tokio::process::Child,
    stdin: Option<tokio::process::ChildStdin>,
    log: PathBuf,
    ready_file: PathBuf,
}

impl Child {
    /// Starts `command`, with `--ready-file FILE` after its arguments; what it writes goes to a log file in `folder`.
    ///
    /// The child gets no `RACEWAY_*` and `OTEL_*` variable of ours: only its arguments say what it does. It is in a
    /// process group of its own, so that Ctrl-C in the terminal reaches us and we end it in order.
    pub fn start(
        command: &Path,
        args: impl IntoIterator<Item = impl AsRef<OsStr>>,
        name: &str,
        folder: &Path,
        stdout: Stdout,
    ) -> Result<Self, ChildError> {
        let refused = |source| ChildError::Start { name: name.to_owned(), source };
        let log = folder.join(format!("{name}.log"));
        let ready_file = folder.join(format!("{name}.ready.json"));
        // A child of the same name may have been here before: its readiness is not this one's.
        match std::fs::remove_file(&ready_file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(refused(error)),
            _ => {}
        }
        let stderr = std::fs::File::options().create(true).append(true).open(&log).map_err(refused)?;
        let stdout = match stdout {
            Stdout::Log => Stdio::from(stderr.try_clone().map_err(refused)?),
            Stdout::Pipe => Stdio::piped(),
        };
        let mut command = Command::new(command);
        for (key, _) in std::env::vars_os() {
            if key.to_str().is_some_and(|key| key.starts_with("RACEWAY_") || key.starts_with("OTEL_")) {
                command.env_remove(key);
            }
        }
        let mut process = command
            .args(args)
            .arg("--ready-file")
            .arg(&ready_file)
            .stdin(Stdio::piped())
            .stdout(stdout)
            .stderr(stderr)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(refused)?;
        let stdin = process.stdin.take();
        Ok(Self { name: name.to_owned(), process, stdin, log, ready_file })
    }

    /// Which child this is.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process id, while it runs.
    pub fn id(&self) -> Option<u32> {
        self.process.id()
    }

    /// What it writes to stdout, if that is a pipe; to be taken once.
    pub fn take_stdout(&mut self) -> Option<ChildStdout> {
        self.process.stdout.take()
    }

    /// Waits until the child says that it is ready, and returns what it said.
    pub async fn ready<T: DeserializeOwned>(&mut self) -> Result<T, ChildError> {
        let until = Instant::now() + READY_WITHIN;
        loop {
            // The file appears by rename, so what is there is whole.
            if let Ok(text) = tokio::fs::read(&self.ready_file).await
                && let Ok(said) = serde_json::from_slice(&text)
            {
                return Ok(said);
            }
            if let Ok(Some(status)) = self.process.try_wait() {
                return Err(self.ended(status));
            }
            if Instant::now() > until {
                return Err(ChildError::Slow { name: self.name.clone(), last_words: self.last_words() });
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// Sends a line to its stdin.
    pub async fn tell(&mut self, line: &str) -> Result<(), ChildError> {
        let Some(stdin) = &mut self.stdin else { return Ok(()) };
        let sent = async {
            stdin.write_all(line.as_bytes()).await?;
            stdin.write_all(b"\n").await?;
            stdin.flush().await
        };
        sent.await.map_err(|source| ChildError::Start { name: self.name.clone(), source })
    }

    /// Fails if it has ended, which it should not while it is needed.
    pub fn check(&mut self) -> Result<(), ChildError> {
        match self.process.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(self.ended(status)),
            Err(source) => Err(ChildError::Start { name: self.name.clone(), source }),
        }
    }

    /// Asks it to end (SIGTERM) and waits; after `patience` it is killed.
    pub async fn stop(mut self, patience: Duration) -> Result<ExitStatus, ChildError> {
        self.signal(Signal::TERM);
        match timeout(patience, self.process.wait()).await {
            Ok(Ok(status)) => Ok(status),
            Ok(Err(source)) => Err(ChildError::Start { name: self.name, source }),
            Err(_) => {
                let _ = self.process.kill().await;
                Err(ChildError::Hung { last_words: self.last_words(), name: self.name, patience })
            }
        }
    }

    /// Kills it (SIGKILL): it gets no chance to finish anything.
    pub async fn kill(mut self) {
        let _ = self.process.kill().await;
    }

    /// Where what it writes goes.
    pub fn log_file(&self) -> &Path {
        &self.log
    }

    /// Everything it wrote so far.
    pub fn log(&self) -> String {
        std::fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = self.process.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) {
            // It may have ended by itself in the meantime: that is what we want anyway.
            let _ = kill_process(pid, signal);
        }
    }

    fn ended(&self, status: ExitStatus) -> ChildError {
        ChildError::Ended { name: self.name.clone(), status, last_words: self.last_words() }
    }

    fn last_words(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let last = lines.get(lines.len().saturating_sub(3)..).unwrap_or_default();
        if last.is_empty() { "it wrote nothing".to_owned() } else { last.join(" | ") }
    }
}
