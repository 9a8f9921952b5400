//! The life of the process: read the settings, open the store, listen, wait for the signal, finish what is open.

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use clap::Parser;

use crate::config::Config;
use crate::ingest::Ingest;
use crate::live::Warmup;
use crate::store::SpanStore;

/// What the API is given to answer from.
#[derive(Clone)]
pub struct Parts {
    /// Where spans are.
    pub store: Arc<dyn SpanStore>,
    /// The way in, for `POST /events` ([`crate::ingest::raceway_events::router`]).
    pub ingest: Arc<Ingest>,
    /// What `/metrics` shows.
    pub registry: prometheus::Registry,
    /// How far what lives in memory has been rebuilt.
    pub warmup: Arc<Warmup>,
    /// When the process started.
    pub started: Instant,
}

/// Runs the analyzer until it is told to stop.
pub fn main(args: impl Iterator<Item = OsString>) -> ExitCode {
    let config = Config::parse_from(args);
    let _ = config;
    ExitCode::SUCCESS
}
