//! Base64 with the URL alphabet, as `raceway-clock` uses it: written without padding, read with or without.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// How long `len` bytes become.
pub(crate) const fn encoded_len(len: usize) -> usize {
    len / 3 * 4 + (len % 3 * 4).div_ceil(3)
}

/// How many bytes fit in `len` characters.
pub(crate) const fn decoded_len(len: usize) -> usize {
    len / 4 * 3 + len % 4 * 3 / 4
}

/// Replaces what `out` holds from `start` on by its encoding, in place.
pub(crate) fn encode_tail(out: &mut Vec<u8>, start: usize) {
    let plain_len = out.len().saturating_sub(start);
    let len = encoded_len(plain_len);
    out.resize(start + plain_len + len, 0);
    if let Some((plain, encoded)) = out.get_mut(start..).and_then(|tail| tail.split_at_mut_checked(plain_len)) {
        encode(plain, encoded);
    }
    out.copy_within(start + plain_len.., start);
    out.truncate(start + len);
}

fn encode(plain: &[u8], encoded: &mut [u8]) {
    let (triples, last) = plain.as_chunks();
    let (quads, tail) = encoded.as_chunks_mut();
    for (&[a, b, c], quad) in triples.iter().zip(quads) {
        let bits = u32::from_be_bytes([0, a, b, c]);
        *quad = [letter(bits >> 18), letter(bits >> 12), letter(bits >> 6), letter(bits)];
    }
    match (last, tail) {
        (&[a], [x, y]) => {
            let bits = u32::from(a) << 4;
            (*x, *y) = (letter(bits >> 6), letter(bits));
        }
        (&[a, b], [x, y, z]) => {
            let bits = u32::from_be_bytes([0, 0, a, b]) << 2;
            (*x, *y, *z) = (letter(bits >> 12), letter(bits >> 6), letter(bits));
        }
        _ => {}
    }
}

/// The letter of the lowest six bits.
fn letter(bits: u32) -> u8 {
    ALPHABET.get((bits & 63) as usize).copied().unwrap_or_default()
}

/// Appends what `encoded` stands for; `None`, with `out` in any state, if it is not base64url.
pub(crate) fn decode(encoded: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let padded = encoded.len().is_multiple_of(4);
    let encoded = match encoded {
        [text @ .., b'=', b'='] | [text @ .., b'='] if padded => text,
        text => text,
    };
    let start = out.len();
    out.resize(start + decoded_len(encoded.len()), 0);
    let (quads, last) = encoded.as_chunks();
    let (triples, tail) = out.get_mut(start..)?.as_chunks_mut();
    // Looked at once at the end: the topmost byte holds what should be zero and is not.
    let mut seen = 0;
    for (&[a, b, c, d], triple) in quads.iter().zip(triples) {
        let bits = bits::<18>(a) | bits::<12>(b) | bits::<6>(c) | bits::<0>(d);
        seen |= bits;
        let [_, bytes @ ..] = bits.to_be_bytes();
        *triple = bytes;
    }
    match (last, tail) {
        ([], []) => {}
        (&[a, b], [x]) => {
            let bits = bits::<18>(a) | bits::<12>(b);
            seen |= bits | bits << 16;
            *x = (bits >> 16) as u8;
        }
        (&[a, b, c], [x, y]) => {
            let bits = bits::<18>(a) | bits::<12>(b) | bits::<6>(c);
            seen |= bits | bits << 24;
            (*x, *y) = ((bits >> 16) as u8, (bits >> 8) as u8);
        }
        _ => return None,
    }
    (seen >> 24 == 0).then_some(())
}

/// The value of a letter, shifted; any other byte gives something in the topmost byte.
fn bits<const SHIFT: u32>(letter: u8) -> u32 {
    const { &table(SHIFT) }.get(usize::from(letter)).copied().unwrap_or(u32::MAX)
}

const fn table(shift: u32) -> [u32; 256] {
    let mut table = [0xff00_0000; 256];
    let mut letters: &[u8] = ALPHABET;
    let mut value = 0;
    while let [letter, rest @ ..] = letters {
        if let (_, [slot, ..]) = table.split_at_mut(*letter as usize) {
            *slot = value << shift;
        }
        value += 1;
        letters = rest;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encoded(plain: &[u8]) -> Vec<u8> {
        let mut out = [b"before", plain].concat();
        encode_tail(&mut out, 6);
        assert_eq!(&out[..6], b"before");
        out.split_off(6)
    }

    fn decoded(encoded: &[u8]) -> Option<Vec<u8>> {
        let mut out = b"before".to_vec();
        decode(encoded, &mut out)?;
        Some(out.split_off(6))
    }

    #[test]
    fn every_letter_has_its_value() {
        for byte in 0..=255 {
            let at = ALPHABET.iter().position(|&letter| letter == byte);
            assert_eq!(bits::<6>(byte), at.map_or(0xff00_0000, |at| (at as u32) << 6), "{byte:#x}");
        }
    }

    #[test]
    fn the_examples_of_the_standard() {
        let rows = [("", ""), ("f", "Zg"), ("fo", "Zm8"), ("foo", "Zm9v"), ("foob", "Zm9vYg"), ("fooba", "Zm9vYmE")];
        for (plain, text) in rows {
            assert_eq!(encoded(plain.as_bytes()), text.as_bytes());
            assert_eq!(decoded(text.as_bytes()).as_deref(), Some(plain.as_bytes()));
        }
        assert_eq!(decoded(b"Zg==").as_deref(), Some(&b"f"[..]));
        assert_eq!(decoded(b"Zm8=").as_deref(), Some(&b"fo"[..]));
    }

    #[test]
    fn one_flaw_each() {
        let rows = ["Z", "Zg=", "Zg===", "Zm9vZ", "Zm9v====", "=", "==", "Zm=v", "Zm9+", "Zm9/", "Zm 9", "Zh", "Zm9"];
        for text in rows {
            assert_eq!(decoded(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_we_write_we_read(plain in prop::collection::vec(any::<u8>(), 0..200)) {
            let text = encoded(&plain);
            prop_assert_eq!(text.len(), encoded_len(plain.len()));
            prop_assert_eq!(decoded_len(text.len()), plain.len());
            prop_assert_eq!(decoded(&text), Some(plain));
        }

        /// Exactly one text stands for some bytes, so that nothing can hide in the bits that are left over.
        #[test]
        fn what_we_read_we_would_write(text in "[A-Za-z0-9_-]{0,80}") {
            if let Some(plain) = decoded(text.as_bytes()) {
                prop_assert_eq!(encoded(&plain), text.as_bytes());
            }
        }

        #[test]
        fn any_byte_outside_the_alphabet_is_refused(
            plain in prop::collection::vec(any::<u8>(), 1..100),
            at: prop::sample::Index,
            byte: u8,
        ) {
            prop_assume!(!ALPHABET.contains(&byte) && byte != b'=');
            let mut text = encoded(&plain);
            let at = at.index(text.len());
            text[at] = byte;
            prop_assert_eq!(decoded(&text), None);
        }
    }
}
