//! The application forwarded a context: proof.

use std::sync::Arc;
use std::time::Instant;

use raceway_trace::tracestate::{Method, Probability};

use super::Link;
use crate::context::Context;
use crate::requests::Requests;

/// Follows the context that a call carries, if it carries one.
pub(super) fn link(context: &Context, requests: &Requests, now: Instant) -> Option<Link> {
    let trace_id = context.trace_id?;
    let linked = |handling, parent| Link::Request {
        handling,
        parent,
        method: Method::Header,
        p: Probability::CERTAIN,
        candidates: 0,
    };
    if let Some(parent) = context.parent
        && let Some(handling) = requests.by_id(parent, now).filter(|handling| handling.trace_id == trace_id)
    {
        return Some(linked(handling, parent));
    }
    let open = requests.of_trace(trace_id);
    // The Raceway SDK names an earlier call of the same strand as the parent of the next: that id stands for S.
    if let Some(parent) = context.parent
        && let Some(handling) = open.iter().find(|handling| handling.has_sent(parent))
    {
        return Some(linked(Arc::clone(handling), handling.server));
    }
    match open.as_slice() {
        // A span of the application's own, below S or to be reported yet; the trace alone names the request.
        [handling] => Some(linked(Arc::clone(handling), context.parent.unwrap_or(handling.server))),
        // Several requests of one trace: the parent is certain all the same, only the strand is not known.
        _ => Some(Link::Foreign { trace_id, parent: context.parent }),
    }
}
