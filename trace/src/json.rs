//! Just enough JSON for the two headers that carry it: a reader that walks a value without building it, and the
//! escaping of strings. Strict but for `NaN` and `Infinity`, which Python writes and which are then skipped.

use std::borrow::Cow;

/// Deeper than any header of ours (4), and shallow enough for any stack.
const DEPTH_MAX: u32 = 16;

/// Takes a JSON text from the front. Every method answers `None` at the first byte that JSON does not allow.
pub(crate) struct Reader<'a> {
    rest: &'a str,
    depth: u32,
}

impl<'a> Reader<'a> {
    /// `None` for what is not UTF-8.
    pub(crate) fn new(text: &'a [u8]) -> Option<Self> {
        Some(Self { rest: std::str::from_utf8(text).ok()?, depth: 0 })
    }

    /// The first byte of the next value, which tells its type.
    pub(crate) fn peek(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.first() {
            self.advance(1)?;
        }
        self.first()
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
        let plain = self.advance(plain_len(self.rest.as_bytes()))?;
        match self.first()? {
            b'"' => self.advance(1).map(|_| Cow::Borrowed(plain)),
            _ => self.escaped(plain.to_owned()).map(Cow::Owned),
        }
    }

    /// A string, or any other value as `None`.
    pub(crate) fn string_or_skip(&mut self) -> Option<Option<Cow<'a, str>>> {
        if self.peek()? == b'"' { Some(Some(self.string()?)) } else { self.skip().map(|()| None) }
    }

    /// A whole number in plain digits, or any other value as `None`.
    pub(crate) fn count_or_skip(&mut self) -> Option<Option<u64>> {
        if self.peek()?.is_ascii_digit() {
            self.number().map(|text| text.parse().ok())
        } else {
            self.skip().map(|()| None)
        }
    }

    /// Any value.
    pub(crate) fn skip(&mut self) -> Option<()> {
        match self.peek()? {
            b'{' => self.object(|_, reader| reader.skip()),
            b'[' => self.array(Self::skip),
            b'"' => self.string().map(drop),
            b't' => self.word("true"),
            b'f' => self.word("false"),
            b'n' => self.word("null"),
            b'N' => self.word("NaN"),
            b'I' => self.word("Infinity"),
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
                self.advance(1)?;
                item(self)?;
            }
        }
        self.depth -= 1;
        self.take(close)
    }

    fn first(&self) -> Option<u8> {
        self.rest.as_bytes().first().copied()
    }

    /// Takes `len` bytes that end where a character does.
    fn advance(&mut self, len: usize) -> Option<&'a str> {
        let (front, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(front)
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.advance(1))?.map(drop)
    }

    fn word(&mut self, word: &str) -> Option<()> {
        self.rest = self.rest.strip_prefix(word)?;
        Some(())
    }

    /// The text of a number.
    fn number(&mut self) -> Option<&'a str> {
        let all = self.rest;
        let unsigned = all.strip_prefix('-').unwrap_or(all);
        self.rest = unsigned;
        if self.first() == Some(b'I') {
            self.word("Infinity")?;
        } else {
            let digits = self.digits()?;
            if digits > 1 && unsigned.starts_with('0') {
                return None;
            }
            if self.first() == Some(b'.') {
                self.advance(1)?;
                self.digits()?;
            }
            if let Some(b'e' | b'E') = self.first() {
                self.advance(1)?;
                if let Some(b'+' | b'-') = self.first() {
                    self.advance(1)?;
                }
                self.digits()?;
            }
        }
        all.get(..all.len() - self.rest.len())
    }

    /// How many digits, at least one, were there to be taken.
    fn digits(&mut self) -> Option<usize> {
        let len = self.rest.bytes().take_while(u8::is_ascii_digit).count();
        self.advance(len)?;
        (len > 0).then_some(len)
    }

    /// The rest of a string that holds an escape, behind what it began with.
    fn escaped(&mut self, mut text: String) -> Option<String> {
        loop {
            text.push_str(self.advance(plain_len(self.rest.as_bytes()))?);
            match self.advance(1)? {
                "\"" => return Some(text),
                "\\" => text.push(self.escape()?),
                _ => return None,
            }
        }
    }

    /// What stands behind a backslash.
    fn escape(&mut self) -> Option<char> {
        Some(match self.advance(1)? {
            "\"" => '"',
            "\\" => '\\',
            "/" => '/',
            "b" => '\u{8}',
            "f" => '\u{c}',
            "n" => '\n',
            "r" => '\r',
            "t" => '\t',
            "u" => {
                let unit = self.unit()?;
                if let Some(char) = char::from_u32(unit) {
                    return Some(char);
                }
                // Only a high surrogate that its low half follows stands for a character.
                self.word("\\u")?;
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
        self.advance(4)?.chars().try_fold(0, |unit, digit| Some(unit << 4 | digit.to_digit(16)?))
    }
}

/// How many bytes from the front are neither a quote, a backslash nor a control character.
fn plain_len(text: &[u8]) -> usize {
    const EACH: u64 = u64::from_le_bytes([1; 8]);
    // Eight bytes at a time. The lowest bit that is set stands at the first byte that is zero; above it some may be
    // set wrongly, which does not matter here.
    const fn zeros(word: u64) -> u64 {
        word.wrapping_sub(EACH) & !word & (EACH << 7)
    }
    let (words, last) = text.as_chunks();
    let mut len = 0;
    for word in words {
        let word = u64::from_le_bytes(*word);
        let control = word.wrapping_sub(EACH * 0x20) & !word & (EACH << 7);
        let special = control | zeros(word ^ (EACH * 0x22)) | zeros(word ^ (EACH * 0x5c));
        if special != 0 {
            return len + special.trailing_zeros() as usize / 8;
        }
        len += 8;
    }
    len + last.iter().take_while(|byte| !matches!(byte, b'"' | b'\\' | 0..=0x1f)).count()
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
    plain_len(text.as_bytes()) == text.len()
        && (charset == Charset::Utf8 || text.is_ascii() && !text.as_bytes().contains(&0x7f))
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn skips(text: &str) -> bool {
        Reader::new(text.as_bytes()).and_then(|mut reader| reader.skip().and_then(|()| reader.end())).is_some()
    }

    fn string(text: &str) -> Option<String> {
        let mut reader = Reader::new(text.as_bytes())?;
        let string = reader.string()?.into_owned();
        reader.end().map(|()| string)
    }

    #[test]
    fn values_of_every_kind_are_passed_over() {
        let values = [
            "{}",
            "[]",
            r#""""#,
            "0",
            "-0",
            "10",
            "-1.5e+7",
            "1E9",
            "true",
            "false",
            "null",
            "NaN",
            "Infinity",
            "-Infinity",
            " [ 1 , {\t\"a\" :\n[ ] } ]\r",
            r#"{"a":{"b":[1,2,"]"]}}"#,
            "\"\u{e9}\u{1f600}\"",
        ];
        for text in values {
            assert!(skips(text), "{text}");
        }
    }

    #[test]
    fn one_flaw_each() {
        let texts = [
            "",
            " ",
            "[",
            "]",
            "[1",
            "[1,",
            "[1,]",
            "[,1]",
            "[1 2]",
            "{",
            "{\"a\"",
            "{\"a\":",
            "{\"a\":1",
            "{\"a\":1,}",
            "{a:1}",
            "{1:1}",
            "{\"a\" 1}",
            "[}",
            "{]",
            "01",
            "-",
            "-a",
            "1.",
            ".5",
            "1e",
            "1e+",
            "+1",
            "0x1",
            "tru",
            "nul",
            "nan",
            "-NaN",
            "Inf",
            "\"",
            "\"a",
            "\"\n\"",
            "\"\\\"",
            "\"\\a\"",
            "\"\\u12\"",
            "\"\\u12g4\"",
            "1 1",
            "[] []",
        ];
        for text in texts {
            assert!(!skips(text), "{text}");
        }
        assert!(Reader::new(b"\"\xff\"").is_none());
    }

    #[test]
    fn nesting_has_an_end() {
        let nested = |depth| "[".repeat(depth) + &"]".repeat(depth);
        assert!(skips(&nested(DEPTH_MAX as usize)));
        assert!(!skips(&nested(DEPTH_MAX as usize + 1)));
        assert!(!skips(&"[".repeat(1 << 20)));
        // Depth is how deep, not how many.
        assert!(skips(&format!("[{}1]", "[],".repeat(1000))));
    }

    #[test]
    fn escapes() {
        let rows = [
            (r#""plain""#, Some("plain")),
            (r#""\"\\\/\b\f\n\r\t""#, Some("\"\\/\u{8}\u{c}\n\r\t")),
            (r#""\u0041\u00e9\u20AC""#, Some("A\u{e9}\u{20ac}")),
            (r#""\ud83d\ude00!""#, Some("\u{1f600}!")),
            (r#""\ud83d""#, None),
            (r#""\ud83dx""#, None),
            (r#""\ud83d\u0041""#, None),
            (r#""\ude00\ud83d""#, None),
        ];
        for (text, expected) in rows {
            assert_eq!(string(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn counts_are_plain_digits() {
        let rows = [
            ("0", Some(Some(0))),
            ("18446744073709551615", Some(Some(u64::MAX))),
            ("18446744073709551616", Some(None)),
            ("1.0", Some(None)),
            ("1e3", Some(None)),
            ("-1", Some(None)),
            ("NaN", Some(None)),
            ("null", Some(None)),
            (r#""1""#, Some(None)),
            ("[1]", Some(None)),
            ("00", None),
            ("", None),
        ];
        for (text, expected) in rows {
            let count = Reader::new(text.as_bytes()).and_then(|mut reader| reader.count_or_skip());
            assert_eq!(count, expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_we_write_we_read(text: String) {
            for charset in [Charset::Utf8, Charset::Ascii] {
                let mut json = Vec::new();
                write_string(&text, charset, &mut json);
                prop_assert_eq!(json.len(), string_len(&text, charset));
                prop_assert!(charset == Charset::Utf8 || json.iter().all(|byte| (b' '..=b'~').contains(byte)));
                prop_assert_eq!(string(std::str::from_utf8(&json)?), Some(text.clone()));
            }
        }

        #[test]
        fn the_first_special_byte_is_found(bytes: Vec<u8>) {
            let special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..=0x1f);
            prop_assert_eq!(plain_len(&bytes), bytes.iter().position(special).unwrap_or(bytes.len()));
        }

        #[test]
        fn no_text_panics(text in r#"([\[\]{},:"\\ ]|-?[0-9]{1,3}|\\u[0-9a-f]{4}|null|NaN|é){0,30}"#) {
            skips(&text);
        }
    }
}
