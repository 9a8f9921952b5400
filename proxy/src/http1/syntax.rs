//! Which bytes may stand where: RFC 9110 §5.6, RFC 9112 §2 to §5, RFC 3986 §3.2.

/// `tchar`: what methods and field names are made of.
const TOKEN: [bool; 256] = table(b"!#$%&'*+-.^_`|~", true);

/// What a host with an optional port is made of outside of brackets: unreserved, sub-delims, `%` and `:`.
const HOST: [bool; 256] = table(b"-._~!$&'()*+,;=%:", true);

const fn table(marks: &[u8], alphanumeric: bool) -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0_u8;
    loop {
        let mut found = alphanumeric && byte.is_ascii_alphanumeric();
        let mut rest = marks;
        while let Some((mark, others)) = rest.split_first() {
            found |= *mark == byte;
            rest = others;
        }
        // Evaluated by the compiler, which would refuse an index out of bounds.
        #[allow(clippy::indexing_slicing)]
        {
            table[byte as usize] = found;
        }
        if byte == u8::MAX {
            return table;
        }
        byte += 1;
    }
}

#[inline]
fn is_token_byte(byte: u8) -> bool {
    TOKEN.get(usize::from(byte)).copied().unwrap_or(false)
}

/// How many bytes at the front are token bytes. Eight at a time: where a name ends is nothing a branch predictor knows.
#[inline]
pub(super) fn token_len(bytes: &[u8]) -> usize {
    let (blocks, rest) = bytes.as_chunks::<8>();
    let mut len = 0;
    for block in blocks {
        let valid = block.iter().rev().fold(0_u32, |valid, &byte| valid << 1 | u32::from(is_token_byte(byte)));
        if valid != 0xff {
            return len + valid.trailing_ones() as usize;
        }
        len += block.len();
    }
    len + rest.iter().take_while(|&&byte| is_token_byte(byte)).count()
}

pub(super) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && token_len(bytes) == bytes.len()
}

/// A control character other than HTAB. CR, LF and NUL are among them.
#[inline]
fn is_control(byte: u8) -> bool {
    (byte < b' ') & (byte != b'\t') | (byte == 0x7f)
}

/// Without a branch per byte, so that the compiler makes vector instructions of it.
#[inline]
fn has_control<const N: usize>(bytes: &[u8; N]) -> bool {
    bytes.iter().fold(false, |found, &byte| found | is_control(byte))
}

/// Whether `bytes` may be a field value: no control characters but HTAB. This runs over most of every head, so it goes
/// by blocks; the last block overlaps the one before.
#[inline]
pub(super) fn is_field_value(bytes: &[u8]) -> bool {
    let Some(last) = bytes.last_chunk::<16>() else {
        return match (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
            (Some(first), Some(last)) => !(has_control(first) | has_control(last)),
            _ => !bytes.iter().fold(false, |found, &byte| found | is_control(byte)),
        };
    };
    let (blocks, _) = bytes.as_chunks::<16>();
    !has_control(last) && !blocks.iter().any(has_control)
}

/// Whether `bytes` may stand in a request line as its target: no spaces, no control characters. More than RFC 3986
/// allows, since applications get targets with `{`, `|` or UTF-8 in them and are the ones to judge.
pub(super) fn is_target(bytes: &[u8]) -> bool {
    !bytes.is_empty() && !bytes.iter().fold(false, |bad, &byte| bad | (byte <= b' ') | (byte == 0x7f))
}

/// Without the spaces and tabs around it.
#[inline]
pub(super) fn trim(bytes: &[u8]) -> &[u8] {
    trim_end(trim_start(bytes))
}

#[inline]
pub(super) fn trim_start(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    bytes
}

#[inline]
pub(super) fn trim_end(mut bytes: &[u8]) -> &[u8] {
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// Without the spaces around it. Where the end of a message hangs on a value, tabs are not trimmed but refused: they
/// are allowed, but nobody sends them, and nginx takes them for a part of the value.
pub(super) fn trim_spaces(mut bytes: &[u8]) -> &[u8] {
    while let [b' ', rest @ ..] | [rest @ .., b' '] = bytes {
        bytes = rest;
    }
    bytes
}

/// The members of a comma-separated list, trimmed, without the empty ones.
pub(super) fn members(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(|&byte| byte == b',').map(trim).filter(|member| !member.is_empty())
}

/// `example.com`, `10.0.0.1:8080`, `[::1]:80`: host and optional port, RFC 9110 §7.2. No user name, no path.
pub(super) fn is_authority(bytes: &[u8]) -> bool {
    let port = match bytes.strip_prefix(b"[") {
        Some(rest) => {
            let Some(close) = memchr::memchr(b']', rest) else { return false };
            let (literal, rest) = rest.split_at(close);
            // IPv6, with a zone, or an address of a kind yet to be invented (`v1.x`).
            let known = |byte: &u8| HOST.get(usize::from(*byte)).copied().unwrap_or(false);
            if literal.is_empty() || !literal.iter().all(known) {
                return false;
            }
            match rest {
                [b']'] => return true,
                [b']', b':', port @ ..] => port,
                _ => return false,
            }
        }
        None => {
            if !bytes.iter().all(|byte| HOST.get(usize::from(*byte)).copied().unwrap_or(false)) {
                return false;
            }
            match memchr::memchr(b':', bytes) {
                None => return true,
                Some(colon) => bytes.get(colon + 1..).unwrap_or_default(),
            }
        }
    };
    port.len() <= 5 && port.iter().all(u8::is_ascii_digit)
}

/// Decimal digits only, at most 2^63-1: nginx, Go and Java keep lengths in signed 64 bits.
pub(super) fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 19 {
        return None;
    }
    digits
        .iter()
        .try_fold(0_u64, |value, digit| {
            let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
            value.checked_mul(10)?.checked_add(digit)
        })
        .filter(|&value| value <= i64::MAX as u64)
}

/// Hexadecimal digits only, at most 16 of them, at most 2^63-1.
pub(super) fn hexadecimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 16 {
        return None;
    }
    digits
        .iter()
        .try_fold(0_u64, |value, &digit| Some(value << 4 | u64::from(char::from(digit).to_digit(16)?)))
        .filter(|&value| value <= i64::MAX as u64)
}
