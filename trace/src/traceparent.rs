//! `traceparent`: the header by which every tracing system agrees on a trace id.

use std::fmt;

use crate::text::{digit, hex_byte, trim};
use crate::{SpanId, TraceId};

/// The header's name.
pub const NAME: &str = "traceparent";

/// How long a value of version 00 is, which is the version we write.
pub const LEN: usize = 55;

/// The trace that a message belongs to, the span that sent it, and what was decided about sampling.
///
/// ```text
/// 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01     55 bytes, lower-case hex
/// └version └trace id, 16 bytes         └parent, 8 bytes └flags
/// ```
///
/// W3C Trace Context level 2, section 3.2. Errors: see [`InvalidTraceparent`].
///
/// ```
/// use raceway_trace::traceparent::Traceparent;
///
/// let from = Traceparent::parse(b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")?;
/// assert_eq!(from.parent_id.to_string(), "00f067aa0ba902b7");
/// assert!(from.flags.sampled() && !from.flags.random());
/// assert_eq!(&from.to_bytes(), b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
/// # Ok::<(), raceway_trace::traceparent::InvalidTraceparent>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traceparent {
    /// The id that all spans of one request share.
    pub trace_id: TraceId,
    /// The span that sent the message; the standard calls it parent-id.
    pub parent_id: SpanId,
    /// Sampled, random, and the bits that are not defined yet.
    pub flags: Flags,
}

impl Traceparent {
    /// Reads version 00 exactly, and any later version by its first four fields, as the standard demands.
    pub fn parse(value: &[u8]) -> Result<Self, InvalidTraceparent> {
        use InvalidTraceparent as Invalid;
        let mut rest = trim(value);
        if rest.len() < LEN {
            return Err(Invalid::Length);
        }
        let version = hex_byte(take(&mut rest)?).filter(|&version| version != 0xff).ok_or(Invalid::Version)?;
        dash(&mut rest)?;
        let trace_id = TraceId::from_hex(take::<32>(&mut rest)?).ok_or(Invalid::TraceId)?;
        dash(&mut rest)?;
        let parent_id = SpanId::from_hex(take::<16>(&mut rest)?).ok_or(Invalid::ParentId)?;
        dash(&mut rest)?;
        let flags = Flags(hex_byte(take(&mut rest)?).ok_or(Invalid::Flags)?);
        match (version, rest) {
            (0, []) => Ok(Self { trace_id, parent_id, flags }),
            (0, _) => Err(Invalid::Length),
            // What the other bits will mean in a later version is unknown, and we write version 00.
            (_, [] | [b'-', ..]) => Ok(Self { trace_id, parent_id, flags: flags.known() }),
            _ => Err(Invalid::Shape),
        }
    }

    /// The value to send, in version 00.
    pub fn to_bytes(self) -> [u8; LEN] {
        let mut value = *b"00-00000000000000000000000000000000-0000000000000000-00";
        let [_, _, _, rest @ ..] = &mut value;
        if let Some((trace_id, [_, rest @ ..])) = rest.split_first_chunk_mut::<32>() {
            *trace_id = self.trace_id.to_hex();
            if let Some((parent_id, [_, high, low])) = rest.split_first_chunk_mut::<16>() {
                *parent_id = self.parent_id.to_hex();
                *high = digit(self.flags.0 >> 4);
                *low = digit(self.flags.0 & 15);
            }
        }
        value
    }
}

impl fmt::Display for Traceparent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_bytes().iter().try_for_each(|&byte| fmt::Write::write_char(f, char::from(byte)))
    }
}

/// The last field of a traceparent, kept as it came: an unsampled request stays unsampled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Flags(u8);

impl Flags {
    /// The caller may have recorded its span, and so should we.
    pub const SAMPLED: Self = Self(0b01);
    /// The last 7 bytes of the trace id are random, so that samplers may decide by them (level 2).
    pub const RANDOM: Self = Self(0b10);

    /// All eight bits as they stand on the wire.
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits)
    }

    /// All eight bits as they stand on the wire.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Whether [`Flags::SAMPLED`] is set.
    pub const fn sampled(self) -> bool {
        self.0 & Self::SAMPLED.0 != 0
    }

    /// Whether [`Flags::RANDOM`] is set.
    pub const fn random(self) -> bool {
        self.0 & Self::RANDOM.0 != 0
    }

    /// The same with the flags of `other` set too.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    const fn known(self) -> Self {
        Self(self.0 & (Self::SAMPLED.0 | Self::RANDOM.0))
    }
}

reasons! {
    /// Why a `traceparent` counts as absent.
    InvalidTraceparent {
        /// Shorter than 55 bytes, or of version 00 and longer.
        Length = "length", "traceparent is not 55 bytes long";
        /// A field does not end in a dash where it should.
        Shape = "shape", "traceparent is not four fields with dashes between them";
        /// Not two lower-case hex digits, or the forbidden `ff`.
        Version = "version", "traceparent has no valid version";
        /// Not 32 lower-case hex digits, or all zeros.
        TraceId = "trace_id", "traceparent has no valid trace id";
        /// Not 16 lower-case hex digits, or all zeros.
        ParentId = "parent_id", "traceparent has no valid parent id";
        /// Not two lower-case hex digits.
        Flags = "flags", "traceparent has no valid flags";
    }
}

fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> Result<&'a [u8; N], InvalidTraceparent> {
    let (field, behind) = rest.split_first_chunk().ok_or(InvalidTraceparent::Length)?;
    *rest = behind;
    Ok(field)
}

fn dash(rest: &mut &[u8]) -> Result<(), InvalidTraceparent> {
    match take(rest)? {
        b"-" => Ok(()),
        _ => Err(InvalidTraceparent::Shape),
    }
}
