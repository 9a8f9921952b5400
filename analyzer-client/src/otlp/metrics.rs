//! Edge counters as OTLP metrics.

use super::span::attribute;
use super::wire::{bytes, fixed64, length_delimited, message, number, string, varint};
use crate::edge::{DURATION_BOUNDS, EdgeSnapshot};
use crate::span::Value;

/// `AGGREGATION_TEMPORALITY_CUMULATIVE`.
const CUMULATIVE: u64 = 2;

/// Writes the three metrics as fields 2 of `ScopeMetrics`, tags included.
pub(crate) fn write(out: &mut Vec<u8>, edges: &[EdgeSnapshot], started_ns: u64, now_ns: u64) {
    let times = |out: &mut Vec<u8>| {
        fixed64(out, 2, started_ns);
        fixed64(out, 3, now_ns);
    };
    let sum = |out: &mut Vec<u8>, name, about, unit, value: fn(&EdgeSnapshot) -> u64| {
        metric(out, name, about, unit, |out| {
            message(out, 7, 2, |out| {
                for edge in edges {
                    message(out, 1, 1, |out| {
                        times(out);
                        fixed64(out, 6, value(edge));
                        callee(out, 7, edge);
                    });
                }
                number(out, 2, CUMULATIVE);
                number(out, 3, 1);
            });
        });
    };
    sum(out, "raceway.edge.calls", "Calls that ended, sampled or not", "{call}", |edge| edge.calls);
    sum(out, "raceway.edge.errors", "Calls that failed, sampled or not", "{call}", |edge| edge.errors);
    metric(out, "raceway.edge.duration", "How long calls took", "s", |out| {
        message(out, 9, 2, |out| {
            for edge in edges {
                message(out, 1, 2, |out| {
                    times(out);
                    fixed64(out, 4, edge.calls);
                    fixed64(out, 5, edge.duration_sum.as_secs_f64().to_bits());
                    packed(out, 6, edge.duration_buckets);
                    packed(out, 7, DURATION_BOUNDS.map(f64::to_bits));
                    callee(out, 9, edge);
                });
            }
            number(out, 2, CUMULATIVE);
        });
    });
}

fn metric(out: &mut Vec<u8>, name: &str, about: &str, unit: &str, data: impl FnOnce(&mut Vec<u8>)) {
    message(out, 2, 2, |out| {
        bytes(out, 1, name.as_bytes());
        string(out, 2, about);
        string(out, 3, unit);
        data(out);
    });
}

/// Who is called; where the table of callees was full, what OpenTelemetry's SDKs write in that case.
fn callee(out: &mut Vec<u8>, field: u8, edge: &EdgeSnapshot) {
    match &edge.to {
        Some(to) => attribute(out, field, "raceway.edge.to", &Value::from(&**to)),
        None => attribute(out, field, "otel.metric.overflow", &Value::Bool(true)),
    }
}

/// A repeated field of eight-byte numbers.
fn packed<const N: usize>(out: &mut Vec<u8>, field: u8, values: [u64; N]) {
    length_delimited(out, field);
    varint(out, 8 * N as u64);
    for value in values {
        out.extend_from_slice(&value.to_le_bytes());
    }
}
