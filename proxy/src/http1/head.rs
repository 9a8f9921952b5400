//! The heads of requests and responses: their start lines, and what follows from head and method together.

use std::ops::{Deref, DerefMut};

use bytes::BytesMut;

use super::fields::{Fields, Range};
use super::framing::{Framing, Kind};
use super::syntax::{is_authority, is_field_value, is_target, is_token};
use super::{HeadError, Limits, Version};

/// The head of a request, RFC 9112 §3. Reused from request to request on a connection; the lines are in [`Fields`].
///
/// What [`read`](Self::read) decided (framing, persistence, `Expect`, `Upgrade`) is what the peer said; edits do not
/// change it.
#[derive(Debug, Default)]
pub struct RequestHead {
    fields: Fields,
    line: RequestLine,
    framing: Framing,
}

#[derive(Debug, Default)]
struct RequestLine {
    method_len: u32,
    target: Range,
    version: Version,
}

/// What kind of target a request has, RFC 9112 §3.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetForm<'a> {
    /// `/path?query`
    Origin,
    /// `http://authority/path?query`
    Absolute {
        /// `http`, as it was written.
        scheme: &'a [u8],
        /// Host and port, without a user name.
        authority: &'a [u8],
        /// What follows; empty, or begins with `/`, `?` or `#`.
        rest: &'a [u8],
    },
    /// `host:port`, with CONNECT
    Authority,
    /// `*`
    Asterisk,
}

impl RequestHead {
    /// Takes a head off the front of `input`. False: more bytes are needed, and `input` must keep what it has until
    /// they are there. However the bytes trickle in, each is looked at once and the result is the same. To begin with
    /// another input in the middle of a head, [`release`](Fields::release) it first.
    ///
    /// After an error nothing can be said about the bytes in `input`: the connection has to be closed.
    pub fn read(&mut self, input: &mut BytesMut, limits: &Limits) -> Result<bool, HeadError> {
        let RequestHead { fields, line, .. } = self;
        if !fields.read(input, limits, Kind::Request, |bytes| line.parse(bytes))? {
            return Ok(false);
        }
        self.framing = self.fields.facts.request_framing(self.line.version, self.method())?;
        Ok(true)
    }

    /// `GET`; case matters.
    pub fn method(&self) -> &str {
        let method = Range { from: 0, to: self.line.method_len }.of(self.fields.raw());
        str::from_utf8(method).unwrap_or_default()
    }

    /// The target as it was written.
    pub fn target(&self) -> &[u8] {
        self.line.target.of(self.fields.raw())
    }

    /// Which form the target has.
    pub fn target_form(&self) -> TargetForm<'_> {
        // An own target that has no valid form is treated as a path.
        target_form(self.method().as_bytes(), self.target()).unwrap_or(TargetForm::Origin)
    }

    /// Puts another target into the request line. False, and nothing is changed, where it contains a space or a
    /// control character or is empty.
    pub fn set_target(&mut self, target: &[u8]) -> bool {
        if !is_target(target) {
            return false;
        }
        let method_len = self.line.method_len as usize;
        let version: &[u8] = match self.line.version {
            Version::Http10 => b" HTTP/1.0\r\n",
            Version::Http11 => b" HTTP/1.1\r\n",
        };
        let line = self.fields.set_start_line(|out| {
            out.extend_from_within(..method_len);
            out.push(b' ');
            out.extend_from_slice(target);
            out.extend_from_slice(version);
        });
        let Some(line) = line else { return false };
        let from = line.from + self.line.method_len + 1;
        self.line.target = Range { from, to: from + target.len() as u32 };
        true
    }

    /// The version in the request line.
    pub fn version(&self) -> Version {
        self.line.version
    }

    /// How the body is delimited.
    pub fn framing(&self) -> Framing {
        self.framing
    }

    /// Whether another request may follow on this connection.
    pub fn persistent(&self) -> bool {
        self.fields.facts.persistent(self.line.version)
    }

    /// Whether the body waits for a `100 Continue`. HTTP/1.0 knows no such thing.
    pub fn expects_continue(&self) -> bool {
        self.line.version == Version::Http11 && self.fields.facts.expects_continue()
    }

    /// The protocols asked for in `Upgrade`, where `Connection` lists it too. HTTP/1.1 only.
    pub fn upgrade(&self) -> Option<&[u8]> {
        let named = self.line.version == Version::Http11 && self.fields.facts.upgrade();
        if named { self.fields.first("upgrade") } else { None }
    }

    /// Removes what was meant for this hop only, RFC 9110 §7.6.1. Lines that were added or replaced since
    /// the head was read stay, whatever the peer says.
    ///
    /// Dropped: `Proxy-Connection`, `Keep-Alive` of requests, `Upgrade` unless `keep_upgrade`, all of `TE` but
    /// `trailers`, and every field that `Connection` names, except those that are meant for every reader: naming
    /// `Content-Length`, `Host`, `Authorization` or `X-Forwarded-For` there is a known way to make an intermediary cut a
    /// message open, or take away what a gateway in front vouched for, and RFC 9110 forbids it.
    ///
    /// Kept: `Transfer-Encoding`, since chunks are copied as they come, and what is as true of the next hop as of
    /// this one because the two connections live and die together: the options `close` and `keep-alive` (and
    /// `Keep-Alive` of responses, by which clients avoid sending into a closing connection), `upgrade` and `te`
    /// where these fields stay. Where `Connection` says nothing else, its line is not touched. Whether it is right
    /// that the connection goes on is for [`announce_persistence`](Fields::announce_persistence) to say.
    pub fn strip_hop_by_hop(&mut self, keep_upgrade: bool) {
        self.fields.strip_hop_by_hop(Kind::Request, keep_upgrade);
    }

    /// The `Host` field. There is exactly one on HTTP/1.1, at most one on HTTP/1.0; it may be empty.
    pub fn host(&self) -> Option<&[u8]> {
        self.fields.first("host")
    }

    /// Whom the request is for: the target's authority where it has one (RFC 9112 §3.2.2: `Host` must then be
    /// ignored), else `Host`.
    pub fn authority(&self) -> Option<&[u8]> {
        match self.target_form() {
            TargetForm::Absolute { authority, .. } => Some(authority),
            TargetForm::Authority => Some(self.target()),
            TargetForm::Origin | TargetForm::Asterisk => self.host(),
        }
    }

    /// False where the target names one authority and `Host` another one: two readers would route differently. A
    /// forward proxy replaces `Host` by the target's authority; anyone else better refuses.
    pub fn host_agrees(&self) -> bool {
        let (authority, port) = match self.target_form() {
            TargetForm::Absolute { scheme, authority, .. } if scheme.eq_ignore_ascii_case(b"http") => {
                (authority, ":80")
            }
            TargetForm::Absolute { authority, .. } => (authority, ":443"),
            TargetForm::Authority => (self.target(), ""),
            TargetForm::Origin | TargetForm::Asterisk => return true,
        };
        let bare = |host: &'_ [u8]| -> usize { host.strip_suffix(port.as_bytes()).unwrap_or(host).len() };
        let Some(host) = self.host() else { return true };
        let host = host.get(..bare(host)).unwrap_or_default();
        authority.get(..bare(authority)).unwrap_or_default().eq_ignore_ascii_case(host)
    }
}

impl Deref for RequestHead {
    type Target = Fields;

    fn deref(&self) -> &Fields {
        &self.fields
    }
}

impl DerefMut for RequestHead {
    fn deref_mut(&mut self) -> &mut Fields {
        &mut self.fields
    }
}

impl RequestLine {
    /// `GET /path HTTP/1.1`, single spaces, RFC 9112 §3.
    fn parse(&mut self, line: &[u8]) -> Result<(), HeadError> {
        if line.is_empty() {
            return Err(HeadError::Bad("empty_request_line"));
        }
        let Some(first) = memchr::memchr(b' ', line) else { return Err(HeadError::Bad("bad_request_line")) };
        let Some(last) = memchr::memrchr(b' ', line) else { return Err(HeadError::Bad("bad_request_line")) };
        let method = line.get(..first).unwrap_or_default();
        let version = line.get(last + 1..).unwrap_or_default();
        // Empty where there is only one space.
        let target = line.get(first + 1..last).unwrap_or_default();
        if !is_token(method) {
            return Err(HeadError::Bad("bad_method"));
        }
        if first == last {
            return Err(HeadError::Bad("no_http_version"));
        }
        if line == b"PRI * HTTP/2.0" {
            return Err(HeadError::Bad("http_2_preface"));
        }
        self.version = parse_version(version)?;
        if !is_target(target) {
            return Err(HeadError::Bad("bad_target"));
        }
        if target_form(method, target).is_none() {
            return Err(HeadError::Bad("bad_target"));
        }
        self.method_len = method.len() as u32;
        self.target = Range { from: first as u32 + 1, to: last as u32 };
        Ok(())
    }
}

fn target_form<'a>(method: &[u8], target: &'a [u8]) -> Option<TargetForm<'a>> {
    if method == b"CONNECT" {
        let colon = memchr::memrchr(b':', target)?;
        let port = target.get(colon + 1..)?;
        let valid = is_authority(target) && colon > 0 && !port.is_empty() && port.iter().all(u8::is_ascii_digit);
        return valid.then_some(TargetForm::Authority);
    }
    match target {
        [b'/', ..] => Some(TargetForm::Origin),
        [b'*'] => Some(TargetForm::Asterisk),
        _ => {
            let colon = memchr::memchr(b':', target)?;
            let (scheme, rest) = target.split_at(colon);
            let rest = rest.strip_prefix(b"://")?;
            // A target has no fragment (RFC 9112 §3.2), and where one follows the authority, readers differ about the host.
            let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
            let (authority, rest) = rest.split_at(end);
            let scheme_valid = scheme.first().is_some_and(u8::is_ascii_alphabetic)
                && scheme.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'));
            let valid = scheme_valid && !authority.is_empty() && is_authority(authority);
            valid.then_some(TargetForm::Absolute { scheme, authority, rest })
        }
    }
}

fn parse_version(version: &[u8]) -> Result<Version, HeadError> {
    match version {
        b"HTTP/1.1" => Ok(Version::Http11),
        b"HTTP/1.0" => Ok(Version::Http10),
        [b'H', b'T', b'T', b'P', b'/', major, rest @ ..] if major.is_ascii_digit() => match rest {
            [] => Err(HeadError::Bad("unsupported_http_version")),
            [b'.', minor] if minor.is_ascii_digit() => Err(HeadError::Bad("unsupported_http_version")),
            _ => Err(HeadError::Bad("bad_http_version")),
        },
        _ => Err(HeadError::Bad("bad_http_version")),
    }
}

/// The head of a response, RFC 9112 §4. Reused from response to response on a connection; the lines are in [`Fields`].
#[derive(Debug, Default)]
pub struct ResponseHead {
    fields: Fields,
    line: StatusLine,
    framing: Framing,
}

#[derive(Debug, Default)]
struct StatusLine {
    version: Version,
    status: u16,
    reason: Range,
}

impl ResponseHead {
    /// Takes a head off the front of `input`, like [`RequestHead::read`]. `method` is the request's: it decides whether
    /// there is a body.
    pub fn read(&mut self, input: &mut BytesMut, limits: &Limits, method: &str) -> Result<bool, HeadError> {
        let ResponseHead { fields, line, framing } = self;
        if !fields.read(input, limits, Kind::Response, |bytes| line.parse(bytes))? {
            return Ok(false);
        }
        *framing = fields.facts.response_framing(line.version, line.status, method)?;
        Ok(true)
    }

    /// 100 to 999.
    pub fn status(&self) -> u16 {
        self.line.status
    }

    /// Whether another response to the same request follows: 1xx, but not 101, after which there is no more HTTP.
    pub fn is_interim(&self) -> bool {
        matches!(self.line.status, 100 | 102..=199)
    }

    /// The text after the status; may be empty.
    pub fn reason(&self) -> &[u8] {
        self.line.reason.of(self.fields.raw())
    }

    /// The version in the status line.
    pub fn version(&self) -> Version {
        self.line.version
    }

    /// How the body is delimited.
    pub fn framing(&self) -> Framing {
        self.framing
    }

    /// Whether the connection can be used after this response.
    pub fn persistent(&self) -> bool {
        self.framing != Framing::UntilClose && self.fields.facts.persistent(self.line.version)
    }

    /// Removes what was meant for this hop only; see [`RequestHead::strip_hop_by_hop`].
    pub fn strip_hop_by_hop(&mut self, keep_upgrade: bool) {
        self.fields.strip_hop_by_hop(Kind::Response, keep_upgrade);
    }

    /// The protocol switched to, where this is a 101.
    pub fn upgrade(&self) -> Option<&[u8]> {
        if self.line.status == 101 { self.fields.first("upgrade") } else { None }
    }
}

impl Deref for ResponseHead {
    type Target = Fields;

    fn deref(&self) -> &Fields {
        &self.fields
    }
}

impl DerefMut for ResponseHead {
    fn deref_mut(&mut self) -> &mut Fields {
        &mut self.fields
    }
}

impl StatusLine {
    /// `HTTP/1.1 200 OK`. The space after the status may be missing where there is no text: many servers forget it,
    /// and nobody reads it differently.
    fn parse(&mut self, line: &[u8]) -> Result<(), HeadError> {
        if line.is_empty() {
            return Err(HeadError::Bad("empty_status_line"));
        }
        let Some((version, rest)) = line.split_at_checked(8) else { return Err(HeadError::Bad("bad_status_line")) };
        self.version = parse_version(version)?;
        let ([b' ', digits @ ..], reason) = rest.split_at_checked(4).ok_or(HeadError::Bad("bad_status_line"))? else {
            return Err(HeadError::Bad("bad_status_line"));
        };
        let [hundreds @ b'1'..=b'9', tens @ b'0'..=b'9', ones @ b'0'..=b'9'] = digits else {
            return Err(HeadError::Bad("bad_status"));
        };
        self.status = [hundreds, tens, ones].iter().fold(0, |status, digit| status * 10 + u16::from(**digit - b'0'));
        let skipped = match reason {
            [] => 0,
            [b' ', ..] => 1,
            _ => return Err(HeadError::Bad("bad_status")),
        };
        if !is_field_value(reason) {
            return Err(HeadError::Bad("control_character_in_reason"));
        }
        self.reason = Range { from: 12 + skipped, to: line.len() as u32 };
        Ok(())
    }
}
