//! `baggage`: what the application sends along with its requests. We look, and pass it on untouched.

use std::borrow::Cow;

use crate::text::{split_once, trim};

/// The header's name.
pub const NAME: &str = "baggage";

/// What every implementation must pass on, says the standard; more than that we do not look at.
pub const MEMBERS_MAX: usize = 64;

/// As [`MEMBERS_MAX`], for all members together.
pub const BYTES_MAX: usize = 8192;

/// The entries of one `baggage`, borrowed from the header's lines.
///
/// ```text
/// userId=alice,region=eu%20west;ttl=30       ≤ 64 members, ≤ 8192 bytes
/// └key   └value └           property┘
/// ```
///
/// W3C Baggage, section 3.2. Several lines are one list. Errors: see [`InvalidBaggage`].
///
/// ```
/// use raceway_trace::baggage::Baggage;
///
/// let baggage = Baggage::parse([&b"userId=alice,region=eu%20west;ttl=30"[..]])?;
/// assert_eq!(baggage.get("region").map(|entry| entry.decoded()).as_deref(), Some("eu west"));
/// # Ok::<(), raceway_trace::baggage::InvalidBaggage>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Baggage<'a> {
    entries: Vec<Entry<'a>>,
}

/// One member of a [`Baggage`], as it stands in the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// A token.
    pub key: &'a str,
    /// Percent-encoded; see [`Entry::decoded`].
    pub value: &'a str,
    /// What follows the first `;`, empty where there is none.
    pub properties: &'a str,
}

impl<'a> Baggage<'a> {
    /// Reads the lines in the order in which they stand in the head.
    pub fn parse(lines: impl IntoIterator<Item = &'a [u8]>) -> Result<Self, InvalidBaggage> {
        let (mut entries, mut bytes) = (Vec::new(), 0);
        for line in lines {
            bytes += line.len();
            if bytes > BYTES_MAX {
                return Err(InvalidBaggage::Length);
            }
            for member in line.split(|&byte| byte == b',').map(trim) {
                if member.is_empty() {
                    continue;
                }
                if entries.len() == MEMBERS_MAX {
                    return Err(InvalidBaggage::Members);
                }
                entries.push(Entry::parse(member)?);
            }
        }
        Ok(Self { entries })
    }

    /// In the order in which they stand in the head.
    pub fn entries(&self) -> &[Entry<'a>] {
        &self.entries
    }

    /// The first entry with this key.
    pub fn get(&self, key: &str) -> Option<&Entry<'a>> {
        self.entries.iter().find(|entry| entry.key == key)
    }
}

impl<'a> Entry<'a> {
    /// The value without its percent-encoding; what is not UTF-8 becomes U+FFFD.
    pub fn decoded(&self) -> Cow<'a, str> {
        if !self.value.contains('%') {
            return Cow::Borrowed(self.value);
        }
        let mut bytes = Vec::with_capacity(self.value.len());
        let mut rest = self.value.as_bytes();
        while let [byte, behind @ ..] = rest {
            let encoded = match rest {
                [b'%', high, low, behind @ ..] => {
                    crate::text::hex_byte(&[high.to_ascii_lowercase(), low.to_ascii_lowercase()])
                        .map(|byte| (byte, behind))
                }
                _ => None,
            };
            let (byte, behind) = encoded.unwrap_or((*byte, behind));
            bytes.push(byte);
            rest = behind;
        }
        Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn parse(member: &'a [u8]) -> Result<Self, InvalidBaggage> {
        let (pair, properties) = split_once(member, b';').unwrap_or((member, b""));
        let (key, value) = split_once(pair, b'=').ok_or(InvalidBaggage::Shape)?;
        Ok(Self {
            key: ascii(trim(key), is_token).filter(|key| !key.is_empty()).ok_or(InvalidBaggage::Key)?,
            value: ascii(trim(value), is_octet).ok_or(InvalidBaggage::Value)?,
            properties: ascii(trim(properties), |byte| matches!(byte, b'\t' | b' '..=b'~'))
                .ok_or(InvalidBaggage::Value)?,
        })
    }
}

reasons! {
    /// Why a `baggage` is not looked at. It is passed on all the same.
    InvalidBaggage {
        /// Over 8192 bytes.
        Length = "length", "baggage is longer than 8192 bytes";
        /// Over 64 members.
        Members = "members", "baggage has more than 64 members";
        /// A member without `=`.
        Shape = "shape", "baggage has a member that is not key=value";
        /// Not a token.
        Key = "key", "baggage has a member with an invalid key";
        /// A character that should be percent-encoded.
        Value = "value", "baggage has a member with an invalid value";
    }
}

fn ascii(text: &[u8], allowed: impl Fn(u8) -> bool) -> Option<&str> {
    std::str::from_utf8(text).ok().filter(|text| text.bytes().all(allowed))
}

/// RFC 9110, section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// W3C Baggage, `baggage-octet`.
const fn is_octet(byte: u8) -> bool {
    matches!(byte, 0x21 | 0x23..=0x2b | 0x2d..=0x3a | 0x3c..=0x5b | 0x5d..=0x7e)
}
