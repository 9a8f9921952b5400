//! Trace and span ids: the two numbers that every format in this crate carries.

use std::fmt;
use std::num::{NonZeroU64, NonZeroU128};

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
        Self::new(lower_hex(text.try_into().ok().map(|digits: &[u8; 32]| digits)?)?)
    }

    /// A trace id as people write it: 32 hex digits or a UUID with its four dashes, upper or lower case.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let mut digits = [0u8; 32];
        match text.len() {
            32 => digits.copy_from_slice(text),
            36 => {
                let mut from = text.iter().enumerate();
                for digit in &mut digits {
                    *digit = loop {
                        match from.next()? {
                            (8 | 13 | 18 | 23, b'-') => {}
                            (_, &byte) => break byte,
                        }
                    };
                }
                if from.next().is_some() {
                    return None;
                }
            }
            _ => return None,
        }
        digits.make_ascii_lowercase();
        Self::from_hex(&digits)
    }

    /// The 32 hex digits as bytes, for callers that build a header without formatting machinery.
    pub fn to_hex(self) -> [u8; 32] {
        hex(self.0.get())
    }

    /// The id in UUID text form, `8-4-4-4-12`.
    pub fn uuid(self) -> impl fmt::Display {
        struct Uuid([u8; 32]);
        impl fmt::Display for Uuid {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                for (at, &digit) in self.0.iter().enumerate() {
                    if matches!(at, 8 | 12 | 16 | 20) {
                        f.write_str("-")?;
                    }
                    fmt::Write::write_char(f, char::from(digit))?;
                }
                Ok(())
            }
        }
        Uuid(self.to_hex())
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
        Self::new(u64::try_from(lower_hex(digits)?).ok()?)
    }

    /// The 16 hex digits as bytes.
    pub fn to_hex(self) -> [u8; 16] {
        hex(u128::from(self.0.get()))
    }
}

/// The number that lower-case hex digits spell; at most 32 of them.
fn lower_hex<const N: usize>(digits: &[u8; N]) -> Option<u128> {
    const { assert!(N <= 32) };
    digits.iter().try_fold(0u128, |value, digit| {
        let nibble = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(value << 4 | u128::from(nibble))
    })
}

/// The last `N` hex digits of a number.
fn hex<const N: usize>(mut value: u128) -> [u8; N] {
    let mut digits = [b'0'; N];
    for digit in digits.iter_mut().rev() {
        let nibble = (value & 15) as u8;
        *digit = if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
        value >>= 4;
    }
    digits
}

macro_rules! shown_as_hex {
    ($id:ty) => {
        impl fmt::Display for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.to_hex().iter().try_for_each(|&digit| fmt::Write::write_char(f, char::from(digit)))
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
