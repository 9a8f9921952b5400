//! TLS in every position: ended by a sidecar, begun by a sidecar, passed through untouched, and on the way to the analyzer. Certificates are the test's
//! own; the other side is curl, nginx or Python.

mod analyzer;
mod inbound;
mod outbound;
mod redirected;
mod scene;
mod tunnel;
