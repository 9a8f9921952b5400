//! The life of the process: read the settings, listen, serve until told to stop, finish what is open, send what is
//! left.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use clap::Parser;
use raceway_analyzer_client::{Exporter, Settings, SpillFolder};
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::admin::{Admin, Parts, client};
use crate::certificates::Certificates;
use crate::config::{Args, Command, Config, Unusable, example, one_line};
use crate::drain::Drain;
use crate::edges::Edges;
use crate::listen::Unbound;
use crate::metrics::Metrics;
use crate::ready::Addresses;
use crate::serve::Way;
use crate::sidecar::Sidecar;
use crate::threads::{Requests, Thread};
use crate::upstream::{Dialer, Target};
use crate::{carriers, intercept, listen, log, serve, transparent, upstream};

/// How long nothing must be in flight before a stopping sidecar ends: a few times what a caller on a kept-alive
/// connection takes from one request to the next, and short enough for people who wait.
const QUIET: Duration = Duration::from_millis(250);

/// How long the last spans may take to reach the analyzer once everything else has ended.
const FLUSH_MAX: Duration = Duration::from_secs(5);

/// Runs a sidecar with the given command line, program name first. Ends with 0 after SIGTERM or SIGINT, 1 when
/// something failed while running, 2 when the settings are wrong or an address cannot be bound.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    match Args::try_parse_from(&args).map(|args| args.command) {
        Ok(None) => {}
        Ok(Some(Command::Intercept(args))) => return intercept::main(args),
        Ok(Some(Command::Carriers(args))) => {
            return asked(carriers::run(&args).map_err(client::Failed::Usage));
        }
        Ok(Some(Command::Config { example: true, .. })) => return print(&example()),
        Ok(Some(Command::Config { reach, .. })) => return asked(client::ask(&reach, "GET", "/config", "")),
        Ok(Some(Command::Edges(reach))) => return asked(client::ask(&reach, "GET", "/edges", "")),
        Ok(Some(Command::LogLevel { level, reach })) => {
            return asked(client::ask(&reach, "POST", "/log-level", &level));
        }
        Ok(Some(Command::Quit(reach))) => return asked(client::ask(&reach, "POST", "/quit", "")),
        Err(error) => return told(&error),
    }
    let config = match Config::read(args) {
        Ok(config) => config,
        Err(Unusable::CommandLine(error)) => return told(&error),
        Err(Unusable::Settings(errors)) => return usage(errors),
    };
    log::start(&config);
    match run(config) {
        Ok(()) => {
            tracing::info!("stopped");
            ExitCode::SUCCESS
        }
        Err(Stopped::Usage(problems)) => usage(problems),
        Err(Stopped::Failed(error)) => {
            tracing::error!(error = %error, "stopped");
            ExitCode::FAILURE
        }
    }
}

/// Prints help that was asked for, or says in a line what is wrong with the command line.
fn told(error: &clap::Error) -> ExitCode {
    if error.use_stderr() {
        return usage(vec![one_line(error)]);
    }
    // Nothing can be said where even standard output is closed.
    let _ = error.print();
    ExitCode::SUCCESS
}

/// What a running sidecar answered.
fn asked(answer: Result<String, client::Failed>) -> ExitCode {
    match answer {
        Ok(text) => print(&text),
        Err(client::Failed::Usage(problem)) => usage(vec![problem]),
        Err(client::Failed::Asking(problem)) => {
            usage(vec![problem]);
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stdout, reason = "it was asked for")]
fn print(text: &str) -> ExitCode {
    print!("{text}");
    ExitCode::SUCCESS
}

/// Why a sidecar ended before it was told to.
enum Stopped {
    /// The settings ask for what cannot be had here.
    Usage(Vec<String>),
    Failed(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for Stopped {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

#[expect(clippy::print_stderr, reason = "before there is a log, this is where mistakes are told")]
fn usage(problems: Vec<impl std::fmt::Display>) -> ExitCode {
    for problem in problems {
        eprintln!("raceway-proxy: {problem}");
    }
    ExitCode::from(2)
}

fn run(config: Config) -> Result<(), Stopped> {
    // Requests have threads of their own: neither a scrape nor the exporter's work shows in their times.
    let background = Thread::start("export")?;
    let requests = Requests::start(config.threads)?;
    // The first of them is this one.
    let here = Builder::new_current_thread().enable_all().build()?;
    let ended = here.block_on(serve_until_stopped(config, &background, &requests));
    // Looking up a name cannot be interrupted; the process does not wait for it.
    here.shutdown_background();
    ended
}

async fn serve_until_stopped(mut config: Config, background: &Thread, requests: &Requests) -> Result<(), Stopped> {
    let quit = Arc::new(Notify::new());
    let mut signals = Signals::register(Arc::clone(&quit))?;
    let listeners = Listeners::bind(&config).await.map_err(Stopped::Usage)?;
    // After the listeners, so that a mistake in an address is the one line told.
    config.connections_max = listen::connections_for(listen::raise_open_files(), config.connections_max);
    let edges = Edges::new(SystemTime::now());
    let mut settings = Settings::new(config.analyzer.clone(), config.identity.resource());
    settings.queue_bytes_max = config.queue_bytes;
    settings.edges = Some(edges.calls.clone());
    if let Some(folder) = &config.spill_dir {
        let spill = SpillFolder::open(folder, config.spill_max);
        settings.spill = Some(spill.map_err(|error| Stopped::Usage(vec![format!("--spill-dir: {error}")]))?);
    }
    let exporter = Exporter::start_on(settings, background.handle());
    let metrics = Arc::new(Metrics::new());
    let drain = Drain::new();
    metrics.watch_exporter(exporter.clone());
    metrics.watch_drain(drain.clone());
    metrics.watch_threads(requests.spread());
    let admin = match (config.admin, &config.control) {
        (None, None) => None,
        _ => {
            let parts = Parts { metrics: Arc::clone(&metrics), drain: drain.clone(), edges: edges.clone(), quit };
            Some(Admin::start(&config, parts).map_err(|problem| Stopped::Usage(vec![problem]))?)
        }
    };
    let addresses = listeners.addresses(admin.as_ref())?;
    let own = addresses.inbound.iter().chain(&addresses.routes).chain(&addresses.outbound).copied().collect();
    let certificates = Certificates::load(&config).map_err(|error| Stopped::Usage(vec![error.to_string()]))?;
    let mut dialer = Dialer::new(config.connect_timeout, own, config.redirected.is_some());
    if let Some(client) = certificates.client() {
        dialer = dialer.with_tls(client, metrics.outbound_handshakes());
    }
    let termination = certificates.termination(&config, &metrics);
    let mut watching = JoinSet::new();
    watching.spawn_on(certificates.watch(&metrics), background.handle());
    let (grace, ready_file) = (config.grace, config.ready_file.clone());
    let sidecar = Sidecar::new(config, metrics, exporter.clone(), edges, dialer, drain.clone(), termination);
    let sidecar = Arc::new(sidecar.on(requests.spread()));
    let mut accepting = listeners.serve(&sidecar);
    tracing::info!(service = &*sidecar.config.identity.service, analyzer = %sidecar.config.analyzer, listening = addresses.summary(), threads = requests.count(), "serving");
    for warning in &sidecar.config.warnings {
        tracing::warn!("{warning}");
    }
    if let Some(path) = ready_file {
        addresses.write(&path).map_err(|error| Stopped::Usage(vec![format!("--ready-file: {error}")]))?;
    }
    if let Some(admin) = &admin {
        admin.ready();
    }

    let signal = signals.next().await;
    tracing::info!(signal, ?grace, "stopping: requests in flight are finished first");
    drain.begin();
    let finished = async {
        let deadline = Instant::now() + grace;
        let mut left = drain.wait_idle(deadline).await;
        // Nothing in flight for a moment is not the end: callers have connections open, and learn from the next answer
        // that they should go elsewhere.
        while left == 0 && Instant::now() < deadline {
            tokio::time::sleep(QUIET).await;
            if drain.open() == 0 {
                break;
            }
            left = drain.wait_idle(deadline).await;
        }
        if left > 0 {
            tracing::warn!(left, "requests were still open at the end of the grace period");
        }
        // Waited for, so that what is still open records its spans before the exporter is stopped.
        drain.end();
        while accepting.join_next().await.is_some() {}
        let stats = exporter.stop(FLUSH_MAX).await;
        for stats in stats.iter().filter(|stats| stats.dropped.stopped > 0) {
            tracing::warn!(spans = stats.dropped.stopped, "spans could not be sent before the end");
        }
    };
    tokio::select! {
        () = finished => {}
        signal = signals.next() => tracing::warn!(signal, "a second signal: stopping at once"),
    }
    Ok(())
}

/// The signals that ask for an end.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// `POST /quit`.
    quit: Arc<Notify>,
}

impl Signals {
    fn register(quit: Arc<Notify>) -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())?, quit })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
            () = self.quit.notified() => "quit",
        }
    }
}

/// Everything that takes connections, bound.
struct Listeners {
    inbound: Vec<(TcpListener, Target, bool)>,
    outbound: Option<TcpListener>,
    routes: Vec<(TcpListener, Target)>,
    redirected: Vec<(TcpListener, Way)>,
}

impl Listeners {
    /// Binds all of them, or says of each that cannot be bound what to do.
    async fn bind(config: &Config) -> Result<Self, Vec<String>> {
        let mut unbound = Unbound::default();
        let mut bind = |flag: &str, address: SocketAddr| {
            listen::bind(address).map_err(|error| unbound.add(flag, address, &error)).ok()
        };
        let mut bound = Self {
            inbound: (config.inbound.iter())
                .filter_map(|inbound| Some((bind("--inbound", inbound.listen)?, Target::from(inbound), inbound.http2)))
                .collect(),
            outbound: config.outbound.and_then(|address| bind("--outbound", address)),
            routes: (config.routes.iter())
                .filter_map(|route| Some((bind("--route", route.listen)?, Target::from(route))))
                .collect(),
            redirected: Vec::new(),
        };
        if config.keeps_callers()
            && let Err(error) = upstream::may_bear_callers_addresses()
        {
            let mut lines = unbound.into_lines();
            lines.push(format!("--inbound-source caller: {error}"));
            return Err(lines);
        }
        let redirected = config
            .redirected
            .iter()
            .flat_map(|it| [("--inbound", it.inbound, Way::Inbound), ("--outbound", it.outbound, Way::Outbound)]);
        for (flag, address, way) in redirected {
            let Some(address) = address else { continue };
            let as_they_are = way == Way::Inbound && config.keeps_callers();
            match transparent::bind(address, as_they_are) {
                Ok(listeners) => bound.redirected.extend(listeners.into_iter().map(|listener| (listener, way))),
                Err(error) => unbound.add(flag, address, &error),
            }
        }
        if unbound.is_empty() {
            return Ok(bound);
        }
        // Bound later; but who is told of one port that is taken wants to know of this one too.
        if let Some(admin) = config.admin
            && let Err(error) = listen::bind(admin)
        {
            unbound.add("--admin", admin, &error);
        }
        Err(unbound.into_lines())
    }

    fn addresses(&self, admin: Option<&Admin>) -> std::io::Result<Addresses> {
        let of = |listeners: &mut dyn Iterator<Item = &TcpListener>| -> std::io::Result<Vec<SocketAddr>> {
            listeners.map(TcpListener::local_addr).collect()
        };
        let mut inbound = of(&mut self.inbound.iter().map(|(listener, ..)| listener))?;
        let mut outbound = self.outbound.as_ref().map(TcpListener::local_addr).transpose()?;
        for (listener, way) in &self.redirected {
            match way {
                Way::Inbound => inbound.push(listener.local_addr()?),
                // Its twin in the other protocol has the same port.
                Way::Outbound => outbound = outbound.or(Some(listener.local_addr()?)),
            }
        }
        let routes = of(&mut self.routes.iter().map(|(listener, _)| listener))?;
        let control = admin.and_then(Admin::control);
        Ok(Addresses { inbound, outbound, routes, admin: admin.and_then(Admin::address), control })
    }

    /// Accepts on all of them until the set is shut down.
    fn serve(self, sidecar: &Arc<Sidecar>) -> JoinSet<()> {
        let mut accepting = JoinSet::new();
        for (listener, target, http2) in self.inbound {
            accepting.spawn(serve::inbound(Arc::clone(sidecar), listener, target, http2));
        }
        for (listener, target) in self.routes {
            accepting.spawn(serve::route(Arc::clone(sidecar), listener, target));
        }
        for (listener, way) in self.redirected {
            accepting.spawn(transparent::redirected(Arc::clone(sidecar), listener, way));
        }
        if let Some(listener) = self.outbound {
            accepting.spawn(serve::forward_proxy(Arc::clone(sidecar), listener));
        }
        accepting
    }
}
