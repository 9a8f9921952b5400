//! `b3` and `X-B3-*`: Zipkin's headers, in one line or in five.

use crate::text::{hex_short, trim, write_span_id};
use crate::{SpanId, TraceId};

/// The header of the single form.
pub const NAME: &str = "b3";
/// Multiple form: the trace id.
pub const TRACE_ID: &str = "x-b3-traceid";
/// Multiple form: the id of the span that the receiver takes.
pub const SPAN_ID: &str = "x-b3-spanid";
/// Multiple form: that span's parent.
pub const PARENT_SPAN_ID: &str = "x-b3-parentspanid";
/// Multiple form: `0` or `1`.
pub const SAMPLED: &str = "x-b3-sampled";
/// Multiple form: `1` means debug.
pub const FLAGS: &str = "x-b3-flags";

/// What a `b3` header says.
///
/// ```text
/// 80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-1-05e3ac9a4f6e3b90
/// └trace id, 32 or 16 hex          └span id         └0, 1 or d └parent span id; the last two may be missing
/// ```
///
/// From <https://github.com/openzipkin/b3-propagation>. A trace id of 64 bits is filled up with zeros in front.
/// Errors: see [`InvalidB3`].
///
/// ```
/// use raceway_trace::b3::{B3, Sampling};
///
/// let b3 = B3::parse_single(b"80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-1")?;
/// let ids = b3.ids.expect("both ids are there");
/// assert_eq!((ids.span_id.to_string().as_str(), b3.sampling), ("e457b5a2e4d86bd1", Sampling::Accept));
/// assert_eq!(B3::parse_single(b"0")?, B3 { ids: None, sampling: Sampling::Deny });
/// # Ok::<(), raceway_trace::b3::InvalidB3>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct B3 {
    /// The trace; `None` where the caller only told whether to sample.
    pub ids: Option<Ids>,
    /// What the caller decided about sampling.
    pub sampling: Sampling,
}

/// The place in a trace that a [`B3`] names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ids {
    /// The id that all spans of one request share.
    pub trace_id: TraceId,
    /// The caller's span.
    pub span_id: SpanId,
    /// The parent of the caller's span.
    pub parent_span_id: Option<SpanId>,
}

/// What a caller decided about sampling.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sampling {
    /// Nothing: the receiver decides.
    #[default]
    Defer,
    /// Do not record.
    Deny,
    /// Record.
    Accept,
    /// Record whatever any sampler says.
    Debug,
}

/// The values of the multiple form; `None` where a header is missing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Multi<'a> {
    /// Of [`TRACE_ID`].
    pub trace_id: Option<&'a [u8]>,
    /// Of [`SPAN_ID`].
    pub span_id: Option<&'a [u8]>,
    /// Of [`PARENT_SPAN_ID`].
    pub parent_span_id: Option<&'a [u8]>,
    /// Of [`SAMPLED`].
    pub sampled: Option<&'a [u8]>,
    /// Of [`FLAGS`].
    pub flags: Option<&'a [u8]>,
}

impl B3 {
    /// Reads the value of a `b3` header.
    pub fn parse_single(value: &[u8]) -> Result<Self, InvalidB3> {
        let mut fields = trim(value).split(|&byte| byte == b'-');
        let first = fields.next().unwrap_or_default();
        let Some(span_id) = fields.next() else {
            return Ok(Self { ids: None, sampling: Sampling::parse(first)? });
        };
        let sampling = fields.next().map_or(Ok(Sampling::Defer), Sampling::parse)?;
        let ids = Ids::parse(first, span_id, fields.next())?;
        if fields.next().is_some() {
            return Err(InvalidB3::Shape);
        }
        Ok(Self { ids: Some(ids), sampling })
    }

    /// Reads the headers of the multiple form; `Ok(None)` where none of them is there.
    pub fn parse_multi(values: Multi<'_>) -> Result<Option<Self>, InvalidB3> {
        let Multi { trace_id, span_id, parent_span_id, sampled, flags } = values;
        let sampling = match (flags.map(trim), sampled.map(trim)) {
            (Some(b"1"), _) => Some(Sampling::Debug),
            // Written by old libraries, and still read by all.
            (_, Some(b"true")) => Some(Sampling::Accept),
            (_, Some(b"false")) => Some(Sampling::Deny),
            (_, Some(value @ (b"0" | b"1"))) => Some(Sampling::parse(value)?),
            (_, Some(_)) => return Err(InvalidB3::Sampling),
            (_, None) => None,
        };
        let ids = match (trace_id, span_id) {
            (Some(trace_id), Some(span_id)) => {
                Some(Ids::parse(trim(trace_id), trim(span_id), parent_span_id.map(trim))?)
            }
            (None, None) => None,
            _ => return Err(InvalidB3::Shape),
        };
        if ids.is_none() && sampling.is_none() {
            return Ok(None);
        }
        Ok(Some(Self { ids, sampling: sampling.unwrap_or_default() }))
    }

    /// Appends the value of the single form; nothing if there is nothing to say.
    pub fn write_single(&self, out: &mut Vec<u8>) {
        let letter = self.sampling.letter();
        let Some(Ids { trace_id, span_id, parent_span_id }) = self.ids else {
            return out.extend(letter);
        };
        out.extend_from_slice(&trace_id.to_hex());
        out.push(b'-');
        write_span_id(span_id, out);
        if let Some(letter) = letter {
            out.extend_from_slice(&[b'-', letter]);
            // A parent can only stand behind a decision.
            if let Some(parent) = parent_span_id {
                out.push(b'-');
                write_span_id(parent, out);
            }
        }
    }

    /// Name and value of each header of the multiple form.
    pub fn multi(&self) -> impl Iterator<Item = (&'static str, Vec<u8>)> {
        let ids = self.ids;
        let sampling = match self.sampling {
            Sampling::Defer => None,
            Sampling::Deny => Some((SAMPLED, b"0".to_vec())),
            Sampling::Accept => Some((SAMPLED, b"1".to_vec())),
            Sampling::Debug => Some((FLAGS, b"1".to_vec())),
        };
        let parent = ids.and_then(|ids| ids.parent_span_id);
        [
            ids.map(|ids| (TRACE_ID, ids.trace_id.to_hex().to_vec())),
            ids.map(|ids| (SPAN_ID, ids.span_id.to_hex().to_vec())),
            parent.map(|parent| (PARENT_SPAN_ID, parent.to_hex().to_vec())),
            sampling,
        ]
        .into_iter()
        .flatten()
    }
}

impl Ids {
    fn parse(trace_id: &[u8], span_id: &[u8], parent_span_id: Option<&[u8]>) -> Result<Self, InvalidB3> {
        let trace_id = match trace_id.len() {
            16 | 32 => hex_short(trace_id, 32).and_then(TraceId::new).ok_or(InvalidB3::TraceId)?,
            _ => return Err(InvalidB3::TraceId),
        };
        let parent_span_id = match parent_span_id {
            Some(parent) => Some(id(parent).ok_or(InvalidB3::ParentSpanId)?),
            None => None,
        };
        Ok(Self { trace_id, span_id: id(span_id).ok_or(InvalidB3::SpanId)?, parent_span_id })
    }
}

impl Sampling {
    fn parse(letter: &[u8]) -> Result<Self, InvalidB3> {
        match letter {
            b"0" => Ok(Self::Deny),
            b"1" => Ok(Self::Accept),
            b"d" => Ok(Self::Debug),
            _ => Err(InvalidB3::Sampling),
        }
    }

    const fn letter(self) -> Option<u8> {
        match self {
            Self::Defer => None,
            Self::Deny => Some(b'0'),
            Self::Accept => Some(b'1'),
            Self::Debug => Some(b'd'),
        }
    }

    /// Whether to record; `None` where the caller left it open.
    pub const fn sampled(self) -> Option<bool> {
        match self {
            Self::Defer => None,
            Self::Deny => Some(false),
            Self::Accept | Self::Debug => Some(true),
        }
    }
}

reasons! {
    /// Why a `b3` or `X-B3-*` counts as absent.
    InvalidB3 {
        /// Too many fields, or one id without the other.
        Shape = "shape", "b3 has too many fields, or one id without the other";
        /// Not 16 or 32 hex digits, or all zeros.
        TraceId = "trace_id", "b3 has no valid trace id";
        /// Not 16 hex digits, or all zeros.
        SpanId = "span_id", "b3 has no valid span id";
        /// Not 16 hex digits, or all zeros.
        ParentSpanId = "parent_span_id", "b3 has no valid parent span id";
        /// Not one of the known letters.
        Sampling = "sampling", "b3 has no valid sampling state";
    }
}

fn id(text: &[u8]) -> Option<SpanId> {
    if text.len() != 16 {
        return None;
    }
    SpanId::new(u64::try_from(hex_short(text, 16)?).ok()?)
}
