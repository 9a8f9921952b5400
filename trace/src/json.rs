//! Just enough JSON for the two headers that carry it: a reader that walks a value without building it, and the
//! escaping of strings. Strict but for `NaN` and `Infinity`, which Python writes and which are then skipped.

use std::borrow::Cow;

/// Deeper than any header of ours (4), and shallow enough for any stack.
const DEPTH_MAX: u32 = 16;

/// Takes a JSON text from the front. Every method answers `None` at the first byte that JSON does not allow.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    depth: u32,
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(text: &'a [u8]) -> Self {
        Self { rest: text, depth: 0 }
    }

    /// The first byte of the next value, which tells its type.
    pub(crate) fn peek(&mut self) -> Option<u8> {
        while let [b' ' | b'\t' | b'\n' | b'\r', rest @ ..] = self.rest {
            self.rest = rest;
        }
        self.rest.first().copied()
    }

    /// Nothing but white space is left.
    pub(crate) fn end(&mut self) -> Option<()> {
        self.peek().is_none().then_some(())
    }

    /// An object; `field` must take the value that belongs to the key.
    pub(crate) fn object(&mut self, mut field: impl FnMut(&str, &mut Self) -> Option<()>) -> Option<()> {
        self.sequence(b'{', b'}', |reader| {
            let key = reader.string()?;
            reader.take(b':')?;
            field(&key, reader)
        })
    }

    /// An array; `item` must take one value.
    pub(crate) fn array(&mut self, item: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.sequence(b'[', b']', item)
    }

    /// A string, borrowed where it holds no escape.
    pub(crate) fn string(&mut self) -> Option<Cow<'a, str>> {
        self.take(b'"')?;
        let len = self.rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f))?;
        let (plain, rest) = self.rest.split_at_checked(len)?;
        let plain = std::str::from_utf8(plain).ok()?;
        if let [b'"', rest @ ..] = rest {
            self.rest = rest;
            return Some(Cow::Borrowed(plain));
        }
        self.rest = rest;
        self.escaped(plain.to_owned()).map(Cow::Owned)
    }

    /// A string, or any other value as `None`.
    pub(crate) fn string_or_skip(&mut self) -> Option<Option<Cow<'a, str>>> {
        if self.peek()? == b'"' { Some(Some(self.string()?)) } else { self.skip().map(|()| None) }
    }

    /// A whole number in plain digits, or any other value as `None`.
    pub(crate) fn count_or_skip(&mut self) -> Option<Option<u64>> {
        if !self.peek()?.is_ascii_digit() {
            return self.skip().map(|()| None);
        }
        let text = self.number()?;
        let plain = text.iter().all(u8::is_ascii_digit);
        let count = text
            .iter()
            .try_fold(0u64, |count, digit| count.checked_mul(10)?.checked_add(u64::from(digit.wrapping_sub(b'0'))));
        Some(count.filter(|_| plain))
    }

    /// Any value.
    pub(crate) fn skip(&mut self) -> Option<()> {
        match self.peek()? {
            b'{' => self.object(|_, reader| reader.skip()),
            b'[' => self.array(Self::skip),
            b'"' => self.string().map(drop),
            b't' => self.word(b"true"),
            b'f' => self.word(b"false"),
            b'n' => self.word(b"null"),
            b'N' => self.word(b"NaN"),
            b'I' => self.word(b"Infinity"),
            _ => self.number().map(drop),
        }
    }

    /// What stands between two brackets, parted by commas.
    fn sequence(&mut self, open: u8, close: u8, mut item: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.take(open)?;
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return None;
        }
        if self.peek()? != close {
            item(self)?;
            while self.peek()? == b',' {
                self.take(b',')?;
                item(self)?;
            }
        }
        self.depth -= 1;
        self.take(close)
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        self.peek()?;
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        (*first == byte).then_some(())
    }

    fn word(&mut self, word: &[u8]) -> Option<()> {
        self.rest = self.rest.strip_prefix(word)?;
        Some(())
    }

    /// The text of a number.
    fn number(&mut self) -> Option<&'a [u8]> {
        let all = self.rest;
        let minus = self.rest.strip_prefix(b"-");
        self.rest = minus.unwrap_or(all);
        if minus.is_some() && self.rest.first() == Some(&b'I') {
            self.word(b"Infinity")?;
            return all.split_at_checked(all.len() - self.rest.len()).map(|(text, _)| text);
        }
        match self.digits() {
            0 => return None,
            1 => {}
            _ if all.strip_prefix(b"-").unwrap_or(all).first() == Some(&b'0') => return None,
            _ => {}
        }
        if let Some(rest) = self.rest.strip_prefix(b".") {
            self.rest = rest;
            (self.digits() > 0).then_some(())?;
        }
        if let [b'e' | b'E', rest @ ..] = self.rest {
            self.rest = rest.strip_prefix(b"+").or(rest.strip_prefix(b"-")).unwrap_or(rest);
            (self.digits() > 0).then_some(())?;
        }
        all.split_at_checked(all.len() - self.rest.len()).map(|(text, _)| text)
    }

    fn digits(&mut self) -> usize {
        let len = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.rest = self.rest.get(len..).unwrap_or_default();
        len
    }

    /// The rest of a string that holds an escape, behind what it began with.
    fn escaped(&mut self, mut text: String) -> Option<String> {
        loop {
            let len = self.rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f))?;
            let (plain, rest) = self.rest.split_at_checked(len)?;
            text.push_str(std::str::from_utf8(plain).ok()?);
            let (end, rest) = rest.split_first()?;
            self.rest = rest;
            match end {
                b'"' => return Some(text),
                b'\\' => text.push(self.escape()?),
                _ => return None,
            }
        }
    }

    /// What stands behind a backslash.
    fn escape(&mut self) -> Option<char> {
        let (letter, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(match letter {
            b'"' | b'\\' | b'/' => char::from(*letter),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let unit = self.unit()?;
                if let Some(char) = char::from_u32(unit) {
                    return Some(char);
                }
                // Only a high surrogate that its low half follows stands for a character.
                self.rest = self.rest.strip_prefix(b"\\u")?;
                let low = self.unit()?;
                if unit >= 0xdc00 || !(0xdc00..0xe000).contains(&low) {
                    return None;
                }
                char::from_u32(0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00))?
            }
            _ => return None,
        })
    }

    fn unit(&mut self) -> Option<u32> {
        let (digits, rest) = self.rest.split_first_chunk::<4>()?;
        self.rest = rest;
        digits.iter().try_fold(0, |unit, &digit| Some(unit << 4 | char::from(digit).to_digit(16)?))
    }
}

/// Which characters an encoder leaves as they are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Charset {
    /// All but what JSON must escape.
    Utf8,
    /// Only what may stand in a header value as it is.
    Ascii,
}

/// Appends `text` as a JSON string with its quotes.
pub(crate) fn write_string(text: &str, charset: Charset, out: &mut Vec<u8>) {
    out.push(b'"');
    if is_plain(text, charset) {
        out.extend_from_slice(text.as_bytes());
    } else {
        for char in text.chars() {
            write_char(char, charset, out);
        }
    }
    out.push(b'"');
}

/// How many bytes [`write_string`] appends.
pub(crate) fn string_len(text: &str, charset: Charset) -> usize {
    if is_plain(text, charset) {
        return text.len() + 2;
    }
    let mut scratch = Vec::with_capacity(12);
    2 + text.chars().fold(0, |len, char| {
        scratch.clear();
        write_char(char, charset, &mut scratch);
        len + scratch.len()
    })
}

fn is_plain(text: &str, charset: Charset) -> bool {
    text.bytes().all(|byte| match byte {
        b'"' | b'\\' | 0..=0x1f => false,
        0x7f..=0xff => charset == Charset::Utf8,
        _ => true,
    })
}

fn write_char(char: char, charset: Charset, out: &mut Vec<u8>) {
    match char {
        '"' | '\\' => out.extend_from_slice(&[b'\\', char as u8]),
        ' '..='~' => out.push(char as u8),
        '\u{7f}'.. if charset == Charset::Utf8 => out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes()),
        _ => {
            for unit in char.encode_utf16(&mut [0; 2]) {
                let [high, low] = unit.to_be_bytes();
                out.extend_from_slice(b"\\u");
                out.extend([high >> 4, high & 15, low >> 4, low & 15].map(crate::text::digit));
            }
        }
    }
}
