//! What may follow the `?`: filters, pages, time windows. Everything is optional.

use serde::Deserialize;
use utoipa::IntoParams;

/// Filters and pages of the list of traces.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
pub(super) struct TraceFilter {
    /// Page number, from 1.
    pub(super) page: Option<u64>,
    /// Rows per page, 1 to 1000.
    pub(super) page_size: Option<u64>,
    /// Only traces with at least this many events (a span is two).
    pub(super) min_events: Option<u64>,
    /// Only traces in which this service took part.
    pub(super) service: Option<String>,
    /// Only traces with a span whose name contains this text, in upper or lower case: `checkout` finds
    /// `POST /checkout`.
    pub(super) operation: Option<String>,
    /// Only traces at least this long.
    pub(super) min_duration_ms: Option<f64>,
    /// Only traces at most this long.
    pub(super) max_duration_ms: Option<f64>,
    /// Only traces with (`true`) or without (`false`) an error.
    pub(super) error: Option<bool>,
    /// Only traces with a span that has this attribute, or whose process has: `name` or `name=value`. Looks into the
    /// traces one by one: narrow the time as well.
    pub(super) attribute: Option<String>,
    /// Only traces in which this service calls `callee`: those behind an edge of the graph. Looks into the traces one by
    /// one.
    pub(super) caller: Option<String>,
    /// Whom `caller` calls.
    pub(super) callee: Option<String>,
    /// Only traces that began at or after this time: RFC 3339, or a number since 1970 in s, ms, µs or ns.
    pub(super) from: Option<String>,
    /// Only traces that began before this time.
    pub(super) to: Option<String>,
    /// Go on where a page ended: its `next_cursor`. Faster than `page`, and steady while new traces come.
    pub(super) cursor: Option<String>,
}

/// Pages of a service's traces.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Page {
    /// Page number, from 1.
    pub(super) page: Option<u64>,
    /// Rows per page, 1 to 1000.
    pub(super) page_size: Option<u64>,
    /// Go on where a page ended: its `next_cursor`.
    pub(super) cursor: Option<String>,
}

/// Which of several services of one name, and when. Without a window: all that is known.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Home {
    /// Only the service of this `service.namespace`.
    pub(super) namespace: Option<String>,
    /// Only the service of this `deployment.environment.name`.
    pub(super) environment: Option<String>,
    /// The last so many minutes.
    pub(super) time_window_minutes: Option<u64>,
    /// From this time on: RFC 3339, or a number since 1970 in s, ms, µs or ns.
    pub(super) since: Option<String>,
    /// Until this time.
    pub(super) until: Option<String>,
}

/// A time window. Without one: all that is known. Windows are rounded to minutes, those that reach back more than two
/// hours to hours.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Window {
    /// The last so many minutes.
    pub(super) time_window_minutes: Option<u64>,
    /// From this time on: RFC 3339, or a number since 1970 in s, ms, µs or ns.
    pub(super) since: Option<String>,
    /// Until this time.
    pub(super) until: Option<String>,
}

/// Filters of the dependency graph.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
pub(super) struct EdgeFilter {
    /// Only edges from or to this service.
    pub(super) service: Option<String>,
    /// Only edges from this service.
    pub(super) from: Option<String>,
    /// Only edges to this service.
    pub(super) to: Option<String>,
    /// Only edges from or to services of this `deployment.environment.name`.
    pub(super) environment: Option<String>,
    /// Only edges from or to services of this `service.namespace`.
    pub(super) namespace: Option<String>,
    /// The last so many minutes.
    pub(super) time_window_minutes: Option<u64>,
    /// From this time on: RFC 3339, or a number since 1970 in s, ms, µs or ns.
    pub(super) since: Option<String>,
    /// Until this time.
    pub(super) until: Option<String>,
}

/// How a trace is to be shown.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
pub(super) struct TraceShown {
    /// `1`: as it was reported, with no parent mended, no span moved and no time corrected.
    pub(super) raw: Option<String>,
}

/// Which two spans to compare.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Pair {
    // Optional for the reader of queries alone, whose words for a missing one say nothing of spans.
    /// The first span, 16 hex digits.
    #[param(required = true)]
    pub(super) a: Option<String>,
    /// The second span, 16 hex digits.
    #[param(required = true)]
    pub(super) b: Option<String>,
}

/// How many rows.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Limit {
    /// At most so many rows.
    pub(super) limit: Option<u64>,
}
