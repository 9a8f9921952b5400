//! The keys of format 1. Numbers are big-endian, so that keys sort as the numbers do.
//!
//! | keyspace | key | value |
//! |---|---|---|
//! | `spans-<partition>` | `00` number u32 | an origin ([`super::origins`]) |
//! | | `01` trace id, span id, kind u8, hash of (service, instance) u64, variant u8 | origin's number, span ([`super::codec`]) |
//! | `traces-<partition>` | first start u64, trace id | a row ([`super::row`]) |
//! | `index` | trace id | partition u32, first start u64 |
//! | `edges` | an edge counter's key | its values ([`super::edges`]) |
//! | `partitions` | number u32 | what is in it ([`super::partition`]) |

use raceway_analyzer_client::{Kind, Reported};
use raceway_trace::{SpanId, TraceId};
use xxhash_rust::xxh3::Xxh3Default;

use super::codec::{Corrupt, take};

pub(super) const ORIGIN: u8 = 0;
const SPAN: u8 = 1;

/// A span's key but for the variant, which tells apart spans of one key with different content.
pub(super) type SpanKey = [u8; 34];

/// The key of an origin.
pub(super) fn origin(number: u32) -> [u8; 5] {
    concat(&[&[ORIGIN], &number.to_be_bytes()])
}

/// The number in an origin's key.
pub(super) fn origin_number(key: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(key.strip_prefix(&[ORIGIN])?.try_into().ok()?))
}

/// What makes a span the same span: trace id, span id, kind, service and instance.
pub(super) fn span(reported: &Reported) -> SpanKey {
    let span = &reported.span;
    let mut who = Xxh3Default::new();
    for part in [reported.resource.service_name(), reported.resource.service_instance()] {
        let part = part.unwrap_or_default();
        who.update(&(part.len() as u64).to_le_bytes());
        who.update(part.as_bytes());
    }
    concat(&[
        &[SPAN],
        &span.trace_id.to_bytes(),
        &span.span_id.to_bytes(),
        &[span.kind as u8],
        &who.digest().to_be_bytes(),
    ])
}

/// The whole key of a span.
pub(super) fn variant(key: &SpanKey, variant: u8) -> [u8; 35] {
    concat(&[key, &[variant]])
}

/// What all spans' keys begin with.
pub(super) fn spans() -> [u8; 1] {
    [SPAN]
}

/// What the keys of a trace's spans begin with.
pub(super) fn spans_of(trace: TraceId) -> [u8; 17] {
    concat(&[&[SPAN], &trace.to_bytes()])
}

/// What a span's whole key says.
pub(super) struct SpanKeyParts {
    pub(super) trace_id: TraceId,
    pub(super) span_id: SpanId,
    pub(super) kind: Kind,
    pub(super) variant: u8,
}

/// Takes a span's whole key apart.
pub(super) fn read_span(mut key: &[u8]) -> Result<SpanKeyParts, Corrupt> {
    let key = &mut key;
    let [SPAN] = take(key)? else { return Err(Corrupt) };
    let trace_id = TraceId::from_bytes(take(key)?).ok_or(Corrupt)?;
    let span_id = SpanId::from_bytes(take(key)?).ok_or(Corrupt)?;
    let [kind] = take(key)?;
    let _who: [u8; 8] = take(key)?;
    let [variant] = take(key)?;
    Ok(SpanKeyParts { trace_id, span_id, kind: Kind::from_number(i32::from(kind)), variant })
}

/// The key of a row.
pub(super) fn row(first_ns: u64, trace: TraceId) -> [u8; 24] {
    concat(&[&first_ns.to_be_bytes(), &trace.to_bytes()])
}

/// Takes a row's key apart.
pub(super) fn read_row(mut key: &[u8]) -> Result<(u64, TraceId), Corrupt> {
    Ok((u64::from_be_bytes(take(&mut key)?), TraceId::from_bytes(take(&mut key)?).ok_or(Corrupt)?))
}

/// An entry of the index: where a trace is.
pub(super) fn place(partition: u32, first_ns: u64) -> [u8; 12] {
    concat(&[&partition.to_be_bytes(), &first_ns.to_be_bytes()])
}

/// Takes an entry of the index apart.
pub(super) fn read_place(mut value: &[u8]) -> Result<(u32, u64), Corrupt> {
    Ok((u32::from_be_bytes(take(&mut value)?), u64::from_be_bytes(take(&mut value)?)))
}

fn concat<const N: usize>(parts: &[&[u8]]) -> [u8; N] {
    let mut key = [0; N];
    key.iter_mut().zip(parts.iter().copied().flatten()).for_each(|(to, from)| *to = *from);
    key
}
