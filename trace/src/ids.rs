//! Trace and span ids: the two numbers that every format in this crate carries.

use std::fmt;
use std::num::{NonZeroU64, NonZeroU128};

use crate::text::digit;

/// The id that all spans of one request share: 16 bytes, never zero.
///
/// Written as 32 lower-case hex digits ([`fmt::Display`]), on Raceway's own wire as a UUID ([`TraceId::uuid`]).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TraceId(NonZeroU128);

/// The id of one span within a trace: 8 bytes, never zero. Written as 16 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpanId(NonZeroU64);

impl TraceId {
    /// `None` for zero, which every standard reserves for "no id".
    pub const fn new(value: u128) -> Option<Self> {
        match NonZeroU128::new(value) {
            Some(value) => Some(Self(value)),
            None => None,
        }
    }

    /// The id as a number.
    pub const fn get(self) -> u128 {
        self.0.get()
    }

    /// Big-endian, as in OTLP; `None` for all zeros.
    pub const fn from_bytes(bytes: [u8; 16]) -> Option<Self> {
        Self::new(u128::from_be_bytes(bytes))
    }

    /// Big-endian, as in OTLP.
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0.get().to_be_bytes()
    }

    /// Exactly 32 lower-case hex digits, as W3C Trace Context demands; anything else is `None`.
    pub fn from_hex(text: &[u8]) -> Option<Self> {
        let digits: &[u8; 32] = text.try_into().ok()?;
        let (high, low) = digits.split_first_chunk()?;
        Self::new(u128::from(lower_hex(high)?) << 64 | u128::from(lower_hex(low.first_chunk()?)?))
    }

    /// A trace id as people write it: 32 hex digits or a UUID with its four dashes, upper or lower case.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let mut digits = [0u8; 32];
        match text.len() {
            32 => digits.copy_from_slice(text),
            36 => {
                let (mut from, mut to) = (text, digits.as_mut_slice());
                for (at, len) in UUID_GROUPS.into_iter().enumerate() {
                    if at > 0 {
                        from = from.strip_prefix(b"-")?;
                    }
                    let (group, behind) = from.split_at_checked(len)?;
                    let (slot, rest) = to.split_at_mut_checked(len)?;
                    slot.copy_from_slice(group);
                    (from, to) = (behind, rest);
                }
            }
            _ => return None,
        }
        digits.make_ascii_lowercase();
        Self::from_hex(&digits)
    }

    /// The 32 hex digits as bytes, for callers that build a header without formatting machinery.
    pub fn to_hex(self) -> [u8; 32] {
        hex(self.to_bytes())
    }

    /// The id in UUID text form, `8-4-4-4-12`.
    pub fn to_uuid(self) -> [u8; 36] {
        let (hex, mut uuid) = (self.to_hex(), [b'-'; 36]);
        let (mut from, mut to) = (hex.as_slice(), uuid.as_mut_slice());
        for len in UUID_GROUPS {
            let Some((group, behind)) = from.split_at_checked(len) else { break };
            let Some((slot, rest)) = to.split_at_mut_checked(len) else { break };
            slot.copy_from_slice(group);
            (from, to) = (behind, rest.split_first_mut().map(|(_, rest)| rest).unwrap_or_default());
        }
        uuid
    }

    /// As [`TraceId::to_uuid`], to be formatted.
    pub fn uuid(self) -> impl fmt::Display {
        Ascii(self.to_uuid())
    }
}

impl SpanId {
    /// `None` for zero, which every standard reserves for "no id".
    pub const fn new(value: u64) -> Option<Self> {
        match NonZeroU64::new(value) {
            Some(value) => Some(Self(value)),
            None => None,
        }
    }

    /// The id as a number.
    pub const fn get(self) -> u64 {
        self.0.get()
    }

    /// Big-endian, as in OTLP; `None` for all zeros.
    pub const fn from_bytes(bytes: [u8; 8]) -> Option<Self> {
        Self::new(u64::from_be_bytes(bytes))
    }

    /// Big-endian, as in OTLP.
    pub const fn to_bytes(self) -> [u8; 8] {
        self.0.get().to_be_bytes()
    }

    /// Exactly 16 lower-case hex digits; anything else is `None`.
    pub fn from_hex(text: &[u8]) -> Option<Self> {
        let digits: &[u8; 16] = text.try_into().ok()?;
        Self::new(lower_hex(digits)?)
    }

    /// The 16 hex digits as bytes.
    pub fn to_hex(self) -> [u8; 16] {
        hex(self.to_bytes())
    }
}

/// How many digits stand between the dashes of a UUID.
const UUID_GROUPS: [usize; 5] = [8, 4, 4, 4, 12];

/// The number that 16 lower-case hex digits spell.
fn lower_hex(digits: &[u8; 16]) -> Option<u64> {
    // One look at the end instead of a branch for each digit: a wrong one leaves bits above the lowest four.
    let (mut value, mut seen) = (0, 0);
    for &digit in digits {
        let nibble = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => 0xff,
        };
        seen |= nibble;
        value = value << 4 | u64::from(nibble & 15);
    }
    (seen < 16).then_some(value)
}

/// Two digits for each byte; `D` is twice `N`.
fn hex<const N: usize, const D: usize>(bytes: [u8; N]) -> [u8; D] {
    const { assert!(D == 2 * N) };
    let mut digits = [0; D];
    for ([high, low], byte) in digits.as_chunks_mut().0.iter_mut().zip(bytes) {
        (*high, *low) = (digit(byte >> 4), digit(byte & 15));
    }
    digits
}

/// Bytes that are ASCII, to be formatted.
struct Ascii<const N: usize>([u8; N]);

impl<const N: usize> fmt::Display for Ascii<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(std::str::from_utf8(&self.0).unwrap_or_default())
    }
}

macro_rules! shown_as_hex {
    ($id:ty) => {
        impl fmt::Display for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                Ascii(self.to_hex()).fmt(f)
            }
        }
        impl fmt::Debug for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}
shown_as_hex!(TraceId);
shown_as_hex!(SpanId);

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const UUID: &str = "4bf92f35-77b3-4da6-a3ce-929d0e0e4736";

    #[test]
    fn every_form_is_the_same_id() {
        let id = TraceId::from_hex(HEX.as_bytes()).expect("valid");
        assert_eq!(id.get(), 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736);
        assert_eq!((id.to_string().as_str(), id.uuid().to_string().as_str()), (HEX, UUID));
        for text in [HEX.to_owned(), UUID.to_owned(), HEX.to_uppercase(), UUID.to_uppercase()] {
            assert_eq!(TraceId::parse(text.as_bytes()), Some(id), "{text}");
        }
        assert_eq!(TraceId::from_bytes(id.to_bytes()), Some(id));
        let span = SpanId::from_hex(b"00f067aa0ba902b7").expect("valid");
        assert_eq!((span.get(), span.to_string().as_str()), (0x00f0_67aa_0ba9_02b7, "00f067aa0ba902b7"));
        assert_eq!(SpanId::from_bytes(span.to_bytes()), Some(span));
    }

    #[test]
    fn one_flaw_each() {
        for (from, to) in
            [("4b", "4B"), ("4b", "4g"), ("4b", "+b"), ("4b", " b"), ("4b", "b"), ("4b", "4bb"), (HEX, "")]
        {
            assert_eq!(TraceId::from_hex(HEX.replacen(from, to, 1).as_bytes()), None, "{from} {to}");
        }
        assert_eq!(TraceId::from_hex(&[b'0'; 32]), None);
        for (from, to) in [("-", "a"), ("-", ""), ("-77b3", "7-7b3"), ("4736", "473-"), ("4b", "4g"), ("-", "--")] {
            assert_eq!(TraceId::parse(UUID.replacen(from, to, 1).as_bytes()), None, "{from} {to}");
        }
        assert_eq!(TraceId::parse(b"00000000-0000-0000-0000-000000000000"), None);
        for text in ["0000000000000000", "00f067aa0ba902b", "00f067aa0ba902b70", "00F067aa0ba902b7", "0x00f067aa0ba902"]
        {
            assert_eq!(SpanId::from_hex(text.as_bytes()), None, "{text}");
        }
    }
}
