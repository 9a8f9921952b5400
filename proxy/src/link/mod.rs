//! Which request caused this call?
//!
//! The application forwards nothing, so the sidecar sees requests go in and calls come out and has to say which
//! caused which. Rules are asked in the order of their evidence, best first; each is one function in one file, and
//! answers only what it can stand for. What no rule answers stays unlinked: a new root, with links to the candidates.

mod header;
mod sole;

use std::sync::Arc;
use std::time::Instant;

use raceway_trace::tracestate::{Method, Probability};
use raceway_trace::{SpanId, TraceId};

use crate::config::LinkPolicy;
use crate::context::Context;
use crate::requests::{Handling, Requests};

/// Candidates that an unlinked call names.
const CANDIDATES_MAX: usize = 3;

/// Where a call belongs.
pub(crate) enum Link {
    /// To a request that this sidecar brought in.
    Request {
        /// The request: its strand makes the call.
        handling: Arc<Handling>,
        /// The span that the call's span hangs under: S, or a span of the application's own in that trace.
        parent: SpanId,
        /// How we know.
        method: Method,
        /// How sure that is.
        p: Probability,
        /// How many requests were in flight; 0 where the rule did not have to look.
        candidates: usize,
    },
    /// To a trace that the application itself began or knows from elsewhere.
    Foreign {
        /// That trace.
        trace_id: TraceId,
        /// The application's span.
        parent: Option<SpanId>,
    },
    /// Nobody can tell.
    Unlinked {
        /// The newest requests in flight.
        candidates: Vec<Arc<Handling>>,
        /// How many there were.
        count: usize,
    },
}

/// Says where a call belongs, given what it carried.
pub(crate) fn resolve(context: &Context, requests: &Requests, policy: LinkPolicy, now: Instant) -> Link {
    if let Some(link) = header::link(context, requests, now) {
        return link;
    }
    let situation = requests.call_without_context(CANDIDATES_MAX, now);
    if let Some((handling, p)) = sole::link(&situation)
        && policy.admits(p.get())
    {
        let parent = handling.server;
        return Link::Request { handling, parent, method: Method::Sole, p, candidates: situation.count };
    }
    Link::Unlinked { candidates: situation.newest, count: situation.count }
}
