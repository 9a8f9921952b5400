//! Trace context and vector clocks as they travel in HTTP headers.

pub mod ids;

pub use ids::{SpanId, TraceId};
