//! `raceway demo`: five services that know nothing of tracing, a sidecar beside each, an analyzer, and customers.
//!
//! Everything is real: separate processes, sockets, OTLP, the analyzer's REST API. [`shop`] says what is played,
//! [`service`] is one service's process, [`stage`] starts and ends the processes, [`load`] sends customers, [`truth`]
//! keeps what the services say they did, [`audit`] compares it with what the analyzer has, [`summary`] shows it.

mod audit;
mod load;
pub(crate) mod service;
mod shop;
mod stage;
mod summary;
mod truth;

use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use raceway_analyzer::api::types::Status;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::child::ChildError;
use crate::client::ClientError;
use crate::say::{self, Say};
use load::{Load, Tally};
use stage::Stage;
use summary::Summary;

/// See it work: five services behind sidecars, traffic, and the analyzer's page
#[derive(Clone, Debug, clap::Args)]
#[command(long_about = LONG_ABOUT)]
pub struct Settings {
    /// Stop after so many seconds and print the summary [default: at Ctrl-C]
    #[arg(long, env = "RACEWAY_SECONDS", value_name = "N", value_parser = seconds)]
    pub seconds: Option<u32>,

    /// Purchases per second on average; they arrive by chance. The higher, the more are in flight at once, and the
    /// fewer calls can be told apart
    // 10: with answers after 15 to 30 ms a purchase is seldom in flight beside another, so that even on a busy machine
    // well over half of the calls have one possible cause.
    #[arg(long, env = "RACEWAY_RATE", value_name = "R", default_value = "10", value_parser = rate)]
    pub rate: f64,

    /// Purchases in flight at once, at most; more customers wait outside
    // 4: chance seldom brings more together at the default rate, and a hiccup of the machine cannot pile them up.
    #[arg(
        long,
        env = "RACEWAY_CONCURRENCY",
        value_name = "C",
        default_value = "4",
        value_parser = concurrency
    )]
    pub concurrency: u32,

    /// Keep the spans in this folder, for `raceway-analyzer --data-dir` later [default: a temporary one, removed]
    #[arg(long, env = "RACEWAY_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,

    /// Address of the analyzer's page and API; port 0 takes any free one
    #[arg(long, env = "RACEWAY_LISTEN", value_name = "ADDR", default_value = "127.0.0.1:8080", value_parser = address)]
    pub listen: SocketAddr,

    /// Print the summary as one JSON object on stdout
    #[arg(long, env = "RACEWAY_JSON")]
    pub json: bool,
}

const LONG_ABOUT: &str = "\
See it work: five services behind sidecars, traffic, and the analyzer's page

Starts an analyzer and five small web services, each behind a sidecar of its own, and sends customers:
  checkout:  frontend -> api -> auth, then api -> order -> payment
  refund:    frontend -> api -> payment
The services contain no tracing code and forward no header. Open the printed address to see what the \
sidecars found out; under Insights is the graph of who calls whom.

At the end (--seconds, or Ctrl-C) a summary says how many calls there were, how slow they were and what \
the time went into. The services keep a log that no sidecar sees; by it the summary also says how many \
calls were ascribed to another request than the one that caused them, and whether a span was lost.";

fn seconds(text: &str) -> Result<u32, String> {
    text.parse().ok().filter(|&seconds| seconds > 0).ok_or_else(|| "a whole number of seconds, 1 or more".to_owned())
}

fn concurrency(text: &str) -> Result<u32, String> {
    let known = text.parse().ok().filter(|count| (1..=10_000).contains(count));
    known.ok_or_else(|| "a whole number, 1 to 10000".to_owned())
}

/// As the analyzer reads its own: a name is looked up, and its first address taken.
fn address(text: &str) -> Result<SocketAddr, String> {
    let found = text.to_socket_addrs().ok().and_then(|mut found| found.next());
    found.ok_or_else(|| "an address is HOST:PORT, as in localhost:8080".to_owned())
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if (0.1..=100_000.0).contains(&rate) => Ok(rate),
        _ => Err("a number of purchases per second, 0.1 to 100000".to_owned()),
    }
}

/// Why there is no summary.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// The command line asks for something that cannot be.
    #[error("{0}")]
    Usage(String),
    /// A process of ours is of no use.
    #[error(transparent)]
    Child(#[from] ChildError),
    /// The analyzer did not answer.
    #[error(transparent)]
    Analyzer(#[from] ClientError),
    /// The machine refuses something ordinary.
    #[error("{what}: {source}")]
    System { what: &'static str, source: std::io::Error },
    /// Told to stop a second time.
    #[error("stopped before the summary was ready")]
    Interrupted,
}

impl Failure {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Usage(_) => ExitCode::from(2),
            // The analyzer found something wrong with what we passed on to it.
            Self::Child(error) if error.exit_code() == Some(2) => ExitCode::from(2),
            Self::Child(_) | Self::Analyzer(_) | Self::System { .. } | Self::Interrupted => ExitCode::FAILURE,
        }
    }
}

/// Runs the demo: 0 if all went well, 1 if a request failed or a span was lost, 2 for settings that cannot be.
pub(crate) fn run(settings: Settings) -> ExitCode {
    let played = check(&settings).and_then(|()| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|source| Failure::System { what: "starting the demo", source })?;
        runtime.block_on(play(&settings))
    });
    let summary = match played {
        Ok(summary) => summary,
        Err(failure) => {
            say::complaint(&failure);
            return failure.exit_code();
        }
    };
    say::result(if settings.json { summary.json() } else { summary.to_string() });
    match summary.complaint() {
        None => ExitCode::SUCCESS,
        Some(complaint) => {
            say::complaint(complaint);
            ExitCode::FAILURE
        }
    }
}

/// Looks at what most often goes wrong, where it can still be said in the words of our own flags.
fn check(settings: &Settings) -> Result<(), Failure> {
    TcpListener::bind(settings.listen).map_err(|error| {
        let listen = settings.listen;
        Failure::Usage(format!(
            "cannot listen on {listen}: {error}; choose another address with --listen (127.0.0.1:0 takes any free port)"
        ))
    })?;
    settings.data_dir.as_deref().map_or(Ok(()), writable)
}

fn writable(folder: &Path) -> Result<(), Failure> {
    let probe = std::fs::create_dir_all(folder).and_then(|()| tempfile::tempfile_in(folder).map(drop));
    probe.map_err(|error| {
        let folder = folder.display();
        Failure::Usage(format!(
            "cannot write to {folder}: {error}; choose another folder with --data-dir, or leave it out for a temporary one"
        ))
    })
}

/// From the first process to the summary.
async fn play(settings: &Settings) -> Result<Summary, Failure> {
    let mut interrupts = Interrupts::listen()?;
    let mut say = Say::new();
    let began = SystemTime::now();
    say.line("starting the analyzer, five services and their sidecars …");
    let mut stage = tokio::select! {
        stage = Stage::start(settings) => stage?,
        () = interrupts.next() => return Err(Failure::Interrupted),
    };
    say.line(format_args!("the page: {}", stage.url()));
    say.line(match settings.seconds {
        Some(seconds) => format!("customers come for {seconds} s; Ctrl-C ends it sooner"),
        None => "customers come until Ctrl-C".to_owned(),
    });

    let tally = Arc::new(Tally::default());
    let took = drive(settings, &mut stage, &tally, &mut interrupts, &mut say).await?;

    say.line("the last customers are served; comparing what was stored with what the services did …");
    let summary = async {
        let url = stage.url();
        let (ended, truth) = stage.end_services().await?;
        let audit = audit::audit(ended.client(), &truth, began).await?;
        let summary = summary::collect(ended.client(), url, took, &tally, &truth, audit, began).await?;
        ended.end().await?;
        Ok(summary)
    };
    tokio::select! {
        summary = summary => summary,
        () = interrupts.next() => Err(Failure::Interrupted),
    }
}

/// How often progress is shown where it is written over, and where every time is a line.
const PROGRESS_EVERY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(5));
/// How often it is made sure that all processes are still there.
const CHECK_EVERY: Duration = Duration::from_millis(250);

/// Sends customers until the time is over or somebody says stop; returns how long that was.
async fn drive(
    settings: &Settings,
    stage: &mut Stage,
    tally: &Arc<Tally>,
    interrupts: &mut Interrupts,
    say: &mut Say,
) -> Result<Duration, Failure> {
    let start = Instant::now();
    let (stop, mut stopped) = watch::channel(());
    let mut load = Load::new(stage.frontend(), settings.rate, settings.concurrency, tally.clone());
    let load = tokio::spawn(async move {
        tokio::select! {
            never = load.run() => match never {},
            _ = stopped.changed() => {}
        }
        load.finish().await;
    });

    let every = if say.is_terminal() { PROGRESS_EVERY.0 } else { PROGRESS_EVERY.1 };
    let mut progress = interval(every);
    progress.set_missed_tick_behavior(MissedTickBehavior::Delay);
    progress.reset();
    let mut check = interval(CHECK_EVERY);
    check.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let over = async {
        match settings.seconds {
            Some(seconds) => sleep_until(start + Duration::from_secs(seconds.into())).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(over);
    loop {
        tokio::select! {
            () = &mut over => break,
            () = interrupts.next() => break,
            _ = check.tick() => stage.check()?,
            _ = progress.tick() => {
                // The page and the summary say what is wrong if the analyzer does not answer; this is only a glance.
                let status: Option<Status> = stage.client().get("/status").await.ok();
                say.progress(glance(start.elapsed(), tally, status.as_ref()));
            }
        }
    }
    say.end_progress();
    let took = start.elapsed();
    // Without the receiver there is no task either.
    let _ = stop.send(());
    tokio::select! {
        ended = load => ended.map_err(|error| Failure::System { what: "sending customers", source: error.into() })?,
        () = interrupts.next() => return Err(Failure::Interrupted),
    }
    Ok(took)
}

/// The progress line.
fn glance(elapsed: Duration, tally: &Tally, status: Option<&Status>) -> String {
    let sent = tally.sent();
    let mut line = format!(
        "{:>4.0} s  {:.1} requests/s  {sent} requests  {} failed",
        elapsed.as_secs_f64(),
        sent as f64 / elapsed.as_secs_f64().max(0.001),
        tally.failed(),
    );
    if let Some(Status { spans, links, .. }) = status {
        let calls = links.certain + links.likely + links.unlinked;
        let linked = (links.certain + links.likely) as f64 * 100.0 / (calls.max(1)) as f64;
        line += &format!("  {spans} spans  {linked:.0} % of {calls} calls linked");
    }
    line
}

/// Ctrl-C, SIGTERM, and the terminal going away.
struct Interrupts {
    ctrl_c: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Interrupts {
    fn listen() -> Result<Self, Failure> {
        let listen = |kind| signal(kind).map_err(|source| Failure::System { what: "listening for signals", source });
        Ok(Self {
            ctrl_c: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hang_up: listen(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.ctrl_c.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hang_up.recv() => {}
        }
    }
}
