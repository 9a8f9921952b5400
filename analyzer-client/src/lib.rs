//! Spans, call edges, and the exporter that carries them to an analyzer or any OTLP collector.

mod client;
mod compress;
mod connection;
pub mod edge;
pub mod endpoint;
pub mod exporter;
mod otlp;
mod queue;
pub mod span;
pub mod stats;
mod worker;

pub use edge::{Edge, EdgeCounters, EdgeSnapshot};
pub use endpoint::{Compression, Endpoint, InvalidEndpoint, Protocol};
pub use exporter::{Exporter, Settings};
pub use span::{Event, Kind, Link, Reported, Resource, SCOPE, Span, Status, Value};
pub use stats::{Dropped, Problem, Progress, Stats};
pub use worker::Retry;
