//! The sidecar: a transparent proxy that stamps trace context and vector clocks and records every call.
//!
//! A request's life is told by `carry` in [`inbound`] and [`outbound`]; everything else is what those two name.

pub mod admin;
pub mod carriers;
pub mod config;
pub mod drain;
pub mod edges;
pub mod forwarded;
pub mod hello;
pub mod http1;
pub mod ignore;
pub mod intercept;
pub mod listen;
pub mod metrics;
pub mod pattern;
pub mod ready;
pub mod redact;
pub mod template;
pub mod threads;

mod certificates;
mod conn;
mod context;
mod detect;
mod exchange;
mod failure;
mod inbound;
mod link;
mod log;
mod message;
mod outbound;
mod pair;
mod pair2;
mod pump;
mod pump2;
mod record;
mod refusal;
mod relay1;
mod relay2;
mod requests;
mod run;
mod serve;
mod sidecar;
mod splice;
mod terminate;
mod transparent;
mod tunnel;
mod upstream;
mod watched;

pub use run::main;
