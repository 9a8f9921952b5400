//! The task behind one endpoint: decides what is sent next, and what a failure means for it.
//!
//! [`Worker::run`] is its whole life. Nothing here holds spans for long: a batch that fails goes back to where it came from.

use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;
use tokio::time::sleep_until;

use crate::client::{Client, NoAnswer, Signal};
use crate::otlp::metrics;
use crate::otlp::reply::Verdict;
use crate::pipeline::{Cargo, Pipeline};
use crate::stats::Problem;

/// How long to wait before trying again; every wait is spread by a quarter, so that many senders do not come at once.
#[derive(Clone, Copy, Debug)]
pub struct Retry {
    /// After a connection was refused, lost, or its name did not resolve: 250 ms, because a receiver that is being
    /// restarted is back soon.
    pub connect_first: Duration,
    /// The longest of those waits: 5 s, because a try costs the network one packet and the spans of an outage wait for
    /// it to succeed.
    pub connect_max: Duration,
    /// After the receiver said that it cannot take the request now, without naming a time: 5 s, the first step that
    /// OpenTelemetry's exporters take.
    pub busy_first: Duration,
    /// The longest of those waits: 30 s, as in OpenTelemetry's exporters.
    pub busy_max: Duration,
    /// By what each wait exceeds the one before: 1.5, as in OpenTelemetry's exporters.
    pub factor: f64,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            connect_first: Duration::from_millis(250),
            connect_max: Duration::from_secs(5),
            busy_first: Duration::from_secs(5),
            busy_max: Duration::from_secs(30),
            factor: 1.5,
        }
    }
}

/// A receiver that does not take metrics (Jaeger does not) is asked again at this distance.
const METRICS_REFUSED_PAUSE: Duration = Duration::from_secs(300);

/// A request that was answered so often with a code that may be its own fault is given up.
const DOUBTFUL_TRIES_MAX: u32 = 5;

/// Losses are logged at most this often; the counters are exact.
const LOSS_LOG_EVERY: Duration = Duration::from_secs(60);

/// The trouble of a receiver that is there, but does not take what it is sent.
const BUSY: &str = "busy";

pub(crate) struct Worker {
    pipeline: Arc<Pipeline>,
    client: Client,
    /// The deadline, once the exporter is being stopped.
    stop: watch::Receiver<Option<Instant>>,
    stopping: bool,
    /// No attempt before this.
    not_before: Option<Instant>,
    connect_wait: Duration,
    busy_wait: Duration,
    doubtful_tries: u32,
    /// How many bytes of spans the next request may hold: less after the receiver was too slow for as many …
    request_bytes: usize,
    /// … and for good where it said that a request was too large.
    request_bytes_max: usize,
    metrics_due: Option<Instant>,
    /// What is wrong at present, in one word; logged when it changes.
    trouble: Option<&'static str>,
    ever_connected: bool,
    losses_logged: Option<Instant>,
    overflow_seen: u64,
    /// The disk's turn, where something waits there.
    disk_next: bool,
}

/// What to do next.
enum Next {
    Connect,
    Spans,
    /// Spans that wait on disk.
    Disk,
    Metrics,
    /// Nothing before this, unless a span comes.
    Wait(Option<Instant>),
    /// Nothing before this, come what may, but for a stop.
    Pause(Instant),
    Done,
}

impl Worker {
    pub(crate) fn new(pipeline: Arc<Pipeline>, stop: watch::Receiver<Option<Instant>>) -> Self {
        Self {
            client: Client::new(pipeline.endpoint.clone()),
            stop,
            stopping: false,
            not_before: None,
            connect_wait: pipeline.retry.connect_first,
            busy_wait: pipeline.retry.busy_first,
            doubtful_tries: 0,
            request_bytes: pipeline.request_bytes_max,
            request_bytes_max: pipeline.request_bytes_max,
            metrics_due: pipeline.edges.as_ref().map(|_| Instant::now() + pipeline.edges_every),
            trouble: None,
            ever_connected: false,
            losses_logged: None,
            overflow_seen: 0,
            disk_next: false,
            pipeline,
        }
    }

    /// Until stopped: connect, send what is due, wait. Then: send what is left, until the deadline at the latest.
    pub(crate) async fn run(mut self) {
        loop {
            match self.next() {
                Next::Connect => self.connect().await,
                Next::Spans => {
                    self.disk_next = true;
                    if let Some(batch) = self.pipeline.queue.take(self.request_bytes, self.stopping) {
                        self.send_spans(Cargo::Queue(batch)).await;
                    }
                }
                Next::Disk => {
                    self.disk_next = false;
                    if let Some(spilled) = self.pipeline.take_from_disk(self.request_bytes) {
                        self.send_spans(spilled).await;
                    }
                }
                Next::Metrics => self.send_metrics().await,
                Next::Wait(until) => {
                    tokio::select! {
                        () = self.pipeline.queue.changed() => {}
                        () = sleep_to(until) => {}
                        () = stopped(&mut self.stop, self.stopping) => {}
                    }
                }
                Next::Pause(until) => {
                    tokio::select! {
                        () = sleep_to(Some(until)) => {}
                        () = stopped(&mut self.stop, self.stopping) => {}
                    }
                }
                Next::Done => break,
            }
            self.show();
            self.log_losses();
        }
        self.pipeline.spill_rest();
        self.pipeline.queue.abandon();
        self.show();
        self.client.close().await;
        self.pipeline.progress().connected = false;
    }

    fn next(&mut self) -> Next {
        let now = Instant::now();
        let deadline = *self.stop.borrow_and_update();
        if let Some(deadline) = deadline {
            if !self.stopping {
                self.stopping = true;
                // One last attempt is made at once, and the counters' last state is part of it.
                self.not_before = None;
                self.metrics_due = self.metrics_due.map(|_| now);
            }
            if now >= deadline || self.not_before.is_some_and(|at| at >= deadline) {
                return Next::Done;
            }
        }
        if let Some(at) = self.not_before.filter(|&at| at > now) {
            return Next::Pause(at);
        }
        let spans_due = if self.stopping && self.pipeline.queue.counts().waiting > 0 {
            Some(now)
        } else {
            self.pipeline.queue.due(now)
        };
        // Counters first: they are small, and a backlog of spans must not hold them up.
        if self.metrics_due.is_some_and(|at| at <= now) {
            return Next::Metrics;
        }
        // By turns, so that neither new spans nor old ones wait for all of the others. At the end only a receiver that
        // is well is given what is on disk: it is safe there.
        let disk = self.pipeline.disk_waits() && !(self.stopping && self.trouble.is_some());
        if spans_due.is_some_and(|at| at <= now) && !(disk && self.disk_next) {
            return Next::Spans;
        }
        if disk {
            return Next::Disk;
        }
        if self.stopping {
            return Next::Done;
        }
        // An address that is wrong is to be heard of at the start, not with the first span.
        if !self.client.is_connected() && (!self.ever_connected || self.trouble.is_some()) {
            return Next::Connect;
        }
        Next::Wait(spans_due.into_iter().chain(self.metrics_due).min())
    }

    async fn connect(&mut self) {
        match before_deadline(&self.stop, self.client.connect()).await {
            None => {}
            Some(Ok(())) => {
                self.ever_connected = true;
                self.connect_wait = self.pipeline.retry.connect_first;
                self.well("connected to the analyzer");
            }
            Some(Err(error)) => self.unanswered(&error),
        }
    }

    async fn send_spans(&mut self, cargo: Cargo) {
        let message = cargo.message(&self.pipeline.head);
        let outcome = before_deadline(&self.stop, self.client.post(Signal::Traces, &message)).await;
        drop(message);
        self.settle(cargo, outcome);
    }

    /// What becomes of a batch.
    fn settle(&mut self, cargo: Cargo, outcome: Option<Result<Verdict, NoAnswer>>) {
        let pipeline = self.pipeline.clone();
        let spans = cargo.spans();
        match outcome {
            // The deadline of a stop: whether it arrived is not known.
            None => pipeline.give_back(cargo),
            Some(Err(error)) => {
                pipeline.give_back(cargo);
                self.unanswered(&error);
            }
            Some(Ok(Verdict::Accepted { rejected, message })) => {
                pipeline.sent(cargo, rejected);
                self.accepted(Signal::Traces);
                if rejected > 0 || !message.is_empty() {
                    self.lost(
                        rejected,
                        format!("the receiver took {} of {spans} spans: {message}", spans.saturating_sub(rejected)),
                    );
                }
            }
            Some(Ok(Verdict::Later { after, why, doubtful })) => {
                self.doubtful_tries = if doubtful { self.doubtful_tries + 1 } else { 0 };
                if self.doubtful_tries >= DOUBTFUL_TRIES_MAX {
                    self.refused(cargo, format!("{why}, again and again"));
                } else {
                    pipeline.give_back(cargo);
                    self.busy(after, &why);
                }
            }
            Some(Ok(Verdict::TooLarge { why })) if cargo.divides() => {
                self.request_bytes_max = cargo.bytes() / 2;
                self.request_bytes = self.request_bytes_max;
                pipeline.give_back(cargo);
                self.failed("too large", format!("{why}; sending smaller requests"), Duration::ZERO);
            }
            Some(Ok(Verdict::TooLarge { why } | Verdict::Refused { why } | Verdict::UnknownEncoding { why })) => {
                self.refused(cargo, why);
            }
        }
    }

    async fn send_metrics(&mut self) {
        let pipeline = self.pipeline.clone();
        let now = Instant::now();
        self.metrics_due = if self.stopping { None } else { Some(now + pipeline.edges_every) };
        let Some(edges) = &pipeline.edges else { return };
        let counted = edges.snapshot();
        if counted.is_empty() {
            return;
        }
        let mut items = Vec::new();
        metrics::write(&mut items, &counted, unix_ns(edges.started()), unix_ns(SystemTime::now()));
        let mut message = pipeline.head.before(items.len());
        message.append(&mut items);
        match before_deadline(&self.stop, self.client.post(Signal::Metrics, &message)).await {
            None => {}
            Some(Ok(Verdict::Accepted { rejected, message })) => {
                pipeline.progress().metrics_sent += 1;
                self.accepted(Signal::Metrics);
                if rejected > 0 {
                    self.problem(format!("the receiver rejected {rejected} points of the edge counters: {message}"));
                }
            }
            // The next message says all that this one did: nothing is kept, only the next attempt is put off.
            Some(Ok(Verdict::Later { after, why, .. })) => {
                self.metrics_due = Some(now);
                self.busy(after, &why);
            }
            Some(Err(error)) => {
                self.metrics_due = Some(now);
                self.unanswered(&error);
            }
            Some(Ok(Verdict::TooLarge { why } | Verdict::Refused { why } | Verdict::UnknownEncoding { why })) => {
                pipeline.progress().requests_refused += 1;
                self.metrics_due = self.metrics_due.map(|_| now + METRICS_REFUSED_PAUSE);
                tracing::info!(endpoint = %pipeline.endpoint, %why, "the receiver does not take edge counters");
                self.problem(format!("edge counters refused: {why}"));
            }
        }
    }

    /// The receiver took something in.
    fn accepted(&mut self, signal: Signal) {
        self.ever_connected = true;
        self.connect_wait = self.pipeline.retry.connect_first;
        // A receiver can take counters and yet be too busy for spans.
        if signal == Signal::Traces {
            self.doubtful_tries = 0;
            self.busy_wait = self.pipeline.retry.busy_first;
            self.request_bytes = self.request_bytes.saturating_mul(2).clamp(1, self.request_bytes_max.max(1));
        }
        if signal == Signal::Traces || self.trouble != Some(BUSY) {
            self.well("the analyzer takes spans again");
        }
        let mut progress = self.pipeline.progress();
        progress.requests_accepted += 1;
        progress.last_success = Some(SystemTime::now());
    }

    /// What was wrong is over.
    fn well(&mut self, said: &'static str) {
        if self.trouble.take().is_some() {
            let waiting = self.pipeline.queue.counts().waiting;
            tracing::info!(endpoint = %self.pipeline.endpoint, waiting, "{said}");
        }
    }

    /// No answer came: connecting is tried again soon, and a receiver that was too slow is given less at a time.
    fn unanswered(&mut self, error: &NoAnswer) {
        if let NoAnswer::Timeout(_) = error {
            self.request_bytes = (self.request_bytes / 2).max(1);
            return self.busy(None, &error.to_string());
        }
        let wait = spread(self.connect_wait, 0.75);
        self.connect_wait = self.connect_wait.mul_f64(self.pipeline.retry.factor).min(self.pipeline.retry.connect_max);
        self.failed(error.kind(), error.to_string(), wait);
    }

    /// The receiver is there, but cannot take the request now.
    fn busy(&mut self, after: Option<Duration>, why: &str) {
        let wait = match after {
            // Never earlier than asked for.
            Some(asked) => spread(asked, 1.0),
            None => {
                let wait = spread(self.busy_wait, 0.75);
                self.busy_wait = self.busy_wait.mul_f64(self.pipeline.retry.factor).min(self.pipeline.retry.busy_max);
                wait
            }
        };
        self.failed(BUSY, why.to_owned(), wait);
    }

    fn failed(&mut self, kind: &'static str, why: String, wait: Duration) {
        self.not_before = Some(Instant::now() + wait);
        self.pipeline.progress().retries += 1;
        if self.trouble != Some(kind) {
            self.trouble = Some(kind);
            let waiting = self.pipeline.queue.counts().waiting;
            tracing::warn!(endpoint = %self.pipeline.endpoint, waiting, error = %why, "spans wait: trying again");
        }
        self.problem(why);
    }

    fn refused(&mut self, cargo: Cargo, why: String) {
        let spans = cargo.spans();
        self.doubtful_tries = 0;
        self.pipeline.refuse(cargo);
        self.pipeline.progress().requests_refused += 1;
        self.lost(spans, why);
    }

    fn lost(&mut self, spans: u64, why: String) {
        let now = Instant::now();
        if self.losses_logged.is_none_or(|at| now >= at + LOSS_LOG_EVERY) {
            self.losses_logged = Some(now);
            tracing::warn!(endpoint = %self.pipeline.endpoint, spans, %why, "spans lost");
        }
        self.problem(why);
    }

    /// Says so when the queue has begun to overflow.
    fn log_losses(&mut self) {
        let dropped = self.pipeline.queue.counts().dropped;
        let overflow = dropped.overflow + dropped.overflow_errors;
        if overflow > self.overflow_seen {
            let spans = overflow - self.overflow_seen;
            let now = Instant::now();
            if self.losses_logged.is_none_or(|at| now >= at + LOSS_LOG_EVERY) {
                self.overflow_seen = overflow;
                self.losses_logged = Some(now);
                tracing::warn!(endpoint = %self.pipeline.endpoint, spans, "spans lost: the queue is full");
            }
        }
    }

    fn problem(&self, text: String) {
        self.pipeline.progress().last_error = Some(Problem { at: SystemTime::now(), text });
    }

    /// Publishes what only this task knows.
    fn show(&self) {
        let mut progress = self.pipeline.progress();
        progress.connects = self.client.connects;
        progress.connected = self.client.is_connected();
        progress.compression = self.client.compression();
    }
}

async fn sleep_to(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// Ends when a stop is asked for; never, once that is known.
async fn stopped(stop: &mut watch::Receiver<Option<Instant>>, known: bool) {
    if known || stop.wait_for(Option::is_some).await.is_err() {
        std::future::pending().await
    }
}

/// Runs work to its end, or to the deadline of a stop that is asked for before or meanwhile: then it is `None`.
async fn before_deadline<T>(stop: &watch::Receiver<Option<Instant>>, work: impl Future<Output = T>) -> Option<T> {
    let mut stop = stop.clone();
    let deadline = async {
        // An error means that the exporter is gone, and this task about to be.
        let at = stop.wait_for(Option::is_some).await.ok().and_then(|at| *at);
        sleep_to(at).await;
    };
    tokio::select! {
        biased;
        done = work => Some(done),
        () = deadline => None,
    }
}

/// A wait between `from` and `from + 0.5` times as long (at 1.0: up to a quarter longer).
fn spread(wait: Duration, from: f64) -> Duration {
    let random = RandomState::new().hash_one(0u8) as f64 / u64::MAX as f64;
    let width = if from < 1.0 { 2.0 * (1.0 - from) } else { 0.25 };
    wait.mul_f64(from + width * random)
}

fn unix_ns(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}
