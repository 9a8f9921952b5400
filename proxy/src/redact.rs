//! What of a path is recorded as `url.path`: everything but secrets.
//!
//! Hidden are e-mail addresses, segments that look like tokens, values of path parameters (`;jsessionid=…`), and what
//! an operator's pattern puts in braces. Queries are cut: they are never recorded. Ids stay, in their usual forms
//! (numbers, UUIDs, ULIDs, short hex): they are what an operator looks for, and they open no door.

use std::borrow::Cow;

use serde::Serialize;

use crate::config::Problem;
use crate::pattern::PathPattern;

/// What stands in a path in place of a secret.
pub const REDACTED: &str = "[redacted]";

/// What is kept out of `url.path`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Redact {
    detect: bool,
    patterns: Vec<PathPattern>,
}

impl Default for Redact {
    /// Whatever looks like a secret.
    fn default() -> Self {
        Self { detect: true, patterns: Vec::new() }
    }
}

impl Redact {
    /// Adds a pattern whose braces are hidden; `none` drops all that came before, and the detection of secrets.
    pub(crate) fn add(&mut self, text: &str) -> Result<(), Problem> {
        if text == "none" {
            *self = Self { detect: false, patterns: Vec::new() };
            return Ok(());
        }
        let pattern = PathPattern::parse(text)?;
        if !pattern.is_named() {
            return Err(Problem::NothingHidden);
        }
        self.patterns.push(pattern);
        Ok(())
    }

    /// The path as it may be recorded; borrowed where nothing has to be hidden.
    pub fn path<'p>(&self, path: &'p str) -> Cow<'p, str> {
        let path = without_query(path);
        // The first pattern that fits decides; a path that none fits is what nearly all are.
        if let Some(named) = self.patterns.iter().find_map(|pattern| pattern.places(path)) {
            // `places` leaves out the empty text before the first slash.
            return self.rewritten(std::iter::once(("", false)).chain(named));
        }
        if self.detect && may_hold_secrets(path) && path.split('/').any(|segment| kept(segment).is_some()) {
            return self.rewritten(path.split('/').map(|segment| (segment, false)));
        }
        Cow::Borrowed(path)
    }

    fn rewritten<'p>(&self, segments: impl Iterator<Item = (&'p str, bool)>) -> Cow<'static, str> {
        let mut out = String::new();
        for (at, (segment, hidden)) in segments.enumerate() {
            if at > 0 {
                out.push('/');
            }
            let kept = if hidden { Some("") } else { self.detect.then(|| kept(segment)).flatten() };
            out.push_str(kept.unwrap_or(segment));
            if kept.is_some() {
                out.push_str(REDACTED);
            }
        }
        Cow::Owned(out)
    }
}

/// A path without what follows `?` or `#`.
pub(crate) fn without_query(path: &str) -> &str {
    memchr::memchr2(b'?', b'#', path.as_bytes()).and_then(|end| path.get(..end)).unwrap_or(path)
}

/// One pass that clears nearly every path: no segment is long enough for a token, and nothing marks an address or a
/// parameter.
fn may_hold_secrets(path: &str) -> bool {
    let mut length = 0;
    path.bytes().any(|byte| {
        length = if byte == b'/' { 0 } else { length + 1 };
        length == TOKEN_MIN || matches!(byte, b'@' | b'%' | b';')
    })
}

/// What may be kept of a segment that holds a secret: the part in front of it; `None` where there is none.
fn kept(segment: &str) -> Option<&str> {
    let (name, parameters) = segment.split_once(';').unwrap_or((segment, ""));
    if is_email(name) || is_token(name) {
        return Some("");
    }
    // `;jsessionid=…`, or a value alone.
    let valued = parameters.contains('=') || is_email(parameters) || is_token(parameters);
    valued.then(|| segment.get(..=name.len()).unwrap_or_default())
}

/// `user@host.tld`, the `@` perhaps percent-encoded. `@scope` and `name@1.2.3` are packages, not addresses.
pub(crate) fn is_email(segment: &str) -> bool {
    if memchr::memchr2(b'@', b'%', segment.as_bytes()).is_none() {
        return false;
    }
    let parts = segment.rsplit_once('@').or_else(|| segment.rsplit_once("%40"));
    parts.is_some_and(|(user, host)| {
        let (domain, top) = host.rsplit_once('.').unwrap_or_default();
        let top_is_a_word = top.len() >= 2 && top.bytes().all(|byte| byte.is_ascii_alphabetic());
        !user.is_empty() && !domain.is_empty() && top_is_a_word
    })
}

/// Shorter segments are left alone: too little to be a good secret, and too much else looks like it.
const TOKEN_MIN: usize = 20;

/// Whether a segment looks like something that opens a door: a session, an API key, a signed token.
///
/// Random text has digits inside its letters, words and slugs hardly ever do.
pub(crate) fn is_token(segment: &str) -> bool {
    if segment.len() < TOKEN_MIN || is_uuid(segment) || is_ulid(segment) {
        return false;
    }
    // A JSON Web Token begins with `{"` in base64.
    if segment.starts_with("eyJ") && segment.contains('.') {
        return true;
    }
    let (mut embedded, mut upper, mut lower) = (0, false, false);
    let mut part = Part::default();
    for byte in segment.bytes() {
        if !byte.is_ascii_alphanumeric() {
            if part.is_token() {
                return true;
            }
            embedded += part.embedded();
            part = Part::default();
            continue;
        }
        upper |= byte.is_ascii_uppercase();
        lower |= byte.is_ascii_lowercase();
        part.push(byte);
    }
    // base64url puts '-' and '_' inside; slugs with as many numbers inside words (`k8s-i18n-e2e`) have one case.
    part.is_token() || (embedded + part.embedded() >= 3 && upper && lower)
}

/// A run of letters and digits.
#[derive(Default)]
struct Part {
    length: usize,
    digits: usize,
    /// Letters that are no hex digits.
    beyond_hex: usize,
    /// Numbers of at most three digits between two letters; longer ones are dates and times.
    numbers: usize,
    /// Digits since the last letter, where there was one.
    after_letter: Option<usize>,
}

impl Part {
    fn push(&mut self, byte: u8) {
        self.length += 1;
        if byte.is_ascii_digit() {
            self.digits += 1;
            self.after_letter = self.after_letter.map(|digits| digits + 1);
            return;
        }
        self.beyond_hex += usize::from(!byte.is_ascii_hexdigit());
        self.numbers += usize::from(self.after_letter.is_some_and(|digits| (1..=3).contains(&digits)));
        self.after_letter = Some(0);
    }

    /// Short hex is an id, a version or a file's hash.
    fn is_short_hex(&self) -> bool {
        self.beyond_hex == 0 && self.length < 32
    }

    fn embedded(&self) -> usize {
        if self.is_short_hex() { 0 } else { self.numbers }
    }

    fn is_token(&self) -> bool {
        let mixed = self.digits > 0 && self.digits < self.length;
        !self.is_short_hex()
            && ((self.length >= 16 && self.numbers >= 2) || (self.length >= 32 && mixed) || self.length >= 40)
    }
}

/// `8-4-4-4-12` hex digits.
pub(crate) fn is_uuid(segment: &str) -> bool {
    segment.len() == 36
        && segment.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// 26 characters of Crockford's base 32; a time comes first, and begins with `01` from 2004 to 2039.
pub(crate) fn is_ulid(segment: &str) -> bool {
    segment.len() == 26
        && segment.starts_with("01")
        && segment.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn secrets_are_hidden_and_the_rest_stays() {
        let redact = Redact::default();
        for (path, recorded) in [
            ("/users/alice@example.com/orders", "/users/[redacted]/orders"),
            ("/users/alice%40example.com", "/users/[redacted]"),
            ("/cart;jsessionid=0A1B2C/items", "/cart;[redacted]/items"),
            ("/a@b.com;x=1", "/[redacted]"),
            ("/a;b@c.com", "/a;[redacted]"),
            ("/orders?token=secret", "/orders"),
            ("/orders#token", "/orders"),
            ("/u/a@b.org?x=a@b.org", "/u/[redacted]"),
            ("/k/sk_live_4eC39HqLyjWDarjtT1zdp7dc", "/k/[redacted]"),
            ("/k/ghp_16C7e42F292c6912E7710c838347Ae178B4a/x", "/k/[redacted]/x"),
            ("/k/V1StGXR8_Z5jdHi6B-myT", "/k/[redacted]"),
            ("/k/9f86d081884c7d659a2feaa0c55ad015", "/k/[redacted]"),
            ("/k/eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "/k/[redacted]"),
            ("/k/dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", "/k/[redacted]"),
        ] {
            assert_eq!(redact.path(path), recorded, "{path}");
        }
    }

    #[test]
    fn ids_words_and_files_stay_and_cost_no_copy() {
        let redact = Redact::default();
        for path in [
            "",
            "*",
            "/",
            "//a//",
            "/orders/1234567890123456789012",
            "/orders/4bf92f35-77b3-4da6-a3ce-929d0e0e4736",
            "/orders/01ARZ3NDEKTSV4RRFFQ69G5FAV",
            "/orders/507f1f77bcf86cd799439011",
            "/posts/how-to-cook-rice-in-2024-and-2025",
            "/posts/how-k8s-does-i18n-and-e2e-with-b2b",
            "/static/js/main.8f3a2b1c9d.chunk.js",
            "/report-20240102T101112Z-final.pdf",
            "/com.example.shop.v1beta1.CheckoutService/PlaceOrder",
            "/getUserProfileByNameV2Beta",
            "/@scope/package",
            "/package@1.2.3",
            "/100%25/%e4%b8%ad%e6%96%87%e4%b8%ad%e6%96%87",
            "/a;b/c",
        ] {
            assert!(matches!(redact.path(path), Cow::Borrowed(same) if same == path), "{path}: {}", redact.path(path));
        }
    }

    #[test]
    fn patterns_hide_what_stands_in_braces() {
        let mut redact = Redact::default();
        redact.add("/reset/{code}/**").expect("a pattern");
        assert_eq!(redact.path("/reset/1234/a@b.com/x?y"), "/reset/[redacted]/[redacted]/x");
        assert_eq!(redact.path("/reset"), "/reset");
        assert_eq!(redact.add("/reset/*"), Err(Problem::NothingHidden));
        redact.add("none").expect("a word");
        redact.add("/pin/{pin}").expect("a pattern");
        assert_eq!(redact.path("/reset/a@b.com?x"), "/reset/a@b.com");
        assert_eq!(redact.path("/pin/7"), "/pin/[redacted]");
    }

    proptest! {
        #[test]
        fn never_panics_and_a_second_pass_finds_nothing(path in "(/[a-zA-Z0-9@%;=._é-]{0,40}){0,6}[?#]?.{0,9}") {
            let redact = Redact::default();
            let once = redact.path(&path).into_owned();
            prop_assert_eq!(redact.path(&once), once.as_str());
            prop_assert!(!once.contains(['?', '#']));
        }
    }
}
