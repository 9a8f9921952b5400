//! What all requests of one sidecar share.

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use raceway_analyzer_client::Exporter;
use raceway_trace::clock::{Instance, Strand, VectorClock};
use raceway_trace::traceparent::Flags;
use raceway_trace::x_raceway::Projection;
use raceway_trace::{SpanId, TraceId};

use crate::config::Config;
use crate::context::Context;
use crate::drain::Drain;
use crate::edges::Edges;
use crate::http1::Limits;
use crate::link::{self, Link};
use crate::metrics::Metrics;
use crate::requests::Requests;
use crate::template::Templates;
use crate::terminate::Termination;
use crate::threads::Spread;
use crate::upstream::Dialer;

/// Ids that callers minted for our SERVER spans and that have been taken: a second request under the same id gets
/// its own. A caller that repeats itself does so within seconds; this is 512 KiB, and half a minute at 2,000/s.
const ADOPTED_MAX: usize = 64 * 1024;

/// The sidecar, as the request path sees it. Nothing here waits for anything.
pub(crate) struct Sidecar {
    pub(crate) config: Config,
    pub(crate) limits: Limits,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) exporter: Exporter,
    pub(crate) edges: Edges,
    pub(crate) dialer: Arc<Dialer>,
    pub(crate) drain: Drain,
    /// Which thread carries a connection.
    pub(crate) spread: Spread,
    /// How callers come in by TLS, where they do.
    pub(crate) termination: Option<Termination>,
    pub(crate) requests: Requests,
    pub(crate) templates: Mutex<Templates>,
    adopted: Mutex<Adopted>,
    strands: AtomicU64,
    /// What their names have in common.
    instance: Instance,
}

#[derive(Default)]
struct Adopted {
    known: HashSet<SpanId>,
    order: VecDeque<SpanId>,
}

impl Sidecar {
    pub(crate) fn new(
        config: Config,
        metrics: Arc<Metrics>,
        exporter: Exporter,
        edges: Edges,
        dialer: Dialer,
        drain: Drain,
        termination: Option<Termination>,
    ) -> Self {
        let instance = Instance::new(&config.identity.service, &config.identity.instance);
        let templates = Templates::new(config.route_patterns.clone());
        metrics.watch_templates(templates.learned());
        Self {
            limits: Limits { head_bytes: config.head_bytes_max, fields: config.head_fields_max },
            templates: Mutex::new(templates),
            config,
            metrics,
            exporter,
            edges,
            dialer: Arc::new(dialer),
            drain,
            spread: Spread::none(),
            termination,
            requests: Requests::new(),
            adopted: Mutex::default(),
            strands: AtomicU64::new(1),
            instance,
        }
    }

    /// With its connections spread over threads.
    pub(crate) fn on(self, spread: Spread) -> Self {
        Self { spread, ..self }
    }

    /// What bounds the connections, and where they go.
    pub(crate) fn room(&self) -> (usize, Spread) {
        (self.config.connections_max, self.spread.clone())
    }

    /// Whether requests to this path are noise that no trace should hold.
    pub(crate) fn ignores(&self, path: &[u8]) -> bool {
        let ignored = std::str::from_utf8(path).is_ok_and(|path| self.config.ignore.matches(path));
        if ignored {
            self.metrics.ignored.inc();
        }
        ignored
    }

    /// Whether as much is in flight as may be. Threads that ask at the same moment may each let one pass.
    pub(crate) fn full(&self) -> bool {
        self.drain.open() >= self.config.requests_max
    }

    /// How long a connection may idle, and how long a request's head may take.
    pub(crate) fn patience(&self) -> (Duration, Duration) {
        (self.config.idle_timeout, self.config.header_timeout)
    }

    /// Where an outbound call belongs.
    pub(crate) fn link(&self, context: &Context) -> Link {
        link::resolve(context, &self.requests, self.config.link_policy, Instant::now())
    }

    /// A new strand, which knows what came with its request. Its name was never used before and never will be again,
    /// as the instance is random per process.
    pub(crate) fn new_strand(&self, inbound: Option<&VectorClock>, projection: Option<&Projection>) -> Strand {
        let own = self.instance.strand(self.strands.fetch_add(1, Ordering::Relaxed));
        let service = self.instance.service().unwrap_or(&own).clone();
        Strand::receive_as(service, own, inbound, projection)
    }

    /// Whether the id that a caller minted may become a SERVER span's: only the first time.
    pub(crate) fn adopt(&self, id: SpanId) -> bool {
        let mut adopted = self.adopted.lock().unwrap_or_else(PoisonError::into_inner);
        if !adopted.known.insert(id) {
            return false;
        }
        adopted.order.push_back(id);
        if adopted.order.len() > ADOPTED_MAX
            && let Some(oldest) = adopted.order.pop_front()
        {
            adopted.known.remove(&oldest);
        }
        true
    }

    /// The flags of a trace that begins here: random id, sampled as often as configured.
    pub(crate) fn root_flags(&self) -> Flags {
        let sampled = self.config.sample >= 1.0 || fastrand::f64() < self.config.sample;
        if sampled { Flags::RANDOM.with(Flags::SAMPLED) } else { Flags::RANDOM }
    }

    /// `http.route`, as learned.
    pub(crate) fn route(&self, path: &str) -> String {
        self.templates.lock().unwrap_or_else(PoisonError::into_inner).template(path).into_owned()
    }
}

/// A fresh random trace id.
pub(crate) fn new_trace_id() -> TraceId {
    loop {
        if let Some(id) = TraceId::new(fastrand::u128(..)) {
            return id;
        }
    }
}

/// A fresh random span id.
pub(crate) fn new_span_id() -> SpanId {
    loop {
        if let Some(id) = SpanId::new(fastrand::u64(..)) {
            return id;
        }
    }
}
