//! Protobuf's encoding: tags, varints, fixed-width numbers, nested messages.
//!
//! Field numbers here are all below 16, hence every tag is one byte; [`fixed32_16`] is the one exception.

/// The tag of a text, bytes or message field.
pub(crate) fn length_delimited(out: &mut Vec<u8>, field: u8) {
    out.push(field << 3 | 2);
}

/// A number in groups of 7 bits, the lowest first.
pub(crate) fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// How many bytes [`varint`] writes.
pub(crate) const fn varint_len(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

/// A text field; left out where empty, which means the same.
pub(crate) fn string(out: &mut Vec<u8>, field: u8, text: &str) {
    if !text.is_empty() {
        bytes(out, field, text.as_bytes());
    }
}

/// A text or bytes field, written even where empty.
pub(crate) fn bytes(out: &mut Vec<u8>, field: u8, content: &[u8]) {
    length_delimited(out, field);
    varint(out, content.len() as u64);
    out.extend_from_slice(content);
}

/// A varint field.
pub(crate) fn number(out: &mut Vec<u8>, field: u8, value: u64) {
    out.push(field << 3);
    varint(out, value);
}

/// An eight-byte field: `fixed64`, `sfixed64` or `double` by its bits.
pub(crate) fn fixed64(out: &mut Vec<u8>, field: u8, value: u64) {
    out.push(field << 3 | 1);
    out.extend_from_slice(&value.to_le_bytes());
}

/// Field 16 of four bytes, whose tag takes two: `Span.flags`.
pub(crate) fn fixed32_16(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&[0x85, 0x01]);
    out.extend_from_slice(&value.to_le_bytes());
}

/// A nested message, whose length is known only after it is written.
///
/// Room for the length is left in front: `guess` bytes. Where the guess was wrong the message moves by the difference,
/// so that lengths are always written in their shortest form.
#[inline]
pub(crate) fn message(out: &mut Vec<u8>, field: u8, guess: usize, content: impl FnOnce(&mut Vec<u8>)) {
    debug_assert!((1..=MESSAGE_LEN_MAX).contains(&guess));
    length_delimited(out, field);
    let at = out.len();
    out.resize(at + guess, 0);
    content(out);
    let len = out.len() - at - guess;
    let needed = varint_len(len as u64);
    if needed != guess {
        move_content(out, at, guess, needed);
    }
    let mut rest = len;
    for (n, byte) in out.iter_mut().skip(at).take(needed).enumerate() {
        *byte = rest as u8 & 0x7f | if n + 1 < needed { 0x80 } else { 0 };
        rest >>= 7;
    }
}

/// Lengths beyond 2^35 do not occur.
const MESSAGE_LEN_MAX: usize = 5;

#[cold]
fn move_content(out: &mut Vec<u8>, at: usize, guess: usize, needed: usize) {
    if needed > guess {
        out.splice(at..at, std::iter::repeat_n(0, needed - guess));
    } else {
        out.drain(at..at + (guess - needed));
    }
}

/// Takes fields from the front of a message; ends at its end or at the first byte that is no field.
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

/// A field's content; numbers of four and eight bytes are skipped over, nothing read here has them.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Content<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Skipped,
}

impl<'a> Fields<'a> {
    fn varint(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (u64, Content<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let tag = self.varint()?;
        let content = match tag & 7 {
            0 => Content::Number(self.varint()?),
            1 => self.take(8).map(|_| Content::Skipped)?,
            2 => {
                let len = usize::try_from(self.varint()?).ok()?;
                Content::Bytes(self.take(len)?)
            }
            5 => self.take(4).map(|_| Content::Skipped)?,
            _ => return None,
        };
        Some((tag >> 3, content))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_message_has_its_shortest_length_whatever_was_guessed(
            len in prop_oneof![0usize..300, 16_000usize..17_000], guess in 1usize..4, before in 0usize..4,
        ) {
            let mut out = vec![9; before];
            message(&mut out, 3, guess, |out| out.extend((0..len).map(|n| n as u8)));
            let mut expected = vec![9; before];
            bytes(&mut expected, 3, &(0..len).map(|n| n as u8).collect::<Vec<_>>());
            prop_assert_eq!(out, expected);
        }

        #[test]
        fn varints_come_back(value: u64, shift in 0u32..64) {
            let value = value >> shift;
            let mut out = Vec::new();
            number(&mut out, 7, value);
            prop_assert_eq!(out.len(), 1 + varint_len(value));
            prop_assert_eq!(Fields(&out).collect::<Vec<_>>(), [(7, Content::Number(value))]);
        }

        #[test]
        fn no_bytes_make_the_reader_panic(input: Vec<u8>) {
            prop_assert!(Fields(&input).count() <= input.len());
        }
    }
}
