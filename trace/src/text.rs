//! Small pieces that several codecs share: white space, hex, decimal numbers, hashes.

use crate::SpanId;

/// A header value without the optional white space that HTTP allows around it.
pub(crate) fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = value {
        value = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// What stands before the first `separator`, and what follows it.
pub(crate) fn split_once(value: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let at = value.iter().position(|&byte| byte == separator)?;
    let (before, after) = value.split_at_checked(at)?;
    Some((before, after.split_first()?.1))
}

/// Two lower-case hex digits.
pub(crate) fn hex_byte(&[high, low]: &[u8; 2]) -> Option<u8> {
    Some(nibble(high)? << 4 | nibble(low)?)
}

/// A lower-case hex digit.
const fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

/// The lower-case hex digit of a number below 16.
pub(crate) const fn digit(nibble: u8) -> u8 {
    nibble + b'0' + (nibble > 9) as u8 * (b'a' - b'0' - 10)
}

/// One to `digits_max` hex digits of either case, leading zeros left out or not.
pub(crate) fn hex_short(digits: &[u8], digits_max: usize) -> Option<u128> {
    if digits.is_empty() || digits.len() > digits_max.min(32) {
        return None;
    }
    digits.iter().try_fold(0u128, |value, digit| Some(value << 4 | u128::from(nibble(digit.to_ascii_lowercase())?)))
}

/// 16 hex digits.
pub(crate) fn write_span_id(id: SpanId, out: &mut Vec<u8>) {
    out.extend_from_slice(&id.to_hex());
}

/// A number in decimal.
pub(crate) fn write_decimal(mut number: u64, out: &mut Vec<u8>) {
    let mut digits = [0u8; 20];
    let mut used = 0;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
        used += 1;
        if number == 0 {
            break;
        }
    }
    if let Some(digits) = digits.last_chunk::<20>().and_then(|all| all.get(20 - used..)) {
        out.extend_from_slice(digits);
    }
}

/// How many digits [`write_decimal`] writes.
pub(crate) const fn decimal_len(number: u64) -> usize {
    match number.checked_ilog10() {
        Some(log) => log as usize + 1,
        None => 1,
    }
}

/// FNV-1a over 128 bits: the same text gives the same id in every sidecar and every version.
pub(crate) fn fnv128(bytes: &[u8]) -> u128 {
    const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    bytes.iter().fold(OFFSET, |hash, &byte| (hash ^ u128::from(byte)).wrapping_mul(PRIME))
}

/// FNV-1a over 64 bits.
pub(crate) fn fnv64(bytes: &[u8]) -> u64 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    bytes.iter().fold(OFFSET, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME))
}
