//! Trace context and vector clocks as they travel in HTTP headers.
//!
//! A leaf: no IO, no dependency, and no input that makes it panic. Bytes enter by `parse`, leave by `write`, and what
//! lies between cannot hold an invalid value. A header that is malformed counts as absent; why, every codec's own error
//! says (`reason()` for a metric, `Display` for a person). Whoever calls must count a repeated header as malformed too,
//! except for `tracestate` and `baggage`, whose lines are one list.
//!
//! One request through a service, as its sidecar sees it:
//!
//! ```
//! use raceway_trace::clock::{Component, Strand};
//! use raceway_trace::raceway_clock::{RacewayClock, RacewayClockRef};
//! use raceway_trace::traceparent::{Flags, Traceparent};
//! use raceway_trace::{SpanId, stamp};
//!
//! // A request comes in, with a trace but without a clock.
//! let came = Traceparent::parse(b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")?;
//! let server = SpanId::new(0x51).expect("not zero");
//! let mut strand = Strand::receive(Component::strand("orders", "pod-1", 1), None, None, "orders");
//!
//! // The application calls another service: stamp the call.
//! let client = SpanId::new(0xc1).expect("not zero");
//! let sent = strand.send();
//! let traceparent = Traceparent { parent_id: client, ..came }.to_bytes();
//! let mut values = Vec::new();
//! let fields = RacewayClockRef {
//!     trace_id: came.trace_id,
//!     span_id: SpanId::new(0x52).expect("not zero"),
//!     parent_span_id: Some(client),
//!     service: "orders",
//!     instance: "pod-1",
//!     clock: &sent.clock,
//! };
//! let written = stamp::clocks(&fields, Some(strand.projection()), traceparent.len(), &mut values);
//!
//! // The other side reads it.
//! let value = written.clock.and_then(|at| values.get(at)).expect("a clock of one entry fits");
//! let read = RacewayClock::parse(value)?;
//! assert_eq!(read.clock.get("orders#pod-1~1"), Some(sent.at + 1));
//! # let _ = server;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`clock`] has the rules by which clocks advance, [`order`] how they are compared.

#[macro_use]
mod reason;

pub mod ids;

pub mod traceparent;

pub mod tracestate;

pub mod raceway_clock;

pub mod x_raceway;

pub mod stamp;

pub mod baggage;

pub mod b3;

pub mod jaeger;

pub mod clock;

pub mod order;

mod base64url;
mod json;
mod text;

pub use ids::{SpanId, TraceId};
