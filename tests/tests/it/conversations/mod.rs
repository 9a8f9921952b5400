//! Conversations that must be the same with sidecars between as without.

mod http1;
mod http2;
mod leftovers;
pub(crate) mod peers;
mod script;
mod servers;
mod transparent;
