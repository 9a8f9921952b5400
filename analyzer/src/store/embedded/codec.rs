//! How a span lies in the store (format 1): as small as it can be without a compressor, quick to read back.
//!
//! ```text
//! span  = flags u8, w3c flags u8, [parent 8 B], start u64 LE, end − start zigzag, name, attributes,
//!         [tracestate], [events], [links], [status text]          flags: 1 parent, 2 tracestate, 4 events, 8 links,
//! text  = length varint, UTF-8                                           16 status ok, 32 status error
//! key   = number of a well-known word + 1, or 0 and a text
//! value = tag u8 and what the tag says
//! ```
//! Trace id, span id and kind are in the key, the process in an entry that its spans share ([`super::origins`]).

use std::borrow::Cow;

use raceway_analyzer_client::{Event, Kind, Link, Span, Status, Value};
use raceway_trace::{SpanId, TraceId};

use super::words;

/// What lies in the store is not what this format says: a damaged disk, or a bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Corrupt;

type Pairs<'a> = [(Cow<'a, str>, Value<'a>)];

/// Lists within lists are kept this deep; what lies deeper becomes [`Value::Empty`]. Ingest refuses them long before.
const DEPTH_MAX: u8 = 32;

const PARENT: u8 = 1;
const TRACE_STATE: u8 = 2;
const EVENTS: u8 = 4;
const LINKS: u8 = 8;
const OK: u8 = 16;
const ERROR: u8 = 32;

/// Appends everything of a span that is not in its key.
pub(super) fn write_span(out: &mut Vec<u8>, span: &Span<'_>) {
    let mut flags = 0;
    let mut set = |condition: bool, bit: u8| flags |= if condition { bit } else { 0 };
    set(span.parent_span_id.is_some(), PARENT);
    set(!span.trace_state.is_empty(), TRACE_STATE);
    set(!span.events.is_empty(), EVENTS);
    set(!span.links.is_empty(), LINKS);
    set(span.status == Status::Ok, OK);
    set(span.status.is_error(), ERROR);
    out.extend([flags, span.flags]);
    if let Some(parent) = span.parent_span_id {
        out.extend(parent.to_bytes());
    }
    out.extend(span.start_ns.to_le_bytes());
    write_signed(out, span.end_ns.wrapping_sub(span.start_ns).cast_signed());
    write_text(out, &span.name);
    write_pairs(out, &span.attributes, 0);
    if flags & TRACE_STATE != 0 {
        write_text(out, &span.trace_state);
    }
    if flags & EVENTS != 0 {
        write_number(out, span.events.len() as u64);
        for event in &span.events {
            write_signed(out, event.time_ns.wrapping_sub(span.start_ns).cast_signed());
            write_text(out, &event.name);
            write_pairs(out, &event.attributes, 0);
        }
    }
    if flags & LINKS != 0 {
        write_number(out, span.links.len() as u64);
        for link in &span.links {
            out.extend(link.trace_id.to_bytes());
            out.extend(link.span_id.to_bytes());
            write_pairs(out, &link.attributes, 0);
        }
    }
    if let Status::Error(text) = &span.status {
        write_text(out, text);
    }
}

/// Reads back what [`write_span`] wrote.
pub(super) fn read_span(
    bytes: &mut &[u8],
    trace_id: TraceId,
    span_id: SpanId,
    kind: Kind,
) -> Result<Span<'static>, Corrupt> {
    let [flags, w3c_flags] = take(bytes)?;
    let parent_span_id =
        if flags & PARENT != 0 { Some(SpanId::from_bytes(take(bytes)?).ok_or(Corrupt)?) } else { None };
    let start_ns = u64::from_le_bytes(take(bytes)?);
    let end_ns = start_ns.wrapping_add(read_signed(bytes)?.cast_unsigned());
    let name = read_text(bytes)?.to_owned().into();
    let attributes = read_pairs(bytes, 0)?;
    let trace_state = if flags & TRACE_STATE != 0 { read_text(bytes)?.to_owned().into() } else { Cow::Borrowed("") };
    let mut events = Vec::new();
    if flags & EVENTS != 0 {
        for _ in 0..read_number(bytes)? {
            events.push(Event {
                time_ns: start_ns.wrapping_add(read_signed(bytes)?.cast_unsigned()),
                name: read_text(bytes)?.to_owned().into(),
                attributes: read_pairs(bytes, 0)?,
            });
        }
    }
    let mut links = Vec::new();
    if flags & LINKS != 0 {
        for _ in 0..read_number(bytes)? {
            links.push(Link {
                trace_id: TraceId::from_bytes(take(bytes)?).ok_or(Corrupt)?,
                span_id: SpanId::from_bytes(take(bytes)?).ok_or(Corrupt)?,
                attributes: read_pairs(bytes, 0)?,
            });
        }
    }
    let status = match flags & (OK | ERROR) {
        0 => Status::Unset,
        OK => Status::Ok,
        _ => Status::Error(read_text(bytes)?.to_owned().into()),
    };
    Ok(Span {
        trace_id,
        span_id,
        parent_span_id,
        trace_state,
        flags: w3c_flags,
        kind,
        name,
        start_ns,
        end_ns,
        attributes,
        events,
        links,
        status,
    })
}

/// Appends a list of attributes.
pub(super) fn write_pairs(out: &mut Vec<u8>, pairs: &Pairs<'_>, depth: u8) {
    write_number(out, pairs.len() as u64);
    for (name, value) in pairs {
        match words::number(name) {
            Some(number) => write_number(out, number + 1),
            None => {
                out.push(0);
                write_text(out, name);
            }
        }
        write_value(out, value, depth);
    }
}

/// Reads back what [`write_pairs`] wrote.
pub(super) fn read_pairs(bytes: &mut &[u8], depth: u8) -> Result<Vec<(Cow<'static, str>, Value<'static>)>, Corrupt> {
    let count = read_count(bytes)?;
    let mut pairs = Vec::with_capacity(count);
    for _ in 0..count {
        let name = match read_number(bytes)? {
            0 => Cow::Owned(read_text(bytes)?.to_owned()),
            number => Cow::Borrowed(words::word(number - 1).ok_or(Corrupt)?),
        };
        pairs.push((name, read_value(bytes, depth)?));
    }
    Ok(pairs)
}

fn write_value(out: &mut Vec<u8>, value: &Value<'_>, depth: u8) {
    match value {
        Value::Array(_) | Value::Map(_) if depth >= DEPTH_MAX => out.push(0),
        Value::Empty => out.push(0),
        Value::Str(text) => {
            out.push(1);
            write_text(out, text);
        }
        Value::Bool(false) => out.push(2),
        Value::Bool(true) => out.push(3),
        Value::Int(number) => {
            out.push(4);
            write_signed(out, *number);
        }
        Value::Double(number) => {
            out.push(5);
            out.extend(number.to_le_bytes());
        }
        Value::Array(values) => {
            out.push(6);
            write_number(out, values.len() as u64);
            for value in values {
                write_value(out, value, depth + 1);
            }
        }
        Value::Map(pairs) => {
            out.push(7);
            write_pairs(out, pairs, depth + 1);
        }
        Value::Bytes(bytes) => {
            out.push(8);
            write_number(out, bytes.len() as u64);
            out.extend_from_slice(bytes);
        }
    }
}

fn read_value(bytes: &mut &[u8], depth: u8) -> Result<Value<'static>, Corrupt> {
    let [tag] = take(bytes)?;
    Ok(match tag {
        0 => Value::Empty,
        1 => Value::Str(read_text(bytes)?.to_owned().into()),
        2 => Value::Bool(false),
        3 => Value::Bool(true),
        4 => Value::Int(read_signed(bytes)?),
        5 => Value::Double(f64::from_le_bytes(take(bytes)?)),
        6 | 7 if depth >= DEPTH_MAX => return Err(Corrupt),
        6 => {
            let count = read_count(bytes)?;
            let mut values = Vec::with_capacity(count);
            for _ in 0..count {
                values.push(read_value(bytes, depth + 1)?);
            }
            Value::Array(values)
        }
        7 => Value::Map(read_pairs(bytes, depth + 1)?),
        8 => Value::Bytes(Cow::Owned(read_bytes(bytes)?.to_owned())),
        _ => return Err(Corrupt),
    })
}

/// Appends a length and a text.
pub(super) fn write_text(out: &mut Vec<u8>, text: &str) {
    write_number(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

/// Reads back what [`write_text`] wrote.
pub(super) fn read_text<'b>(bytes: &mut &'b [u8]) -> Result<&'b str, Corrupt> {
    std::str::from_utf8(read_bytes(bytes)?).map_err(|_| Corrupt)
}

fn read_bytes<'b>(bytes: &mut &'b [u8]) -> Result<&'b [u8], Corrupt> {
    let length = read_count(bytes)?;
    let (taken, rest) = bytes.split_at_checked(length).ok_or(Corrupt)?;
    *bytes = rest;
    Ok(taken)
}

/// Appends a number in as many bytes as it needs, 7 bits each.
pub(super) fn write_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Reads back what [`write_number`] wrote.
pub(super) fn read_number(bytes: &mut &[u8]) -> Result<u64, Corrupt> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let [byte] = take(bytes)?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(number);
        }
    }
    Err(Corrupt)
}

/// A number of things of at least one byte each: more than there are bytes is a lie, and must not be allocated for.
pub(super) fn read_count(bytes: &mut &[u8]) -> Result<usize, Corrupt> {
    let count = usize::try_from(read_number(bytes)?).map_err(|_| Corrupt)?;
    if count <= bytes.len() { Ok(count) } else { Err(Corrupt) }
}

fn write_signed(out: &mut Vec<u8>, number: i64) {
    write_number(out, (number.cast_unsigned() << 1) ^ (number >> 63).cast_unsigned());
}

fn read_signed(bytes: &mut &[u8]) -> Result<i64, Corrupt> {
    let number = read_number(bytes)?;
    Ok((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
}

/// The next `N` bytes.
pub(super) fn take<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], Corrupt> {
    let (taken, rest) = bytes.split_first_chunk().ok_or(Corrupt)?;
    *bytes = rest;
    Ok(*taken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_value() -> impl Strategy<Value = Value<'static>> {
        let leaf = prop_oneof![
            Just(Value::Empty),
            ".*".prop_map(|text| Value::Str(text.into())),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::Int),
            (-1e300..1e300).prop_map(Value::Double),
            proptest::collection::vec(any::<u8>(), 0..9).prop_map(|bytes| Value::Bytes(bytes.into())),
        ];
        leaf.prop_recursive(3, 16, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
                proptest::collection::vec((any_name(), inner), 0..4).prop_map(Value::Map),
            ]
        })
    }

    fn any_name() -> impl Strategy<Value = Cow<'static, str>> {
        prop_oneof!["[a-z.]{0,9}".prop_map(Cow::Owned), Just(Cow::Borrowed("http.route"))]
    }

    fn any_pairs() -> impl Strategy<Value = Vec<(Cow<'static, str>, Value<'static>)>> {
        proptest::collection::vec((any_name(), any_value()), 0..5)
    }

    prop_compose! {
        fn any_span()(
            ids in (1u128.., 1u64.., proptest::option::of(1u64..)),
            (flags, kind, start_ns, end_ns) in (any::<u8>(), 0..6i32, any::<u64>(), any::<u64>()),
            (name, trace_state) in (".*", "[a-z=,]{0,9}"),
            attributes in any_pairs(),
            events in proptest::collection::vec((any::<u64>(), ".*", any_pairs()), 0..3),
            links in proptest::collection::vec((1u128.., 1u64.., any_pairs()), 0..3),
            status in prop_oneof![Just(Status::Unset), Just(Status::Ok), ".*".prop_map(|text| Status::Error(text.into()))],
        ) -> Span<'static> {
            Span {
                trace_id: TraceId::new(ids.0).unwrap(),
                span_id: SpanId::new(ids.1).unwrap(),
                parent_span_id: ids.2.and_then(SpanId::new),
                trace_state: trace_state.into(),
                flags,
                kind: Kind::from_number(kind),
                name: name.into(),
                start_ns,
                end_ns,
                attributes,
                events: events.into_iter().map(|(time_ns, name, attributes)| Event { time_ns, name: name.into(), attributes }).collect(),
                links: links.into_iter().map(|(trace, span, attributes)| Link {
                    trace_id: TraceId::new(trace).unwrap(),
                    span_id: SpanId::new(span).unwrap(),
                    attributes,
                }).collect(),
                status,
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_written_can_be_read(span in any_span()) {
            let mut bytes = Vec::new();
            write_span(&mut bytes, &span);
            let mut rest = bytes.as_slice();
            prop_assert_eq!(read_span(&mut rest, span.trace_id, span.span_id, span.kind), Ok(span));
            prop_assert_eq!(rest, b"");
        }

        #[test]
        fn damage_is_noticed_or_harmless(span in any_span(), at in any::<proptest::sample::Index>(), byte in any::<u8>()) {
            let mut bytes = Vec::new();
            write_span(&mut bytes, &span);
            let at = at.index(bytes.len());
            bytes[at] = byte;
            let _ = read_span(&mut bytes.as_slice(), span.trace_id, span.span_id, span.kind);
            let _ = read_span(&mut &bytes[..at], span.trace_id, span.span_id, span.kind);
        }

        #[test]
        fn any_bytes_do_not_panic(bytes: Vec<u8>) {
            let ids = (TraceId::new(1).unwrap(), SpanId::new(1).unwrap());
            let _ = read_span(&mut bytes.as_slice(), ids.0, ids.1, Kind::Server);
        }
    }

    #[test]
    fn lists_within_lists_end_somewhere() {
        let mut value = Value::Int(1);
        for _ in 0..100_000 {
            value = Value::Array(vec![value]);
        }
        let mut out = Vec::new();
        write_value(&mut out, &value, 0);
        assert!(read_value(&mut out.as_slice(), 0).is_ok());
        std::mem::forget(value); // dropping it would recurse, which is not what is tested here
    }
}
