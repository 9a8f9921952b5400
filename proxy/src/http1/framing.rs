//! Where a message ends and whether its connection goes on: RFC 9112 §6 and §9, without any of the leniency.

use super::syntax::{decimal, is_authority, members, trim, trim_spaces};
use super::{HeadError, Limits, Version};

/// How the body after a head is delimited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    #[default]
    None,
    /// Exactly so many bytes; may be 0 where the head says so.
    Length(u64),
    /// Chunks, a last chunk, trailers.
    Chunked,
    /// Everything until the peer closes. Responses only.
    UntilClose,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Request,
    Response,
}

/// What the lines of a head say about framing and connection, gathered line by line.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    length: Option<u64>,
    chunked: bool,
    host: bool,
    options: usize,
    close: bool,
    keep_alive: bool,
    upgrade: bool,
    expect_continue: bool,
}

impl Facts {
    /// Takes note of one line, `value` being all that stands behind the colon, and refuses it where it alone, or with those before it, is ambiguous.
    #[inline]
    pub(super) fn learn(&mut self, kind: Kind, name: &[u8], value: &[u8], limits: &Limits) -> Result<(), HeadError> {
        // Lengths first: almost every line is dismissed by one comparison.
        match name.len() {
            4 if kind == Kind::Request && name.eq_ignore_ascii_case(b"host") => self.learn_host(value),
            6 if kind == Kind::Request && name.eq_ignore_ascii_case(b"expect") => {
                self.expect_continue |= members(value).any(|member| member.eq_ignore_ascii_case(b"100-continue"));
                Ok(())
            }
            10 if name.eq_ignore_ascii_case(b"connection") => self.learn_connection(value, limits),
            14 if name.eq_ignore_ascii_case(b"content-length") => self.learn_length(value),
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => self.learn_coding(value),
            _ => Ok(()),
        }
    }

    fn learn_host(&mut self, value: &[u8]) -> Result<(), HeadError> {
        if self.host {
            return Err(HeadError::Bad("several_hosts"));
        }
        // An empty one is valid: it goes with targets that have no authority.
        if !is_authority(trim(value)) {
            return Err(HeadError::Bad("bad_host"));
        }
        self.host = true;
        Ok(())
    }

    fn learn_connection(&mut self, value: &[u8], limits: &Limits) -> Result<(), HeadError> {
        for option in members(value) {
            self.options += 1;
            match option.len() {
                5 => self.close |= option.eq_ignore_ascii_case(b"close"),
                7 => self.upgrade |= option.eq_ignore_ascii_case(b"upgrade"),
                10 => self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive"),
                _ => {}
            }
        }
        // Each option is looked for among the lines later; without a bound that is quadratic.
        if self.options > limits.fields { Err(HeadError::TooManyFields) } else { Ok(()) }
    }

    fn learn_length(&mut self, value: &[u8]) -> Result<(), HeadError> {
        if self.length.is_some() {
            return Err(HeadError::Bad("several_content_lengths"));
        }
        self.length = Some(decimal(trim_spaces(value)).ok_or(HeadError::Bad("bad_content_length"))?);
        Ok(())
    }

    fn learn_coding(&mut self, value: &[u8]) -> Result<(), HeadError> {
        if self.chunked {
            return Err(HeadError::Bad("several_transfer_encodings"));
        }
        if !trim_spaces(value).eq_ignore_ascii_case(b"chunked") {
            return Err(HeadError::Bad("bad_transfer_encoding"));
        }
        self.chunked = true;
        Ok(())
    }

    fn check(&self, version: Version) -> Result<(), HeadError> {
        if self.chunked && self.length.is_some() {
            return Err(HeadError::Bad("content_length_and_transfer_encoding"));
        }
        if self.chunked && version == Version::Http10 {
            return Err(HeadError::Bad("transfer_encoding_on_http_1_0"));
        }
        Ok(())
    }

    fn declared(&self) -> Option<Framing> {
        if self.chunked { Some(Framing::Chunked) } else { self.length.map(Framing::Length) }
    }

    pub(super) fn request_framing(&self, version: Version, method: &str) -> Result<Framing, HeadError> {
        self.check(version)?;
        if version == Version::Http11 && !self.host {
            return Err(HeadError::Bad("no_host"));
        }
        match self.declared() {
            // What follows such a head is a body to some and the first bytes of the tunnel to others.
            Some(Framing::Chunked | Framing::Length(1..)) if method == "CONNECT" => {
                Err(HeadError::Bad("body_on_connect"))
            }
            framing => Ok(framing.unwrap_or(Framing::None)),
        }
    }

    /// RFC 9112 §6.3. A length on a 204 or 1xx must not be sent; 0 is harmless, common, and passes.
    pub(super) fn response_framing(&self, version: Version, status: u16, method: &str) -> Result<Framing, HeadError> {
        self.check(version)?;
        match status {
            100..=199 | 204 => match self.declared() {
                None | Some(Framing::Length(0)) => Ok(Framing::None),
                Some(_) => Err(HeadError::Bad("body_on_bodyless_status")),
            },
            304 => Ok(Framing::None),
            _ if method == "HEAD" => Ok(Framing::None),
            200..=299 if method == "CONNECT" => Ok(Framing::None),
            _ => Ok(self.declared().unwrap_or(Framing::UntilClose)),
        }
    }

    /// RFC 9112 §9.3; `close` wins over `keep-alive`.
    pub(super) fn persistent(&self, version: Version) -> bool {
        !self.close && (version == Version::Http11 || self.keep_alive)
    }

    pub(super) fn expects_continue(&self) -> bool {
        self.expect_continue
    }

    /// Whether `Connection` lists `upgrade`.
    pub(super) fn upgrade(&self) -> bool {
        self.upgrade
    }
}
