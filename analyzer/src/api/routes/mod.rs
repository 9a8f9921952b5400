//! The handlers, one file per family of routes.

mod attribute;
pub(super) mod distributed;
pub(super) mod metrics;
pub(super) mod performance;
pub(super) mod services;
pub(super) mod status;
pub(super) mod traces;
