//! Spans as OTLP bytes.

use raceway_trace::{SpanId, TraceId};

use super::wire::{bytes, fixed32_16, fixed64, length_delimited, message, number, string, varint, varint_len};
use crate::span::{Event, Kind, Link, Span, Status, Value};

/// Lists in lists end here: what lies deeper is written as nothing, well before decoders' own bounds (100 in prost's).
const DEPTH_MAX: usize = 16;

/// Writes a span as field 2 of `ScopeSpans`, tag included.
///
/// Lengths left room for: a span is nearly always 128 to 16,383 bytes, an attribute below 128.
pub(crate) fn write(out: &mut Vec<u8>, span: &Span<'_>) {
    write_with(out, |writer| writer.whole(span));
}

/// Like [`write`], of what `fields` writes; says whether the span failed.
pub(crate) fn write_with(out: &mut Vec<u8>, fields: impl FnOnce(&mut SpanWriter<'_>)) -> bool {
    let mut failed = false;
    message(out, 2, 2, |out| {
        let mut writer = SpanWriter { out, failed: false };
        fields(&mut writer);
        failed = writer.failed;
    });
    failed
}

/// Writes a span into the exporter's queue field by field, without a [`Span`] in between: half the work for whoever
/// records each request. Fields may come in any order; what is not written has OTLP's default.
#[derive(Debug)]
pub struct SpanWriter<'o> {
    out: &'o mut Vec<u8>,
    failed: bool,
}

impl SpanWriter<'_> {
    /// Which span this is, of what kind, and from when to when it lasted, ns since the Unix epoch.
    pub fn begin(&mut self, trace_id: TraceId, span_id: SpanId, kind: Kind, (start_ns, end_ns): (u64, u64)) {
        bytes(self.out, 1, &trace_id.to_bytes());
        bytes(self.out, 2, &span_id.to_bytes());
        number(self.out, 6, kind.number() as u64);
        fixed64(self.out, 7, start_ns);
        fixed64(self.out, 8, end_ns);
    }

    /// The span that caused it.
    pub fn parent(&mut self, parent: SpanId) {
        bytes(self.out, 4, &parent.to_bytes());
    }

    /// W3C `tracestate`.
    pub fn trace_state(&mut self, state: &str) {
        string(self.out, 3, state);
    }

    /// W3C trace flags (bit 0 sampled, bit 1 random).
    pub fn flags(&mut self, flags: u8) {
        if flags != 0 {
            fixed32_16(self.out, u32::from(flags));
        }
    }

    /// Its name, in pieces.
    pub fn name(&mut self, pieces: &[&str]) {
        let len = pieces.iter().map(|piece| piece.len() as u64).sum();
        if len == 0 {
            return;
        }
        length_delimited(self.out, 5);
        varint(self.out, len);
        pieces.iter().for_each(|piece| self.out.extend_from_slice(piece.as_bytes()));
    }

    /// Adds an attribute.
    #[inline]
    pub fn set<'v>(&mut self, name: &str, value: impl Into<Value<'v>>) {
        attribute(self.out, 9, name, &value.into());
    }

    /// Adds a link to another span.
    pub fn link(&mut self, link: &Link<'_>) {
        write_link(self.out, link);
    }

    /// How it ended, unless nothing wrong was noticed.
    pub fn status(&mut self, status: &Status<'_>) {
        self.failed = status.is_error();
        write_status(self.out, status);
    }

    fn whole(&mut self, span: &Span<'_>) {
        self.begin(span.trace_id, span.span_id, span.kind, (span.start_ns, span.end_ns));
        if let Some(parent) = span.parent_span_id {
            self.parent(parent);
        }
        self.trace_state(&span.trace_state);
        self.flags(span.flags);
        self.name(&[&span.name]);
        span.attributes.iter().for_each(|(name, value)| attribute(self.out, 9, name, value));
        span.events.iter().for_each(|event| write_event(self.out, event));
        span.links.iter().for_each(|link| self.link(link));
        self.status(&span.status);
    }
}

/// Writes a `KeyValue`. For the usual ones, short names and texts and numbers, all lengths are known beforehand.
#[inline]
pub(crate) fn attribute(out: &mut Vec<u8>, field: u8, name: &str, value: &Value<'_>) {
    let tag = field << 3 | 2;
    if name.is_empty() {
        return key_value(out, field, name, value, 0);
    }
    match value {
        Value::Str(text) if name.len() + text.len() + 6 < 0x80 => {
            let (name_len, len) = (name.len() as u8, text.len() as u8);
            out.extend_from_slice(&[tag, name_len + len + 6, 1 << 3 | 2, name_len]);
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(&[2 << 3 | 2, len + 2, 1 << 3 | 2, len]);
            out.extend_from_slice(text.as_bytes());
        }
        Value::Int(value) if name.len() < 0x60 => {
            let (name_len, len) = (name.len() as u8, varint_len(*value as u64) as u8);
            out.extend_from_slice(&[tag, name_len + len + 5, 1 << 3 | 2, name_len]);
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(&[2 << 3 | 2, len + 1, 3 << 3]);
            varint(out, *value as u64);
        }
        _ => key_value(out, field, name, value, 0),
    }
}

#[inline]
fn key_value(out: &mut Vec<u8>, field: u8, name: &str, value: &Value<'_>, depth: usize) {
    message(out, field, 1, |out| {
        string(out, 1, name);
        any_value(out, 2, value, depth);
    });
}

/// Writes an `AnyValue`. The usual ones know their length beforehand.
#[inline]
fn any_value(out: &mut Vec<u8>, field: u8, value: &Value<'_>, depth: usize) {
    match value {
        Value::Str(text) if text.len() < 126 => {
            length_delimited(out, field);
            varint(out, text.len() as u64 + 2);
            bytes(out, 1, text.as_bytes());
        }
        Value::Bool(truth) => out.extend_from_slice(&[field << 3 | 2, 2, 2 << 3, u8::from(*truth)]),
        other => message(out, field, 1, |out| long_value(out, other, depth)),
    }
}

fn long_value(out: &mut Vec<u8>, value: &Value<'_>, depth: usize) {
    match value {
        Value::Empty => {}
        Value::Str(text) => bytes(out, 1, text.as_bytes()),
        Value::Bool(truth) => number(out, 2, u64::from(*truth)),
        Value::Int(value) => number(out, 3, *value as u64),
        Value::Double(value) => fixed64(out, 4, value.to_bits()),
        Value::Bytes(content) => bytes(out, 7, content),
        Value::Array(_) | Value::Map(_) if depth >= DEPTH_MAX => {}
        Value::Array(values) => message(out, 5, 1, |out| {
            for value in values {
                any_value(out, 1, value, depth + 1);
            }
        }),
        Value::Map(pairs) => message(out, 6, 1, |out| {
            for (name, value) in pairs {
                key_value(out, 1, name, value, depth + 1);
            }
        }),
    }
}

fn write_event(out: &mut Vec<u8>, event: &Event<'_>) {
    message(out, 11, 1, |out| {
        fixed64(out, 1, event.time_ns);
        string(out, 2, &event.name);
        for (name, value) in &event.attributes {
            attribute(out, 3, name, value);
        }
    });
}

fn write_link(out: &mut Vec<u8>, link: &Link<'_>) {
    message(out, 13, 1, |out| {
        bytes(out, 1, &link.trace_id.to_bytes());
        bytes(out, 2, &link.span_id.to_bytes());
        for (name, value) in &link.attributes {
            attribute(out, 4, name, value);
        }
    });
}

fn write_status(out: &mut Vec<u8>, status: &Status<'_>) {
    let text = match status {
        Status::Unset => return,
        Status::Ok => "",
        Status::Error(text) => text,
    };
    message(out, 15, 1, |out| {
        string(out, 2, text);
        number(out, 3, status.number() as u64);
    });
}
