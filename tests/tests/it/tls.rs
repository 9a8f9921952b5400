//! TLS in every position: ended by a sidecar, begun by a sidecar, passed through untouched. Certificates are the test's
//! own; the other side is curl, nginx or Python.

mod inbound;
mod outbound;
mod scene;
mod tunnel;
