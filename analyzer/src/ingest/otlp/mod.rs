//! OTLP's messages, made into spans and edge counters: from protobuf ([`spans`], [`metrics`]) and from JSON ([`json`]).
//!
//! A bad span never rejects its batch: it is counted, and the first reason is told to the sender.

mod json;
mod metrics;
mod spans;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::sync::Arc;

use raceway_analyzer_client::{Event, Kind, Link, Reported, Resource, Span, Status, Value};
use raceway_trace::{SpanId, TraceId};

use super::edge_counters::Collector;
use super::limits::{self, ATTRIBUTES_MAX, DEPTH_MAX, EVENTS_MAX, NAME_BYTES_MAX, TEXT_BYTES_MAX, VALUES_MAX};
use super::refusal::Refusal;

type Pairs = Vec<(Cow<'static, str>, Value<'static>)>;

/// How many attributes, events and links were left out of a span because it had too many: on the span.
pub const LEFT_OUT: &str = "raceway.left_out";

/// What a request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    Traces,
    Metrics,
}

/// What a request is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Syntax {
    Protobuf,
    Json,
}

/// What a request brought.
#[derive(Debug)]
pub(super) enum Brought {
    Spans(Decoded),
    Points(Collector),
}

/// Reads a request. An error means that nothing of it can be made out.
pub(super) fn decode(signal: Signal, syntax: Syntax, request: &[u8]) -> Result<Brought, Refusal> {
    let malformed = |error: &dyn std::fmt::Display| Refusal::Malformed(error.to_string());
    match (signal, syntax) {
        (Signal::Traces, Syntax::Protobuf) => spans::decode(request).map(Brought::Spans).map_err(|e| malformed(&e)),
        (Signal::Traces, Syntax::Json) => json::decode_spans(request).map(Brought::Spans).map_err(|e| malformed(&e)),
        (Signal::Metrics, Syntax::Protobuf) => metrics::decode(request).map(Brought::Points).map_err(|e| malformed(&e)),
        (Signal::Metrics, Syntax::Json) => {
            json::decode_metrics(request).map(Brought::Points).map_err(|e| malformed(&e))
        }
    }
}

/// The spans of a request.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Decoded {
    pub(super) spans: Vec<Reported>,
    pub(super) rejected: Rejected,
    /// Attributes, events and links beyond the caps, and texts that were cut.
    pub(super) left_out: u64,
}

/// Spans that could not be taken.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Rejected {
    pub(super) count: u64,
    /// Why, of the first of them.
    pub(super) first: Option<String>,
}

impl Rejected {
    /// Counts one.
    pub(super) fn add(&mut self, why: impl ToString) {
        self.count += 1;
        if self.first.is_none() {
            self.first = Some(why.to_string());
        }
    }
}

/// What is wrong with a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Flaw {
    #[error("trace_id must be 16 bytes, not all zero")]
    TraceId,
    #[error("span_id must be 8 bytes, not all zero")]
    SpanId,
    #[error("parent_span_id must be 8 bytes or absent")]
    ParentId,
    #[error("a span needs a start and an end time")]
    Time,
    #[error("the span is not protobuf")]
    Malformed,
}

/// A span as it came, not checked yet.
#[derive(Default)]
struct Draft<'a> {
    trace_id: &'a [u8],
    span_id: &'a [u8],
    parent_span_id: &'a [u8],
    trace_state: Cow<'a, str>,
    name: Cow<'a, str>,
    kind: i32,
    start_ns: u64,
    end_ns: u64,
    flags: u32,
    status: i32,
    status_text: Cow<'a, str>,
    attributes: Pairs,
    events: Vec<Event<'static>>,
    links: Vec<Link<'static>>,
}

impl Draft<'_> {
    fn finish(self, budget: &mut Budget) -> Result<Span<'static>, Flaw> {
        let trace_id = self.trace_id.try_into().ok().and_then(TraceId::from_bytes).ok_or(Flaw::TraceId)?;
        let span_id = self.span_id.try_into().ok().and_then(SpanId::from_bytes).ok_or(Flaw::SpanId)?;
        let parent_span_id = match self.parent_span_id {
            [] => None,
            // All zeros is what some exporters write for a root.
            id => SpanId::from_bytes(id.try_into().map_err(|_| Flaw::ParentId)?),
        };
        if self.start_ns == 0 || self.end_ns == 0 {
            return Err(Flaw::Time);
        }
        let mut attributes = self.attributes;
        if budget.left_out > 0 {
            attributes.push((LEFT_OUT.into(), Value::from(budget.left_out)));
        }
        Ok(Span {
            trace_id,
            span_id,
            parent_span_id,
            trace_state: budget.text(self.trace_state, TEXT_BYTES_MAX),
            // The upper bits say whether the parent is remote, which nobody here asks.
            flags: self.flags as u8,
            kind: Kind::from_number(self.kind),
            name: budget.text(self.name, NAME_BYTES_MAX),
            start_ns: self.start_ns,
            end_ns: self.end_ns,
            attributes,
            events: self.events,
            links: self.links,
            status: match self.status {
                1 => Status::Ok,
                2 => Status::Error(budget.text(self.status_text, TEXT_BYTES_MAX)),
                _ => Status::Unset,
            },
        })
    }
}

/// What one span, or one resource, may still hold.
struct Budget {
    values: usize,
    left_out: u64,
}

impl Budget {
    fn new() -> Self {
        Self { values: VALUES_MAX, left_out: 0 }
    }

    /// Whether there is room for one more in a list of attributes.
    fn attribute(&mut self, attributes: &Pairs) -> bool {
        self.room(attributes.len() < ATTRIBUTES_MAX)
    }

    /// Whether there is room for one more event or link.
    fn event<T>(&mut self, events: &[T]) -> bool {
        self.room(events.len() < EVENTS_MAX)
    }

    /// Whether there is room for one more value in a list within `depth` others.
    fn value(&mut self, depth: usize) -> bool {
        self.room(depth < DEPTH_MAX)
    }

    fn room(&mut self, more: bool) -> bool {
        match (more, self.values.checked_sub(1)) {
            (true, Some(values)) => self.values = values,
            _ => {
                self.left_out += 1;
                return false;
            }
        }
        true
    }

    fn text(&mut self, text: Cow<'_, str>, bytes_max: usize) -> Cow<'static, str> {
        self.left_out += u64::from(text.len() > bytes_max);
        match text {
            Cow::Borrowed(text) => Cow::Owned(limits::cut(text, bytes_max).to_owned()),
            Cow::Owned(text) => limits::cut_owned(text, bytes_max),
        }
    }

    fn bytes(&mut self, bytes: &[u8]) -> Cow<'static, [u8]> {
        self.left_out += u64::from(bytes.len() > TEXT_BYTES_MAX);
        Cow::Owned(bytes.get(..TEXT_BYTES_MAX).unwrap_or(bytes).to_owned())
    }
}

/// A resource, and what is remembered of the last one: collectors send the same again and again within a request.
#[derive(Default)]
struct Resources {
    last: Option<Arc<Resource>>,
}

impl Resources {
    fn share(&mut self, resource: Resource) -> Arc<Resource> {
        match &self.last {
            Some(last) if **last == resource => last.clone(),
            _ => {
                let resource = Arc::new(resource);
                self.last = Some(resource.clone());
                resource
            }
        }
    }
}
