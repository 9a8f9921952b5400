//! Bodies: which of the bytes that arrive belong to this message, without looking at what they are.
//!
//! Chunk framing is copied along with the data, so a body costs one look per chunk and none per byte. Only chunk
//! extensions are dropped: nobody uses them, and implementations disagree about where they end.

use memchr::memchr;
use thiserror::Error;

use super::fields::split_line;
use super::syntax::{hexadecimal, is_field_value, trim};
use super::{Framing, Limits};

/// The longest chunk size line with its extension that is taken: nobody sends extensions, so a line of more is
/// somebody who wants work done for nothing.
const SIZE_LINE_BYTES_MAX: usize = 1 << 10;

/// Why a body cannot be passed on. Its connections have to be closed, without ending the message properly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BodyError {
    /// Chunks or trailers are malformed; a short constant as in [`HeadError::Bad`](super::HeadError::Bad).
    #[error("the body is malformed: {0}")]
    Bad(&'static str),
    /// The trailers are larger than [`Limits::head_bytes`], or a chunk size line than 1 KiB.
    #[error("the trailers or a chunk size line are larger than the limit")]
    TooLarge,
    /// More trailer lines than [`Limits::fields`].
    #[error("there are more trailer lines than the limit")]
    TooManyFields,
    /// The peer closed before the end.
    #[error("the peer closed in the middle of the body")]
    Truncated,
}

impl BodyError {
    /// A short constant in lower case with underscores, for counters.
    pub fn reason(self) -> &'static str {
        match self {
            BodyError::Bad(reason) => reason,
            BodyError::TooLarge => "chunk_line_or_trailers_too_large",
            BodyError::TooManyFields => "too_many_trailers",
            BodyError::Truncated => "truncated_body",
        }
    }
}

/// What to do with the front of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Pass on so many bytes, at least one, unchanged, and take them off the input.
    Forward(usize),
    /// Take so many bytes, at least one, off the input without passing them on.
    Skip(usize),
    /// Nothing can be decided before more bytes are there. What is left of the input must stay in front of them: the
    /// beginning of a line, at most [`Limits::head_bytes`].
    More,
    /// The message is over; what is left of the input belongs to the next one.
    End,
}

/// Follows one body to its end.
#[derive(Clone, Debug)]
pub struct Body {
    state: State,
    limits: Limits,
    payload: u64,
    /// Up to where an incomplete line at the front of the input was searched for its end.
    searched: usize,
    trailer_bytes: usize,
    trailers: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Done,
    Length(u64),
    UntilClose,
    /// At the beginning of a chunk size line.
    Size,
    /// Behind the digits of a chunk size line that is complete, in front of so many bytes of extension.
    Extension {
        skip: usize,
        size: u64,
    },
    /// In front of that line's CRLF.
    SizeEnd(u64),
    Data(u64),
    /// In front of the CR, or the LF, behind the data.
    DataCr,
    DataLf,
    /// At the beginning of a trailer line, or of the empty line.
    Trailers,
}

impl Body {
    /// At the beginning of a body; trailers are bounded by the default [`Limits`].
    pub fn new(framing: Framing) -> Self {
        Body::with_limits(framing, Limits::default())
    }

    /// At the beginning of a body, with other bounds for its trailers.
    pub fn with_limits(framing: Framing, limits: Limits) -> Self {
        let state = match framing {
            Framing::None | Framing::Length(0) => State::Done,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::Size,
            Framing::UntilClose => State::UntilClose,
        };
        Body { state, limits, payload: 0, searched: 0, trailer_bytes: 0, trailers: 0 }
    }

    /// What to do with the front of `input`. The caller does it, and calls again with what is then in front. One step
    /// covers as much of the input as possible, so small chunks do not cost a call each.
    pub fn step(&mut self, input: &[u8]) -> Result<Step, BodyError> {
        let mut taken = 0;
        loop {
            let rest = input.get(taken..).unwrap_or_default();
            match self.state {
                State::Done if taken == 0 => return Ok(Step::End),
                State::Done => break,
                State::UntilClose => {
                    self.payload += rest.len() as u64;
                    taken += rest.len();
                    break;
                }
                State::Length(left) => {
                    let size = self.take_data(rest, left);
                    taken += size;
                    let left = left - size as u64;
                    self.state = if left == 0 { State::Done } else { State::Length(left) };
                    if left > 0 {
                        break;
                    }
                }
                State::Size => {
                    let Some((digits, skip, size)) = self.take_size(rest)? else { break };
                    taken += digits;
                    self.state = State::Extension { skip, size };
                    if skip > 0 {
                        break;
                    }
                }
                State::Extension { skip, size } => {
                    // Its CRLF has been seen; the caller may bring it after this.
                    self.state = State::SizeEnd(size);
                    if skip > 0 {
                        return Ok(Step::Skip(skip));
                    }
                }
                State::SizeEnd(size) => {
                    let Some(rest) = rest.get(..2) else { break };
                    taken += rest.len();
                    self.state = if size == 0 { State::Trailers } else { State::Data(size) };
                }
                State::Data(left) => {
                    let size = self.take_data(rest, left);
                    taken += size;
                    let left = left - size as u64;
                    self.state = if left == 0 { State::DataCr } else { State::Data(left) };
                    if left > 0 {
                        break;
                    }
                }
                State::DataCr => match rest.first() {
                    Some(b'\r') => {
                        taken += 1;
                        self.state = State::DataLf;
                    }
                    Some(_) => return Err(BodyError::Bad("no_crlf_after_chunk")),
                    None => break,
                },
                State::DataLf => match rest.first() {
                    Some(b'\n') => {
                        taken += 1;
                        self.state = State::Size;
                    }
                    Some(_) => return Err(BodyError::Bad("no_crlf_after_chunk")),
                    None => break,
                },
                State::Trailers => {
                    let Some(size) = self.take_trailer(rest)? else { break };
                    taken += size;
                }
            }
        }
        Ok(if taken > 0 { Step::Forward(taken) } else { Step::More })
    }

    /// The peer has closed its side: fine where that ends the body, an error in the middle of one.
    pub fn eof(&mut self) -> Result<(), BodyError> {
        match self.state {
            State::Done => Ok(()),
            State::UntilClose => {
                self.state = State::Done;
                Ok(())
            }
            _ => Err(BodyError::Truncated),
        }
    }

    /// How many bytes from here on are payload whatever they are, where nothing is left of the input; `u64::MAX` where
    /// only the end of the stream ends them. They may pass without [`Body::step`] seeing them, see [`Body::pass`].
    pub fn unseen(&self) -> u64 {
        match self.state {
            State::Length(left) | State::Data(left) => left,
            State::UntilClose => u64::MAX,
            _ => 0,
        }
    }

    /// So many bytes of payload, at most [`Body::unseen`], have passed without being seen.
    pub fn pass(&mut self, count: u64) {
        self.payload += count;
        self.state = match self.state {
            State::Length(left) if left <= count => State::Done,
            State::Length(left) => State::Length(left - count),
            State::Data(left) if left <= count => State::DataCr,
            State::Data(left) => State::Data(left - count),
            other => other,
        };
    }

    /// How many bytes of payload have gone through, without chunk framing and trailers.
    pub fn payload(&self) -> u64 {
        self.payload
    }

    /// Whether the message is over.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    fn take_data(&mut self, rest: &[u8], left: u64) -> usize {
        let size = usize::try_from(left).map_or(rest.len(), |left| left.min(rest.len()));
        self.payload += size as u64;
        size
    }

    /// `1a;name=value` CRLF: how many digits, how many bytes of extension, and the size. None: it is not all there.
    fn take_size(&mut self, rest: &[u8]) -> Result<Option<(usize, usize, u64)>, BodyError> {
        let Some(line) = self.take_line(rest, SIZE_LINE_BYTES_MAX)? else { return Ok(None) };
        let digits = line.iter().position(|byte| !byte.is_ascii_hexdigit()).unwrap_or(line.len());
        let (number, extension) = line.split_at(digits);
        let size = hexadecimal(number).ok_or(BodyError::Bad("bad_chunk_size"))?;
        // White space in front of the semicolon is what RFC 9112 §7.1.1 has to be taken though it must not be sent.
        if !extension.is_empty() && !trim(extension).starts_with(b";") {
            return Err(BodyError::Bad("bad_chunk_size"));
        }
        if !is_field_value(extension) {
            return Err(BodyError::Bad("control_character_in_chunk_extension"));
        }
        Ok(Some((digits, extension.len(), size)))
    }

    /// One trailer line, or the empty line that ends the message: its size. None: it is not all there.
    fn take_trailer(&mut self, rest: &[u8]) -> Result<Option<usize>, BodyError> {
        let left = self.limits.head_bytes.saturating_sub(self.trailer_bytes);
        let Some(line) = self.take_line(rest, left)? else { return Ok(None) };
        let size = line.len() + 2;
        if line.is_empty() {
            self.state = State::Done;
            return Ok(Some(size));
        }
        self.trailer_bytes += size;
        self.trailers += 1;
        if self.trailers > self.limits.fields {
            return Err(BodyError::TooManyFields);
        }
        let (name, _) = split_line(line).map_err(|error| BodyError::Bad(error.reason()))?;
        // RFC 9110 §6.5.1: not allowed there, and a reader that merges trailers into the head would believe them.
        if FORBIDDEN_TRAILERS.iter().any(|forbidden| name.eq_ignore_ascii_case(forbidden.as_bytes())) {
            return Err(BodyError::Bad("forbidden_trailer"));
        }
        Ok(Some(size))
    }

    /// The line at the front without its CRLF. None: it is not all there.
    fn take_line<'a>(&mut self, rest: &'a [u8], size_max: usize) -> Result<Option<&'a [u8]>, BodyError> {
        let window = rest.get(..size_max).unwrap_or(rest);
        let Some(at) = memchr(b'\n', window.get(self.searched..).unwrap_or_default()) else {
            self.searched = window.len();
            return if window.len() == size_max { Err(BodyError::TooLarge) } else { Ok(None) };
        };
        let line = window.get(..self.searched + at).unwrap_or_default();
        self.searched = 0;
        let line = line.strip_suffix(b"\r").ok_or(BodyError::Bad("bare_lf"))?;
        Ok(Some(line))
    }
}

/// What may not come after a body: fields that say where it ends, or whom it is for.
const FORBIDDEN_TRAILERS: [&str; 5] = ["connection", "content-length", "host", "te", "transfer-encoding"];
