//! `ExportTraceServiceRequest` in protobuf, read straight into spans: one pass, no structures in between.
//!
//! Field numbers are those of opentelemetry-proto 1.x.

use std::borrow::Cow;
use std::sync::Arc;

use raceway_analyzer_client::{Event, Link, Reported, Resource, Span, Value};
use raceway_trace::{SpanId, TraceId};

use super::{Budget, Decoded, Draft, Flaw, Pairs, Resources};
use crate::ingest::limits::{NAME_BYTES_MAX, TEXT_BYTES_MAX};
use crate::ingest::protobuf::{Content, Fields, Malformed, messages};

/// Reads a request. An error means that nothing of it can be made out; single bad spans are counted.
pub(in crate::ingest) fn decode(request: &[u8]) -> Result<Decoded, Malformed> {
    let mut decoded = Decoded::default();
    let mut resources = Resources::default();
    for resource_spans in messages(request, 1) {
        let resource_spans = resource_spans?;
        let resource = resources.share(resource(resource_spans, &mut decoded.left_out)?);
        for scope_spans in messages(resource_spans, 2) {
            let scope_spans = scope_spans?;
            let scope: Arc<str> = scope(scope_spans)?.into();
            for encoded in messages(scope_spans, 2) {
                let mut budget = Budget::new();
                match span(encoded?, &mut budget) {
                    Ok(span) => {
                        decoded.left_out += budget.left_out;
                        decoded.spans.push(Reported { resource: resource.clone(), scope: scope.clone(), span });
                    }
                    Err(flaw) => decoded.rejected.add(flaw),
                }
            }
        }
    }
    Ok(decoded)
}

/// The resource of a `ResourceSpans` or `ResourceMetrics`; it may stand anywhere among the fields.
pub(super) fn resource(message: &[u8], left_out: &mut u64) -> Result<Resource, Malformed> {
    let mut resource = Resource::default();
    let mut budget = Budget::new();
    for part in messages(message, 1) {
        for encoded in messages(part?, 1) {
            attribute(encoded?, &mut resource.attributes, &mut budget)?;
        }
    }
    *left_out += budget.left_out;
    Ok(resource)
}

fn scope(scope_spans: &[u8]) -> Result<String, Malformed> {
    let mut name = Cow::Borrowed("");
    for scope in messages(scope_spans, 1) {
        for text in messages(scope?, 1) {
            name = String::from_utf8_lossy(text?);
        }
    }
    Ok(Budget::new().text(name, NAME_BYTES_MAX).into_owned())
}

fn span(message: &[u8], budget: &mut Budget) -> Result<Span<'static>, Flaw> {
    let mut draft = Draft { attributes: Vec::with_capacity(16), ..Draft::default() };
    for field in Fields(message) {
        match field? {
            (1, Content::Bytes(id)) => draft.trace_id = id,
            (2, Content::Bytes(id)) => draft.span_id = id,
            (3, Content::Bytes(text)) => draft.trace_state = String::from_utf8_lossy(text),
            (4, Content::Bytes(id)) => draft.parent_span_id = id,
            (5, Content::Bytes(text)) => draft.name = String::from_utf8_lossy(text),
            (6, Content::Varint(number)) => draft.kind = number as i32,
            (7, Content::Fixed64(time)) => draft.start_ns = time,
            (8, Content::Fixed64(time)) => draft.end_ns = time,
            (9, Content::Bytes(encoded)) => attribute(encoded, &mut draft.attributes, budget)?,
            (11, Content::Bytes(encoded)) if budget.event(&draft.events) => {
                draft.events.push(event(encoded, budget)?);
            }
            (13, Content::Bytes(encoded)) if budget.event(&draft.links) => match link(encoded, budget)? {
                Some(link) => draft.links.push(link),
                None => budget.left_out += 1,
            },
            (15, Content::Bytes(status)) => {
                for field in Fields(status) {
                    match field? {
                        (2, Content::Bytes(text)) => draft.status_text = String::from_utf8_lossy(text),
                        (3, Content::Varint(code)) => draft.status = code as i32,
                        _ => {}
                    }
                }
            }
            (16, Content::Fixed32(flags)) => draft.flags = flags,
            // What the sender itself left out.
            (10 | 12 | 14, Content::Varint(count)) => {
                budget.left_out = budget.left_out.saturating_add(count.min(1 << 32))
            }
            _ => {}
        }
    }
    draft.finish(budget)
}

fn event(message: &[u8], budget: &mut Budget) -> Result<Event<'static>, Malformed> {
    let mut event = Event { time_ns: 0, name: Cow::Borrowed(""), attributes: Vec::new() };
    for field in Fields(message) {
        match field? {
            (1, Content::Fixed64(time)) => event.time_ns = time,
            (2, Content::Bytes(text)) => event.name = budget.text(String::from_utf8_lossy(text), NAME_BYTES_MAX),
            (3, Content::Bytes(encoded)) => attribute(encoded, &mut event.attributes, budget)?,
            _ => {}
        }
    }
    Ok(event)
}

/// A link; none if its ids are no ids, which says nothing about the span itself.
fn link(message: &[u8], budget: &mut Budget) -> Result<Option<Link<'static>>, Malformed> {
    let (mut trace_id, mut span_id, mut attributes) = (None, None, Vec::new());
    for field in Fields(message) {
        match field? {
            (1, Content::Bytes(id)) => trace_id = id.try_into().ok().and_then(TraceId::from_bytes),
            (2, Content::Bytes(id)) => span_id = id.try_into().ok().and_then(SpanId::from_bytes),
            (4, Content::Bytes(encoded)) => attribute(encoded, &mut attributes, budget)?,
            _ => {}
        }
    }
    Ok(trace_id.zip(span_id).map(|(trace_id, span_id)| Link { trace_id, span_id, attributes }))
}

/// Reads a `KeyValue` into a list, if there is room.
pub(super) fn attribute(message: &[u8], into: &mut Pairs, budget: &mut Budget) -> Result<(), Malformed> {
    if budget.attribute(into) {
        into.push(key_value(message, budget, 0)?);
    }
    Ok(())
}

fn key_value(
    message: &[u8],
    budget: &mut Budget,
    depth: usize,
) -> Result<(Cow<'static, str>, Value<'static>), Malformed> {
    let (mut name, mut value) = (Cow::Borrowed(""), Value::Empty);
    for field in Fields(message) {
        match field? {
            (1, Content::Bytes(text)) => name = budget.text(String::from_utf8_lossy(text), NAME_BYTES_MAX),
            (2, Content::Bytes(encoded)) => value = any_value(encoded, budget, depth)?,
            _ => {}
        }
    }
    Ok((name, value))
}

fn any_value(message: &[u8], budget: &mut Budget, depth: usize) -> Result<Value<'static>, Malformed> {
    let mut value = Value::Empty;
    for field in Fields(message) {
        value = match field? {
            (1, Content::Bytes(text)) => Value::Str(budget.text(String::from_utf8_lossy(text), TEXT_BYTES_MAX)),
            (2, Content::Varint(number)) => Value::Bool(number != 0),
            (3, Content::Varint(number)) => Value::Int(number.cast_signed()),
            (4, Content::Fixed64(bits)) => Value::Double(f64::from_bits(bits)),
            (5, Content::Bytes(list)) => {
                let mut values = Vec::new();
                for encoded in messages(list, 1) {
                    let encoded = encoded?;
                    if budget.value(depth) {
                        values.push(any_value(encoded, budget, depth + 1)?);
                    }
                }
                Value::Array(values)
            }
            (6, Content::Bytes(list)) => {
                let mut pairs = Vec::new();
                for encoded in messages(list, 1) {
                    let encoded = encoded?;
                    if budget.value(depth) {
                        pairs.push(key_value(encoded, budget, depth + 1)?);
                    }
                }
                Value::Map(pairs)
            }
            (7, Content::Bytes(bytes)) => Value::Bytes(budget.bytes(bytes)),
            _ => continue,
        };
    }
    Ok(value)
}

impl From<Malformed> for Flaw {
    fn from(Malformed: Malformed) -> Self {
        Self::Malformed
    }
}
