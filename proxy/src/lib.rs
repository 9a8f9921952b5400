//! The sidecar.

pub mod http1;
