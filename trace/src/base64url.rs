//! Base64 with the URL alphabet, as `raceway-clock` uses it: written without padding, read with or without.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
/// What stands in [`VALUES`] for a byte outside the alphabet.
const NONE: u8 = 0xff;
const VALUES: [u8; 256] = values();

const fn values() -> [u8; 256] {
    let mut values = [NONE; 256];
    let mut alphabet: &[u8] = ALPHABET;
    let mut value = 0;
    while let [byte, rest @ ..] = alphabet {
        let (_, from) = values.split_at_mut(*byte as usize);
        if let [slot, ..] = from {
            *slot = value;
        }
        value += 1;
        alphabet = rest;
    }
    values
}

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
    out.resize(start + plain_len + encoded_len(plain_len), 0);
    if let Some((plain, encoded)) = out.get_mut(start..).and_then(|tail| tail.split_at_mut_checked(plain_len)) {
        encode(plain, encoded);
    }
    out.drain(start..start + plain_len);
}

fn encode(plain: &[u8], encoded: &mut [u8]) {
    let letter = |bits: u32| ALPHABET.get((bits & 63) as usize).copied().unwrap_or_default();
    let (whole, last) = plain.as_chunks::<3>();
    let (quads, tail) = encoded.as_chunks_mut::<4>();
    for ([a, b, c], quad) in whole.iter().zip(quads) {
        let bits = u32::from(*a) << 16 | u32::from(*b) << 8 | u32::from(*c);
        *quad = [letter(bits >> 18), letter(bits >> 12), letter(bits >> 6), letter(bits)];
    }
    match (last, tail) {
        ([a], [x, y]) => {
            let bits = u32::from(*a) << 4;
            (*x, *y) = (letter(bits >> 6), letter(bits));
        }
        ([a, b], [x, y, z]) => {
            let bits = u32::from(*a) << 10 | u32::from(*b) << 2;
            (*x, *y, *z) = (letter(bits >> 12), letter(bits >> 6), letter(bits));
        }
        _ => {}
    }
}

/// Appends what `encoded` stands for; `None`, with `out` in any state, if it is not base64url.
pub(crate) fn decode(encoded: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let encoded = match encoded {
        [rest @ .., b'=', b'='] if encoded.len().is_multiple_of(4) => rest,
        [rest @ .., b'='] if encoded.len().is_multiple_of(4) => rest,
        all => all,
    };
    let value = |byte: u8| u32::from(VALUES.get(usize::from(byte)).copied().unwrap_or(NONE));
    let (quads, last) = encoded.as_chunks::<4>();
    let start = out.len();
    out.resize(start + decoded_len(encoded.len()), 0);
    let (triples, tail) = out.get_mut(start..)?.as_chunks_mut::<3>();
    // Looked at once at the end: a value outside the alphabet leaves bits above the lowest six.
    let mut seen = 0;
    for ([a, b, c, d], triple) in quads.iter().zip(triples) {
        let (a, b, c, d) = (value(*a), value(*b), value(*c), value(*d));
        seen |= a | b | c | d;
        let [_, x, y, z] = (a << 18 | b << 12 | c << 6 | d).to_be_bytes();
        *triple = [x, y, z];
    }
    match (last, tail) {
        ([], _) => {}
        ([a, b], [x]) => {
            let (a, b) = (value(*a), value(*b));
            seen |= a | b | (b & 15) << 6;
            *x = (a << 2 | b >> 4) as u8;
        }
        ([a, b, c], [x, y]) => {
            let (a, b, c) = (value(*a), value(*b), value(*c));
            seen |= a | b | c | (c & 3) << 6;
            *x = (a << 2 | b >> 4) as u8;
            *y = (b << 4 | c >> 2) as u8;
        }
        _ => return None,
    }
    (seen < 64).then_some(())
}
