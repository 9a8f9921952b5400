//! Spans as OTLP bytes.

use super::wire::{bytes, fixed32_16, fixed64, length_delimited, message, number, string, varint};
use crate::span::{Event, Link, Span, Status, Value};

/// Lists in lists end here: what lies deeper is written as nothing, well before decoders' own bounds (100 in prost's).
const DEPTH_MAX: usize = 16;

/// Writes a span as field 2 of `ScopeSpans`, tag included.
///
/// Lengths left room for: a span is nearly always 128 to 16,383 bytes, an attribute below 128.
pub(crate) fn write(out: &mut Vec<u8>, span: &Span<'_>) {
    message(out, 2, 2, |out| {
        bytes(out, 1, &span.trace_id.to_bytes());
        bytes(out, 2, &span.span_id.to_bytes());
        string(out, 3, &span.trace_state);
        if let Some(parent) = span.parent_span_id {
            bytes(out, 4, &parent.to_bytes());
        }
        string(out, 5, &span.name);
        number(out, 6, span.kind.number() as u64);
        fixed64(out, 7, span.start_ns);
        fixed64(out, 8, span.end_ns);
        for (name, value) in &span.attributes {
            attribute(out, 9, name, value);
        }
        for event in &span.events {
            write_event(out, event);
        }
        for link in &span.links {
            write_link(out, link);
        }
        write_status(out, &span.status);
        if span.flags != 0 {
            fixed32_16(out, u32::from(span.flags));
        }
    });
}

/// Writes a `KeyValue`.
#[inline]
pub(crate) fn attribute(out: &mut Vec<u8>, field: u8, name: &str, value: &Value<'_>) {
    key_value(out, field, name, value, 0);
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
