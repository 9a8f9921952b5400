//! The life of the process: read the settings, open the store, listen, wait for the signal, finish what is open.

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use prometheus::Registry;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::analysis::View;
use crate::config::{Config, NoConfig};
use crate::ingest::{Ingest, otlp_router};
use crate::listen::{bind, serve};
use crate::live::{Live, Warmup};
use crate::store::embedded::{Embedded, Options};
use crate::store::{Replay, SpanStore};

/// What the API is given to answer from.
#[derive(Clone)]
pub struct Parts {
    /// Where spans are.
    pub store: Arc<dyn SpanStore>,
    /// The way in, for `POST /events` ([`crate::ingest::raceway_events::router`]).
    pub ingest: Arc<Ingest>,
    /// What `/metrics` shows.
    pub registry: Registry,
    /// How far what lives in memory has been rebuilt.
    pub warmup: Arc<Warmup>,
    /// When the process started.
    pub started: Instant,
}

/// Runs the analyzer until it is told to stop.
///
/// Exit codes: 0 stopped as told, 1 failed while running, 2 bad usage or configuration, with one line per mistake.
pub fn main(args: impl Iterator<Item = OsString>) -> ExitCode {
    let config = match Config::read(args) {
        Ok(config) => config,
        Err(NoConfig::Shown(help)) => {
            let _ = help.print();
            return ExitCode::SUCCESS;
        }
        Err(NoConfig::Wrong(wrong)) => return Stopped::Usage(wrong).say(),
    };
    log(&config);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Stopped::Failed(format!("cannot start threads: {error}")).say(),
    };
    let ran = runtime.block_on(run(config));
    // What is still running now is what could not be told to end.
    runtime.shutdown_timeout(Duration::from_secs(1));
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(stopped) => stopped.say(),
    }
}

/// Why it ended before it was told to.
enum Stopped {
    /// The settings ask for what cannot be had here; one line each.
    Usage(Vec<String>),
    /// Something else failed.
    Failed(String),
}

impl Stopped {
    fn failed(error: impl ToString) -> Self {
        Self::Failed(error.to_string())
    }

    fn say(self) -> ExitCode {
        let (lines, code) = match self {
            Self::Usage(lines) => (lines, ExitCode::from(2)),
            Self::Failed(line) => (vec![line], ExitCode::FAILURE),
        };
        let mut out = io::stderr().lock();
        for line in lines {
            // Nothing can be said where even standard error is closed.
            let _ = writeln!(out, "raceway-analyzer: {line}");
        }
        code
    }
}

async fn run(config: Config) -> Result<(), Stopped> {
    let started = Instant::now();
    let stop = CancellationToken::new();
    let registry = Registry::new();
    // Asked for before anything listens: from then on a signal must not end the process in the middle of something.
    let signals = stop_on_signal(stop.clone()).map_err(Stopped::failed)?;
    let listeners = Listeners::bind(&config).await?;
    let options = Options { age_max: config.retention_age, bytes_max: config.retention_bytes, ..Options::default() };
    let store = Embedded::open(&config.data_dir, options, &registry)
        .map_err(|error| Stopped::Usage(vec![error.to_string()]))?;
    let store: Arc<dyn SpanStore> = Arc::new(store);
    let view = Arc::new(View::default());
    let warmup = Arc::new(Warmup::default());
    // Everything that was there before is replayed, everything after comes by itself: the line is drawn here.
    let replay = store.replay().map_err(Stopped::failed)?;
    view.observe_edges(&store.edges().map_err(Stopped::failed)?);
    warmup.begin(store.totals().spans);
    let ingest = Ingest::new(store.clone(), view.clone(), &registry).map_err(Stopped::failed)?;

    let parts = Parts { store: store.clone(), ingest: ingest.clone(), registry, warmup: warmup.clone(), started };
    let addresses = listeners.addresses();
    let serving = listeners.serve(crate::api::router(parts, view.clone()), otlp_router(ingest.clone()), &stop);
    let warming = std::thread::Builder::new().name("warmup".into()).spawn({
        let (view, stop) = (view.clone(), stop.clone());
        move || warm_up(replay, &*view, &warmup, &stop)
    });
    let warming = warming.map_err(Stopped::failed)?;
    tracing::info!(
        listen = %addresses.listen, otlp_grpc = %addresses.otlp_grpc, otlp_http = %addresses.otlp_http,
        data_dir = %config.data_dir.display(), "ready"
    );
    if let Some(file) = &config.ready_file {
        addresses.write(file).map_err(|error| {
            let file = file.display();
            Stopped::Usage(vec![format!("--ready-file {file} cannot be written: {error}; name a file that can")])
        })?;
    }

    serving.await;
    ingest.finish().await;
    signals.abort();
    let _ = tokio::task::spawn_blocking(move || warming.join()).await;
    // The store's writer ends with the last of those who hold it.
    drop((ingest, view, store));
    tracing::info!("stopped");
    Ok(())
}

/// The sockets, bound before the store is opened: two analyzers on one port is the commoner mistake.
struct Listeners {
    listen: TcpListener,
    otlp_grpc: TcpListener,
    otlp_http: TcpListener,
}

impl Listeners {
    async fn bind(config: &Config) -> Result<Self, Stopped> {
        let bound = tokio::join!(
            bind("--listen", config.listen),
            bind("--otlp-grpc", config.otlp_grpc),
            bind("--otlp-http", config.otlp_http),
        );
        match bound {
            (Ok(listen), Ok(otlp_grpc), Ok(otlp_http)) => Ok(Self { listen, otlp_grpc, otlp_http }),
            (a, b, c) => Err(Stopped::Usage([a.err(), b.err(), c.err()].into_iter().flatten().collect())),
        }
    }

    fn addresses(&self) -> Addresses {
        let address = |listener: &TcpListener| listener.local_addr().expect("a bound socket has an address");
        Addresses {
            listen: address(&self.listen),
            otlp_grpc: address(&self.otlp_grpc),
            otlp_http: address(&self.otlp_http),
        }
    }

    /// Serves all three until told to stop and all is finished.
    fn serve(
        self,
        api: axum::Router,
        otlp: axum::Router,
        stop: &CancellationToken,
    ) -> impl Future<Output = ()> + use<> {
        let api = tokio::spawn(serve(self.listen, api, stop.clone()));
        let grpc = tokio::spawn(serve(self.otlp_grpc, otlp.clone(), stop.clone()));
        let http = tokio::spawn(serve(self.otlp_http, otlp, stop.clone()));
        async move {
            let _ = tokio::join!(api, grpc, http);
        }
    }
}

/// The addresses that were really bound: port 0 becomes a port.
#[derive(serde::Serialize)]
struct Addresses {
    listen: SocketAddr,
    otlp_grpc: SocketAddr,
    otlp_http: SocketAddr,
}

impl Addresses {
    /// Written whole or not at all: whoever waits for the file reads it the moment it is there.
    fn write(&self, file: &Path) -> io::Result<()> {
        let mut unfinished = file.as_os_str().to_owned();
        unfinished.push(".unfinished");
        std::fs::write(&unfinished, serde_json::to_vec(self)?)?;
        std::fs::rename(unfinished, file)
    }
}

/// Shows the live view everything that an earlier process kept.
fn warm_up(replay: Replay, view: &dyn Live, warmup: &Warmup, stop: &CancellationToken) {
    for portion in replay {
        match portion {
            Ok(spans) => {
                view.observe(&spans);
                warmup.advance(spans.len() as u64);
            }
            Err(error) => {
                tracing::error!(%error, "the past could not be read to its end; figures are of what was read");
                break;
            }
        }
        if stop.is_cancelled() {
            return;
        }
    }
    warmup.finish();
}

/// Ends the process in order at the first signal, and at once at the second.
fn stop_on_signal(stop: CancellationToken) -> io::Result<tokio::task::JoinHandle<()>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(tokio::spawn(async move {
        for last in [false, true] {
            let name = tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            };
            if last {
                tracing::warn!(signal = name, "stopping at once");
                std::process::exit(1);
            }
            tracing::info!(signal = name, "stopping");
            stop.cancel();
        }
    }))
}

/// Logs go to stderr: stdout is for those who call us from a program.
fn log(config: &Config) {
    // fjall tells of every compaction.
    let filter = format!("{},fjall=warn,lsm_tree=warn", config.log);
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(io::stderr().is_terminal());
    let set = if config.log_json { builder.json().try_init() } else { builder.try_init() };
    if let Err(error) = set {
        // Whoever called us from a program has a log already.
        tracing::debug!(%error, "logs go where they went before");
    }
}
