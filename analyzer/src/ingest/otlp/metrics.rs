//! `ExportMetricsServiceRequest`: the edge counters of sidecars are taken, everything else is counted and left.

use raceway_analyzer_client::Resource;

use super::spans::{attribute, resource};
use super::{Budget, Pairs};
use crate::ingest::edge_counters::{BUCKETS_MAX, Collector, Measure, Point};
use crate::ingest::protobuf::{Content, Fields, Malformed, fixed64s, messages};

/// Reads a request in protobuf.
pub(in crate::ingest) fn decode(request: &[u8]) -> Result<Collector, Malformed> {
    let mut collector = Collector::default();
    for resource_metrics in messages(request, 1) {
        let resource_metrics = resource_metrics?;
        let resource = resource(resource_metrics, &mut 0)?;
        for scope_metrics in messages(resource_metrics, 2) {
            for encoded in messages(scope_metrics?, 2) {
                metric(encoded?, &resource, &mut collector)?;
            }
        }
    }
    Ok(collector)
}

fn metric(message: &[u8], resource: &Resource, collector: &mut Collector) -> Result<(), Malformed> {
    let (mut name, mut data) = (&[][..], None);
    for field in Fields(message) {
        match field? {
            (1, Content::Bytes(text)) => name = text,
            (7, Content::Bytes(sum)) => data = Some((7, sum)),
            (9, Content::Bytes(histogram)) => data = Some((9, histogram)),
            _ => {}
        }
    }
    let measure = std::str::from_utf8(name).ok().and_then(Measure::from_name);
    let (Some(measure), Some((field, data))) = (measure, data) else {
        collector.ignored += 1;
        return Ok(());
    };
    // Both sums and histograms have their points in field 1 and their temporality in field 2; 2 is cumulative.
    let cumulative = Fields(data).any(|field| field == Ok((2, Content::Varint(2))));
    if !cumulative || (field == 9) != (measure == Measure::Duration) {
        collector.ignored += 1;
        return Ok(());
    }
    for encoded in messages(data, 1) {
        let (point, attributes) = if field == 9 { histogram_point(encoded?)? } else { number_point(encoded?)? };
        collector.add(measure, resource, &attributes, point);
    }
    Ok(())
}

fn number_point(message: &[u8]) -> Result<(Point, Pairs), Malformed> {
    let (mut point, mut attributes) = (Point::default(), Vec::new());
    let mut budget = Budget::new();
    for field in Fields(message) {
        match field? {
            (2, Content::Fixed64(time)) => point.start_ns = time,
            (3, Content::Fixed64(time)) => point.time_ns = time,
            // A count that came as a fraction is a count all the same.
            (4, Content::Fixed64(bits)) => point.count = f64::from_bits(bits) as u64,
            (6, Content::Fixed64(number)) => point.count = u64::try_from(number.cast_signed()).unwrap_or(0),
            (7, Content::Bytes(encoded)) => attribute(encoded, &mut attributes, &mut budget)?,
            _ => {}
        }
    }
    Ok((point, attributes))
}

fn histogram_point(message: &[u8]) -> Result<(Point, Pairs), Malformed> {
    let (mut point, mut attributes, mut bounds) = (Point::default(), Vec::new(), Vec::new());
    let mut budget = Budget::new();
    for field in Fields(message) {
        match field? {
            (2, Content::Fixed64(time)) => point.start_ns = time,
            (3, Content::Fixed64(time)) => point.time_ns = time,
            (4, Content::Fixed64(count)) => point.count = count,
            (5, Content::Fixed64(bits)) => point.sum_s = f64::from_bits(bits),
            (6, counts) => fixed64s(counts, &mut point.buckets, BUCKETS_MAX),
            (7, numbers) => fixed64s(numbers, &mut bounds, BUCKETS_MAX),
            (9, Content::Bytes(encoded)) => attribute(encoded, &mut attributes, &mut budget)?,
            _ => {}
        }
    }
    point.bounds_s = bounds.into_iter().map(f64::from_bits).collect();
    Ok((point, attributes))
}
