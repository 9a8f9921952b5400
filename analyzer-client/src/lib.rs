//! Spans, call edges, and the exporter that carries them to an analyzer or any OTLP collector.

pub mod span;

pub use span::{Event, Kind, Link, Reported, Resource, SCOPE, Span, Status, Value};
