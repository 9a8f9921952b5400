//! Where the sidecar's own log goes: standard error, as text for people or JSON for collectors.

use tracing_subscriber::fmt;

use crate::config::{Config, LogFormat};

/// Starts logging as configured; the first call of a process counts.
pub(crate) fn start(config: &Config) {
    let lines = fmt().with_max_level(config.log_level).with_writer(std::io::stderr).with_target(false);
    let started = match config.log_format {
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
        LogFormat::Text => lines.try_init(),
    };
    if let Err(error) = started {
        tracing::debug!(%error, "the log had been started before");
    }
}
