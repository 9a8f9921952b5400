//! `uber-trace-id`: Jaeger's own header.

use crate::text::{digit, hex_short, trim, write_span_id};
use crate::{SpanId, TraceId};

/// The header's name.
pub const NAME: &str = "uber-trace-id";

/// The trace that a message belongs to, in Jaeger's form.
///
/// ```text
/// 4bf92f3577b34da6a3ce929d0e0e4736:f067aa0ba902b7:0:1
/// └trace id, ≤ 32 hex              └span id       │ └flags, one byte in hex
///                                                 └parent, 0 for none
/// ```
///
/// Leading zeros may be missing, and the colons may come as `%3A`. From Jaeger's "client libraries" page.
/// Errors: see [`InvalidUberTraceId`].
///
/// ```
/// use raceway_trace::jaeger::UberTraceId;
///
/// let id = UberTraceId::parse(b"4bf92f3577b34da6a3ce929d0e0e4736:f067aa0ba902b7:0:1")?;
/// assert_eq!(id.span_id.to_string(), "00f067aa0ba902b7");
/// assert!(id.sampled() && id.parent_span_id.is_none());
/// # Ok::<(), raceway_trace::jaeger::InvalidUberTraceId>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UberTraceId {
    /// The id that all spans of one request share.
    pub trace_id: TraceId,
    /// The caller's span.
    pub span_id: SpanId,
    /// The parent of the caller's span; Jaeger itself no longer sends it.
    pub parent_span_id: Option<SpanId>,
    /// 1 sampled, 2 debug, 8 firehose.
    pub flags: u8,
}

impl UberTraceId {
    /// Reads the header's value.
    pub fn parse(value: &[u8]) -> Result<Self, InvalidUberTraceId> {
        use InvalidUberTraceId as Invalid;
        let mut rest = Some(trim(value));
        let mut field = || {
            let (field, behind) = split_colon(rest?);
            rest = behind;
            Some(field)
        };
        let (Some(trace), Some(span), Some(parent), Some(flags)) = (field(), field(), field(), field()) else {
            return Err(Invalid::Shape);
        };
        if field().is_some() {
            return Err(Invalid::Shape);
        }
        let narrow = |value: u128| u64::try_from(value).ok();
        let parent = hex_short(parent, 16).and_then(narrow).ok_or(Invalid::ParentSpanId)?;
        Ok(Self {
            trace_id: hex_short(trace, 32).and_then(TraceId::new).ok_or(Invalid::TraceId)?,
            span_id: hex_short(span, 16).and_then(narrow).and_then(SpanId::new).ok_or(Invalid::SpanId)?,
            parent_span_id: SpanId::new(parent),
            flags: hex_short(flags, 2).and_then(|flags| u8::try_from(flags).ok()).ok_or(Invalid::Flags)?,
        })
    }

    /// Whether the caller recorded its span.
    pub const fn sampled(self) -> bool {
        self.flags & 1 != 0
    }

    /// Whether every sampler should keep the trace.
    pub const fn debug(self) -> bool {
        self.flags & 2 != 0
    }

    /// Appends the value to send, with all its zeros.
    pub fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.trace_id.to_hex());
        out.push(b':');
        write_span_id(self.span_id, out);
        out.push(b':');
        match self.parent_span_id {
            Some(parent) => write_span_id(parent, out),
            None => out.push(b'0'),
        }
        out.push(b':');
        if self.flags > 15 {
            out.push(digit(self.flags >> 4));
        }
        out.push(digit(self.flags & 15));
    }
}

reasons! {
    /// Why an `uber-trace-id` counts as absent.
    InvalidUberTraceId {
        /// Not four fields.
        Shape = "shape", "uber-trace-id is not four fields with colons between them";
        /// Not 1 to 32 hex digits, or all zeros.
        TraceId = "trace_id", "uber-trace-id has no valid trace id";
        /// Not 1 to 16 hex digits, or all zeros.
        SpanId = "span_id", "uber-trace-id has no valid span id";
        /// Not 1 to 16 hex digits.
        ParentSpanId = "parent_span_id", "uber-trace-id has no valid parent";
        /// Not one or two hex digits.
        Flags = "flags", "uber-trace-id has no valid flags";
    }
}

/// The first field, and what follows its colon.
fn split_colon(value: &[u8]) -> (&[u8], Option<&[u8]>) {
    let Some(at) = value.iter().position(|byte| matches!(byte, b':' | b'%')) else {
        return (value, None);
    };
    let (field, rest) = value.split_at_checked(at).unwrap_or((value, &[]));
    match rest {
        [b':', rest @ ..] | [b'%', b'3', b'A' | b'a', rest @ ..] => (field, Some(rest)),
        _ => (value, None),
    }
}
