//! All our headers on one message together: at most 4 KiB.

use std::ops::Range;

use crate::raceway_clock::{self, RacewayClockRef};
use crate::x_raceway::{Projection, VC_NAME};

/// What all headers of ours may take on one message, in bytes as sent: half of what Tomcat takes for a whole head by
/// default, and as much as the smallest buffer of nginx.
pub const BYTES_MAX: usize = 4096;

/// What one header line takes: the name, a colon and a space, the value, CR and LF.
pub const fn line_len(name: &str, value_len: usize) -> usize {
    name.len() + 2 + value_len + 2
}

/// Where in the buffer [`clocks`] wrote what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clocks {
    /// The value of `raceway-clock`; `None` where not even the own component fitted.
    pub clock: Option<Range<usize>>,
    /// The value of `X-Raceway-VC`; `None` where there was no room for it.
    pub projection: Option<Range<usize>>,
    /// How many entries of the clock were left out for want of room.
    pub elided: u32,
}

/// Appends the values of `raceway-clock` and `X-Raceway-VC` such that, with `others` bytes of other header lines of
/// ours, the message stays within [`BYTES_MAX`]. Where it gets tight the projection goes first, then the foremost
/// entries of the clock: those of children that have answered, then the oldest ancestors.
///
/// ```
/// use raceway_trace::clock::{Component, Strand};
/// use raceway_trace::raceway_clock::RacewayClockRef;
/// use raceway_trace::stamp::{clocks, line_len};
/// use raceway_trace::{SpanId, TraceId, traceparent};
///
/// let strand = Strand::receive(Component::strand("api", "pod-1", 1), None, None, "api");
/// let (trace_id, span_id) = (TraceId::new(7).expect("not zero"), SpanId::new(8).expect("not zero"));
/// let fields = RacewayClockRef {
///     trace_id,
///     span_id,
///     parent_span_id: None,
///     service: "api",
///     instance: "pod-1",
///     clock: strand.clock(),
/// };
/// let others = line_len(traceparent::NAME, traceparent::LEN);
/// let mut values = Vec::new();
/// let written = clocks(&fields, Some(strand.projection()), others, &mut values);
/// assert_eq!(written.projection.and_then(|at| values.get(at)), Some(&br#"{"api":1}"#[..]));
/// ```
pub fn clocks(
    clock: &RacewayClockRef<'_>,
    projection: Option<&Projection>,
    others: usize,
    out: &mut Vec<u8>,
) -> Clocks {
    let mut written = Clocks::default();
    let room = BYTES_MAX.saturating_sub(others);
    let start = out.len();
    let Some(elided) = clock.write(room.saturating_sub(line_len(raceway_clock::NAME, 0)), out) else {
        return written;
    };
    written.clock = Some(start..out.len());
    written.elided = elided;
    if let Some(projection) = projection.filter(|projection| elided == 0 && !projection.is_empty()) {
        let room = room.saturating_sub(line_len(raceway_clock::NAME, out.len() - start));
        let start = out.len();
        projection.write(out);
        if line_len(VC_NAME, out.len() - start) <= room {
            written.projection = Some(start..out.len());
        } else {
            out.truncate(start);
        }
    }
    written
}
