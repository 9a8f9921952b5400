//! Where the sidecar's own log goes: standard error, as text for people or JSON for collectors.

use std::io::IsTerminal;
use std::sync::OnceLock;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, fmt, reload};

use crate::config::{Config, LogFormat};

/// What changes the level while the process runs; empty where somebody else started the log.
static LEVEL: OnceLock<reload::Handle<LevelFilter, Registry>> = OnceLock::new();

/// Starts logging as configured; the first call of a process counts.
pub(crate) fn start(config: &Config) {
    let (level, handle) = reload::Layer::new(config.log_level);
    // Colours are for people, not for files and collectors; see no-color.org.
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let lines = fmt::layer().with_writer(std::io::stderr).with_target(false).with_ansi(colours);
    let log = tracing_subscriber::registry().with(level);
    let started = match config.log_format {
        LogFormat::Json => log.with(lines.json().flatten_event(true)).try_init(),
        LogFormat::Text => log.with(lines).try_init(),
    };
    match started {
        Ok(()) => drop(LEVEL.set(handle)),
        Err(error) => tracing::debug!(%error, "the log had been started before"),
    }
}

/// Shows more or less from now on; false where the log is not this module's.
pub(crate) fn set_level(level: LevelFilter) -> bool {
    LEVEL.get().is_some_and(|handle| handle.modify(|shown| *shown = level).is_ok())
}
