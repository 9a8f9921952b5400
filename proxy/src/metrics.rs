//! What the sidecar counts, for Prometheus.
//!
//! What moves on every request is resolved to its counter once, at the start: the request path then does one atomic
//! addition and no look-up of labels. What moves when something is wrong ([`Metrics::malformed`], [`Calls::refused`])
//! looks its label up; the words come from constants of this program, so that nothing an outsider sends makes a series.
//! What somebody else counts already (the exporter, the templates, the kernel) is asked when a scrape comes; see
//! [`pulled`].

mod process;
mod pulled;
mod tls;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use prometheus::core::Collector;
use prometheus::{
    Encoder, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};
use raceway_analyzer_client::Exporter;
use raceway_tls::{Client, Server};
use raceway_trace::tracestate::Method;

pub use tls::Handshakes;

use crate::drain::Drain;
use crate::template::Learned;
use crate::threads::Spread;

/// Upper bounds of the buckets for durations, seconds: OpenTelemetry's for HTTP, with half a millisecond to two below
/// them, where calls inside one host lie.
const SECONDS: [f64; 17] =
    [0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// All counters of one sidecar.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Calls to the application.
    pub inbound: Calls,
    /// Calls from the application.
    pub outbound: Calls,
    /// Requests that left no span because of `--ignore`.
    pub ignored: IntCounter,
    /// Requests whose context was cut because of `--trust-context`.
    pub context_cut: IntCounter,
    links: Vec<IntCounter>,
    malformed: IntCounterVec,
    listeners: [Listener; 3],
    handshakes: [Handshakes; 2],
}

/// The calls of one direction.
#[derive(Debug)]
pub struct Calls {
    direction: &'static str,
    /// By status class, then by whether it counts as an error.
    requests: [[IntCounter; 2]; CLASSES.len()],
    duration: Histogram,
    body_bytes: [IntCounter; 2],
    retries: IntCounter,
    refused: IntCounterVec,
    failures: IntCounterVec,
    idle: IntCounterVec,
}

/// The classes of statuses; the first is for exchanges that ended without one.
const CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];

impl Calls {
    /// An exchange is over: its final status, whether it counts as an error (OpenTelemetry: a call that broke; a server
    /// from 500, a client from 400), how long it took, and the bytes of its request's and its response's body.
    pub fn ended(&self, status: Option<u16>, error: bool, duration: Duration, payloads: (u64, u64)) {
        let class = status.map_or(0, |status| usize::from(status / 100).clamp(1, 5));
        if let Some(counter) = self.requests.get(class).and_then(|class| class.get(usize::from(error))) {
            counter.inc();
        }
        self.duration.observe(duration.as_secs_f64());
        let [sent, received] = &self.body_bytes;
        sent.inc_by(payloads.0);
        received.inc_by(payloads.1);
    }

    /// A request was answered here, for what is wrong with it or with who sent it.
    pub fn refused(&self, reason: &'static str) {
        self.refused.with_label_values(&[self.direction, reason]).inc();
    }

    /// The other side could not be reached, broke off, or answered what cannot be passed on.
    pub fn failed(&self, reason: &'static str) {
        self.failures.with_label_values(&[self.direction, reason]).inc();
    }

    /// A connection that carried this protocol was closed because nothing moved on it for `--idle-timeout`.
    pub fn idle(&self, protocol: &'static str) {
        self.idle.with_label_values(&[self.direction, protocol]).inc();
    }

    /// A request is sent a second time, because the first connection was provably not read.
    pub fn retried(&self) {
        self.retries.inc();
    }
}

/// The connections of one kind of listener; clones count together.
#[derive(Clone, Debug)]
pub struct Listener {
    accepted: IntCounter,
    shed: IntCounter,
    open: IntGauge,
    errors: IntCounterVec,
    /// Of all kinds.
    open_in_all: Arc<AtomicUsize>,
}

/// An open connection, until it is dropped.
#[derive(Debug)]
pub struct Open(Listener);

impl Listener {
    /// Counts a connection as open, unless that would make more than `most` in all; then it counts as shed.
    pub fn open(&self, most: usize) -> Option<Open> {
        self.accepted.inc();
        if self.open_in_all.fetch_add(1, Ordering::Relaxed) >= most {
            self.open_in_all.fetch_sub(1, Ordering::Relaxed);
            self.shed.inc();
            return None;
        }
        self.open.inc();
        Some(Open(self.clone()))
    }

    /// The system refused to hand out a connection.
    pub fn accept_failed(&self, reason: &'static str) {
        self.errors.with_label_values(&[reason]).inc();
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open_in_all.fetch_sub(1, Ordering::Relaxed);
        self.0.open.dec();
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Everything at zero, in a registry of its own.
    pub fn new() -> Self {
        let make = Make(Registry::new());
        let requests = make.counters(
            "requests_total",
            "Exchanges that are over, by class of their status; error: broke off, or 500 and above (outbound: 400).",
            &["direction", "status", "error"],
        );
        let duration = make.histograms(
            "request_duration_seconds",
            "Time from the request's head to the end of the response's body.",
            &["direction"],
        );
        let body_bytes = make.counters(
            "body_bytes_total",
            "Bytes of bodies carried; heads are not counted.",
            &["direction", "body"],
        );
        let retries = make.counters(
            "retries_total",
            "Requests sent once more, on a fresh connection, because the kept-alive one had closed unread.",
            &["direction"],
        );
        let refused = make.counters(
            "refused_total",
            "Requests answered by the sidecar itself because of what they are or who sent them, and redirected connections \
             that would have led back to it (loop), by reason.",
            &["direction", "reason"],
        );
        let failures = make.counters(
            "upstream_failures_total",
            "Exchanges for which the other side was not reached, broke off or sent what cannot be passed on.",
            &["direction", "reason"],
        );
        let idle = make.counters(
            "idle_closed_total",
            "Connections closed by the sidecar because nothing moved on them for --idle-timeout.",
            &["direction", "protocol"],
        );
        let calls = |direction: &'static str| Calls {
            direction,
            requests: CLASSES
                .map(|class| ["false", "true"].map(|error| requests.with_label_values(&[direction, class, error]))),
            duration: duration.with_label_values(&[direction]),
            body_bytes: ["request", "response"].map(|body| body_bytes.with_label_values(&[direction, body])),
            retries: retries.with_label_values(&[direction]),
            refused: refused.clone(),
            failures: failures.clone(),
            idle: idle.clone(),
        };
        let (inbound, outbound) = (calls("inbound"), calls("outbound"));

        let links = make.counters(
            "links_total",
            "Outbound calls by how the request that caused them was found; root: it was not.",
            &["method"],
        );
        let malformed = make.counters(
            "context_malformed_total",
            "Context headers that counted as absent, by reason; the request passed all the same.",
            &["header", "reason"],
        );
        let context_cut = make.counters(
            "context_cut_total",
            "Requests whose trace context was not believed because of --trust-context.",
            &[],
        );
        let ignored = make.counters("ignored_total", "Requests that passed without a span because of --ignore.", &[]);

        let accepted = make.counters("connections_accepted_total", "Connections accepted.", &["listener"]);
        let shed = make.counters(
            "connections_shed_total",
            "Connections answered with 503 at once because --connections-max were open.",
            &["listener"],
        );
        let open = make.gauges("connections_open", "Connections that are open.", &["listener"]);
        let errors = make.counters(
            "accept_errors_total",
            "Failures to accept a connection; file_limit: no descriptor was free (raise the limit on open files).",
            &["reason"],
        );
        let open_in_all = Arc::<AtomicUsize>::default();
        let listeners = ["inbound", "route", "outbound"].map(|listener| Listener {
            accepted: accepted.with_label_values(&[listener]),
            shed: shed.with_label_values(&[listener]),
            open: open.with_label_values(&[listener]),
            errors: errors.clone(),
            open_in_all: Arc::clone(&open_in_all),
        });

        let handshakes = Handshakes::both(&make);
        let build = make.gauges("build_info", "1, with the version of this program.", &["version"]);
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        make.register(process::collector());

        Self {
            inbound,
            outbound,
            ignored: ignored.with_label_values::<&str>(&[]),
            context_cut: context_cut.with_label_values::<&str>(&[]),
            links: Method::ALL.iter().map(|method| links.with_label_values(&[method.word()])).collect(),
            malformed,
            listeners,
            handshakes,
            registry: make.0,
        }
    }

    /// An outbound call was linked, or with [`Method::Root`] was not.
    pub fn linked(&self, method: Method) {
        let at = Method::ALL.iter().position(|known| *known == method);
        if let Some(counter) = at.and_then(|at| self.links.get(at)) {
            counter.inc();
        }
    }

    /// A context header counted as absent.
    pub fn malformed(&self, header: &'static str, reason: &'static str) {
        self.malformed.with_label_values(&[header, reason]).inc();
    }

    /// For connections that come to `--inbound`.
    pub fn inbound_listener(&self) -> Listener {
        let [inbound, _, _] = &self.listeners;
        inbound.clone()
    }

    /// For connections that come to `--route`.
    pub fn route_listener(&self) -> Listener {
        let [_, route, _] = &self.listeners;
        route.clone()
    }

    /// For connections that come to the forward proxy.
    pub fn outbound_listener(&self) -> Listener {
        let [_, _, outbound] = &self.listeners;
        outbound.clone()
    }

    /// For callers that come by TLS.
    pub fn inbound_handshakes(&self) -> Handshakes {
        let [inbound, _] = &self.handshakes;
        inbound.clone()
    }

    /// For calls that go by TLS.
    pub fn outbound_handshakes(&self) -> Handshakes {
        let [_, outbound] = &self.handshakes;
        outbound.clone()
    }

    /// Shows how often certificates were reloaded. Once per [`Metrics`].
    pub fn watch_certificates(&self, server: Option<Arc<Server>>, client: Option<Arc<Client>>) {
        self.register(tls::reloads(server, client));
    }

    /// Shows what the exporter has done. Once per [`Metrics`].
    pub fn watch_exporter(&self, exporter: Exporter) {
        self.register(pulled::spill(exporter.clone()));
        self.register(pulled::exporter(exporter));
    }

    /// Shows how full the memory of templates is. Once per [`Metrics`].
    pub fn watch_templates(&self, learned: Arc<Learned>) {
        self.register(pulled::templates(learned));
    }

    /// Shows how many exchanges are open, and whether the sidecar is stopping. Once per [`Metrics`].
    pub fn watch_drain(&self, drain: Drain) {
        self.register(pulled::drain(drain));
    }

    /// Shows how connections are spread over threads, where there are several. Once per [`Metrics`].
    pub fn watch_threads(&self, spread: Spread) {
        self.register(pulled::threads(spread));
    }

    fn register(&self, collector: impl Collector + 'static) {
        self.registry.register(Box::new(collector)).expect("every name is registered once, a test reads them all");
    }

    /// Everything, in Prometheus' text format.
    pub fn text(&self) -> Vec<u8> {
        let mut text = Vec::with_capacity(16 << 10);
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            tracing::error!(%error, "cannot write the metrics");
        }
        text
    }

    /// The format of [`Metrics::text`], for `content-type`.
    pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
}

/// Makes metrics under the common prefix.
struct Make(Registry);

/// Of every name but those of the process, which Prometheus defines.
const PREFIX: &str = "raceway_proxy_";

impl Make {
    fn opts(name: &str, help: &str) -> Opts {
        Opts::new(format!("{PREFIX}{name}"), help)
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.register(IntCounterVec::new(Self::opts(name, help), labels).expect(NAMES_ARE_VALID))
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        self.register(IntGaugeVec::new(Self::opts(name, help), labels).expect(NAMES_ARE_VALID))
    }

    fn histograms(&self, name: &str, help: &str, labels: &[&str]) -> HistogramVec {
        let opts = HistogramOpts::from(Self::opts(name, help)).buckets(SECONDS.to_vec());
        self.register(HistogramVec::new(opts, labels).expect(NAMES_ARE_VALID))
    }

    fn register<C: Collector + Clone + 'static>(&self, collector: C) -> C {
        self.0.register(Box::new(collector.clone())).expect(NAMES_ARE_VALID);
        collector
    }
}

const NAMES_ARE_VALID: &str = "names and labels are constants, and a test makes them all";

#[cfg(test)]
mod tests;
