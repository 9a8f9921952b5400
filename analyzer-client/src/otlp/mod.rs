//! OTLP as bytes: spans and edge counters are written straight into protobuf, without structures in between.
//!
//! ```text
//! ExportTraceServiceRequest
//! └ resource_spans  ResourceSpans
//!   ├ resource      Resource              ┐ the head: the same for every request
//!   └ scope_spans   ScopeSpans            │
//!     ├ scope       InstrumentationScope  ┘
//!     ├ spans       Span                  ┐ the rest: one field per span, so encoded spans
//!     ├ spans       Span                  ┘ are joined by putting them one after another
//! ```
//!
//! Field numbers are those of opentelemetry-proto 1.x. [`SpanWriter`] is the hot path, [`wire`] its primitives,
//! [`metrics`] the edge counters, [`reply`] what receivers answer.

pub(crate) mod metrics;
pub(crate) mod reply;
pub(crate) mod span;
#[cfg(test)]
mod tests;
pub(crate) mod wire;

use crate::span::Resource;
pub use span::SpanWriter;
use wire::{length_delimited, message, string, varint, varint_len};

/// What all requests of one exporter begin with: its resource and its scope, encoded once.
#[derive(Debug)]
pub(crate) struct Head {
    /// Field 1 of `ResourceSpans` and `ResourceMetrics`, tag included.
    resource: Vec<u8>,
    /// Field 1 of `ScopeSpans` and `ScopeMetrics`, tag included.
    scope: Vec<u8>,
}

impl Head {
    pub(crate) fn new(resource: &Resource, scope: &str, scope_version: &str) -> Self {
        let mut head = Self { resource: Vec::new(), scope: Vec::new() };
        message(&mut head.resource, 1, 2, |out| {
            for (name, value) in &resource.attributes {
                span::attribute(out, 1, name, value);
            }
        });
        message(&mut head.scope, 1, 1, |out| {
            string(out, 1, scope);
            string(out, 2, scope_version);
        });
        head
    }

    /// For a file that outlives this process: the length of the resource, the resource, the scope.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let length = u32::try_from(self.resource.len()).unwrap_or(u32::MAX);
        [length.to_le_bytes().as_slice(), &self.resource, &self.scope].concat()
    }

    /// What [`Head::to_bytes`] wrote.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let (resource, scope) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        Some(Self { resource: resource.to_vec(), scope: scope.to_vec() })
    }

    /// The bytes of a request up to `items_len` bytes of items (`Span` or `Metric` fields), which must follow.
    pub(crate) fn before(&self, items_len: usize) -> Vec<u8> {
        let in_scope = self.scope.len() + items_len;
        let in_resource = self.resource.len() + 1 + varint_len(in_scope as u64) + in_scope;
        let mut out = Vec::with_capacity(self.resource.len() + self.scope.len() + 16);
        length_delimited(&mut out, 1);
        varint(&mut out, in_resource as u64);
        out.extend_from_slice(&self.resource);
        length_delimited(&mut out, 2);
        varint(&mut out, in_scope as u64);
        out.extend_from_slice(&self.scope);
        out
    }
}
