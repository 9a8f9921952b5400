//! The handlers, one file per family of routes.

pub(super) mod distributed;
pub(super) mod metrics;
pub(super) mod performance;
mod search;
pub(super) mod services;
pub(super) mod status;
pub(super) mod traces;
