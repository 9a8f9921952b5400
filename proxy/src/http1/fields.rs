//! What request and response heads have in common: a start line and header lines, kept as the bytes they came in.
//!
//! All bytes stand in one buffer. A head that was read lies at its front; a line that is added or replaced is appended
//! behind it, and the list of lines says which range comes when. Writing copies the ranges in order, neighbours in one
//! go, so that a head nobody touched is one copy and an edited one is a few. Buffer and list are reused from head to
//! head: once warm, nothing is allocated.

use std::mem;

use bytes::{Buf, BytesMut};
use memchr::memchr;

use super::framing::{Facts, Kind};
use super::syntax::{is_field_value, is_token, token_len, trim, trim_end, trim_start};
use super::{HeadError, Limits};

/// Larger buffers are not kept for the next head: one oversized head must not stay with a connection for its life.
const KEPT_BYTES: usize = 8 << 10;

/// The header lines of a message: looked up, edited in place, and written as they came.
///
/// Names are compared without case. Values come without the white space around them. Values handed in may not contain
/// control characters other than tab: such an edit is refused with `false` and changes nothing, like every edit
/// before a head has been read.
#[derive(Debug, Default)]
pub struct Fields {
    pub(super) raw: Vec<u8>,
    start_line: Range,
    pub(super) lines: Vec<Line>,
    /// One bit per [`Tag`] that some line had: most lookups are for names that are not there, and end here.
    pub(super) present: u64,
    pub(super) facts: Facts,
    reading: Reading,
    /// Where the bytes that were read end and lines of ours begin.
    pub(super) read_to: u32,
    /// Where values are written before they are known to be valid.
    scratch: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) from: u32,
    pub(super) to: u32,
}

impl Range {
    pub(super) fn of(self, bytes: &[u8]) -> &[u8] {
        bytes.get(self.from as usize..self.to as usize).unwrap_or_default()
    }
}

/// Where one header line stands in the buffer.
///
/// ```text
/// Name:  value \r\n
/// └name┘ └value┘   └ to
/// ```
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    tag: Tag,
    pub(super) from: u32,
    name_to: u32,
    pub(super) value: Range,
    to: u32,
}

impl Line {
    fn name(self, raw: &[u8]) -> &[u8] {
        Range { from: self.from, to: self.name_to }.of(raw)
    }

    #[inline]
    pub(super) fn is(self, raw: &[u8], tag: Tag, name: &[u8]) -> bool {
        self.tag == tag && self.name(raw).eq_ignore_ascii_case(name)
    }
}

/// Length, first, middle and last byte of a name, without case: tells almost all names apart in one comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tag(u32);

impl Tag {
    #[inline]
    pub(super) fn of(name: &[u8]) -> Tag {
        let (Some(first), Some(middle), Some(last)) = (name.first(), name.get(name.len() / 2), name.last()) else {
            return Tag(0);
        };
        Tag(u32::from_le_bytes([name.len() as u8, first | 0x20, middle | 0x20, last | 0x20]))
    }

    #[inline]
    pub(super) fn bit(self) -> u64 {
        1 << (self.0.wrapping_mul(0x9e37_79b1) >> 26)
    }
}

/// How far a head that has not wholly arrived was looked at, so that no byte is looked at twice.
#[derive(Clone, Debug, Default)]
struct Reading {
    /// The head is complete, or was refused: the next call begins a new one.
    over: bool,
    /// Where the line begins that is not complete yet.
    line: usize,
    /// Up to where that line has been searched for its end.
    searched: usize,
    lines: usize,
    blank_dropped: bool,
}

impl Fields {
    /// Takes the lines that have arrived; true when the empty line was among them. The head is then copied into
    /// `self` and taken off `input`. Until then the front of `input` must be the same bytes at the next call.
    pub(super) fn read(
        &mut self,
        input: &mut BytesMut,
        limits: &Limits,
        kind: Kind,
        start_line: impl FnMut(&[u8]) -> Result<(), HeadError>,
    ) -> Result<bool, HeadError> {
        if self.reading.over {
            self.reset();
        }
        if kind == Kind::Request && !self.reading.blank_dropped && self.reading.line == 0 && input.starts_with(b"\r\n")
        {
            input.advance(2);
            self.reading.searched = 0;
            self.reading.blank_dropped = true;
        }
        let end = self.take_lines(input, limits, kind, start_line);
        self.reading.over = !matches!(end, Ok(None));
        let Some(end) = end? else { return Ok(false) };
        self.raw.extend_from_slice(input.get(..end).unwrap_or_default());
        self.read_to = end as u32;
        input.advance(end);
        Ok(true)
    }

    fn take_lines(
        &mut self,
        input: &[u8],
        limits: &Limits,
        kind: Kind,
        mut start_line: impl FnMut(&[u8]) -> Result<(), HeadError>,
    ) -> Result<Option<usize>, HeadError> {
        // Positions are kept in 32 bits.
        let size_max = limits.head_bytes.min(u32::MAX as usize / 2);
        let window = input.get(..size_max).unwrap_or(input);
        while let Some(at) = memchr(b'\n', window.get(self.reading.searched..).unwrap_or_default()) {
            let from = self.reading.line;
            let to = self.reading.searched + at + 1;
            self.reading.line = to;
            self.reading.searched = to;
            let line = window.get(from..to).unwrap_or_default();
            let Some(line) = line.strip_suffix(b"\r\n") else { return Err(HeadError::Bad("bare_lf")) };
            self.reading.lines += 1;
            if self.reading.lines == 1 {
                start_line(line)?;
                self.start_line = Range { from: 0, to: to as u32 };
            } else if line.is_empty() {
                return Ok(Some(to));
            } else {
                self.take_line(line, from as u32, to as u32, limits, kind)?;
            }
        }
        self.reading.searched = window.len();
        if window.len() == size_max { Err(HeadError::TooLarge) } else { Ok(None) }
    }

    fn take_line(&mut self, line: &[u8], from: u32, to: u32, limits: &Limits, kind: Kind) -> Result<(), HeadError> {
        if self.lines.len() >= limits.fields {
            return Err(HeadError::TooManyFields);
        }
        let (name, rest) = split_line(line)?;
        self.facts.learn(kind, name, rest, limits)?;
        let value = trim_start(rest);
        let value_at = line.len() - value.len();
        let value = trim_end(value);
        let tag = Tag::of(name);
        self.present |= tag.bit();
        let value_from = from + value_at as u32;
        self.lines.push(Line {
            tag,
            from,
            name_to: from + name.len() as u32,
            value: Range { from: value_from, to: value_from + value.len() as u32 },
            to,
        });
        Ok(())
    }

    fn reset(&mut self) {
        if self.raw.capacity() > KEPT_BYTES {
            self.release();
            return;
        }
        self.raw.clear();
        self.lines.clear();
        self.start_line = Range::default();
        self.present = 0;
        self.facts = Facts::default();
        self.reading = Reading::default();
    }

    /// Forgets everything and gives the memory back, for connections that fall idle.
    pub fn release(&mut self) {
        *self = Fields::default();
    }

    /// Whether part of a head has been read and the rest is waited for. False between messages.
    pub fn partial(&self) -> bool {
        !self.reading.over && self.reading.searched > 0
    }

    /// Whether there is a head to edit. Not after one that was refused.
    fn has_head(&self) -> bool {
        self.reading.over && !self.raw.is_empty()
    }

    pub(super) fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// Puts another start line (with its CRLF) in the old one's place; where it stands now.
    /// None before a head has been read.
    pub(super) fn set_start_line(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Option<Range> {
        if !self.has_head() {
            return None;
        }
        let from = self.raw.len() as u32;
        write(&mut self.raw);
        self.start_line = Range { from, to: self.raw.len() as u32 };
        Some(self.start_line)
    }

    /// How many header lines there are.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether there is no header line.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// The value of the first line of that name.
    #[inline]
    pub fn first(&self, name: &str) -> Option<&[u8]> {
        let tag = Tag::of(name.as_bytes());
        if self.present & tag.bit() == 0 {
            return None;
        }
        let line = self.lines.iter().find(|line| line.is(&self.raw, tag, name.as_bytes()))?;
        Some(line.value.of(&self.raw))
    }

    /// The values of all lines of that name, in order.
    #[inline]
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        let tag = Tag::of(name.as_bytes());
        let lines = if self.present & tag.bit() == 0 { &[] } else { self.lines.as_slice() };
        lines
            .iter()
            .filter(move |line| line.is(&self.raw, tag, name.as_bytes()))
            .map(move |line| line.value.of(&self.raw))
    }

    /// Names and values of all lines, in order, names as they were written.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.lines.iter().map(|line| (line.name(&self.raw), line.value.of(&self.raw)))
    }

    /// Drops all lines of that name; how many there were.
    pub fn remove(&mut self, name: &str) -> usize {
        let Fields { raw, lines, present, .. } = self;
        let tag = Tag::of(name.as_bytes());
        if *present & tag.bit() == 0 {
            return 0;
        }
        let before = lines.len();
        lines.retain(|line| !line.is(raw, tag, name.as_bytes()));
        before - lines.len()
    }

    /// Adds a line at the end. False, and nothing is changed, where `name` is no token or `value` no field value.
    pub fn push(&mut self, name: &str, value: &[u8]) -> bool {
        self.push_with(name, |out| out.extend_from_slice(value))
    }

    /// Like [`push`](Self::push), with the value written straight into the head.
    pub fn push_with(&mut self, name: &str, value: impl FnOnce(&mut Vec<u8>)) -> bool {
        let Some(line) = self.append(name.as_bytes(), value) else { return false };
        self.lines.push(line);
        true
    }

    /// Gives the first line of that name another value and drops the others of that name; adds it at the end where
    /// there is none. False, and nothing is changed, where `name` is no token or `value` no field value.
    pub fn replace(&mut self, name: &str, value: &[u8]) -> bool {
        self.replace_with(name, |out| out.extend_from_slice(value))
    }

    /// Like [`replace`](Self::replace), with the value written straight into the head.
    pub fn replace_with(&mut self, name: &str, value: impl FnOnce(&mut Vec<u8>)) -> bool {
        let before = self.present;
        let Some(line) = self.append(name.as_bytes(), value) else { return false };
        let Fields { raw, lines, .. } = self;
        let mut placed = false;
        if before & line.tag.bit() == 0 {
            lines.push(line);
            return true;
        }
        lines.retain_mut(|old| {
            if !old.is(raw, line.tag, name.as_bytes()) {
                return true;
            }
            if placed {
                return false;
            }
            *old = line;
            placed = true;
            true
        });
        if !placed {
            lines.push(line);
        }
        true
    }

    /// Writes a line behind everything else; it still has to be put into the list.
    fn append(&mut self, name: &[u8], value: impl FnOnce(&mut Vec<u8>)) -> Option<Line> {
        let mut written = mem::take(&mut self.scratch);
        written.clear();
        value(&mut written);
        let line = self.append_line(name, trim(&written));
        self.scratch = written;
        line
    }

    fn append_line(&mut self, name: &[u8], value: &[u8]) -> Option<Line> {
        if !self.has_head() {
            return None;
        }
        let from = self.raw.len();
        // Positions are kept in 32 bits.
        let fits = name.len().saturating_add(value.len()).saturating_add(from) < u32::MAX as usize / 2;
        if !fits || !is_token(name) || !is_field_value(value) {
            return None;
        }
        self.raw.extend_from_slice(name);
        self.raw.extend_from_slice(b": ");
        let value_from = self.raw.len() as u32;
        self.raw.extend_from_slice(value);
        self.raw.extend_from_slice(b"\r\n");
        let tag = Tag::of(name);
        self.present |= tag.bit();
        Some(Line {
            tag,
            from: from as u32,
            name_to: (from + name.len()) as u32,
            value: Range { from: value_from, to: value_from + value.len() as u32 },
            to: self.raw.len() as u32,
        })
    }

    /// Writes the head with its empty line: untouched lines byte for byte as they came.
    pub fn write(&self, out: &mut BytesMut) {
        // Every range is written once, and the empty line's two bytes are in `raw` too.
        out.reserve(self.raw.len() + 2);
        let mut run = self.start_line;
        for line in &self.lines {
            if line.from == run.to {
                run.to = line.to;
            } else {
                out.extend_from_slice(run.of(&self.raw));
                run = Range { from: line.from, to: line.to };
            }
        }
        out.extend_from_slice(run.of(&self.raw));
        out.extend_from_slice(b"\r\n");
    }
}

/// `Name: value` into name and everything behind the colon. `line` comes without its CRLF; also for trailers.
#[inline]
pub(super) fn split_line(line: &[u8]) -> Result<(&[u8], &[u8]), HeadError> {
    let (name, rest) = line.split_at(token_len(line));
    let Some((b':', rest)) = rest.split_first() else {
        return Err(HeadError::Bad(match (name, rest) {
            ([], [b' ' | b'\t', ..]) => "folded_line",
            (_, [b' ' | b'\t', ..]) => "space_before_colon",
            (_, []) => "no_colon",
            _ => "bad_field_name",
        }));
    };
    if name.is_empty() {
        return Err(HeadError::Bad("empty_field_name"));
    }
    if !is_field_value(rest) {
        return Err(HeadError::Bad("control_character_in_value"));
    }
    Ok((name, rest))
}
