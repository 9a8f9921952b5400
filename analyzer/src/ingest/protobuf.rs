//! Protobuf's encoding, reading and the little writing that answers need.
//!
//! Fields are handed out as they come, borrowed from the message; what to make of them is the caller's. Nothing here
//! allocates, so that what a message claims to contain costs nothing before it is there.

/// A message that is not protobuf.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not protobuf")]
pub(super) struct Malformed;

/// A field's content, by its wire type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content<'a> {
    /// `int32`, `int64`, `uint64`, `bool`, enums.
    Varint(u64),
    /// `fixed64`, `sfixed64`, `double`.
    Fixed64(u64),
    /// `fixed32`.
    Fixed32(u32),
    /// Text, bytes, messages, packed lists.
    Bytes(&'a [u8]),
}

/// The fields of a message, in the order in which they stand.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let [byte] = self.take()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Malformed)
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(Malformed)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn field(&mut self) -> Result<(u64, Content<'a>), Malformed> {
        let tag = self.varint()?;
        let content = match tag & 7 {
            0 => Content::Varint(self.varint()?),
            1 => Content::Fixed64(u64::from_le_bytes(self.take()?)),
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| Malformed)?;
                let (bytes, rest) = self.0.split_at_checked(length).ok_or(Malformed)?;
                self.0 = rest;
                Content::Bytes(bytes)
            }
            5 => Content::Fixed32(u32::from_le_bytes(self.take()?)),
            // Groups (3 and 4) were given up before OTLP began.
            _ => return Err(Malformed),
        };
        Ok((tag >> 3, content))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Content<'a>), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

/// The messages in a repeated field; other fields are passed over.
pub(super) fn messages(message: &[u8], number: u64) -> impl Iterator<Item = Result<&[u8], Malformed>> {
    Fields(message).filter_map(move |field| match field {
        Ok((found, Content::Bytes(bytes))) if found == number => Some(Ok(bytes)),
        Ok(_) => None,
        Err(malformed) => Some(Err(malformed)),
    })
}

/// A repeated field of eight-byte numbers, packed or not: appends what one occurrence holds.
pub(super) fn fixed64s(content: Content<'_>, numbers: &mut Vec<u64>, max: usize) {
    match content {
        Content::Fixed64(number) if numbers.len() < max => numbers.push(number),
        Content::Bytes(packed) => {
            let (chunks, _) = packed.as_chunks();
            numbers.extend(chunks.iter().map(|chunk| u64::from_le_bytes(*chunk)).take(max - numbers.len().min(max)));
        }
        _ => {}
    }
}

/// Writes a text, bytes or message field.
pub(super) fn write_bytes(out: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    out.push(field << 3 | 2);
    write_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Writes a varint field.
pub(super) fn write_number(out: &mut Vec<u8>, field: u8, number: u64) {
    out.push(field << 3);
    write_varint(out, number);
}

fn write_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_end_without_a_panic(bytes: Vec<u8>) {
            prop_assert!(Fields(&bytes).count() <= bytes.len());
            let mut numbers = Vec::new();
            fixed64s(Content::Bytes(&bytes), &mut numbers, 3);
            prop_assert!(numbers.len() <= 3);
        }

        #[test]
        fn what_is_written_can_be_read(number: u64, bytes: Vec<u8>) {
            let mut out = Vec::new();
            write_number(&mut out, 1, number);
            write_bytes(&mut out, 15, &bytes);
            let fields: Vec<_> = Fields(&out).map(Result::unwrap).collect();
            prop_assert_eq!(fields, [(1, Content::Varint(number)), (15, Content::Bytes(&bytes))]);
            for cut in 1..out.len() {
                // Shorter is malformed, or the first field alone.
                prop_assert!(Fields(&out[..cut]).last().unwrap().is_err() || Fields(&out[..cut]).count() == 1);
            }
        }
    }

    #[test]
    fn lengths_that_lie() {
        for bytes in
            [&b"\x0a\x05abc"[..], b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", b"\x0b", b"\x09abc", b"\x80"]
        {
            assert_eq!(Fields(bytes).last(), Some(Err(Malformed)), "{bytes:?}");
        }
    }
}
