//! What a message means, whoever has read it.

use std::fmt;

/// A message as one reader understood it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Message {
    /// The method of a request, the status of a response.
    pub(crate) what: String,
    /// Empty for responses.
    pub(crate) target: Vec<u8>,
    /// Names in lower case.
    pub(crate) lines: Vec<(String, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Vec<(String, Vec<u8>)>,
}

impl fmt::Debug for Message {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {}", self.what, self.target.escape_ascii())?;
        for (name, value) in self.lines.iter().chain(&self.trailers) {
            write!(out, " | {name}: {}", value.escape_ascii())?;
        }
        write!(out, " | body {:?}", self.body.escape_ascii().to_string())
    }
}

/// Lines that every hop may make anew, in lists that a hop may order anew.
const PER_HOP: [&str; 14] = [
    "connection",
    "content-length",
    "date",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-connection",
    "server",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
];

impl Message {
    pub(crate) fn new<'a>(
        what: &str,
        target: &[u8],
        lines: impl Iterator<Item = (&'a [u8], &'a [u8])>,
        body: Vec<u8>,
    ) -> Message {
        Message { what: what.to_owned(), target: target.to_vec(), lines: collect(lines), body, trailers: Vec::new() }
    }

    /// Whether `other`, which came out of another reader, is this message. Some readers drop trailers and fragments, and
    /// take the authority out of the target.
    pub(crate) fn means(&self, other: &Message) -> bool {
        let host = |message: &Message| -> Option<Vec<u8>> {
            let (_, host) = message.lines.iter().find(|(name, _)| name == "host")?;
            Some(host.to_ascii_lowercase())
        };
        self.what == other.what
            && self.body == other.body
            && path(&self.target) == path(&other.target)
            && comparable(&self.lines) == comparable(&other.lines)
            && (other.trailers.is_empty() || comparable(&self.trailers) == comparable(&other.trailers))
            && (host(other).is_none() || host(self) == host(other))
    }
}

/// Lines with their names in lower case.
pub(crate) fn collect<'a>(lines: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Vec<(String, Vec<u8>)> {
    lines.map(|(name, value)| (String::from_utf8_lossy(name).to_ascii_lowercase(), value.to_vec())).collect()
}

fn comparable(lines: &[(String, Vec<u8>)]) -> Vec<&(String, Vec<u8>)> {
    // nginx drops answers' lines whose names consist of marks.
    let is_name = |name: &str| name.bytes().any(|byte| byte.is_ascii_alphanumeric());
    let compared = |name: &str| is_name(name) && !PER_HOP.contains(&name);
    let mut lines: Vec<_> = lines.iter().filter(|(name, _)| compared(name)).collect();
    // Stable: lines of one name keep their order.
    lines.sort_by(|(name, _), (other, _)| name.cmp(other));
    lines
}

/// Without scheme, authority, fragment and an empty query.
fn path(target: &[u8]) -> Vec<u8> {
    let authority = match target.windows(3).position(|mark| mark == b"://") {
        Some(mark) if target[..mark].iter().all(|byte| *byte != b'/') => mark + 3,
        _ => 0,
    };
    let rest = &target[authority..];
    let is_end = |byte: &u8| matches!(byte, b'/' | b'?' | b'#');
    let start = if authority > 0 { rest.iter().position(is_end).unwrap_or(rest.len()) } else { 0 };
    let rest = &rest[start..];
    let end = rest.iter().position(|&byte| byte == b'#').unwrap_or(rest.len());
    let rest = &rest[..end];
    // Some readers leave an empty query out, and put the slash in front of a query without a path.
    let rest = rest.strip_suffix(b"?").unwrap_or(rest);
    let slash = if authority > 0 && !rest.starts_with(b"/") { "/" } else { "" };
    [slash.as_bytes(), rest].concat()
}

/// The payload and the trailers of a chunked body that has no flaw: written for this test, the simplest way.
pub(crate) fn dechunk(mut bytes: &[u8]) -> (Vec<u8>, Vec<(String, Vec<u8>)>) {
    let line = |bytes: &mut &[u8]| -> Vec<u8> {
        let end = bytes.windows(2).position(|pair| pair == b"\r\n").expect("a line");
        let line = bytes[..end].to_vec();
        *bytes = &bytes[end + 2..];
        line
    };
    let mut body = Vec::new();
    loop {
        let digits = String::from_utf8(line(&mut bytes)).expect("digits");
        let size = usize::from_str_radix(&digits, 16).expect("digits");
        if size == 0 {
            break;
        }
        body.extend_from_slice(&bytes[..size]);
        bytes = bytes[size..].strip_prefix(b"\r\n").expect("a line end");
    }
    let mut trailers = Vec::new();
    loop {
        let line = line(&mut bytes);
        if line.is_empty() {
            assert_eq!(bytes, b"", "nothing but the body");
            return (body, trailers);
        }
        let colon = line.iter().position(|&byte| byte == b':').expect("a name");
        trailers.extend(collect([(&line[..colon], line[colon + 1..].trim_ascii())].into_iter()));
    }
}
