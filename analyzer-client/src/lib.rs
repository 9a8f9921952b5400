//! Spans, call edges, and the exporter that carries them to an analyzer or any OTLP collector.
//!
//! ```no_run
//! use std::time::{Duration, SystemTime};
//! use raceway_analyzer_client::{
//!     EdgeCounters, Endpoint, Exporter, Kind, Protocol, Resource, Settings, Span, SpanId, TraceId,
//! };
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let endpoint = Endpoint::parse("http://analyzer:4317", Protocol::Grpc)?;
//! let edges = EdgeCounters::new(SystemTime::now());
//! let exporter = Exporter::start(Settings {
//!     edges: Some(edges.clone()),
//!     ..Settings::new(endpoint, Resource::new("orders").with("service.instance.id", "orders-1"))
//! });
//!
//! // On the request path: encodes, appends, returns.
//! let (trace, id) = (TraceId::new(0xa1).ok_or("zero")?, SpanId::new(0xb2).ok_or("zero")?);
//! let mut span = Span::new(trace, id, Kind::Client, "GET /pay/{id}", 1_795_372_725_565_404_251);
//! span.end_ns = span.start_ns + 3_000_000;
//! span.set("http.response.status_code", 200);
//! exporter.record(&span);
//! edges.record("payment", Duration::from_millis(3), false);
//!
//! // At the end: sends what waits, and says what became of everything.
//! for stats in exporter.stop(Duration::from_secs(5)).await {
//!     assert_eq!(stats.spans_recorded, stats.spans_sent + stats.spans_rejected + stats.dropped.total());
//! }
//! # Ok(()) }
//! ```
//!
//! # What it promises
//!
//! - [`Exporter::record`] never waits for the network: 0.3 µs for a span of 15 attributes.
//! - Memory is bounded ([`Settings::queue_bytes_max`]); what finds no room is dropped, plain spans before failed ones,
//!   and every span is in exactly one count of [`Stats`].
//! - While a receiver is down, slow or full, spans wait and are sent again. A span may arrive twice, so receivers know
//!   it by its ids.
//! - [`EdgeCounters`] are cumulative: the next message says all that a lost one did.
//! - [`Exporter::stop`] ends everything that was started, at its deadline at the latest.
//!
//! # Where to read on
//!
//! [`span`] is the model. A span's way: [`exporter`] encodes it (`otlp`), `queue` keeps it ([`spill`]: on disk, where memory is
//! full), `worker` decides when it is
//! sent and what a failure means, `client` makes the request, `connection` carries it.

mod client;
mod compress;
mod connection;
pub mod edge;
pub mod endpoint;
pub mod exporter;
mod otlp;
mod pipeline;
mod queue;
pub mod span;
pub mod spill;
pub mod stats;
mod worker;

pub use edge::{Edge, EdgeCounters, EdgeSnapshot};
pub use endpoint::{Compression, Endpoint, InvalidEndpoint, Protocol};
pub use exporter::{Exporter, Settings};
pub use otlp::SpanWriter;
pub use span::{Event, Kind, Link, Reported, Resource, SCOPE, Span, Status, Value};
pub use spill::{SpillError, SpillFolder};
pub use stats::{Dropped, Problem, Progress, SpillStats, Stats};
pub use worker::Retry;

pub use raceway_trace::{SpanId, TraceId};
