//! The exporter: spans go in on the request path, and reach their receivers from a task of their own.

use std::borrow::Cow;
use std::cell::Cell;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout_at;

use crate::edge::EdgeCounters;
use crate::endpoint::Endpoint;
use crate::otlp::{self, Head, SpanWriter};
use crate::pipeline::{Pipeline, SPILL_ABOVE};
use crate::queue::{Limits, Queue};
use crate::span::{Resource, SCOPE, Span};
use crate::spill::SpillFolder;
use crate::stats::{Progress, Stats};
use crate::worker::{Retry, Worker};

/// What an exporter needs to know before it starts.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where to; each endpoint has a queue and a task of its own, so that one which is down costs the others nothing.
    pub endpoints: Vec<Endpoint>,
    /// Who reports.
    pub resource: Resource,
    /// The name of the instrumentation scope.
    pub scope: Cow<'static, str>,
    /// Its version.
    pub scope_version: Cow<'static, str>,
    /// Memory for spans that wait, per endpoint. 16 MiB: some 50,000 spans of 300 bytes, which is a minute of an outage
    /// at 800 spans per second, and small beside the application.
    pub queue_bytes_max: usize,
    /// A batch is sent at this many spans: 512, OpenTelemetry's default; some 150 kB, where compression has long
    /// reached its best.
    pub batch_spans_max: usize,
    /// … or at this age: 200 ms, so that a page shows a request as soon as a person can look.
    pub batch_age_max: Duration,
    /// Bytes of spans in one request before compression, and of one span at most. 512 KiB: an eighth of what gRPC
    /// libraries accept, compressed in about a millisecond, and three batches at once after an outage.
    pub request_bytes_max: usize,
    /// Counters of calls that are sent along, if there are any.
    pub edges: Option<EdgeCounters>,
    /// How often: 5 s, a few points for each of the windows that a dashboard draws.
    pub edges_every: Duration,
    /// How long to wait after failures.
    pub retry: Retry,
    /// Where spans for the first endpoint wait when memory is nearly full, and what could not be sent at the end.
    pub spill: Option<SpillFolder>,
}

impl Settings {
    /// The defaults, for one endpoint.
    pub fn new(endpoint: Endpoint, resource: Resource) -> Self {
        Self {
            endpoints: vec![endpoint],
            resource,
            scope: SCOPE.into(),
            scope_version: env!("CARGO_PKG_VERSION").into(),
            queue_bytes_max: 16 * 1024 * 1024,
            batch_spans_max: 512,
            batch_age_max: Duration::from_millis(200),
            request_bytes_max: 512 * 1024,
            edges: None,
            edges_every: Duration::from_secs(5),
            retry: Retry::default(),
            spill: None,
        }
    }
}

/// Takes spans and carries them to their receivers; clones share one queue.
///
/// Dropping the last clone ends the tasks and forgets what waits; [`Exporter::stop`] sends it first.
#[derive(Clone, Debug)]
pub struct Exporter {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    pipelines: Vec<Arc<Pipeline>>,
    stop: watch::Sender<Option<Instant>>,
    /// Owned here and by no task, so that they end with the exporter.
    tasks: tokio::sync::Mutex<JoinSet<()>>,
}

thread_local! {
    /// Where a span is encoded before a queue is locked.
    static ENCODED: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// One enormous span must not keep its memory on every thread for ever.
const ENCODED_KEPT_MAX: usize = 64 * 1024;

/// After the deadline of a stop a task has this long to close its connection.
const CLOSE_GRACE: Duration = Duration::from_millis(500);

impl Exporter {
    /// Starts the tasks on the current tokio runtime, which must have time and IO enabled.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn start(settings: Settings) -> Self {
        Self::start_on(settings, &Handle::current())
    }

    /// Starts the tasks on a given runtime: best one that serves no requests, since compressing a batch takes about a
    /// millisecond.
    pub fn start_on(settings: Settings, runtime: &Handle) -> Self {
        let head = Arc::new(Head::new(&settings.resource, &settings.scope, &settings.scope_version));
        let (stop, stopped) = watch::channel(None);
        let mut tasks = JoinSet::new();
        let mut pipelines = Vec::with_capacity(settings.endpoints.len());
        let mut spill = settings.spill;
        for endpoint in settings.endpoints {
            let progress = Progress { compression: endpoint.compression(), ..Progress::default() };
            let spill = spill.take();
            let crowded_above = match &spill {
                Some(_) => (settings.queue_bytes_max as f64 * SPILL_ABOVE) as usize,
                None => usize::MAX,
            };
            let pipeline = Arc::new(Pipeline {
                endpoint,
                queue: Queue::new(Limits {
                    bytes_max: settings.queue_bytes_max,
                    segment_spans_max: settings.batch_spans_max.max(1),
                    segment_bytes_max: settings.request_bytes_max,
                    age_max: settings.batch_age_max,
                    crowded_above,
                }),
                queue_bytes_max: settings.queue_bytes_max,
                request_bytes_max: settings.request_bytes_max,
                head: head.clone(),
                edges: settings.edges.clone(),
                edges_every: settings.edges_every,
                retry: settings.retry,
                spill,
                progress: Mutex::new(progress),
            });
            if let Some(folder) = &pipeline.spill {
                pipeline.queue.recovered(folder.stats().spans);
                tasks.spawn_on(pipeline.clone().spill(stopped.clone()), runtime);
            }
            tasks.spawn_on(Worker::new(pipeline.clone(), stopped.clone()).run(), runtime);
            pipelines.push(pipeline);
        }
        Self { inner: Arc::new(Inner { pipelines, stop, tasks: tokio::sync::Mutex::new(tasks) }) }
    }

    /// Takes a span in. Never waits for the network and, but for a queue that grows, allocates nothing; a span that
    /// finds no room is counted in [`Stats::dropped`].
    pub fn record(&self, span: &Span<'_>) {
        self.encode(|encoded| {
            otlp::span::write(encoded, span);
            span.status.is_error()
        });
    }

    /// Like [`Exporter::record`], of a span that is written field by field: for whoever records each request.
    pub fn record_with(&self, fields: impl FnOnce(&mut SpanWriter<'_>)) {
        self.encode(|encoded| otlp::span::write_with(encoded, fields));
    }

    fn encode(&self, write: impl FnOnce(&mut Vec<u8>) -> bool) {
        if self.inner.pipelines.is_empty() {
            return;
        }
        // Fails only while the thread is being torn down: then memory is taken afresh.
        let mut encoded = ENCODED.try_with(Cell::take).unwrap_or_default();
        encoded.clear();
        let failed = write(&mut encoded);
        for pipeline in &self.inner.pipelines {
            pipeline.queue.push(&encoded, failed);
        }
        encoded.shrink_to(ENCODED_KEPT_MAX);
        ENCODED.try_with(|kept| kept.set(encoded)).ok();
    }

    /// The state of each endpoint, in the order in which they were given.
    pub fn stats(&self) -> Vec<Stats> {
        self.inner.pipelines.iter().map(|pipeline| pipeline.stats()).collect()
    }

    /// Takes no more spans, sends what waits, and ends the tasks: as soon as all is sent, and after `within` at the
    /// latest. What is unsent then goes to disk, where there is a folder, else it is counted as
    /// [`Dropped::stopped`](crate::Dropped::stopped).
    ///
    /// When this returns nothing that the exporter started is running.
    pub async fn stop(&self, within: Duration) -> Vec<Stats> {
        let deadline = Instant::now() + within;
        for pipeline in &self.inner.pipelines {
            pipeline.queue.close();
        }
        self.inner.stop.send_if_modified(|at| at.is_none() && at.replace(deadline).is_none());
        let mut tasks = self.inner.tasks.lock().await;
        let all = async {
            while let Some(ended) = tasks.join_next().await {
                if let Err(error) = ended {
                    tracing::error!(%error, "the task that sends spans failed");
                }
            }
        };
        if timeout_at((deadline + CLOSE_GRACE).into(), all).await.is_err() {
            tasks.shutdown().await;
        }
        drop(tasks);
        // A task that was cut off or failed has not done so itself.
        self.inner.pipelines.iter().for_each(|pipeline| pipeline.queue.abandon());
        self.stats()
    }
}
