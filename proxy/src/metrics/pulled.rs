//! Metrics that somebody else counts: read when a scrape comes, so that nothing has to be counted twice.

use std::fmt;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use prometheus::core::{Collector, Desc};
use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};
use raceway_analyzer_client::{Exporter, SpillStats, Stats};

use super::{NAMES_ARE_VALID, PREFIX};
use crate::drain::Drain;
use crate::template::Learned;
use crate::threads::Spread;

/// One metric's name and what it says.
pub(super) struct Shape {
    name: String,
    help: &'static str,
    kind: MetricType,
    labels: &'static [&'static str],
}

impl Shape {
    /// A counter; the common prefix is put in front.
    pub(super) fn counter(name: &str, help: &'static str, labels: &'static [&'static str]) -> Self {
        Self { name: format!("{PREFIX}{name}"), help, kind: MetricType::COUNTER, labels }
    }

    /// A gauge; the common prefix is put in front.
    fn gauge(name: &str, help: &'static str, labels: &'static [&'static str]) -> Self {
        Self { kind: MetricType::GAUGE, ..Self::counter(name, help, labels) }
    }

    /// A metric of the process, under the name that Prometheus gives it.
    pub(super) fn process(name: &str, help: &'static str) -> Self {
        let kind = if name.ends_with("_total") { MetricType::COUNTER } else { MetricType::GAUGE };
        Self { name: format!("process_{name}"), help, kind, labels: &[] }
    }
}

/// The values of one metric: those of its labels, and the number.
pub(super) type Samples = Vec<(Vec<String>, f64)>;

/// One sample without labels.
pub(super) fn only(value: f64) -> Samples {
    vec![(Vec::new(), value)]
}

type Read = Box<dyn Fn() -> Vec<Samples> + Send + Sync>;

/// A group of metrics that are read in one go.
#[derive(Clone)]
pub(super) struct Pulled(Arc<Group>);

struct Group {
    shapes: Vec<(Shape, Desc)>,
    /// Samples in the order of the shapes; fewer where some cannot be read.
    read: Read,
}

impl Pulled {
    pub(super) fn new(shapes: Vec<Shape>, read: impl Fn() -> Vec<Samples> + Send + Sync + 'static) -> Self {
        let described = shapes.into_iter().map(|shape| {
            let labels = shape.labels.iter().map(ToString::to_string).collect();
            let desc = Desc::new(shape.name.clone(), shape.help.to_owned(), labels, Default::default());
            (shape, desc.expect(NAMES_ARE_VALID))
        });
        Self(Arc::new(Group { shapes: described.collect(), read: Box::new(read) }))
    }
}

impl Collector for Pulled {
    fn desc(&self) -> Vec<&Desc> {
        self.0.shapes.iter().map(|(_, desc)| desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let read = (self.0.read)();
        let families = self.0.shapes.iter().zip(read).filter(|(_, samples)| !samples.is_empty());
        families.map(|((shape, _), samples)| family(shape, samples)).collect()
    }
}

impl fmt::Debug for Pulled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.shapes.iter().map(|(shape, _)| &shape.name)).finish()
    }
}

fn family(shape: &Shape, samples: Samples) -> MetricFamily {
    let metrics = samples.into_iter().map(|(labels, value)| {
        let pairs = shape.labels.iter().zip(labels).map(|(name, value)| {
            let mut pair = LabelPair::default();
            pair.set_name((*name).to_owned());
            pair.set_value(value);
            pair
        });
        let mut metric = Metric::from_label(pairs.collect());
        if shape.kind == MetricType::COUNTER {
            let mut counter = Counter::default();
            counter.set_value(value);
            metric.set_counter(counter);
        } else {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            metric.set_gauge(gauge);
        }
        metric
    });
    let mut family = MetricFamily::default();
    family.set_name(shape.name.clone());
    family.set_help(shape.help.to_owned());
    family.set_field_type(shape.kind);
    family.set_metric(metrics.collect());
    family
}

/// How full the memory of templates is.
pub(super) fn templates(learned: Arc<Learned>) -> Pulled {
    let shapes = vec![
        Shape::gauge("route_nodes", "Nodes in the memory of http.route templates, at most 4096.", &[]),
        Shape::counter("route_folds_total", "Places in paths that turned from names into {id}.", &[]),
        Shape::counter(
            "route_overflows_total",
            "Paths shown with {id} only because the memory was full; --route-pattern helps.",
            &[],
        ),
    ];
    Pulled::new(shapes, move || {
        [learned.nodes(), learned.folds(), learned.overflows()].map(|value| only(value as f64)).into()
    })
}

/// What is open, and whether it is asked to end.
pub(super) fn drain(drain: Drain) -> Pulled {
    let shapes = vec![
        Shape::gauge("requests_open", "Exchanges and tunnels under way.", &[]),
        Shape::gauge("draining", "1 while the sidecar is stopping, else 0.", &[]),
    ];
    Pulled::new(shapes, move || vec![only(drain.open() as f64), only(f64::from(u8::from(drain.is_draining())))])
}

/// Who carries what; nothing where there is one thread.
pub(super) fn threads(spread: Spread) -> Pulled {
    let shape = Shape::gauge(
        "thread_connections_open",
        "Connections on each request thread, where there are several.",
        &["thread"],
    );
    Pulled::new(vec![shape], move || {
        vec![(1..).zip(spread.taken()).map(|(number, taken)| (vec![number.to_string()], taken as f64)).collect()]
    })
}

/// What the exporter has done.
pub(super) fn exporter(exporter: Exporter) -> Pulled {
    type Value = fn(&Stats) -> f64;
    const TO: &[&str] = &["endpoint"];
    let values: [(Shape, Value); 15] = [
        (Shape::counter("spans_recorded_total", "Spans given to the exporter.", TO), |it| it.spans_recorded as f64),
        (Shape::counter("spans_sent_total", "Spans that the analyzer took in.", TO), |it| it.spans_sent as f64),
        (Shape::counter("spans_rejected_total", "Spans that the analyzer said it did not take in.", TO), |it| {
            it.spans_rejected as f64
        }),
        (Shape::gauge("spans_waiting", "Spans that wait to be sent.", TO), |it| it.spans_waiting as f64),
        (Shape::gauge("spans_in_flight", "Spans in the request under way.", TO), |it| it.spans_in_flight as f64),
        (Shape::gauge("export_queue_bytes", "Memory held by spans until they are sent.", TO), |it| {
            it.queue_bytes as f64
        }),
        (Shape::gauge("export_queue_bytes_max", "The bound on it, --queue-bytes.", TO), |it| it.queue_bytes_max as f64),
        (Shape::counter("export_requests_accepted_total", "Requests that the analyzer took in.", TO), |it| {
            it.progress.requests_accepted as f64
        }),
        (Shape::counter("export_requests_refused_total", "Requests that the analyzer refused for good.", TO), |it| {
            it.progress.requests_refused as f64
        }),
        (Shape::counter("export_retries_total", "Attempts to send that failed and are made again.", TO), |it| {
            it.progress.retries as f64
        }),
        (Shape::counter("export_edges_total", "Messages of edge counters that the analyzer took in.", TO), |it| {
            it.progress.metrics_sent as f64
        }),
        (Shape::counter("export_connects_total", "Connections opened to the analyzer.", TO), |it| {
            it.progress.connects as f64
        }),
        (Shape::gauge("export_connected", "1 while there is a connection to the analyzer, else 0.", TO), |it| {
            f64::from(u8::from(it.progress.connected))
        }),
        (
            Shape::gauge(
                "export_last_success_timestamp_seconds",
                "When the analyzer last took something in, Unix time; 0 for never.",
                TO,
            ),
            |it| {
                let last = it.progress.last_success.and_then(|last| last.duration_since(UNIX_EPOCH).ok());
                last.unwrap_or_default().as_secs_f64()
            },
        ),
        (
            Shape::counter(
                "spans_dropped_total",
                "Spans lost here: overflow (also of failed calls: overflow_errors): the queue was full; oversized; \
                 refused by the analyzer; stopped: unsent at the end; disk: dropped there.",
                &["endpoint", "reason"],
            ),
            |it| it.dropped.total() as f64,
        ),
    ];
    let (shapes, reads): (Vec<_>, Vec<_>) = values.into_iter().unzip();
    Pulled::new(shapes, move || {
        let stats = exporter.stats();
        let mut read: Vec<Samples> = reads
            .iter()
            .map(|read| stats.iter().map(|stats| (vec![stats.endpoint.clone()], read(stats))).collect())
            .collect();
        // The last one has a second label.
        if let Some(dropped) = read.last_mut() {
            *dropped = stats.iter().flat_map(dropped_by_reason).collect();
        }
        read
    })
}

/// What waits on disk, where there is a folder for it.
pub(super) fn spill(exporter: Exporter) -> Pulled {
    type Value = fn(&SpillStats) -> u64;
    let values: [(Shape, Value); 9] = [
        (Shape::gauge("spill_bytes", "Bytes of spans that wait on disk.", &[]), |it| it.bytes),
        (Shape::gauge("spill_bytes_max", "The bound on them, --spill-max.", &[]), |it| it.bytes_max),
        (Shape::gauge("spill_spans", "Spans that wait on disk.", &[]), |it| it.spans),
        (Shape::counter("spill_spans_written_total", "Spans written to disk.", &[]), |it| it.spilled),
        (Shape::counter("spill_spans_recovered_total", "Spans found on disk at the start.", &[]), |it| it.recovered),
        (Shape::counter("spill_spans_sent_total", "Spans sent from disk.", &[]), |it| it.sent),
        (Shape::counter("spill_spans_overflowed_total", "Spans dropped from disk for newer ones.", &[]), |it| {
            it.overflowed
        }),
        (Shape::counter("spill_spans_unreadable_total", "Spans on disk that could not be read again.", &[]), |it| {
            it.unreadable
        }),
        (Shape::counter("spill_write_errors_total", "Attempts to write spans to disk that failed.", &[]), |it| {
            it.write_errors
        }),
    ];
    let (shapes, reads): (Vec<_>, Vec<_>) = values.into_iter().unzip();
    Pulled::new(shapes, move || {
        // Nothing is shown where there is no folder.
        let spill = exporter.stats().into_iter().find_map(|stats| stats.spill);
        spill.iter().flat_map(|spill| reads.iter().map(|read| only(read(spill) as f64))).collect()
    })
}

fn dropped_by_reason(stats: &Stats) -> impl Iterator<Item = (Vec<String>, f64)> {
    let dropped = &stats.dropped;
    let reasons = [
        ("overflow", dropped.overflow),
        ("overflow_errors", dropped.overflow_errors),
        ("oversized", dropped.oversized),
        ("refused", dropped.refused),
        ("stopped", dropped.stopped),
        ("disk", dropped.disk),
    ];
    reasons.map(|(reason, count)| (vec![stats.endpoint.clone(), reason.to_owned()], count as f64)).into_iter()
}
